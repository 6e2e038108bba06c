"""The content of a request that a foreign server has read, taken from its `receive` (ASGI HTTP 2.5).

Content is read ahead up to a limit, but a client that waits to be asked for it is asked by the first reader only.
After the content, `receive` brings the news that the client has left.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from container.channel.base import UNREAD_MAX
from container.message.errors import ClientDisconnected, ProtocolError

if TYPE_CHECKING:
    from container.message.request import Request
    from container.service.hosted.exchange import HostedExchange

logger = logging.getLogger("container.hosted")

Message: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]


class Incoming:
    """What comes in for one exchange. Who waits for it is known there.

    `on_demand`: the host's only thread reads, so it must not be made to wait for content that nobody wants.
    """

    __slots__ = (
        "_body", "_exchange", "_listener", "_loop", "_on_demand", "_receive", "_wanted",
        "expects_continue",
    )  # fmt: skip

    def __init__(self, exchange: "HostedExchange", receive: Receive, *, on_demand: bool) -> None:
        self._exchange = exchange
        self._receive = receive
        self._on_demand = on_demand
        self._loop = asyncio.get_running_loop()
        self._body = exchange.request.body
        self.expects_continue = _expects_continue(exchange.request)
        self._wanted: asyncio.Future[None] | None = None
        self._listener: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Listen to the host, once."""
        if self._listener is None:
            self._listener = self._loop.create_task(self._listen())

    def end(self) -> None:
        """Listen no more."""
        if self._listener is not None:
            self._listener.cancel()

    def want(self) -> None:
        """Somebody reads: have the listener go on."""
        self.expects_continue = False
        self.begin()
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(None)

    # The host.

    async def _listen(self) -> None:
        """Take what comes from the host: content as far as it is wanted, then the news that the client has left."""
        exchange = self._exchange
        more = True
        try:
            while more or not self._on_demand:
                if more and not self._is_wanted():
                    self._wanted = self._loop.create_future()
                    await self._wanted
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    exchange.lost(ClientDisconnected("the host says so"))
                    return
                if not more:
                    return  # a host that goes on and on, though it has said all there is
                more = message.get("more_body", False)
                self._take(message.get("body", b""), more=more)
        except OSError as error:
            exchange.lost(error)
        except Exception as error:  # the host's code
            logger.exception("receive() of the host failed for %s", exchange.request)
            exchange.lost(ClientDisconnected(str(error)))

    def _is_wanted(self) -> bool:
        """Read on?"""
        if self._exchange.is_read or self._body.is_kept:
            return True
        return not (self._on_demand or self.expects_continue) and self._body.held <= UNREAD_MAX

    def _take(self, data: bytes, *, more: bool) -> None:
        """A piece of content from the host."""
        body = self._body
        if body.complete or body.error is not None:
            return
        limit = self._exchange.host.limits.body
        try:
            if limit is not None and body.received + len(data) > limit:
                raise ProtocolError(413, f"expected at most {limit} bytes of content")
            if data:
                body.feed(data)
        except ProtocolError as error:
            self._exchange.broken(error)
            return
        if not more:
            if body.length is not None and body.received != body.length:
                came = ClientDisconnected(f"expected {body.length} bytes of content, got {body.received}")
                self._exchange.lost(came)
                return
            body.finish([])
        self._exchange.content_arrived()


def _expects_continue(request: "Request") -> bool:
    """Does the client hold its content back until it is asked (RFC 9110 10.1.1)?"""
    if request.http_version == "1.0" or request.body.complete:
        return False
    return (request.raw_header(b"expect") or b"").lower() == b"100-continue"
