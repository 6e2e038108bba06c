"""Places of users: files below /~mary/ and /mary/, servers of their own below /mary.container/."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from container.message.response import Response
from container.resources.static import Files
from container.resources.userdir import SOCKET_NAME, Account, UserDirectory
from container.resources.userdir.personal import command
from container.testing import Client, FakeClock
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import Leaf

UID = os.getuid()


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with users of its own: each has the number of whoever runs the tests, so that sockets are theirs."""
    people = {
        "mary": (UID, "Mary Poppins,,555"), "joe": (UID, ""), "bob": (UID, "<b>Bob</b>"), "daemon": (UID - 1, "D"),
        ".dot": (UID, "x"), "a.container": (UID, "x"),
    }  # fmt: skip
    entries = {
        name: pwd.struct_passwd((name, "x", uid, 1, gecos, str(tmp_path / name), "/bin/sh"))
        for name, (uid, gecos) in people.items()
    }
    monkeypatch.setattr(pwd, "getpwnam", entries.__getitem__)
    monkeypatch.setattr(pwd, "getpwall", lambda: list(entries.values()))
    for name in ("mary", "bob", "daemon"):
        (tmp_path / name / "public_html").mkdir(parents=True)
        (tmp_path / name / "public_html" / "index.html").write_text(f"files of {name}")
    (tmp_path / "joe").mkdir()
    return tmp_path


def proxy_of(account: Account, path: str) -> Resource:
    return Leaf(
        lambda request: Response.text(f"{account.name} {request.script_name} {request.path_info} {path}")
    )


def directory(**options: Any) -> UserDirectory:
    return UserDirectory(Files, **({"min_uid": UID, "clock": FakeClock()} | options))


@pytest.fixture
def listen() -> Iterator[Callable[[Path], socket.socket]]:
    opened: list[socket.socket] = []

    def begin(path: Path) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        opened.append(sock)
        sock.bind(str(path))
        sock.listen()
        return sock

    yield begin
    for sock in opened:
        sock.close()


def test_users_have_files(homes: Path) -> None:
    """DI-02: by both spellings; no user, no directory, no place for the web: 404 for all, and alike."""
    with Client(Site(directory())) as client:
        assert client.get("/mary/").text == "files of mary"
        assert client.get("/~mary/").text == "files of mary"
        moved = client.get("/~mary?x")
        assert (moved.status, moved.headers["Location"]) == (301, "./~mary/?x")
        for path in (
            "/joe/", "/nobody/", "/daemon/", "/.dot/", "/../", "/%2e%2e/", "/mary%2f/", "/~~mary/", "/%00/", "/",
            "/mary.container/", "/nobody.container/", "//mary/", "/joe", "/mary/none.html",
        ):  # fmt: skip
            assert client.get(path).status == 404, path


def test_who_may_is_the_operators_choice(homes: Path) -> None:
    """DI-02: another directory, a template, allowed and denied names."""
    (homes / "web" / "joe").mkdir(parents=True)
    (homes / "web" / "joe" / "index.html").write_text("joe, elsewhere")
    template = f"{homes}/web/{{user}}"
    with Client(Site(directory(directory=template))) as client:
        assert client.get("/joe/").text == "joe, elsewhere"
        assert client.get("/mary/").status == 404
    with Client(Site(directory(allow=["mary", "bob"], deny=["bob"]))) as client:
        assert [client.get(f"/{name}/").status for name in ("mary", "bob", "daemon")] == [200, 404, 404]
    with Client(Site(directory(min_uid=0))) as client:
        assert client.get("/daemon/").status == (200 if UID else 404)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"directory": "/srv/www"}, "expected {user} or {home} in a path that begins with a slash"),
        ({"directory": "../{user}"}, "expected a path without .."),
        ({"socket": "{uid}.sock"}, "expected a path, perhaps with {user} or {home} in it"),
        ({"directory": ""}, "expected a path"),
        ({"start": ["x"]}, "expected hand_over besides start"),
    ],
)
def test_slips_are_errors_at_once(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011  # the message is compared below
        directory(**wrong)
    assert message in str(raised.value)
    with pytest.raises(TypeError, match="did you mean"):
        directory(allow="mary")


def test_nobody_is_listed_unless_asked(homes: Path, listen: Callable[[Path], socket.socket]) -> None:
    """DI-01: real names up to the comma, or the login name; escaped; files and servers."""
    listen(homes / "joe" / SOCKET_NAME)
    with Client(Site(directory(listing=True, hand_over=proxy_of))) as client:
        page = client.get("/").text
        assert '<li><a href="./mary/">Mary Poppins (file)</a></li>' in page
        assert '<li><a href="./bob/">&lt;b&gt;Bob&lt;/b&gt; (file)</a></li>' in page
        assert '<li><a href="./joe.container/">joe (container)</a></li>' in page
        assert "joe/" not in page.replace("joe.container/", "")
        assert "daemon" not in page
        assert client.request("HEAD", "/").status == 200
        assert client.post("/").status == 405


def test_requests_are_handed_to_the_server_of_the_user(
    homes: Path, listen: Callable[[Path], socket.socket]
) -> None:
    """DI-03: with the mount point it has; 503 as long as it is down, 404 where there is none."""
    path = homes / "mary" / SOCKET_NAME
    clock = FakeClock()
    with Client(Site(directory(hand_over=proxy_of, clock=clock))) as client:
        assert client.get("/mary.container/a").status == 404
        server = listen(path)
        assert client.get("/mary.container/a/b").text == f"mary /mary.container /a/b {path}"
        assert client.get("/mary.container").headers["Location"] == "./mary.container/"
        assert client.get("/~mary.container/").status == 404
        server.close()  # as after kill -9: the file stays
        clock.advance(2)
        assert client.get("/mary.container/a").status == 503
        path.unlink()
        listen(path)
        assert client.get("/mary.container/a").status == 200


def test_the_socket_of_somebody_else_is_not_used(
    homes: Path, listen: Callable[[Path], socket.socket], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """DI-03: whoever listens must be the user: the system says who it is."""
    other = pwd.struct_passwd(("mary", "x", UID + 7, 1, "", str(homes / "mary"), "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwnam", {"mary": other}.__getitem__)
    listen(homes / "mary" / SOCKET_NAME)
    with Client(Site(directory(hand_over=proxy_of))) as client:
        assert client.get("/mary.container/").status == 502
    assert f"is not served by mary but by uid {UID}" in caplog.text


def test_a_server_is_started_on_demand(homes: Path, listen: Callable[[Path], socket.socket]) -> None:
    """DI-03: once, however many ask; and again when it has ended."""
    path = homes / "mary" / SOCKET_NAME
    started: list[str] = []
    sockets: list[socket.socket] = []

    async def start(account: Account) -> None:
        started.append(account.name)
        await asyncio.sleep(0)
        sockets.append(listen(path))

    clock = FakeClock()
    with Client(Site(directory(hand_over=proxy_of, start=start, clock=clock))) as client:
        connections = [client.connect() for _ in range(3)]
        for connection in connections:
            connection.send(b"GET /mary.container/ HTTP/1.1\r\nHost: a\r\n\r\n")
        assert [connection.receive().status for connection in connections] == [200] * 3
        assert started == ["mary"]
        sockets[0].close()
        path.unlink()
        clock.advance(2)
        assert client.get("/mary.container/").status == 200
        assert started == ["mary", "mary"]


def test_a_server_that_does_not_start_is_not_started_for_every_request(homes: Path, caplog: Any) -> None:
    """DI-03: 503, and a rest before the next attempt."""
    clock = FakeClock()
    tries: list[str] = []

    async def start(account: Account) -> None:
        tries.append(account.name)
        if account.name == "bob":
            raise LookupError("no such command")

    options: dict[str, Any] = {"hand_over": proxy_of, "start": start, "start_timeout": 0.01, "clock": clock}
    with Client(Site(directory(**options))) as client:
        for _ in range(3):
            assert client.get("/mary.container/").status == 503
            assert client.get("/bob.container/").status == 503
        assert tries == ["mary", "bob"]
        clock.advance(6)
        assert client.get("/bob.container/").status == 503
        assert tries == ["mary", "bob", "bob"]
    assert "did not listen in 0.01 s" in caplog.text
    assert "no such command" in caplog.text


def test_a_command_starts_it(homes: Path) -> None:
    """DI-03: a process that lives on by itself, with the user's name and home in its arguments."""
    path = homes / "mary" / SOCKET_NAME
    code = (
        "import socket,sys;s=socket.socket(1);s.bind(sys.argv[1]);s.listen();s.accept()[0].recv(1);s.accept()"
    )
    import sys

    start = [sys.executable, "-c", code, "{home}/" + SOCKET_NAME, "{user}"]
    with Client(Site(directory(hand_over=proxy_of, start=start))) as client:
        assert client.get("/mary.container/x").text.startswith("mary /mary.container /x")
    with socket.socket(socket.AF_UNIX) as last:  # the second one ends it
        last.connect(str(path))
    with pytest.raises(ValueError, match="expected a list of arguments"):
        command("container --personal")


def test_what_is_remembered_is_bounded(homes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for many names, again and again, does not fill the memory: there is one place for each user."""
    many = lambda name: pwd.struct_passwd((name, "x", UID, 1, "", str(homes / "mary"), "/bin/sh"))  # noqa: E731
    monkeypatch.setattr(pwd, "getpwnam", many)
    made = []

    def make(path: str) -> Resource:
        made.append(path)
        return Files(path)

    users = UserDirectory(make, min_uid=UID, clock=FakeClock())
    with Client(Site(users)) as client:
        for _ in range(2):
            for number in range(1100):
                client.get(f"/u{number}/")
        assert len(made) == 1100
        assert len(users._accounts._known) == 1024
