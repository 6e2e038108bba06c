"""One WebSocket run by an ASGI application: its `receive` and its `send` (ASGI WebSocket 2.5).

Connections and frames are not seen here; when the application runs is `resource.py`'s.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from container.message.errors import ExchangeStateError
from container.message.exchange import Exchange
from container.message.response import Response
from container.message.websocket import (
    ABNORMAL,
    NORMAL,
    WebSocket,
    WebSocketDisconnected,
    WebSocketOptions,
    WebSocketState,
)
from container.resources.asgi.scope import ASGIApplication, Message, Scope
from container.tree.websocket import conduct

DENIAL: Final = "websocket.http.response"
# A denial is an answer of one piece: more than this is not one.
_DENIAL_MAX: Final = 16 << 20

_BINARY: Final = (bytes, bytearray, memoryview)


async def serve_websocket(
    app: ASGIApplication, scope: Scope, exchange: Exchange, options: WebSocketOptions
) -> None:
    """Let `app` serve the WebSocket that the client of `exchange` asks for.

    `scope` is complete but for the subprotocols and the denial extension, which are filled in here. Raises
    HTTPError for a handshake that cannot be answered by 101, or when the application returns without having
    answered it, and what the application raises before; later failures are logged and closed with 1011.
    """
    socket = exchange.upgrade(options)
    scope["subprotocols"] = list(socket.subprotocols)
    scope.setdefault("extensions", {})[DENIAL] = {}
    call = WebSocketCall(socket, exchange)
    await conduct(socket, app(scope, call.receive, call.send))


def websocket_scope(http: Scope) -> Scope:
    """The scope of a WebSocket, from the one its opening handshake would have as an HTTP request."""
    del http["method"]
    http["type"] = "websocket"
    http["scheme"] = "wss" if http["scheme"] == "https" else "ws"
    http["extensions"] = {}
    return http


class WebSocketTasks:
    """The tasks in which one application serves WebSockets; the site makes them."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    async def serve(
        self, app: ASGIApplication, scope: Scope, exchange: Exchange, options: WebSocketOptions
    ) -> Exchange:
        """`serve_websocket`, known to `finish` meanwhile."""
        task = asyncio.current_task()
        assert task is not None, "a site awaits in a task"
        self._running.add(task)
        try:
            await serve_websocket(app, scope, exchange, options)
        finally:
            self._running.discard(task)
        return exchange

    async def finish(self, timeout_s: float) -> int:
        """Give those that still run so many seconds, cancel the rest and give them as many; how many are left.

        Their connections are closed.
        """
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)
        return len(self._running)


class WebSocketCall:
    """`receive` and `send` of one application; both belong to its task."""

    __slots__ = ("_accepted", "_connected", "_denial", "_exchange", "_left", "_pieces", "_size", "_socket")

    def __init__(self, socket: WebSocket, exchange: Exchange) -> None:
        self._socket = socket
        self._exchange = exchange
        self._connected = False  # websocket.connect was received
        self._accepted = False
        self._left: asyncio.Event | None = None
        self._denial: Response | None = None
        self._pieces: list[bytes] = []
        self._size = 0

    async def receive(self) -> dict[str, Any]:
        """The next event; after the first `websocket.disconnect` the same one, as often as asked."""
        socket = self._socket
        try:
            if not self._accepted:
                if not self._connected:
                    self._connected = True
                    return {"type": "websocket.connect"}
                if socket.state is WebSocketState.CONNECTING:
                    await self._await_leaving()
            message = await socket.receive()
        except WebSocketDisconnected as over:
            await asyncio.sleep(0)  # an application that asks on and on must not keep the loop
            return _disconnect(over.code, over.reason)
        except ExchangeStateError:
            if socket.state is WebSocketState.CLOSED:  # denied
                await asyncio.sleep(0)
                return _disconnect(ABNORMAL, "")
            raise
        if isinstance(message, str):
            return {"type": "websocket.receive", "text": message}
        return {"type": "websocket.receive", "bytes": message}

    async def _await_leaving(self) -> None:
        """The application has not answered yet: the only news are that the client has left, or its answer."""
        if self._left is None:
            self._left = asyncio.Event()
            self._exchange.on_close(lambda _: self._answered())
        await self._left.wait()

    def _answered(self) -> None:
        if self._left is not None:
            self._left.set()

    async def send(self, message: Message) -> None:
        """Take one event. Raises WebSocketDisconnected, an OSError, when the client has gone, TypeError or
        ValueError for what cannot be sent, RuntimeError for what comes out of order."""
        kind = message["type"]
        if kind == "websocket.send":
            await self._socket.send(_payload(message))
        elif kind == "websocket.accept":
            await self._accept(message)
        elif kind == "websocket.close":
            self._close(message)
        elif kind == f"{DENIAL}.start":
            self._begin_denial(message)
        elif kind == f"{DENIAL}.body":
            self._go_on_denying(message)
        else:
            raise ValueError(f"expected an event of a WebSocket, got {kind!r}")

    async def _accept(self, message: Message) -> None:
        if self._denial is not None:
            raise ExchangeStateError("expected no websocket.accept after a denial has begun")
        await self._socket.accept(message.get("subprotocol"), _headers(message.get("headers") or ()))
        self._accepted = True
        self._answered()

    def _close(self, message: Message) -> None:
        socket = self._socket
        code, reason = message.get("code"), message.get("reason")
        if self._denial is not None:
            raise ExchangeStateError("expected no websocket.close after a denial has begun")
        if socket.state is WebSocketState.CLOSED and self._exchange.disconnected:
            raise WebSocketDisconnected(ABNORMAL)
        socket.begin_close(NORMAL if code is None else code, reason or "")
        self._answered()

    # The denial response extension.

    def _begin_denial(self, message: Message) -> None:
        if self._denial is not None or self._socket.state is not WebSocketState.CONNECTING:
            if self._exchange.disconnected:
                raise WebSocketDisconnected(ABNORMAL)
            raise ExchangeStateError(f"expected {DENIAL}.start once, and before websocket.accept or close")
        self._denial = Response(b"", message["status"], _headers(message.get("headers") or ()))

    def _go_on_denying(self, message: Message) -> None:
        denial = self._denial
        if denial is None or self._socket.state is not WebSocketState.CONNECTING:
            if self._exchange.disconnected:
                raise WebSocketDisconnected(ABNORMAL)
            raise ExchangeStateError(f"expected {DENIAL}.body after {DENIAL}.start and before its end")
        body = message.get("body", b"")
        if not isinstance(body, bytes):
            raise TypeError(f"expected bytes as body, got {type(body).__name__}")
        self._size += len(body)
        if self._size > _DENIAL_MAX:
            raise ValueError(f"expected a denial of at most {_DENIAL_MAX} bytes")
        self._pieces.append(body)
        if not message.get("more_body", False):
            denial.body = b"".join(self._pieces)
            self._socket.deny(denial)
            self._answered()


def _disconnect(code: int, reason: str) -> dict[str, Any]:
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


def _payload(message: Message) -> str | bytes:
    """The one of `text` and `bytes` that is there."""
    text, data = message.get("text"), message.get("bytes")
    if (text is None) == (data is None):
        raise ValueError("expected either text or bytes in websocket.send")
    if text is not None:
        if not isinstance(text, str):
            raise TypeError(f"expected str as text, got {type(text).__name__}")
        return text
    if not isinstance(data, _BINARY):
        raise TypeError(f"expected bytes as bytes, got {type(data).__name__}")
    return bytes(data)


def _headers(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Fields as text. Raises TypeError for what are no pairs of bytes."""
    headers = []
    for name, value in fields:
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            raise TypeError(f"expected headers as pairs of bytes, got {name!r} and {value!r}")
        headers.append((name.decode("latin-1"), value.decode("latin-1")))
    return headers
