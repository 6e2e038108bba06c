"""WebSocketResource: a WebSocket in the tree (RFC 6455).

Frames and connections are not seen here; how a handler ends is `tree/websocket.py`'s.
"""

from collections.abc import Awaitable, Callable, Iterable

from container.message.errors import HTTPError
from container.message.exchange import Exchange
from container.message.request import Request
from container.message.websocket import DEFAULT_OPTIONS, WebSocket, WebSocketOptions
from container.tree.resource import Resource
from container.tree.websocket import conduct

WebSocketHandler = Callable[[WebSocket], Awaitable[None]]


class WebSocketResource(Resource):
    """Serves WebSockets with `handler`, or with the method `websocket` of a subclass.

    A leaf. The handler accepts or denies first; when it returns the WebSocket is closed with 1000, when it
    raises with 1011. `origins`: the values of Origin that may connect, such as `https://example.org`; any
    without it (RFC 6455 10.2: browsers let every page connect). Requests for anything but a WebSocket are
    answered 426.
    """

    is_leaf = True
    origins: frozenset[str] | None = None
    options: WebSocketOptions = DEFAULT_OPTIONS

    def __init__(
        self,
        handler: WebSocketHandler | None = None,
        *,
        options: WebSocketOptions | None = None,
        origins: Iterable[str] | None = None,
    ) -> None:
        if handler is not None and not callable(handler):
            raise TypeError(f"expected a coroutine function that serves a WebSocket, got {handler!r}")
        if isinstance(origins, str):
            raise TypeError(f"expected a list of origins, got the text {origins!r}")
        self._handler = handler
        if options is not None:
            self.options = options
        if origins is not None:
            self.origins = frozenset(origin.lower() for origin in origins)

    async def websocket(self, socket: WebSocket) -> None:
        """Serve one WebSocket, from `accept` to its end."""
        if self._handler is None:
            raise NotImplementedError("expected a handler, or a subclass with a method `websocket`")
        await self._handler(socket)

    def render(self, request: Request) -> Awaitable[Exchange]:
        exchange = request.exchange
        socket = exchange.upgrade(self.options)
        if self.origins is not None:
            origin = request.raw_header(b"origin") or b""
            if origin.decode("latin-1").lower() not in self.origins:
                raise HTTPError(403, "This origin may not connect.")
        return self._serve(socket, exchange)

    async def _serve(self, socket: WebSocket, exchange: Exchange) -> Exchange:
        await conduct(socket, self.websocket(socket))
        return exchange
