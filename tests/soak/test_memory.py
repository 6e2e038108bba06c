"""Memory and descriptors stay bounded, however large the contents and however many the clients."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import struct
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.soak.conftest import Memory, Server

    Start = Callable[..., Server]
    Eventually = Callable[..., bool]

pytestmark = pytest.mark.soak

MIB = 1 << 20
KIB = 1 << 10
FLAT_BYTES = 20 * MIB
NOISE = hashlib.shake_256(b"what a file may hold").digest(MIB - 8)


def pieces(count: int) -> Iterator[bytes]:
    """So many MiB; no piece is like another, so none can be lost or come twice unnoticed."""
    for number in range(count):
        yield number.to_bytes(8) + NOISE


def test_a_fresh_server_is_small(start: Start) -> None:
    assert start().resident_bytes() <= 45 * MIB


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
def test_an_upload_of_a_gibibyte_arrives_whole_and_costs_no_memory(
    start: Start, memory_of: type[Memory], *, chunked: bool
) -> None:
    server = start()
    assert server.get() == b"ok"
    digest = hashlib.sha256()

    def content() -> Iterator[bytes]:
        for piece in pieces(1024):
            digest.update(piece)
            yield piece

    connection = http.client.HTTPConnection(server.host, server.port, timeout=120)
    fields = {} if chunked else {"Content-Length": str(1024 * MIB)}
    try:
        with memory_of(server) as memory:
            connection.request("POST", "/digest", body=content(), headers=fields, encode_chunked=chunked)
            answer = connection.getresponse().read()
    finally:
        connection.close()
    assert answer.decode() == f"{1024 * MIB} {digest.hexdigest()}"
    assert memory.growth < FLAT_BYTES
    assert server.get() == b"ok"
    assert list(server.spool.iterdir()) == []


@pytest.mark.usefixtures("many_files")
def test_ten_thousand_idle_connections_cost_little_and_delay_nobody(
    start: Start, eventually: Eventually
) -> None:
    clients = 10_000
    server = start("--keep-alive", "10m")
    for _ in range(100):
        assert server.get() == b"ok"
    before, files_before = server.private_bytes(), server.open_files()
    with ExitStack() as idle:
        for number in range(clients):
            sock = idle.enter_context(server.connect())
            sock.sendall(server.head("/"))
            assert sock.recv(KIB).startswith(b"HTTP/1.1 200 ")
            if number % 500 == 0:
                assert server.get() == b"ok"
        assert server.open_files() >= clients
        assert (server.private_bytes() - before) / clients <= 6 * KIB
        for _ in range(100):
            assert server.get() == b"ok"
    assert eventually(lambda: server.open_files() <= files_before)
    assert server.get() == b"ok"


def test_sixty_resets_in_the_middle_of_an_answer_leave_nothing(
    start: Start, memory_of: type[Memory], eventually: Eventually
) -> None:
    server = start()
    assert server.get("/stream/1")  # what the first stream needs stays
    files_before = server.open_files()
    with memory_of(server) as memory:
        for _ in range(60):
            with server.connect() as sock:
                sock.sendall(server.head("/stream/50"))
                left = MIB
                while left > 0:
                    left -= len(sock.recv(64 * KIB))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert eventually(lambda: json.loads(server.get("/counts")) == {"begun": 61, "closed": 61})
    assert eventually(lambda: server.open_files() <= files_before)
    assert memory.growth < FLAT_BYTES
    assert server.private_bytes() - memory.before < FLAT_BYTES
    assert len(server.get("/stream/50")) == 50 * MIB


@pytest.mark.parametrize("path", ["/stream/200", "/files/200"])
def test_four_slow_readers_of_200_mib_cost_no_memory_and_delay_nobody(
    start: Start, memory_of: type[Memory], tmp_path: Path, path: str
) -> None:
    """They read in bursts; in between the server could produce everything, were it not to wait for them."""
    (tmp_path / "200").touch()
    with (tmp_path / "200").open("r+b") as sparse:
        sparse.truncate(200 * MIB)
    server = start("--mount", f"/files=path:{tmp_path}")
    assert server.get("/stream/1")
    read: list[int] = []

    def read_slowly() -> None:
        with server.connect(receive_buffer=64 * KIB) as sock:
            sock.sendall(server.head(path))
            with http.client.HTTPResponse(sock) as response:
                response.begin()
                size = 0
                while burst := response.read(4 * MIB):
                    size += len(burst)
                    for _ in range(10):  # a rest takes the time of these answers
                        assert server.get() == b"ok"
                read.append(size)

    readers = [threading.Thread(target=read_slowly) for _ in range(4)]
    with memory_of(server) as memory:
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    assert read == [200 * MIB] * 4
    assert memory.growth < FLAT_BYTES
