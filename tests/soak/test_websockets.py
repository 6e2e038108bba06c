"""Many WebSockets: what an idle one costs, and how all of them end with the server."""

from __future__ import annotations

import signal
import zlib
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.websocket_cases import BINARY, CLOSE, END, TEXT, frame, server_frames

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from tests.soak.conftest import Server

    Start = Callable[..., Server]
    Eventually = Callable[..., bool]

pytestmark = pytest.mark.soak

KIB = 1 << 10
CLIENTS = 10_000
MOUNTS = ("--mount", "/plain=sockets:plain", "--mount", "/deflating=sockets:deflating", "--no-access-log")
HANDSHAKE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
)


def upgrade(server: Server, sock: socket.socket, path: str) -> None:
    sock.sendall(server.head(path, fields=HANDSHAKE))
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    assert head.startswith(b"HTTP/1.1 101 ")


def echo(sock: socket.socket, *, deflate: bool) -> None:
    """One message there and back."""
    content = bytes(1000)
    if deflate:
        compressor = zlib.compressobj(wbits=-12)
        content = (compressor.compress(content) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
    sock.sendall(frame(BINARY, content, rsv=4 * deflate))
    assert sock.recv(4 * KIB)[0] == (0xC2 if deflate else 0x82)


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize(("path", "limit"), [("/plain", 12 * KIB), ("/deflating", 40 * KIB)])
def test_ten_thousand_idle_websockets_cost_little(
    start: Start, eventually: Eventually, path: str, limit: int
) -> None:
    """AS-05: each has had a message, compressed where it can be; its handler waits for the next."""
    server = start(*MOUNTS)
    with ExitStack() as clients:

        def open_more(count: int) -> None:
            for _ in range(count):
                sock = clients.enter_context(server.connect())
                upgrade(server, sock, path)
                echo(sock, deflate=path == "/deflating")

        open_more(100)  # what the first ones need stays
        before = server.private_bytes()
        open_more(CLIENTS)

        def each() -> float:
            return (server.private_bytes() - before) / CLIENTS

        print(f"{path}: {each():.0f} bytes a WebSocket")
        assert eventually(lambda: each() <= limit)  # compressors are given back after some seconds
        assert server.get() == b"ok"


def test_fifty_open_websockets_are_closed_when_the_server_stops(start: Start) -> None:
    """AS-05: 1012 for each; with the closing handshake of all of them done the server ends at once."""
    server = start(*MOUNTS)
    with ExitStack() as clients:
        sockets = [clients.enter_context(server.connect()) for _ in range(50)]
        for number, sock in enumerate(sockets):
            upgrade(server, sock, "/plain" if number % 2 else "/deflating")
            sock.sendall(frame(TEXT, b"here"))
            assert server_frames(sock.recv(KIB)) == [(TEXT, b"here")]
        server.process.send_signal(signal.SIGTERM)
        for sock in sockets:
            assert server_frames(sock.recv(KIB)) == [(CLOSE, (1012).to_bytes(2))]
            sock.sendall(END)
            assert sock.recv(KIB) == b""
            sock.close()
        assert server.end() == 0
    assert server.leftovers() == []
    assert [line for line in server.log if "Traceback" in line or "ERROR" in line or "cut off" in line] == []
