"""A connection whose bytes a test writes itself: for tests of the protocol and of its breaches."""

from dataclasses import dataclass

from container.message.errors import ProtocolError
from container.message.limits import Limits
from container.protocol.h1 import RequestParser, Tokeniser
from container.testing.reader import ClientResponse, ResponseHead
from container.testing.transport import MockTransport
from container.testing.wire import NoResponse, Wire


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """What came back for raw bytes: the final responses, every byte, and whether the server has closed."""

    responses: list[ClientResponse]
    data: bytes
    closed: bool


class AsyncConnection:
    """One connection; made by `AsyncClient.connect`.

    It reads along what it sends, so it knows how many responses to expect and which of them answer a HEAD.
    """

    def __init__(self, wire: Wire, limits: Limits) -> None:
        self._wire = wire
        self._requests = RequestParser(limits, Tokeniser())
        self._methods: list[str] = []
        self._until_closed = False
        self._wire.record = self._data = bytearray()

    @property
    def transport(self) -> MockTransport:
        """What lies between this client and the channel."""
        return self._wire.transport

    async def send(self, data: bytes) -> None:
        """Send bytes, and let the server do what it can do at once."""
        if not isinstance(data, bytes):
            raise TypeError(f"expected bytes to send, got {type(data).__name__}")
        self._read_along(data)
        await self._wire.inject(lambda: self.transport.feed(data))
        await self._wire.settle()

    async def send_eof(self) -> None:
        """Send no more, but go on reading."""
        self._until_closed = True
        await self._wire.inject(self.transport.feed_eof)
        await self._wire.settle()

    async def leave(self) -> None:
        """Close the client's end."""
        self._pull()
        await self._wire.inject(self.transport.leave)
        await self._wire.settle()

    async def receive(self) -> ClientResponse:
        """The next final response. Raises NoResponse when the server closes instead."""
        method = self._methods.pop(0) if self._methods else "GET"
        async with self._wire.bounded("a response"):
            return await self._wire.whole(method)

    async def receive_all(self) -> RawAnswer:
        """The responses to all requests that were sent completely, and what else has come.

        After an end of the client's, or bytes that are no request, that is everything up to the close.
        """
        responses = []
        try:
            while self._until_closed or len(self._methods) > (self._requests.framing is not None):
                responses.append(await self.receive())
            await self._wire.settle()
            while self._wire.poll_head(self._methods[0] if self._methods else "GET") is not None:
                responses.append(await self.receive())
        except NoResponse:
            pass
        await self._wire.settle()
        return RawAnswer(responses, self.data, self.closed)

    @property
    def data(self) -> bytes:
        """Every byte the server has sent so far."""
        self._pull()
        return bytes(self._data)

    @property
    def interim(self) -> list[ResponseHead]:
        """The interim responses that have come since the last final one."""
        self._pull()
        self._wire.poll_head(self._methods[0] if self._methods else "GET")
        return list(self._wire.interim)

    @property
    def closed(self) -> bool:
        """Has the server ended or cut the connection?"""
        return self._wire.closed

    def _pull(self) -> None:
        while self._wire.pull():
            pass

    def _read_along(self, data: bytes) -> None:
        if self._until_closed:
            return
        try:
            self._requests.receive(data)
            while (request := self._requests.next()) is not None:
                request.body.discard()
                self._methods.append(request.method)
        except ProtocolError:
            self._until_closed = True
