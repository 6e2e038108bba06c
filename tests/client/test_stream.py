"""Addresses, connections, and the pool that keeps them."""

from __future__ import annotations

import asyncio
import socket
import socketserver
import threading
from typing import TYPE_CHECKING, Any

import pytest

from container.client.stream import Address, PoolFull, Stream, StreamPool

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "address", "spelt"),
    [
        ("unix:/run/a.sock", Address(path="/run/a.sock"), "unix:/run/a.sock"),
        ("127.0.0.1:9000", Address("127.0.0.1", 9000), "127.0.0.1:9000"),
        ("tcp:localhost:9000", Address("localhost", 9000), "localhost:9000"),
        ("[::1]:9000", Address("::1", 9000), "[::1]:9000"),
    ],
)
def test_addresses(text: str, address: Address, spelt: str) -> None:
    assert Address.parse(text) == address
    assert str(address) == spelt


@pytest.mark.parametrize(
    "text", ["", "unix:", "9000", ":9000", "a:", "a:0", "a:70000", "a:x", "::1:9000", "/run/a.sock"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="expected an address such as"):
        Address.parse(text)


class Heard:
    """A receiver."""

    def __init__(self) -> None:
        self.data = b""
        self.end = asyncio.Event()

    def received(self, data: bytes) -> None:
        self.data += data

    def closed(self, error: Exception | None) -> None:
        self.end.set()


class Echo(socketserver.StreamRequestHandler):
    """Sends back every line, and closes after a certain one."""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line)
            if line == b"bye\n":
                return


class EchoServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    request_queue_size = 16

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is none."""


def with_echo(tmp_path: Path, body: Any, **options: Any) -> None:
    """Run `body(pool)` with a pool for a server that sends back lines."""
    path = str(tmp_path / "s")
    settings = {"size": 2, "queue_limit": 1, "connect_timeout": 5.0} | options

    async def main() -> None:
        pool = StreamPool(Address(path=path), **settings)
        try:
            async with asyncio.timeout(20):
                await body(pool)
        finally:
            pool.close()
            await asyncio.sleep(0)  # transports close in the next turn

    with EchoServer(path, Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            asyncio.run(main())
        finally:
            server.shutdown()
            thread.join()


async def ask(stream: Stream, line: bytes) -> Heard:
    heard = stream.receiver = Heard()
    stream.write(line)
    while heard.data != line:
        await asyncio.sleep(0)
    return heard


def test_a_connection_is_kept_and_used_again(tmp_path: Path) -> None:
    async def body(pool: StreamPool) -> None:
        first = await pool.take()
        await ask(first, b"one\n")
        assert not first.used
        pool.give(first, keep=True)
        again = await pool.take()
        assert again is first
        assert again.used
        await ask(again, b"two\n")
        pool.give(again, keep=True)
        fresh = await pool.take(fresh=True)
        assert fresh is not first
        pool.give(fresh, keep=False)
        assert not fresh.is_open

    with_echo(tmp_path, body)


def test_one_that_was_closed_or_spoke_unasked_is_not_used_again(tmp_path: Path) -> None:
    async def body(pool: StreamPool) -> None:
        for line in (b"bye\n", b"unasked\n"):
            stream = await pool.take()
            if line == b"bye\n":
                heard = await ask(stream, line)
                await heard.end.wait()
            stream.write(line)
            pool.give(stream, keep=True)
            while stream.is_open:
                await asyncio.sleep(0)
            other = await pool.take()
            assert other is not stream
            pool.give(other, keep=False)

    with_echo(tmp_path, body)


def test_no_more_connections_than_allowed_and_no_longer_a_queue(tmp_path: Path) -> None:
    async def body(pool: StreamPool) -> None:
        one, two = await pool.take(), await pool.take()
        third = asyncio.create_task(pool.take())
        await asyncio.sleep(0)
        with pytest.raises(PoolFull):
            await pool.take()
        third.cancel()
        with pytest.raises(asyncio.CancelledError):
            await third
        fourth = asyncio.create_task(pool.take())
        await asyncio.sleep(0)
        pool.give(one, keep=True)
        assert await fourth is one
        pool.give(two, keep=False)
        pool.give(one, keep=False)
        last = [await pool.take(), await pool.take()]
        for stream in last:
            pool.give(stream, keep=False)

    with_echo(tmp_path, body)


def test_a_place_is_not_lost_when_nobody_answers_or_the_turn_is_cancelled(tmp_path: Path) -> None:
    async def body(pool: StreamPool) -> None:
        dead = StreamPool(Address(path=str(tmp_path / "none")), size=1, queue_limit=1, connect_timeout=1.0)
        for _ in range(2):
            with pytest.raises(FileNotFoundError):
                await dead.take()
        one = await pool.take()
        waiting = asyncio.create_task(pool.take())
        await asyncio.sleep(0)
        pool.give(one, keep=True)
        waiting.cancel()  # its turn has come, but it has not run yet
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await pool.take() is one
        pool.give(one, keep=False)

    with_echo(tmp_path, body, size=1)


def test_writing_waits_for_a_peer_that_does_not_read(tmp_path: Path) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        loop = asyncio.get_running_loop()
        _, stream = await loop.create_connection(Stream, sock=ours)
        heard = stream.receiver = Heard()
        stream.write(b"x" * 4_000_000)
        draining = asyncio.create_task(stream.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        left = 4_000_000
        while left:
            left -= len(await loop.sock_recv(theirs, left))
        await draining
        stream.pause()
        stream.pause()
        await loop.sock_sendall(theirs, b"answer")
        stream.resume()
        stream.resume()
        theirs.shutdown(socket.SHUT_WR)
        await heard.end.wait()
        assert heard.data == b"answer"
        theirs.close()
        stream.write(b"late")
        stream.pause()
        stream.resume()
        await stream.drain()
        stream.close()

    asyncio.run(asyncio.wait_for(main(), 20))
