"""CGI and FastCGI under strain: clients that leave or do not read, too many requests, a large push by git."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from container.protocol import fastcgi
from tests.responders import peer, responder
from tests.scripts import children_of, open_fds, script_directory, wait_until, warm_options
from tests.soak.conftest import Memory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.responders import Asked
    from tests.scripts import ScriptDirectory
    from tests.soak.conftest import Server

pytestmark = pytest.mark.soak
MIB = 1 << 20


# By kind: what says something, and more of it for as long as it is let, whatever it is told.
STUBBORN = {
    "cold": """
        #!/bin/sh
        trap "" TERM
        printf "A: 1\\n\\nbegun\\n"
        while :; do sleep 1; done
    """,
    "warm": """
        #!/usr/bin/env python3
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("A: 1\\n\\nbegun", flush=True)
        while True:
            time.sleep(1)
    """,
}
GIGABYTE = {
    "cold": '#!/bin/sh\nprintf "A: 1\\n\\n"; exec head -c 1073741824 /dev/zero\n',
    "warm": """
        #!/usr/bin/env python3
        import os
        os.write(1, b"A: 1\\n\\n")
        piece = bytes(1 << 16)
        for _ in range(1 << 14):
            os.write(1, piece)
    """,
}
KINDS = pytest.mark.parametrize("kind", ["cold", "warm"])


def serving(start: Callable[..., Server], scripts: ScriptDirectory, kind: str, *options: str) -> Server:
    if kind == "warm":
        user = warm_options().get("user")
        options = (*options, "--cgi-warm", *(("--cgi-user", user) if user else ()))
    return start("--mount", f"/s=cgi:{scripts.path}", *options)


def began(server: Server, path: str, beginning: bytes) -> socket.socket:
    """A connection whose answer has begun."""
    client = server.connect()
    client.sendall(server.head(path))
    data = b""
    while beginning not in data:
        piece = client.recv(10_000)
        assert piece, data
        data += piece
    return client


def leave(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@KINDS
def test_two_hundred_clients_that_leave_leave_nothing_behind(start: Callable[..., Server], kind: str) -> None:
    """CG-12: no process after two seconds, though all of them ignore SIGTERM, no zombie and no descriptor."""
    with script_directory() as scripts:
        scripts.write("x.cgi", STUBBORN[kind])
        server = serving(start, scripts, kind, "--cgi-processes", "200")
        starters = children_of(server.process.pid)
        for _ in starters:  # once each: then all that they keep is open
            leave(began(server, "/s/x.cgi", b"begun"))
        wait_until(lambda: not any(map(children_of, starters)), "the end of the first")
        before = server.open_files(), [open_fds(pid) for pid in starters]
        clients = [began(server, "/s/x.cgi", b"begun") for _ in range(200)]
        assert sum(len(children_of(pid)) for pid in starters) == 200
        for client in clients:
            leave(client)
        wait_until(lambda: not any(map(children_of, starters)), "the end of all scripts", 2.0)
        wait_until(
            lambda: (server.open_files(), [open_fds(pid) for pid in starters]) == before, "no open descriptor"
        )


@KINDS
def test_a_thousand_requests_at_once_are_no_more_processes_than_allowed(
    start: Callable[..., Server], kind: str
) -> None:
    """CG-13: the others wait, and all are answered."""
    with script_directory() as scripts:
        scripts.python("x.py", 'print("A: 1\\n\\ndone")')
        server = serving(start, scripts, kind, "--cgi-processes", "8")
        starters = children_of(server.process.pid)
        clients = [server.connect() for _ in range(1000)]
        for client in clients:
            client.sendall(server.head("/s/x.py", fields="Connection: close\r\n"))
        highest = 0
        for client in clients:
            with client, client.makefile("rb") as file:
                highest = max(highest, sum(len(children_of(pid)) for pid in starters))
                assert b"done" in file.read()
        assert 0 < highest <= 8


@KINDS
def test_a_gigabyte_for_a_client_that_does_not_read_stays_in_its_pipe(
    start: Callable[..., Server], kind: str
) -> None:
    """CG-18"""
    with script_directory() as scripts:
        scripts.write("x.cgi", GIGABYTE[kind])
        server = serving(start, scripts, kind)
        starters = children_of(server.process.pid)
        with Memory(server) as memory, began(server, "/s/x.cgi", b"A: 1"):
            time.sleep(3)  # long enough for the whole of it, were nobody to stop it
            assert any(map(children_of, starters)), "the script waits"
        assert memory.growth < 8 * MIB
        wait_until(lambda: not any(map(children_of, starters)), "the end of the script", 4.0)


def test_clients_that_leave_or_do_not_read_cost_no_connection_of_a_responder(
    start: Callable[..., Server],
) -> None:
    """FastCGI: what nobody waits for is aborted, what nobody reads stays with the responder."""
    opened, aborted = [0], [0]

    def answer(asked: Asked) -> None:
        opened[0] += 1
        try:
            asked.say(b"A: 1\r\n\r\nbegun")
            if asked.variables["PATH_INFO"] == "/large":
                for _ in range(1 << 14):
                    asked.say(bytes(1 << 16))
            elif fastcgi.ABORT in asked.connection.request.recv(100):
                aborted[0] += 1
        finally:
            opened[0] -= 1
        raise ConnectionError

    with peer(responder(answer)) as address:
        server = start("--mount", f"/s=fastcgi:{address}")
        before = server.open_files()
        clients = [server.connect() for _ in range(200)]
        for client in clients:
            client.sendall(server.head("/s/x"))
        for client in clients[:32]:
            assert client.recv(1000)
        for client in clients:
            leave(client)
        wait_until(lambda: (opened[0], server.open_files()) == (0, before), "the end of all connections", 2.0)
        assert aborted[0] == 32
        with Memory(server) as memory, began(server, "/s/large", b"begun"):
            time.sleep(3)
            assert opened[0] == 1, "the responder waits"
        assert memory.growth < 8 * MIB
        wait_until(lambda: not opened[0], "the end of the answer", 4.0)


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
