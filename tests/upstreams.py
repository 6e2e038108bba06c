"""Servers behind a proxy under test, over the loopback: ours, and ones that say exactly what they are told."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from container.service.server import serving

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable

    from container.service.server import Server
    from container.tree.resource import Resource

PATIENCE_S = 10.0
ANY_PORT = "tcp:0:interface=127.0.0.1"

Talk = "Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]"


class Scripted:
    """An upstream of which a function plays the part, one call a connection. `heads`: what it was asked."""

    def __init__(
        self, talk: Callable[[Scripted, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    ) -> None:
        self._talk = talk
        self.heads: list[bytes] = []
        self.connections = 0
        self.open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.ended = asyncio.Event()

    async def head(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        return head

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._talk(self, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            pass
        finally:
            self._tasks.discard(task)
            self.open.discard(writer)
            self.ended.set()
            writer.close()

    @asynccontextmanager
    async def serving(self, port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
        server = await asyncio.start_server(self, "127.0.0.1", port, limit=1 << 22, ssl=tls)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def saying(*pieces: bytes, close: bool = True) -> Scripted:
    """An upstream that answers every connection's first request with `pieces`."""

    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.head(reader)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if not close:
            await reader.read()

    return Scripted(talk)


def silent() -> Scripted:
    """An upstream that reads and never answers."""

    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.head(reader)
        await reader.read()

    return Scripted(talk)


class Peer:
    """A client of raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> bytes:
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def answer(self) -> tuple[int, dict[bytes, bytes], bytes]:
        """Status, fields (the last of each) and content of one final answer with a length or chunks."""
        while (head := await self.head())[9:10] == b"1":
            pass
        status = int(head[9:12])
        fields = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:-2])
        }
        async with asyncio.timeout(PATIENCE_S):
            if b"content-length" in fields:
                return status, fields, await self.reader.readexactly(int(fields[b"content-length"]))
            content = b""
            if fields.get(b"transfer-encoding") == b"chunked":
                while size := int(await self.reader.readline(), 16):
                    content += await self.reader.readexactly(size)
                    await self.reader.readline()
                while (await self.reader.readline()) != b"\r\n":
                    pass
            return status, fields, content

    async def rest(self) -> bytes:
        """Until the end; empty after a reset, too."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            pass


@asynccontextmanager
async def talking(port: int) -> AsyncIterator[Peer]:
    peer = Peer(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 22))
    try:
        yield peer
    finally:
        await peer.close()


async def fetch(port: int, data: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    """The answer to one request on a connection of its own."""
    async with talking(port) as peer:
        peer.send(data)
        return await peer.answer()


@asynccontextmanager
async def serve(resource: Resource) -> AsyncIterator[Server]:
    async with serving(resource, ANY_PORT, graceful_timeout=2) as server:
        yield server


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Fails when a task or a file descriptor outlives the block."""
    await unused_port()  # some loops open a file with their first socket, and keep it
    tasks, before = asyncio.all_tasks(), descriptors()
    yield
    async with asyncio.timeout(5):
        while asyncio.all_tasks() - tasks or descriptors() > before:
            await asyncio.sleep(0.01)


async def unused_port() -> int:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port
