"""The peer of the price list: uvicorn's httptools protocol with the ASGI "Hello World!".

Configured as `uvicorn --http httptools --no-access-log` configures it: the proxy-headers wrapper, the Date
and Server fields and the keep-alive timer are all there.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import TYPE_CHECKING

import apps

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from bench import Bench, Receiver


@asynccontextmanager
async def httptools_protocol(bench: Bench) -> AsyncIterator[Sequence[Receiver]]:
    """One `HttpToolsProtocol` a connection, one Task a request."""
    # late and untyped: uvicorn lives in the peers' venv, which a type checker does not see
    from uvicorn.config import Config  # type: ignore[import-not-found,unused-ignore]
    from uvicorn.protocols.http.httptools_impl import (  # type: ignore[import-not-found,unused-ignore]
        HttpToolsProtocol,
    )
    from uvicorn.server import ServerState  # type: ignore[import-not-found,unused-ignore]

    config = Config(apps.asgi, http="httptools", lifespan="off", access_log=False, log_level="warning")
    config.load()
    state = ServerState()
    # the server's tick refreshes these once a second
    state.default_headers = [(b"date", formatdate(usegmt=True).encode()), *config.encoded_headers]
    loop = asyncio.get_running_loop()
    protocols = [HttpToolsProtocol(config, state, {}, loop) for _ in range(bench.connections)]
    for protocol in protocols:
        protocol.connection_made(bench.transport())
    try:
        yield protocols
    finally:
        for protocol in protocols:
            protocol.connection_lost(None)
        if state.tasks:
            await asyncio.wait(state.tasks)
