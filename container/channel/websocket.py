"""What resources get of a WebSocket over HTTP/1.1: the opening handshake, then messages (RFC 6455 4.2).

Hot path. The Protocol is `message/websocket.py`, the connection behind it `ws.py`.
"""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from container.channel.ws import PROPER, WebSocketChannel
from container.message.errors import ExchangeStateError, ProtocolError
from container.message.headers import Headers, HeaderSource
from container.message.response import Response
from container.message.websocket import (
    ABNORMAL,
    NORMAL,
    WebSocketDisconnected,
    WebSocketOptions,
    WebSocketState,
)
from container.protocol.ws import SETTLED, Frames, check_close, read_handshake

if TYPE_CHECKING:
    from container.channel.exchange import H1Exchange
    from container.message.request import Request


class H1WebSocket:
    """What a resource gets, see the Protocol `WebSocket`."""

    __slots__ = ("_channel", "_denied", "_exchange", "_handshake", "_options", "subprotocol")

    def __init__(self, exchange: "H1Exchange", options: WebSocketOptions) -> None:
        self._handshake = read_handshake(exchange.request)
        self._options = options
        self._exchange = exchange
        self._channel: WebSocketChannel | None = None
        self._denied = False
        self.subprotocol: str | None = None

    @property
    def request(self) -> "Request":
        return self._exchange.request

    @property
    def subprotocols(self) -> list[str]:
        return self._handshake.subprotocols

    @property
    def state(self) -> WebSocketState:
        channel = self._channel
        if channel is None:
            gone = self._denied or self._exchange.started or self._exchange.disconnected
            return WebSocketState.CLOSED if gone else WebSocketState.CONNECTING
        if channel.is_over:
            return WebSocketState.CLOSED
        return WebSocketState.OPEN if channel.is_open else WebSocketState.CLOSING

    # The opening handshake.

    async def accept(self, subprotocol: str | None = None, headers: HeaderSource = None) -> None:
        exchange = self._exchange
        if self._channel is not None or self._denied:
            raise ExchangeStateError("expected one accept() or deny(), got one more")
        if subprotocol is not None and subprotocol not in self._handshake.subprotocols:
            offered = ", ".join(self._handshake.subprotocols) or "none"
            raise ValueError(f"expected a subprotocol that was offered ({offered}), got {subprotocol!r}")
        fields = Headers(headers)
        if settled := SETTLED.intersection(fields):
            raise ValueError(f"expected no {min(settled)} among the headers: the handshake settles it")
        extensions, deflate = self._handshake.negotiate(self._options)
        block = await exchange.amended(101, fields.freeze())
        if exchange.disconnected or exchange.gone:
            raise WebSocketDisconnected(ABNORMAL)
        if exchange.started:
            raise ExchangeStateError("expected one answer to the handshake, got one more")
        channel = exchange.switch(self._handshake.fields(subprotocol, extensions), block)
        self.subprotocol = subprotocol
        self._channel = WebSocketChannel(exchange, channel, Frames(self._options, deflate), self._options)

    def deny(self, response: Response | None = None) -> None:
        if self._channel is not None or self._denied:
            raise ExchangeStateError("expected deny() before accept(), and once")
        self._denied = True
        self._exchange.respond(response or self._refusal())

    def _refusal(self) -> Response:
        channel = self._exchange._channel
        if channel is None:  # nobody will see it
            return Response(b"", 403)
        return channel.group.host.refuse(ProtocolError(403, "The WebSocket was refused."))

    # Messages.

    async def receive(self) -> str | bytes:
        channel = self._channel
        if channel is None:
            raise self._not_accepted()
        messages = channel.messages
        if not messages:
            await channel.wait()
        message = messages.pop(0)
        if not messages:
            channel.emptied()
        return message

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self.receive()
        except WebSocketDisconnected as over:
            if over.code in PROPER:
                raise StopAsyncIteration from None
            raise

    async def send(self, message: str | bytes | bytearray | memoryview) -> None:
        channel = self._channel
        if channel is None:
            raise self._not_accepted()
        if channel.paused:
            await channel.writable()
        if not channel.is_open:
            sent = channel.frames.close_sent
            outcome = channel.frames.outcome if channel.is_over or sent is None else (sent.code, sent.reason)
            raise WebSocketDisconnected(*outcome)
        channel.send(message)

    # The end.

    def begin_close(self, code: int = NORMAL, reason: str = "") -> None:
        check_close(code, reason)
        if self._channel is not None:
            self._channel.begin_close(code, reason)
        elif not self._denied:
            self.deny()

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        self.begin_close(code, reason)
        if self._channel is not None:
            await self._channel.closed()

    def _not_accepted(self) -> Exception:
        if self._exchange.disconnected:
            return WebSocketDisconnected(ABNORMAL)
        return ExchangeStateError("expected accept() first")
