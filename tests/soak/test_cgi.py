"""CGI under strain: a gigabyte to a client that does not read, and a large push by git."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.scripts import children_of, script_directory, wait_until
from tests.soak.conftest import Memory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.soak.conftest import Server

pytestmark = pytest.mark.soak
MIB = 1 << 20


def test_a_gigabyte_for_a_client_that_does_not_read_stays_in_its_pipe(start: Callable[..., Server]) -> None:
    """CG-18"""
    with script_directory() as scripts:
        scripts.sh("x.sh", 'printf "A: 1\\n\\n"; exec head -c 1073741824 /dev/zero')
        server = start("--mount", f"/s=cgi:{scripts.path}")
        starters = children_of(server.process.pid)
        with (
            Memory(server) as memory,
            socket.create_connection((server.host, server.port), timeout=30) as client,
        ):
            client.sendall(b"GET /s/x.sh HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(10_000).startswith(b"HTTP/1.1 200")
            time.sleep(3)  # long enough for the whole of it, were nobody to stop it
            assert any(map(children_of, starters)), "the script waits"
        assert memory.growth < 8 * MIB
        wait_until(lambda: not any(map(children_of, starters)), "the end of the script", 2.0)


def test_git_pushes_two_hundred_megabytes(start: Callable[..., Server], tmp_path: Path) -> None:
    """CG-05: chunked, kept on disk first, so that its length is true."""
    path = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip()
    with script_directory() as scripts:
        repository = scripts.open_directory("git") / "r.git"
        git("init", "--quiet", "--bare", repository)
        git("-C", repository, "config", "http.receivepack", "true")
        for each in (repository, *repository.rglob("*")):
            each.chmod(0o777)
        variables = {
            "GIT_PROJECT_ROOT": scripts.path / "git", "GIT_HTTP_EXPORT_ALL": 1, "HOME": scripts.path,
            "GIT_CONFIG_COUNT": 1, "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
        }  # fmt: skip
        options = [word for name, value in variables.items() for word in ("--cgi-env", f"{name}={value}")]
        server = start("--mount", f"/git=cgi:{path}/git-http-backend", *options)
        url = f"http://{server.host}:{server.port}/git/r.git"
        work, copy = tmp_path / "work", tmp_path / "copy"
        git("clone", "--quiet", url, work)
        (work / "large").write_bytes(os.urandom(200 * MIB))
        git("-C", work, "add", ".")
        git("-C", work, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "first")
        with Memory(server) as memory:
            git("-C", work, "push", "--quiet", "origin", "HEAD:main")
            git("clone", "--quiet", "--branch", "main", url, copy)
        assert digest(copy / "large") == digest(work / "large")
        assert memory.growth < 32 * MIB


def git(*arguments: object) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_TERMINAL_PROMPT": "0"}
    subprocess.run(
        ["git", *map(str, arguments)], check=True, capture_output=True, env=environment, timeout=300
    )


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
