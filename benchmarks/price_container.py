"""Our rows of the price list. The one place of the benchmarks that imports `container`, and late.

An answer counts when a write ends with `apps.BODY`. The loop that runs is uvloop's.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import apps

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from bench import Bench, Receiver

    from container.protocol.head import Head
    from container.tree.resource import Resource


class ParseOnly:
    """Receives bytes, parses the request, counts it as answered."""

    def __init__(self, bench: Bench) -> None:
        from container.message.limits import Limits
        from container.protocol.h1 import RequestParser, Tokeniser

        self._parser = RequestParser(Limits(), Tokeniser())
        self._tally = bench.tally

    def data_received(self, data: bytes, /) -> None:
        self._parser.receive(data)
        if self._parser.next() is not None:
            self._tally.answered()


@asynccontextmanager
async def parse_only(bench: Bench) -> AsyncIterator[Sequence[Receiver]]:
    """Bytes to Request values, nothing dispatched."""
    yield [ParseOnly(bench) for _ in range(bench.connections)]


class Forgetful(dict[bytes, "Head"]):
    """Remembers nothing."""

    def __setitem__(self, key: bytes, value: Head) -> None:
        pass


@asynccontextmanager
async def serving(
    bench: Bench, root: Resource, *, forgetful: bool = False, logs: bool = False
) -> AsyncIterator[Sequence[Receiver]]:
    """Channels that serve `root`, each with a transport of its own; `forgetful`: as if no head ever came twice;
    `logs`: with an access log, to where nothing is kept."""
    from container.channel.group import ChannelGroup
    from container.channel.h1 import H1Channel
    from container.service.logs import LogFile
    from container.tree.accesslog import AccessLog
    from container.tree.site import Site

    site = Site(root, access_log=AccessLog(LogFile(os.devnull)) if logs else None)
    await site.start()
    group = ChannelGroup(site, asyncio.get_running_loop())
    if forgetful:
        group.tokeniser.known = Forgetful()
    channels = [H1Channel(group) for _ in range(bench.connections)]
    for channel in channels:
        channel.connection_made(bench.transport())
    try:
        yield channels
    finally:
        for channel in channels:
            channel.connection_lost(None)
        await site.stop()


@asynccontextmanager
async def native(bench: Bench) -> AsyncIterator[Sequence[Receiver]]:
    """A resource whose synchronous `get` returns a ready Response with `apps.BODY`."""
    from container.message.request import Request
    from container.message.response import Response
    from container.tree.resource import Resource

    class Hello(Resource):
        is_leaf = True
        answer = Response(apps.BODY, content_type="text/plain")

        def get(self, request: Request) -> Response:
            return self.answer

    async with serving(bench, Hello()) as channels:
        yield channels


@asynccontextmanager
async def wsgi_inline(bench: Bench) -> AsyncIterator[Sequence[Receiver]]:
    """`WSGIResource(apps.wsgi, threads=0)`."""
    from container.resources.wsgi import WSGIResource

    async with serving(bench, WSGIResource(apps.wsgi, threads=0)) as channels:
        yield channels


@asynccontextmanager
async def wsgi_pool(bench: Bench) -> AsyncIterator[Sequence[Receiver]]:
    """`WSGIResource(apps.wsgi)` on `bench.threads` threads."""
    from container.resources.wsgi import WSGIResource

    async with serving(bench, WSGIResource(apps.wsgi, threads=bench.threads)) as channels:
        yield channels


@asynccontextmanager
async def wsgi_pool_log(bench: Bench) -> AsyncIterator[Sequence[Receiver]]:
    """The same with the access log in its combined format."""
    from container.resources.wsgi import WSGIResource

    async with serving(bench, WSGIResource(apps.wsgi, threads=bench.threads), logs=True) as channels:
        yield channels


@asynccontextmanager
async def wsgi_pool_new(bench: Bench) -> AsyncIterator[Sequence[Receiver]]:
    """The same for clients that never send the same head twice."""
    from container.resources.wsgi import WSGIResource

    root = WSGIResource(apps.wsgi, threads=bench.threads)
    async with serving(bench, root, forgetful=True) as channels:
        yield channels
