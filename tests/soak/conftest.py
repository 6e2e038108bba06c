"""Servers for the drills: the real command, what /proc tells of it, and patience. Linux only."""

from __future__ import annotations

import http.client
import os
import queue
import re
import resource
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PATIENCE_S = 60.0
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Memory:
    """How much the private memory of a server grows while the block runs, looked at fifty times a second."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.highest = self.before = server.private_bytes()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.highest = max(self.highest, self._server.private_bytes())

    @property
    def growth(self) -> int:
        return self.highest - self.before

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


class Server:
    """A running server, the leader of a session of its own. `log` is what it has said on standard error."""

    host = "127.0.0.1"

    def __init__(self, arguments: list[str], spool: Path, open_files: int | None) -> None:
        self.spool = spool
        limit = [] if open_files is None else ["sh", "-c", f'ulimit -n {open_files} && exec "$@"', "sh"]
        self.process = subprocess.Popen(
            [*limit, sys.executable, "-m", "container", *arguments],
            cwd=HERE,
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(spool)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.log: list[str] = []
        self._serving: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        port = self._serving.get(timeout=PATIENCE_S)
        assert port is not None, f"the server ended: {self.log}"
        self.port = port

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if found := re.search(r" serving on http://[^/]+:(\d+)/", line):
                self._serving.put(int(found[1]))
        self._serving.put(None)

    # As a client sees it.

    def connect(self, *, receive_buffer: int | None = None) -> socket.socket:
        sock = socket.socket()
        try:
            if receive_buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.settimeout(PATIENCE_S)
            sock.connect((self.host, self.port))
        except OSError:
            sock.close()
            raise
        return sock

    def head(self, path: str, *, method: str = "GET", fields: str = "") -> bytes:
        return f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n{fields}\r\n".encode()

    def get(self, path: str = "/", *, timeout: float = PATIENCE_S) -> bytes:
        """The content of an answer that is 200, on a connection of its own."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
            assert response.status == 200, response.status
            return response.read()
        finally:
            connection.close()

    def is_answering(self) -> bool:
        try:
            return self.get("/", timeout=5) == b"ok"
        except (OSError, http.client.HTTPException):
            return False

    # As the system sees it.

    def _proc(self, name: str) -> Path:
        return Path(f"/proc/{self.process.pid}/{name}")

    def _status(self, field: str) -> int:
        found = re.search(rf"^{field}:\s+(\d+) kB$", self._proc("status").read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def private_bytes(self) -> int:
        return self._status("RssAnon")

    def resident_bytes(self) -> int:
        return self._status("VmRSS")

    def cpu_s(self) -> float:
        """User and system time: the 14th and 15th field of proc_pid_stat(5)."""
        fields = self._proc("stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S

    def open_files(self) -> int:
        return len(os.listdir(self._proc("fd")))

    # Its end.

    def end(self, *signals: signal.Signals) -> int:
        """Send the signals and wait for the exit: its code, negative when a signal had to kill."""
        for number in signals:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def leftovers(self) -> list[str]:
        """What an ended server should not have left: processes of its session, a port, files."""
        left = [str(path) for path in self.spool.iterdir()]
        try:
            os.killpg(self.process.pid, 0)
            left.append("a process of its group")
        except ProcessLookupError:
            pass
        try:
            self.connect().close()
            left.append("a port that accepts")
        except ConnectionRefusedError:
            pass
        return left

    def destroy(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start the drills with these options; `open_files` is the hard limit they get."""
    started: list[Server] = []
    spool = tmp_path / "spool"
    spool.mkdir()

    def begin(*options: object, open_files: int | None = None) -> Server:
        arguments = ["drills:application", "--port", "0", *map(str, options)]
        started.append(Server(arguments, spool, open_files))
        return started[-1]

    yield begin
    for server in started:
        server.destroy()


@pytest.fixture
def memory_of() -> type[Memory]:
    return Memory


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], bool]:
    """Does a claim about another process become true? Nothing tells when it does, so it is asked again."""

    def ask(claim: Callable[[], bool], within_s: float = PATIENCE_S) -> bool:
        until = time.monotonic() + within_s
        while not claim():
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    return ask


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as the system lets this process have, at least what ten thousand clients need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard >= 11_000, (
        f"expected a hard limit of 11000 files, got {hard}"
    )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
