"""The real command in a process of its own: started, read until it serves, and ended whatever happens."""

from __future__ import annotations

import http.client
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 30.0
COMMAND = [sys.executable, "-m", "container"]


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"} | more


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(self._path)


class Running:
    """One started command. `lines`: what it has said on standard error so far."""

    def __init__(self, process: subprocess.Popen[str], output: Path) -> None:
        self.process = process
        self.lines: list[str] = []
        self._output = output
        self._coming: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._coming.put(line.rstrip("\n"))
        self._coming.put(None)

    def wait_for(self, text: str) -> str:
        """The next line on standard error that contains `text`; fails when the command ends before it."""
        while True:
            line = self._coming.get(timeout=PATIENCE_S)
            if line is None:
                pytest.fail(f"{text!r} never came; the command said {self.lines}")
            self.lines.append(line)
            if text in line:
                return line

    @property
    def url(self) -> str:
        return next(each for each in self.urls if each.startswith("http"))

    @property
    def urls(self) -> list[str]:
        return [line.split(" serving on ")[1].split(" ")[0] for line in self.lines if " serving on " in line]

    def fetch(
        self, path: str = "/", method: str = "GET", headers: dict[str, str] | None = None, *, url: str = ""
    ) -> Answer:
        where = url or self.urls[0]
        if where.startswith("unix:"):
            connection: http.client.HTTPConnection = _UnixConnection(where.removeprefix("unix:"))
        else:
            connection = http.client.HTTPConnection(urlsplit(where).netloc, timeout=PATIENCE_S)
        try:
            connection.request(method, path, headers=headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """Until the command has ended by itself: its exit code. All it said is in `lines` then."""
        code = self.process.wait(PATIENCE_S)
        while (line := self._coming.get(timeout=PATIENCE_S)) is not None:
            self.lines.append(line)
        return code

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send(number)
        return self.wait()

    @property
    def output(self) -> str:
        return self._output.read_text()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert not self._reader.is_alive(), "expected nobody to write to its standard error any more"
        assert self.process.stderr is not None
        self.process.stderr.close()


@contextmanager
def starting(folder: Path) -> Iterator[Callable[..., Running]]:
    """Start the command in `cwd` (`folder`), wait until it serves on `addresses` addresses; it ends with the block."""
    started: list[Running] = []

    def begin(*arguments: object, cwd: Path | None = None, addresses: int = 1, **variables: str) -> Running:
        output = folder / f"output-{len(started)}"
        with output.open("w") as stdout:
            process = subprocess.Popen(
                [*COMMAND, *map(str, arguments)],
                cwd=cwd or folder,
                env=environment(**variables),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
            )
        running = Running(process, output)
        started.append(running)
        for _ in range(addresses):
            running.wait_for(" serving on ")
        return running

    try:
        yield begin
    finally:
        for running in started:
            running.end()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """`starting` in the test's directory."""
    with starting(tmp_path) as begin:
        yield begin


@pytest.fixture
def finish(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command to its end, for those that are expected to end by themselves."""

    def run(*arguments: object, cwd: Path | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=cwd or tmp_path,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            **more,
        )

    return run
