"""A WebSocket client in memory: the other end of `channel/ws.py`, on the sans-IO core of `websockets`.

Made by `AsyncClient.websocket` and `Client.websocket`; how bytes get to the channel is `wire.py`'s.
"""

from collections.abc import Iterable, Sequence
from typing import cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import BINARY, CONT, PING, PONG, TEXT, Frame
from websockets.http11 import Response as Answer
from websockets.protocol import CLOSED, CONNECTING
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from container.message.headers import Headers, HeaderSource
from container.message.websocket import NORMAL, WebSocketDisconnected
from container.testing.transport import MockTransport
from container.testing.wire import NoResponse, Wire


class WebSocketDenied(Exception):
    """The server answered something else than 101."""

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        super().__init__(f"expected 101, got {status}")
        self.status = status
        self.headers = headers
        self.body = body


class AsyncWebSocket:
    """One WebSocket of a client. Every wait is bounded by the timeout of the client that made it."""

    def __init__(
        self, wire: Wire, url: str, headers: HeaderSource, subprotocols: Iterable[str], *, deflate: bool
    ) -> None:
        self._wire = wire
        self._fields = Headers(headers)
        self._protocol = ClientProtocol(
            parse_uri(url),
            extensions=[ClientPerMessageDeflateFactory()] if deflate else None,
            subprotocols=cast(Sequence[Subprotocol], list(subprotocols)) or None,
            max_size=None,
        )
        self._messages: list[str | bytes] = []
        self._fragments = b""
        self._is_text = False
        self.pongs: list[bytes] = []  # what the server has answered pings with
        self.pings: list[bytes] = []  # what it was pinged with
        self.headers = Headers()  # of the answer

    @property
    def subprotocol(self) -> str | None:
        """What was agreed on."""
        return self._protocol.subprotocol

    @property
    def transport(self) -> MockTransport:
        """What lies between this client and the channel."""
        return self._wire.transport

    @property
    def close_code(self) -> int | None:
        """What the server has closed with: 1005 without a code, 1006 without a Close frame, None while open."""
        self._take()
        return self._protocol.close_code

    @property
    def close_reason(self) -> str | None:
        return self._protocol.close_reason

    async def connect(self) -> None:
        """The opening handshake. Raises WebSocketDenied, or NoResponse when the server closes."""
        protocol = self._protocol
        request = protocol.connect()
        for name, value in self._fields.items():
            request.headers[name] = value
        protocol.send_request(request)
        await self._flush()
        async with self._wire.bounded("an answer to a WebSocket handshake"):
            while protocol.state is CONNECTING and protocol.handshake_exc is None:
                await self._more()
        answer = getattr(protocol.handshake_exc, "response", None) or self._answer
        if answer is not None:
            self.headers = Headers(list(answer.headers.raw_items()), frozen=True)
            if answer.status_code != 101:
                raise WebSocketDenied(answer.status_code, self.headers, bytes(answer.body))
        if isinstance(protocol.handshake_exc, InvalidHandshake | EOFError | ConnectionError):
            raise NoResponse(f"expected an answer to a WebSocket handshake: {protocol.handshake_exc!r}")

    _answer: Answer | None = None

    # Messages.

    async def send(self, message: str | bytes) -> None:
        """Send one message, and let the server do what it can do at once."""
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
        else:
            self._protocol.send_binary(message)
        await self._flush()

    async def send_raw(self, data: bytes) -> None:
        """Send bytes of your own, which need be no frame."""
        await self._wire.inject(lambda: self.transport.feed(data))
        await self._wire.settle()

    async def ping(self, data: bytes = b"") -> None:
        self._protocol.send_ping(data)
        await self._flush()

    async def receive(self) -> str | bytes:
        """The next message. Raises WebSocketDisconnected when the server has closed instead."""
        async with self._wire.bounded("a message"):
            while True:
                self._take()
                if self._messages:
                    return self._messages.pop(0)
                if self._protocol.state is CLOSED:
                    raise WebSocketDisconnected(
                        self._protocol.close_code or 0, self._protocol.close_reason or ""
                    )
                await self._more()

    # The end.

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """The closing handshake: returns when the server has closed."""
        self._take()
        if self._protocol.close_sent is None and self._protocol.state is not CLOSED:
            self._protocol.send_close(code, reason)
            await self._flush()
        await self.wait_closed()

    async def wait_closed(self) -> int:
        """Wait until the server has closed: the code."""
        async with self._wire.bounded("the server to close"):
            while self._protocol.state is not CLOSED:
                await self._more()
        await self.leave()
        return self._protocol.close_code or 0

    async def leave(self) -> None:
        """Close the connection without a word."""
        await self._wire.inject(self.transport.leave)
        await self._wire.settle()

    # Inside.

    def _take(self) -> bool:
        """Read what has come; True when it was something."""
        transport, protocol = self.transport, self._protocol
        came = False
        while data := transport.take():
            protocol.receive_data(data)
            came = True
        if self._wire.closed and not transport.unread and protocol.state is not CLOSED:
            protocol.receive_eof()
            came = True
        for event in protocol.events_received():
            if isinstance(event, Answer):
                self._answer = event
            elif isinstance(event, Frame):
                self._keep(event)
        return came

    def _keep(self, frame: Frame) -> None:
        if frame.opcode is PING:
            self.pings.append(bytes(frame.data))
        elif frame.opcode is PONG:
            self.pongs.append(bytes(frame.data))
        elif frame.opcode in (TEXT, BINARY, CONT):
            if frame.opcode is not CONT:
                self._is_text = frame.opcode is TEXT
            self._fragments += frame.data
            if frame.fin:
                content, self._fragments = self._fragments, b""
                self._messages.append(content.decode() if self._is_text else content)

    async def _more(self) -> None:
        """Wait until something comes, and answer it."""
        if not self._take():
            await self._wire._changed()
            self._take()
        await self._flush()

    async def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                await self._wire.inject(lambda data=data: self.transport.feed(data))  # type: ignore[misc]
            else:
                await self._wire.inject(self.transport.leave)
        await self._wire.settle()
