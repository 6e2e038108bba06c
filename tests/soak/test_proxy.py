"""A gibibyte through a proxy, down and up: memory stays flat on both of its sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.soak.conftest import Memory, Server

    Start = Callable[..., Server]

pytestmark = pytest.mark.soak

MIB = 1 << 20
GIB = 1 << 30
FLAT_BYTES = 8 * MIB


def test_a_gibibyte_through_the_proxy_costs_no_memory(
    start: Start, memory_of: type[Memory], tmp_path: Path
) -> None:
    """PX-01, PX-03"""
    folder = tmp_path / "files"
    folder.mkdir()
    with (folder / "big.bin").open("wb") as file:
        file.truncate(GIB)
    upstream = start("--mount", f"/files=path:{folder}")
    proxy = start("--mount", f"/up=proxy:http://127.0.0.1:{upstream.port}")
    assert proxy.get("/up/") == b"ok"
    with memory_of(proxy) as memory, proxy.connect(receive_buffer=64 * 1024) as client:
        client.sendall(proxy.head("/up/files/big.bin", fields="Connection: close\r\n"))
        got = 0
        while data := client.recv(256 * 1024):
            got += len(data)
        assert got > GIB
    assert memory.growth < FLAT_BYTES


def test_a_gibibyte_of_content_is_passed_on_as_it_comes(start: Start, memory_of: type[Memory]) -> None:
    """PX-01"""
    upstream = start()
    proxy = start("--mount", f"/up=proxy:http://127.0.0.1:{upstream.port}")
    assert proxy.get("/up/") == b"ok"
    piece = b"x" * MIB
    with memory_of(proxy) as memory, proxy.connect() as client:
        head = proxy.head(
            "/up/digest", method="POST", fields=f"Content-Length: {GIB}\r\nConnection: close\r\n"
        )
        client.sendall(head)
        for _ in range(GIB // MIB):
            client.sendall(piece)
        answer = b""
        while data := client.recv(65536):
            answer += data
        assert answer.startswith(b"HTTP/1.1 ")
        assert str(GIB).encode() in answer
    assert memory.growth < FLAT_BYTES
