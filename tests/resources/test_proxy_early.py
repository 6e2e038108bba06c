"""Connections behind a proxy that cannot be used again: which are left, and that nothing of them is (PX-01)."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

from container.client.pool import ClientTimeouts
from container.resources.proxy import ReverseProxy, Upstream
from tests.leaf import request
from tests.upstreams import Scripted, descriptors, fetch, nothing_left, serve, talking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from container.service.server import Server

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def proxied(port: int, connections: int = 8) -> AsyncIterator[tuple[Server, ReverseProxy]]:
    upstream = Upstream(f"http://127.0.0.1:{port}", max_connections=connections)
    proxy = ReverseProxy(upstream, timeouts=ClientTimeouts(connect=10, answer=10))
    async with serve(proxy) as server:
        yield server, proxy


def test_a_connection_that_the_server_closes_is_not_used_again() -> None:
    """PX-01: it has said so before it had all of the request."""

    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\no")
        await reader.readexactly(2)
        writer.write(b"k")
        await reader.read()

    async def run() -> None:
        upstream = Scripted(talk)
        async with (
            nothing_left(),
            upstream.serving() as port,
            proxied(port) as (server, _),
        ):
            for _ in range(2):
                async with talking(server.port) as peer:
                    peer.send(request("/", "Content-Length: 2", method="POST") + b"o")
                    await peer.head()
                    peer.send(b"k")
                    assert await peer.reader.readexactly(2) == b"ok"
            assert upstream.connections == 2

    asyncio.run(run())


def test_a_server_that_does_not_read_on_after_its_answer_is_left() -> None:
    """PX-01: what it has not taken of a request is dropped, and so is the connection."""

    async def run() -> None:
        answer, end = asyncio.Event(), asyncio.Event()

        async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self.head(reader)
            cast(asyncio.ReadTransport, writer.transport).pause_reading()
            await answer.wait()
            writer.write(OK)
            await end.wait()

        async with (
            nothing_left(),
            Scripted(talk).serving() as port,
            proxied(port) as (server, proxy),
        ):
            before = descriptors()
            async with talking(server.port) as peer:
                peer.send(request("/", "Content-Length: 100000000", method="POST"))
                async with asyncio.timeout(5):
                    while not (pool := proxy.upstreams[0]._pool) or not any(
                        each.paused for each in pool._open
                    ):
                        peer.send(bytes(100_000))
                        await asyncio.sleep(0)
                answer.set()
                assert (await peer.answer())[0] == 200
            async with asyncio.timeout(5):
                while descriptors() > before + 1:  # that of the server
                    await asyncio.sleep(0.01)
            end.set()

    asyncio.run(run())


def test_who_gets_a_connection_that_has_ended_again_is_asked_again() -> None:
    """PX-01: where there is no room for a fresh one, that of another comes first."""

    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.head(reader)
        writer.write(OK)
        await self.head(reader)

    async def run() -> None:
        upstream = Scripted(talk)
        async with nothing_left(), upstream.serving() as port, proxied(port, connections=1) as (server, _):
            answers = await asyncio.gather(*[fetch(server.port, request()) for _ in range(3)])
            assert [status for status, _, _ in answers] == [200, 200, 200]
            assert len(upstream.heads) > 4  # the second and third were asked in vain

    asyncio.run(run())
