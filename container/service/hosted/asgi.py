"""A Site as an ASGI 3 application: lifespan, requests, and a refusal of WebSockets."""

import asyncio
import logging
from typing import Any, Final, cast

from container.message.body import EMPTY
from container.message.connection import Connection
from container.message.errors import ProtocolError
from container.message.request import Request
from container.service.hosted.exchange import HostedExchange
from container.service.hosted.incoming import Receive
from container.service.hosted.outbox import Send
from container.service.hosted.scope import raw_path, request_from
from container.service.server import LOG_FLUSH_S, as_site
from container.tree.accesslog import Flushable
from container.tree.resource import Resource
from container.tree.site import Site

log = logging.getLogger("container.hosted")

# Extension of a scope by which `wsgi` tells of itself.
WSGI_HOST: Final = "container.wsgi_host"


def as_asgi(site: Resource) -> "HostedSite":
    """A Site, or any resource as the root of one, as an application for ASGI servers."""
    return HostedSite(as_site(site))


class HostedSite:
    """What an ASGI server calls.

    The resources are started by the lifespan; a host that has none starts them with its first request, and then
    nobody stops them.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self._started: asyncio.Task[None] | None = None
        self._flushing: asyncio.TimerHandle | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await self._answer(scope, receive, send)
        elif kind == "lifespan":
            await self._live(receive, send)
        elif kind == "websocket":
            await self._deny(receive, send)
        else:
            raise ValueError(f"expected a scope of http, websocket or lifespan, got {kind!r}")

    # Requests.

    async def _answer(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if self._started is None or not self._started.done():
            if self._started is None:
                log.warning(
                    "the host has no lifespan: resources start with the first request, nobody stops them"
                )
            await self.start()
        extensions = scope.get("extensions") or {}
        hints = "http.response.early_hint" in extensions
        wsgi = WSGI_HOST in extensions
        try:
            request, error = request_from(scope), None
        except ProtocolError as refused:
            request, error = _unread(scope), refused
        exchange = HostedExchange(self.site, request, receive, send, hints=hints, wsgi=wsgi)
        request.exchange = exchange
        limit = self.site.limits.body
        if limit is not None and (request.body.length or 0) > limit:
            error = ProtocolError(413, f"expected at most {limit} bytes of content")
        if error is not None:
            exchange.respond(self.site.refuse(error))
        elif request.consumed and request.consumed == len(request.raw_path):
            # The host's mount point without its slash: as for a Site that is mounted in another one.
            exchange.respond(cast(Any, self.site.enter(request).render(request)))
        else:
            self.site.dispatch(exchange)
        await exchange.run()

    async def _deny(self, receive: Receive, send: Send) -> None:
        """No resource answers WebSockets here: hosts make a 403 of a close that comes before an accept."""
        await receive()
        await send({"type": "websocket.close", "code": 1000})

    # The life of the process.

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except Exception as error:  # resources are the application's code
            log.exception("the site did not start")
            await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def start(self) -> None:
        """Start the resources, once; whoever comes meanwhile waits. Raises what they raise, and may be tried again."""
        if self._started is None:
            self._started = asyncio.get_running_loop().create_task(self._start())
        try:
            await asyncio.shield(self._started)
        except Exception:
            self._started = None
            raise

    async def _start(self) -> None:
        await self.site.start()
        if isinstance(self.site.log, Flushable):
            self._flush_on_time(self.site.log)

    async def stop(self) -> None:
        """Stop the resources; the site may be started again."""
        self._started = None
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        await self.site.stop()
        if isinstance(self.site.log, Flushable):
            self.site.log.flush()

    def _flush_on_time(self, access_log: Flushable) -> None:
        access_log.flush()
        loop = asyncio.get_running_loop()
        self._flushing = loop.call_later(LOG_FLUSH_S, self._flush_on_time, access_log)


def _unread(scope: dict[str, Any]) -> Request:
    """A request that is refused, for the log."""
    path, _ = raw_path(scope)
    request = Request("-", path, path, b"", "1.1", [], EMPTY)
    request.connection = Connection()
    return request
