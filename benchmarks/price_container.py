"""Our rows of the price list. The one place of the benchmarks that imports `container`, and late.

Every function here waits for the parts it names. To wire one up, replace its `raise` by code that builds
`bench.connections` receivers, each an object with `data_received(bytes)` that answers through the
`write(bytes)` of its own `bench.transport()`, yields the list, and closes everything in a `finally`:

    channels = [Channel(host, ...) for _ in range(bench.connections)]
    for channel in channels:
        channel.connection_made(bench.transport())
    try:
        yield channels
    finally:
        for channel in channels:
            channel.connection_lost(None)
        await root.stop()

An answer counts when a write ends with `apps.BODY`. The loop that runs is uvloop's.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from bench import Bench, Receiver


class NotWiredError(Exception):
    """This row has no code yet."""


@asynccontextmanager
async def parse_only(bench: Bench) -> AsyncIterator[Sequence[Receiver]]:
    """Bytes to Request values, nothing dispatched; call `bench.tally.answered()` for each request."""
    raise NotWiredError("needs the HTTP/1 parser of container.protocol")
    yield []


@asynccontextmanager
async def native(bench: Bench) -> AsyncIterator[Sequence[Receiver]]:
    """A resource whose synchronous `get` returns a ready Response with `apps.BODY`."""
    raise NotWiredError("needs a Channel, a Site and a Resource")
    yield []


@asynccontextmanager
async def wsgi_inline(bench: Bench) -> AsyncIterator[Sequence[Receiver]]:
    """`WSGIResource(apps.wsgi, threads=0)`."""
    raise NotWiredError("needs a Channel, a Site and WSGIResource")
    yield []


@asynccontextmanager
async def wsgi_pool(bench: Bench) -> AsyncIterator[Sequence[Receiver]]:
    """`WSGIResource(apps.wsgi, threads=bench.threads)`; start the pool before the `yield`, stop it after."""
    raise NotWiredError("needs a Channel, a Site and WSGIResource")
    yield []
