"""Large files to slow readers: memory stays flat, and what changes meanwhile is never told as complete."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.soak.conftest import Memory, Server

    Start = Callable[..., Server]
    Eventually = Callable[..., bool]

pytestmark = pytest.mark.soak

MIB = 1 << 20
GIB = 1 << 30
FLAT_BYTES = 4 * MIB


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    with (folder / "big.bin").open("wb") as file:
        file.truncate(GIB)  # a hole: it costs no disk
        file.seek(GIB - 5)
        file.write(b"the e")
    return folder


def read_head(client: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(65536)
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def test_a_gibibyte_to_a_reader_of_small_sips_costs_no_memory(
    start: Start, memory_of: type[Memory], folder: Path
) -> None:
    """ST-01"""
    server = start("--mount", f"/files=path:{folder}")
    assert server.get() == b"ok"
    with memory_of(server) as memory, server.connect(receive_buffer=64 * 1024) as client:
        client.sendall(server.head("/files/big.bin"))
        head, end = read_head(client)
        assert head.startswith(b"HTTP/1.1 200")
        left = GIB - len(end)
        while left:
            data = client.recv(64 * 1024)
            assert data
            left -= len(data)
            end = data[-5:] if len(data) >= 5 else (end + data)[-5:]
        assert end == b"the e"
    assert memory.growth < FLAT_BYTES


def test_many_readers_that_stop_cost_no_memory_and_leave_no_files(
    start: Start, memory_of: type[Memory], eventually: Eventually, folder: Path
) -> None:
    """ST-01"""
    server = start("--mount", f"/files=path:{folder}")
    assert server.get() == b"ok"
    before = server.open_files()
    with memory_of(server) as memory:
        clients = []
        for _ in range(100):
            client = server.connect(receive_buffer=4096)
            client.sendall(server.head("/files/big.bin"))
            read_head(client)
            clients.append(client)
        assert server.is_answering()
        for client in clients:
            client.close()
    assert eventually(lambda: server.open_files() <= before)
    assert memory.growth < 2 * FLAT_BYTES


def test_a_file_that_is_truncated_while_it_is_sent_is_never_told_as_complete(
    start: Start, folder: Path
) -> None:
    """ST-27"""
    server = start("--mount", f"/files=path:{folder}")
    with server.connect(receive_buffer=64 * 1024) as client:
        client.sendall(server.head("/files/big.bin"))
        _, rest = read_head(client)
        os.truncate(folder / "big.bin", 100 * MIB)
        received = len(rest)
        while data := client.recv(MIB):
            received += len(data)
    assert received <= 100 * MIB + 16 * MIB  # what was on its way
    assert server.is_answering()
