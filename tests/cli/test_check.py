"""What serving would stumble over is told by check, with the exit code of serving."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from container.cli.check import CheckFailed, check
from container.cli.main import PROBLEMS
from container.cli.processes import prepare_development
from container.config.assemble import endpoints_of
from tests.config.said import assembled

if TYPE_CHECKING:
    from pathlib import Path

TWO = '[[site]]\nlisten = "127.0.0.1:8091"\npath = "public"\n[[site]]\nlisten = "{}"\npath = "public"\n'
WRONG = [
    (["--user=nosuchuser"], 2, "expected a number or a user this system knows, got 'nosuchuser'"),
    (["--group=nosuchgroup"], 2, "expected a number or a group this system knows, got 'nosuchgroup'"),
    (["--workers=2", "--profile=x"], 2, "expected one process, not replaced, with --profile, got more"),
    (["--reload", "--reload-dir=nowhere"], 2, "expected a directory for --reload-dir, got 'nowhere'"),
    (["--pidfile=public"], 1, "expected a file as pidfile '{here}/public', got something else"),
    (["--pidfile=nowhere/pid"], 1, "cannot write the pidfile '{here}/nowhere/pid': no such file or directory"),
    (["--pidfile=a.txt/pid"], 1, "cannot write the pidfile '{here}/a.txt/pid': not a directory"),
    (["--chroot=nowhere"], 1, "cannot chroot to 'nowhere': no such directory"),
    (["--rundir=nowhere"], 1, "cannot change to 'nowhere': no such directory"),
    (["--chroot=public", "--rundir=/public"], 1, "cannot change to '/public': no such directory"),
    (["--sessions=sqlite:nowhere/s.db"], 3,
     "expected a directory for sessions in 'nowhere/s.db', got '{here}/nowhere': none is there"),
    (["-b", "127.0.0.1:81", "-b", "127.0.0.1:81"], 1, "cannot listen on 127.0.0.1:81: 127.0.0.1:81 is served already"),
    (["-b", "127.0.0.1:81", "-b", "tcp:81"], 1, "cannot listen on tcp:81: 127.0.0.1:81 is served already"),
    (["-b", "unix:s", "-b", "haproxy:unix:{here}/s"], 1, "cannot listen on unix:{here}/s: unix:s is served already"),
]  # fmt: skip
FINE = [
    ["--reload", "--workers=2"],
    ["-b", "127.0.0.1:0", "-b", "127.0.0.1:0"],
    ["-b", "tcp:81:reuse_port=1", "-b", "tcp:81:reuse_port=1"],
    ["-b", "127.0.0.1:81", "-b", "[::1]:81"],
    ["--fd=99"],  # whoever starts it opens it
    ["--chroot=.", "--rundir=/public"],
    ["--chroot=public", "--sessions=sqlite:/nowhere/s.db"],
    ["--pidfile=pid"],
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "public").mkdir()
    (tmp_path / "a.txt").write_text("text")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def checked(*arguments: str) -> None:
    found, application = assembled(*arguments)
    options = dict(found.configuration.values)
    prepare_development(options, endpoints_of(found.configuration))
    check(found, application, options)


@pytest.mark.parametrize(("arguments", "code", "line"), WRONG)
def test_what_serving_would_stumble_over_is_one_line(
    here: Path, arguments: list[str], code: int, line: str
) -> None:
    """CF-07, CL-10"""
    with pytest.raises((CheckFailed, *PROBLEMS)) as caught:
        checked("--path=public", *(each.format(here=here) for each in arguments))
    assert str(caught.value) == line.format(here=here)
    assert getattr(caught.value, "code", 2) == code


@pytest.mark.parametrize("arguments", FINE)
def test_what_only_the_place_knows_is_left_to_serving(here: Path, arguments: list[str]) -> None:
    checked("--path=public", *arguments)
    assert sorted(os.listdir()) == ["a.txt", "public"]


def test_two_sites_have_two_addresses(here: Path) -> None:
    for second, is_fine in (("127.0.0.1:8092", True), ("127.0.0.1:8091", False)):
        (here / "container.toml").write_text(TWO.format(second))
        if is_fine:
            checked()
        else:
            with pytest.raises(CheckFailed, match=r"127\.0\.0\.1:8091 is served already"):
                checked()


def test_a_pidfile_that_is_there_may_be_of_the_server_that_runs(here: Path) -> None:
    (here / "pid").write_text(f"{os.getppid()}\n")
    checked("--path=public", "--pidfile=pid")


INNER = """
from container import Application, Data, Resource, Sessions, Site, SQLiteStore

root = Resource()
root.mount("inner", Site(Data("hello", "text/plain"), sessions=Sessions(store=SQLiteStore("nowhere/s.db"))))
application = Application("outer")
application.serve(Site(root), "tcp:81")
"""


def test_sites_inside_of_sites_are_looked_at_too(here: Path) -> None:
    """CF-07"""
    (here / "inner.tac").write_text(INNER)
    with pytest.raises(CheckFailed, match="expected a directory for sessions"):
        checked("-y", "inner.tac")
