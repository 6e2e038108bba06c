"""A central server in front of a user's own, which is started on demand: DI-03, DI-04, CL-06.

Files, WSGI, ASGI, CGI and WebSockets of that user, each of which knows its place on the central server.
"""

from __future__ import annotations

import http.client
import json
import os
import pwd
import signal
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from websockets.sync.client import connect

from container.resources.proxy import ReverseProxy
from container.resources.static import Files
from container.resources.userdir import SOCKET_NAME, UserDirectory
from container.tree.resource import Resource
from container.tree.site import Site
from tests.conformance.conftest import running
from tests.system.conftest import PATIENCE_S, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UID = os.getuid()
APP = """
import json, os
from wsgiref.util import request_uri


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    content = environ["wsgi.input"].read()
    return [json.dumps({"url": request_uri(environ), "client": environ["REMOTE_ADDR"], "pid": os.getpid(),
                        "script_name": environ["SCRIPT_NAME"], "length": len(content)}).encode()]


async def asgi(scope, receive, send):
    where = json.dumps([scope["scheme"], scope["root_path"], scope["path"], scope["client"][0]])
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": where + message["text"]})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": where.encode()})
"""
CGI = """#!/bin/sh
printf 'Content-Type: text/plain\\n\\n%s %s %s' "$SCRIPT_NAME" "$PATH_INFO" "$SERVER_NAME"
"""


class Central:
    """The central server, and what a client of it sees of mary's."""

    def __init__(self, port: int, home: Path) -> None:
        self.port = port
        self.home = home

    def ask(self, path: str, method: str = "GET", content: bytes | None = None, **fields: str) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            headers = {"Host": "people.example", **fields}
            connection.request(method, f"/people/mary.container/{path}", content, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def json(self, path: str, **more: Any) -> Any:
        status, content = self.ask(path, **more)
        assert status == 200, content
        return json.loads(content)

    def kill(self) -> int:
        """Kill mary's server as whoever listens at her socket; which process that was, 0 for none."""
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.connect(str(self.home / SOCKET_NAME))
            except OSError:
                return 0
            raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid: int = struct.unpack("3i", raw)[0]
        os.kill(pid, signal.SIGKILL)
        return pid


@pytest.fixture
def central(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Central]:
    home = tmp_path / "mary"
    (home / "cgi").mkdir(parents=True)
    (home / "public").mkdir()
    (home / "app.py").write_text(APP)
    (home / "public" / "digits.txt").write_text("0123456789")
    (home / "cgi" / "where").write_text(CGI)
    (home / "cgi" / "where").chmod(0o755)
    mary = pwd.struct_passwd(("mary", "x", UID, 1, "", str(home), "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwnam", {"mary": mary}.__getitem__)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, home))))
    command = [
        sys.executable, "-m", "container", "--no-access-log", "--listen", f"unix:{{home}}/{SOCKET_NAME}:mode=600",
        "--wsgi", "app:wsgi", "--mount", "/asgi=asgi:app:asgi", "--mount", "/files=path:{home}/public",
        "--mount", "/cgi=cgi:{home}/cgi", "--lifespan", "off", *(["--cgi-user", "root"] if UID == 0 else []),
    ]  # fmt: skip
    people = UserDirectory(
        Files,
        min_uid=UID,
        hand_over=lambda account, path: ReverseProxy(f"unix:{path}", host="preserve"),
        start=command,
        start_timeout=PATIENCE_S,
    )
    root = Resource()
    root.mount("people", people)
    with running("asyncio", {"": Site(root)}) as ports:
        central = Central(ports[""], home)
        yield central
        central.kill()


def test_everything_of_a_user_knows_its_place(central: Central) -> None:
    """DI-03"""
    place = "/people/mary.container"
    said = central.json("page/x?q=1")
    assert (said["url"], said["client"], said["script_name"]) == (
        f"http://people.example{place}/page/x?q=1",
        "127.0.0.1",
        place,
    )
    content = b"x" * 1_000_000
    assert central.json("page", method="POST", content=content)["length"] == len(content)
    assert central.json("asgi/x") == ["http", f"{place}/asgi", f"{place}/asgi/x", "127.0.0.1"]
    assert central.ask("cgi/where/x") == (200, f"{place}/cgi/where /x people.example".encode())
    assert central.ask("files/digits.txt", Range="bytes=2-4") == (206, b"234")
    with connect(f"ws://127.0.0.1:{central.port}{place}/asgi/ws") as chat:
        for text in ("one", "two"):
            chat.send(text)
            assert chat.recv(timeout=PATIENCE_S) == (
                json.dumps(["ws", f"{place}/asgi", f"{place}/asgi/ws", "127.0.0.1"]) + text
            )


def test_a_server_that_was_killed_is_started_again(central: Central) -> None:
    """DI-03, DI-04: its socket has stayed; until then the answer is 502 or 503, at once."""
    first = central.json("page")["pid"]
    assert central.kill() == first
    until = time.monotonic() + PATIENCE_S
    while (answer := central.ask("page"))[0] != 200:
        assert answer[0] in (502, 503)
        assert time.monotonic() < until
        time.sleep(0.05)
    assert json.loads(answer[1])["pid"] != first
