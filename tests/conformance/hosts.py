"""Servers as processes of their own, all of which run the tree of `hosted_site`, and what each of them cannot do."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.conformance.board import Board, Lines
from tests.conformance.client import Client
from tests.conformance.leaves import Marks, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
START_S: Final = 30.0
MODULE: Final = "tests.conformance.hosted_site"
# gunicorn with our worker class: its name, the number of workers.
WORKERS: Final = {"gunicorn-1": 1, "gunicorn-3": 3}


def gunicorn_command(name: str, application: str) -> list[str]:
    return [
        "gunicorn", "--worker-class", "container.gunicorn.Worker", "--workers", str(WORKERS[name]),
        "--bind", "127.0.0.1:0", "--no-control-socket", "--graceful-timeout", "4", application,
    ]  # fmt: skip


# By name: the command; `{port}` is a free one, for those that do not tell which they took.
COMMANDS: Final = {
    "container": ["container", f"{MODULE}:site", "--bind", "127.0.0.1:0"],
    "uvicorn": ["uvicorn", f"{MODULE}:asgi", "--host", "127.0.0.1", "--port", "0", "--no-access-log"],
    "granian": ["granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}", f"{MODULE}:asgi"],
    "gunicorn": [
        "gunicorn", "--worker-class", "gthread", "--threads", "8", "--bind", "127.0.0.1:0", "--no-control-socket",
        f"{MODULE}:wsgi",
    ],
    **{name: gunicorn_command(name, f"{MODULE}:site") for name in WORKERS},
    "waitress": ["waitress", "--listen", "127.0.0.1:0", "--threads", "8", f"{MODULE}:wsgi"],
}  # fmt: skip
KINDS: Final = ("native", "wsgi", "asgi")
# What their sites take as content.
BODY_MAX: Final = 2 * 1024 * 1024

# What a host cannot do, whatever the tree does; docs/hosted.md says the same to users.
CANNOT: Final = {
    ("uvicorn", "hints"): "it has the extension over HTTP/2 only",
    ("granian", "hints"): "it does not offer the extension",
    ("gunicorn", "hints"): "a2wsgi has no way for them",
    ("waitress", "hints"): "a2wsgi has no way for them",
    ("gunicorn", "watching"): "a WSGI host finds out that a client has left when it writes",
    ("waitress", "watching"): "a WSGI host finds out that a client has left when it writes",
    ("waitress", "head-of-streams"): "it sends the last chunk of an answer that has no content",
    ("waitress", "back-pressure"): "it collects answers, in memory and then in a file",
}
_ADDRESS: Final = re.compile(r"https?://127\.0\.0\.1:([1-9][0-9]*)")


def hosts_that_can(feature: str) -> list[str]:
    return [name for name in COMMANDS if (name, feature) not in CANNOT]


@dataclass
class Host:
    """A server that runs; its process ends with `end`."""

    name: str
    port: int
    process: subprocess.Popen[str]
    lines: list[str]
    reader: threading.Thread
    board: Board

    def end(self) -> int:
        self.process.terminate()
        try:
            code = self.process.wait(START_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait(START_S)
        self.reader.join(START_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.board.close()
        return code


def start(name: str) -> Host:
    """Start a server and wait until it says where it listens."""
    port = _free_port()
    board = Board({kind: Stage() for kind in KINDS})
    return start_command(name, board, *(part.format(port=port) for part in COMMANDS[name]))


def start_command(name: str, board: Board, *command: str, **variables: str) -> Host:
    """The same with a module's command, as for `python -m`; what it serves finds the board."""
    variables["CONFORMANCE_BOARD"] = str(board.port)
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"} | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    coming: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            coming.put(line)
        coming.put(None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    while True:
        line = coming.get(timeout=START_S)
        assert line is not None, f"{name} ended: {''.join(lines)}"
        if found := _ADDRESS.search(line):
            host = Host(name, int(found[1]), process, lines, reader, board)
            _wait_until_it_answers(host)
            return host


def _wait_until_it_answers(host: Host) -> None:
    """Some say that they listen before they do."""
    ready = threading.Event()
    for _ in range(int(START_S / 0.05)):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", host.port), 1.0):
            return
        ready.wait(0.05)
    raise AssertionError(f"{host.name} does not answer: {''.join(host.lines)}")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@dataclass
class Leaf:
    """A kind of leaf on a server."""

    host: Host
    kind: str

    def request(self, target: str, *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
        """The head of a request for a case, with its empty line."""
        path = target if target.startswith("/") else f"/{self.kind}/{target}"
        return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: h", *fields, "", ""]).encode("latin-1")

    def post(self, target: str, content: bytes, *fields: str) -> bytes:
        return self.request(target, f"Content-Length: {len(content)}", *fields, method="POST") + content

    @property
    def marks(self) -> Marks:
        return self.host.board.stages[self.kind].marks

    @property
    def log(self) -> Lines:
        return self.host.board.log

    def reset(self) -> None:
        """Begin with fresh marks."""
        self.marks.go.set()  # whoever still waits shall go on
        self.host.board.stages[self.kind].marks = Marks()
        self.log.clear()

    @contextlib.contextmanager
    def client(self, *, window_bytes: int = 0) -> Iterator[Client]:
        with Client(self.host.port, window_bytes=window_bytes, any_version=True) as client:
            yield client
