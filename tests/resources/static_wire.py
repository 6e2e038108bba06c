"""A wire that answers of Files go to, and how tests ask over it."""

from __future__ import annotations

import asyncio
import io
import socket
from http.client import HTTPResponse
from typing import TYPE_CHECKING, cast

from container.channel.group import ChannelGroup
from container.channel.h1 import H1Channel
from container.resources.static import Files
from container.resources.static.finder import Links
from container.tree.resource import Resource
from container.tree.site import Site

if TYPE_CHECKING:
    pass

BLOCK = 64 * 1024
LINKS: tuple[Links, ...] = ("follow", "inside", "refuse")
PAST = 784111777
PAST_TEXT = "Sun, 06 Nov 1994 08:49:37 GMT"


class Wire(asyncio.Transport):
    """A transport in memory; with a `limit` its client never reads."""

    def __init__(self, limit: int | None = None) -> None:
        super().__init__()
        self.sent = bytearray()
        self.writes = 0
        self.closed = asyncio.Event()
        self.blocked = asyncio.Event()
        self._limit = limit
        self.channel: H1Channel | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data
        self.writes += 1
        if self._limit is not None and len(self.sent) > self._limit and not self.blocked.is_set():
            self.blocked.set()
            assert self.channel is not None
            self.channel.pause_writing()

    def write_eof(self) -> None:
        self.closed.set()

    close = abort = write_eof

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.closed.is_set()

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return len(self.sent)


def connect(site: Site, wire: Wire) -> H1Channel:
    channel = H1Channel(ChannelGroup(site, asyncio.get_running_loop()))
    wire.channel = channel
    channel.connection_made(wire)
    return channel


def head(target: str, method: str = "GET", **fields: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"{method} {target} HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n{lines}\r\n".encode(
        "latin-1"
    )


class Answer:
    """What came over the wire, read by a parser that is not ours."""

    def __init__(self, wire: Wire, method: str) -> None:
        class Reader:
            def makefile(self, mode: str) -> io.BytesIO:
                return io.BytesIO(bytes(wire.sent))

        response = HTTPResponse(cast("socket.socket", Reader()), method=method)
        response.begin()
        self.status = response.status
        self.headers = dict(response.getheaders())
        self.headers.pop("Date")
        self.body = response.read()
        self.writes = wire.writes


async def exchange(site: Site, raw: bytes) -> Wire:
    wire = Wire()
    channel = connect(site, wire)
    channel.data_received(raw)
    async with asyncio.timeout(10):
        await wire.closed.wait()
    channel.connection_lost(None)
    return wire


def ask(resource: Resource, target: str, method: str = "GET", **fields: str) -> Answer:
    site = resource if isinstance(resource, Site) else Site(resource)
    return Answer(asyncio.run(exchange(site, head(target, method, **fields))), method)


def let_pass(files: Files, seconds: float) -> None:
    """Move the clock by which a kept answer is believed."""
    clock = files._clock
    files._clock = lambda: clock() + seconds


def statuses(resource: Resource, targets: list[str]) -> dict[str, int]:
    return {target: ask(resource, target).status for target in targets}
