"""A server under test as a process session of its own: start, pin, meter, stop. Linux only (`/proc`).

A server may be a supervisor with workers: everything is summed over the session that the
started process leads. Signals go only to processes of that session, by pid.
"""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from load import pin_to

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 5.0
_REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


class StartError(Exception):
    """The server ended, or did not answer "Hello World!" in time; carries the end of its output."""


@dataclass(frozen=True)
class Memory:
    """Resident memory of a session: `anon_mb` is what no other process shares as file pages."""

    rss_mb: float
    anon_mb: float


class Server:
    """A running server. Made by `running`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, *, secure: bool = False) -> None:
        self._process = process
        self._session = process.pid  # start_new_session makes the leader's pid the session's id
        self.port = port
        self._secure = secure

    def cpu_s(self) -> float:
        """User and system time of all processes of the session, and of their children that ended."""
        return sum(sum(map(int, _stat(pid)[11:15])) for pid in self._pids()) * _TICK_S

    def memory(self) -> Memory:
        """Resident memory, summed over the session."""
        rss_kb = anon_kb = 0
        for pid in self._pids():
            for line in _read(f"/proc/{pid}/status").splitlines():
                if line.startswith("VmRSS:"):
                    rss_kb += int(line.split()[1])
                elif line.startswith("RssAnon:"):
                    anon_kb += int(line.split()[1])
        return Memory(rss_kb / 1024, anon_kb / 1024)

    def await_answer(self) -> None:
        """Return once `GET /` is answered 200 with the expected body."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        answer = b""
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise StartError(f"it exited with {self._process.returncode}")
            with suppress(OSError):
                answer = _fetch(self.port, self._secure)
                if b" 200 " in answer.split(b"\r\n", 1)[0] and b"Hello World!" in answer:
                    return
            time.sleep(0.05)
        raise StartError(f"no 200 with the body in {_START_TIMEOUT_S:.0f} s, last answer {answer[:200]!r}")

    def stop(self) -> None:
        """TERM the leader and give it time to end its workers, then KILL what is left of the session."""
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_TIMEOUT_S)
        for pid in self._pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def _pids(self) -> list[int]:
        """The living members of the session (zombies too: their CPU counts until they are reaped)."""
        pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [pid for pid in pids if (stat := _stat(pid)) and int(stat[3]) == self._session]


def _stat(pid: int) -> list[str]:
    """The fields of `/proc/PID/stat` after the command's name: [0] state, [3] session, [11:15] CPU ticks."""
    return _read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def _read(path: str) -> str:
    """The text of a file of `/proc`, empty if the process has gone meanwhile."""
    try:
        return Path(path).read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _fetch(port: int, secure: bool) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=2) as plain:
        connection = ssl._create_unverified_context().wrap_socket(plain) if secure else plain
        connection.sendall(_REQUEST)
        answer = b""
        while b"Hello World!" not in answer and (data := connection.recv(65536)):
            answer += data
        return answer


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def end_on_sigterm() -> None:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that no server is left behind."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    *,
    cwd: Path,
    env: Mapping[str, str],
    core: int | None,
    output: Path,
    secure: bool = False,
) -> Iterator[Server]:
    """Start `command` pinned to `core`, its output in a file; wait until it answers; stop it at the end.

    Without a core it may run on all of them.
    """
    with output.open("wb") as sink:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # No thread runs in this process, so a preexec_fn is safe.
            preexec_fn=pin_to(core) if core is not None else None,
        )
    server = Server(process, port, secure=secure)
    try:
        server.await_answer()
        yield server
    except StartError as error:
        tail = output.read_text(errors="replace")[-500:].strip()
        raise StartError(f"{error}; its output ends: {tail or '(nothing)'}") from None
    finally:
        server.stop()
