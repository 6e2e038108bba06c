"""The terminal a server was started in, its end (LC-02), and standard files that are none at all."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import subprocess
import termios
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.conftest import COMMAND, PATIENCE_S, environment
from tests.system.ports import await_port, free_port
from tests.system.test_workers import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

APP = """\
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"here"]
"""
SHAPES = [(), ("--workers", "2"), ("--reload",)]


class Terminal:
    """A terminal with the command in its foreground, which is all that runs in its session."""

    def __init__(self, folder: Path, *arguments: str, ignores: bool = False) -> None:
        self._master, slave = pty.openpty()
        self._log = folder / "log"

        def prepare() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            if ignores:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)

        options = ("--bind", "127.0.0.1:0", "--log-file", "log", "--no-access-log", *arguments)
        self.process = subprocess.Popen(
            [*COMMAND, "app:application", *options], cwd=folder, env=environment(), stdin=slave, stdout=slave,
            stderr=slave, start_new_session=True, preexec_fn=prepare,
        )  # fmt: skip
        os.close(slave)
        said = b""
        while b"\n" not in said.partition(b" serving on ")[2]:
            said += os.read(self._master, 1000)
        self.url = said.partition(b" serving on ")[2].split()[0].decode()

    def close(self) -> None:
        """As a window is closed: the kernel tells the session."""
        os.close(self._master)
        self._master = -1

    def fetch(self) -> bytes:
        with urllib.request.urlopen(self.url, timeout=PATIENCE_S) as answer:
            body: bytes = answer.read()
        return body

    def until_logged(self, text: str) -> None:
        until(lambda: text in self._log.read_text(), text)

    def serving(self) -> list[int]:
        """The processes that have said where they serve."""
        return [int(each) for each in re.findall(r" serving on \S+ \(pid (\d+)", self._log.read_text())]

    def end(self) -> None:
        if self._master >= 0:
            self.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    (tmp_path / "app.py").write_text(APP)
    started: list[Terminal] = []

    def begin(*arguments: str, **more: Any) -> Terminal:
        started.append(Terminal(tmp_path, *arguments, **more))
        return started[-1]

    yield begin
    for each in started:
        each.end()


@pytest.mark.parametrize("shape", SHAPES)
def test_with_its_terminal_a_server_ends(terminal: Any, shape: tuple[str, ...]) -> None:
    """LC-02: gracefully, and not as somebody who was killed."""
    running = terminal(*shape)
    running.close()
    assert running.process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_hup_in_a_terminal_that_is_there_ends_nothing(terminal: Any, shape: tuple[str, ...]) -> None:
    """LC-02: who sends it means the configuration."""
    running = terminal(*shape)
    running.process.send_signal(signal.SIGHUP)
    running.until_logged("reload")
    assert running.fetch() == b"here"
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_under_nohup_a_server_outlives_its_terminal(terminal: Any, shape: tuple[str, ...]) -> None:
    """LC-02: nohup has the signal ignored."""
    running = terminal(*shape, ignores=True)
    running.close()
    running.until_logged("reload")  # it has come
    assert running.fetch() == b"here"
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(PATIENCE_S) == 0


def test_under_nohup_the_next_version_outlives_it_too(terminal: Any) -> None:
    """LC-02: what was said to the first process holds for the one that takes over (USR2)."""
    running = terminal("--workers", "2", ignores=True)
    running.process.send_signal(signal.SIGUSR2)
    until(lambda: len(running.serving()) == 2, "the next version")
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(PATIENCE_S) == 0
    successor = running.serving()[1]
    try:
        running.close()
        os.kill(successor, signal.SIGHUP)  # the leader of its session has gone
        running.until_logged("reloading")
        assert running.fetch() == b"here"
    finally:
        os.kill(successor, signal.SIGTERM)
        until(lambda: not Path(f"/proc/{successor}").exists(), "its end")


FILES = """\
import os
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return ["\\n".join(os.readlink(f"/proc/self/fd/{file}") for file in range(3)).encode()]
"""


@pytest.mark.parametrize("shape", [*SHAPES, ("--daemon", "--pidfile", "pid")])
def test_nothing_takes_the_place_of_closed_standard_files(tmp_path: Path, shape: tuple[str, ...]) -> None:
    """DM-01: or what somebody writes to standard error would go to a client, or into a database."""
    (tmp_path / "app.py").write_text(FILES)
    port = free_port()
    process = subprocess.Popen(
        [*COMMAND, "app:application", "--bind", f"127.0.0.1:{port}", "--no-access-log", *shape], cwd=tmp_path,
        env=environment(), preexec_fn=lambda: os.closerange(0, 3),
    )  # fmt: skip
    pid = process.pid
    try:
        if "--daemon" in shape:
            assert process.wait(PATIENCE_S) == 0
            pid = int((tmp_path / "pid").read_text())
        else:
            await_port(port, process)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE_S) as answer:
            assert answer.read().split() == [b"/dev/null"] * 3
    finally:
        os.kill(pid, signal.SIGTERM)
    if "--daemon" in shape:
        until(lambda: not Path(f"/proc/{pid}").exists(), "its end")
    else:
        assert process.wait(PATIENCE_S) == 0
