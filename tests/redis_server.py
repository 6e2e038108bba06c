"""A Redis of our own, on a UNIX socket in a directory of the test run; fixtures for the folders that need it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 30.0


class RedisServer:
    """A redis-server in a process of its own that keeps nothing. It can be killed and started again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "redis.sock"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        command = shutil.which("redis-server")
        assert command is not None
        self.process = subprocess.Popen(
            [
                *(
                    command,
                    "--port",
                    "0",
                    "--unixsocket",
                    str(self.socket),
                    "--save",
                    "",
                    "--appendonly",
                    "no",
                ),
                *("--dir", str(self.directory), "--daemonize", "no"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self.process.stdout is not None
        said = []
        for line in self.process.stdout:
            said.append(line)
            if b"ready to accept connections" in line.lower():
                return
        pytest.fail(f"redis-server ended: {b''.join(said).decode()}")

    def kill(self) -> None:
        """At once, as a machine that is lost."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    if shutil.which("redis-server") is None:
        pytest.skip("expected redis-server to be installed (Debian: redis-server)")
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    if server.process is not None:
        server.kill()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """One that the test may kill."""
    if shutil.which("redis-server") is None:
        pytest.skip("expected redis-server to be installed (Debian: redis-server)")
    server = RedisServer(tmp_path)
    server.start()
    yield server
    if server.process is not None:
        server.kill()
