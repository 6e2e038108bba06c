"""Real ASGI applications: the chat room of apps/ in a browser, several frameworks in one tree, Django three ways.

AS-04, AS-05, AS-07.
"""

from __future__ import annotations

import json
import signal
import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from tests.system.browser import browser
from tests.system.test_django import SITE, prepare, variables

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.conftest import Running

    Start = Callable[..., Running]

APPS = Path(__file__).resolve().parents[2] / "apps"
PATIENCE_S = 30.0


def address(url: str, path: str) -> str:
    return url.replace("http:", "ws:").rstrip("/") + path


def stop(running: Running) -> None:
    """End it as an operator does; nothing may have gone wrong."""
    assert running.stop() == 0
    said = "\n".join(running.lines)
    assert "Traceback" not in said
    assert " ERROR " not in said


@pytest.mark.parametrize("mount", ["/", "/deep/er/"])
def test_two_tabs_chat(start: Start, tmp_path: Path, mount: str) -> None:
    """AS-05: the page finds its WebSocket wherever it is mounted."""
    root = ["--asgi=chatroom:app"] if mount == "/" else [f"--mount={mount.rstrip('/')}=asgi:chatroom:app"]
    running = start(*root, "--port=0", cwd=APPS)
    with browser(tmp_path) as chromium:
        ann, bob = (chromium.open(running.url.rstrip("/") + mount) for _ in range(2))
        for page in (ann, bob):
            page.wait("document.getElementById('status').textContent === '2 are here'")
        ann.type("#name", "Ann")
        ann.type("#text", "hello <b>Bob</b>")
        ann.submit("#form")
        for page in (ann, bob):
            said = page.wait("document.querySelector('#said li')?.innerText")
            assert said == "Annhello <b>Bob</b>"
        bob.type("#name", "Bob")
        bob.type("#text", "grüß dich 😀")
        bob.submit("#form")
        assert "grüß dich 😀" in ann.wait("document.querySelectorAll('#said li')[1]?.innerText")
        late = chromium.open(running.url.rstrip("/") + mount)
        late.wait("document.querySelectorAll('#said li').length === 2")
        bob.close()
        ann.wait("document.getElementById('status').textContent === '2 are here'")
        docs = chromium.open(running.url.rstrip("/") + mount + "openapi.json")
        assert "Chat room" in docs.text
    stop(running)


def test_events_are_streamed_as_they_happen(start: Start) -> None:
    running = start("--asgi=chatroom:app", "--port", "0", cwd=APPS)
    with requests.get(running.url + "events", stream=True, timeout=PATIENCE_S) as events:
        lines = events.iter_lines(decode_unicode=True)
        assert next(lines) == ": welcome"
        for text in ("one", "two"):
            sent = requests.post(
                running.url + "messages", json={"name": "x", "text": text}, timeout=PATIENCE_S
            )
            assert sent.status_code == 201
            assert next(line for line in lines if line) == f'data: {{"name":"x","text":"{text}"}}'
    stop(running)


def test_several_frameworks_run_from_one_tac(start: Start, tmp_path: Path) -> None:
    """AS-04: Datasette, FastAPI and Starlette with lifespan, consumers of Channels; started and stopped cleanly."""
    prepare(tmp_path)
    running = start("-y", "asgi.tac", "--port", "0", cwd=APPS, **variables(tmp_path))
    url = running.url.rstrip("/")

    def get(path: str) -> requests.Response:
        return requests.get(url + path, timeout=PATIENCE_S)

    assert "One tree, many applications" in get("/").text
    assert get("/chat/messages").json() == []
    assert [get(f"/visits/{path}").json() for path in ("a", "b/c")] == [
        {"visits": 1, "path": "/visits/a"},
        {"visits": 2, "path": "/visits/b/c"},
    ]
    assert 'href="/data/_memory"' in get("/data/").text
    assert get("/data/_memory.json?sql=select+6*7&_shape=arrayfirst").json() == [42]
    with connect(address(url, "/ws/live")) as live, connect(address(url, "/chat/ws")) as chat:
        live.send('{"n": 1}')
        assert json.loads(live.recv(timeout=PATIENCE_S)) == {"notes": 0, "echo": {"n": 1}}
        assert json.loads(chat.recv(timeout=PATIENCE_S)) == {"kind": "here", "count": 1}
    stop(running)


def test_one_django_project_on_threads_and_on_the_loop(start: Start, tmp_path: Path) -> None:
    """AS-07: its pages on threads, its WebSockets on the loop, its files from neither, one process."""
    prepare(tmp_path)
    running = start("-y", SITE / "site.tac", "--port", "0", **variables(tmp_path))
    url = running.url.rstrip("/")
    with connect(address(url, "/ws/live")) as live:
        assert "No notes yet" in requests.get(url + "/", timeout=PATIENCE_S).text
        assert requests.get(url + "/static/notes/style.css", timeout=PATIENCE_S).ok
        live.send("{}")
        assert json.loads(live.recv(timeout=PATIENCE_S))["notes"] == 0
    stop(running)


def test_fifty_streams_and_fifty_websockets_end_with_the_server(start: Start) -> None:
    """AS-04, AS-05: at once, not with the grace period; streams properly, WebSockets with 1012, nothing in the log."""
    running = start("--asgi=chatroom:app", "--port=0", "--graceful-timeout=20", cwd=APPS)
    host, _, port = running.url.removeprefix("http://").rstrip("/").partition(":")
    with ExitStack() as clients:
        streams, chats = [], []
        for _ in range(50):
            stream = clients.enter_context(socket.create_connection((host, int(port)), PATIENCE_S))
            stream.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"welcome" in read_until(stream, b"welcome\n\n\r\n")
            streams.append(stream)
            chats.append(clients.enter_context(connect(address(running.url, "/ws"), max_queue=None)))
        began = time.monotonic()
        running.send(signal.SIGTERM)
        for chat in chats:
            with suppress(ConnectionClosedError):  # 1012 is no normal end
                for _ in chat:
                    pass
            assert chat.close_code == 1012
        for stream in streams:
            assert read_until(stream, b"").endswith(b"0\r\n\r\n")
        assert running.wait() == 0
        assert time.monotonic() - began < 15  # the grace period is 20
    said = "\n".join(running.lines)
    assert "Traceback" not in said
    assert " ERROR " not in said


def read_until(sock: socket.socket, end: bytes) -> bytes:
    """What comes up to `end`, or, when that is empty, until the server closes."""
    data = b""
    while not end or not data.endswith(end):
        piece = sock.recv(65536)
        if not piece:
            break
        data += piece
    return data
