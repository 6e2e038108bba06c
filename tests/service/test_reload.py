"""Which changes matter, that they are noticed, and what stands in for an application that does not start."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from container.channel.endpoints import parse_endpoint
from container.service.reload import Broken, ReloadProblem, Watch, stand_in
from container.testing import Client

if TYPE_CHECKING:
    from pathlib import Path

HERE = {"Host": "localhost:8080"}


@pytest.mark.parametrize(
    ("name", "matters"),
    [
        ("app.py", True),
        ("deep/down/app.py", True),
        ("site.tac", True),
        ("page.rpy", True),
        ("container.toml", True),
        (".env", True),
        ("prod.env", True),
        ("page.html", False),
        ("app.pyc", False),
        (".app.py.swp", False),
        (".git/hooks/x.py", False),
        ("__pycache__/x.py", False),
        ("env/lib/site-packages/x.py", False),
        ("../elsewhere.py", False),
    ],
)
def test_which_changes_matter_by_default(tmp_path: Path, name: str, matters: bool) -> None:
    """WS-25."""
    assert Watch([str(tmp_path)]).matters(str((tmp_path / name).resolve())) is matters


@pytest.mark.parametrize(
    ("name", "matters"),
    [
        ("page.html", True),
        ("deep/page.html", True),
        ("templates/mail.txt", True),
        (".hidden/page.html", True),
        ("app.py", True),
        ("test_app.py", False),
        ("var/page.html", False),
        ("notes.txt", False),
    ],
)
def test_users_say_what_else_matters_and_what_does_not(tmp_path: Path, name: str, matters: bool) -> None:
    watch = Watch([str(tmp_path)], include=["*.html", "templates"], exclude=["test_*", "var/"])
    assert watch.matters(str(tmp_path / name)) is matters


def test_a_file_elsewhere_matters_when_it_is_named(tmp_path: Path) -> None:
    named = tmp_path / "else" / "settings.yaml"
    watch = Watch([str(tmp_path / "here")], files=[str(named)])
    assert watch.matters(str(named))
    assert not watch.matters(str(named.with_name("other.py")))


def test_directories_may_be_symbolic_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    watch = Watch([str(tmp_path / "link")])
    assert watch.matters(str(tmp_path / "link" / "app.py"))
    assert watch.matters(str(tmp_path / "real" / "app.py"))


def test_what_is_not_there_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(ReloadProblem, match="expected a directory for --reload-dir, got '/nowhere'"):
        Watch(["/nowhere"]).check()
    with pytest.raises(ReloadProblem, match="expected a file for --reload-extra-file"):
        Watch([str(tmp_path)], files=[str(tmp_path)]).check()


def test_a_change_is_noticed_from_the_start(tmp_path: Path) -> None:
    """Nothing is lost between the start and the moment the system watches."""
    noticed = threading.Event()
    watching = Watch([str(tmp_path)]).start(noticed.set)
    (tmp_path / "app.py").write_text("")
    assert noticed.wait(20)
    watching.stop()


def test_a_browser_is_told_what_is_wrong_until_it_is_mended() -> None:
    with Client(Broken("NameError: <b>"), headers=HERE) as client:
        page = client.get("/any/where?x", headers={"Accept": "text/html,*/*;q=0.8"})
        plain = client.post("/", body=b"x", headers={"Accept": "*/*"})
    assert page.status == plain.status == 503
    assert "NameError: &lt;b&gt;" in page.text
    assert "EventSource" in page.text
    assert plain.text.endswith("NameError: <b>")
    assert plain.headers["content-type"] == "text/plain"
    assert page.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("address", "is_shown"),
    [
        ("127.0.0.1:0", True),
        ("[::1]:0", True),
        ("tcp:0", False),
        ("unix:/run/x", False),
        ("haproxy:127.0.0.1:0", False),
    ],
)
def test_only_those_on_this_machine_see_the_reason(address: str, is_shown: bool) -> None:
    (binding,) = stand_in("secret", [[parse_endpoint(address)]]).bindings
    with Client(binding.site) as client:
        assert ("secret" in client.get("/", headers=HERE).text) is is_shown
        assert "secret" not in client.get("/", headers={"Host": "evil.example"}).text
