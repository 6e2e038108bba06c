"""One connection to another server, as long as it lives (RFC 9112 9). Hot path.

It carries one request at a time for a Receiver. It is given back to its pool the moment the answer is complete,
if nothing on it can be misunderstood by the next request: everything was sent, everything was read, nothing
came on top.
"""

import asyncio
from typing import TYPE_CHECKING, Final, Protocol, cast

from container.client.errors import UpstreamError
from container.message.body import EMPTY, Trailers
from container.message.errors import ProtocolError
from container.protocol.h1_client import RESPONSE_LIMITS, ResponseHead, ResponseParser
from container.protocol.response_head import SWITCHING

if TYPE_CHECKING:
    from container.client.pool import Pool
    from container.message.tunnel import TunnelEnd

# Interim responses to one request; more than that is a server gone mad.
_INTERIM_MAX: Final = 64


class Receiver(Protocol):
    """Who has sent a request, and is told what becomes of it. None of these may raise."""

    def connected(self, connection: "ClientConnection") -> None:
        """A connection is yours: send the request."""

    def informed(self, head: ResponseHead) -> None:
        """An interim response has come."""

    def answered(self, head: ResponseHead, content: bytes, *, complete: bool) -> None:
        """The head of the answer and the first of its content; `complete`: that was all, of both."""

    def more(self, data: bytes) -> None:
        """More content."""

    def completed(self, trailers: Trailers) -> None:
        """The content is complete."""

    def broke(self, error: UpstreamError) -> None:
        """There will be no answer, or no more of it."""

    def switched(self, head: ResponseHead) -> None:
        """The connection speaks another protocol from now on: take it over at once by `hand_over`."""

    def writable(self) -> None:
        """The server takes more of the request."""

    def is_gone(self) -> bool:
        """Nobody wants the answer any more."""


class ClientConnection(asyncio.Protocol):
    """One connection.

    | state     | told by                       | limit in time          | after it |
    |-----------|-------------------------------|------------------------|----------|
    | idle      | no receiver                   | idle                   | close    |
    | asking    | receiver, no head yet         | answer, while all sent | 504      |
    | answering | receiver, head has come       | read, unless paused    | broken   |
    | blocked   | the server takes no more      | read                   | 504      |
    """

    __slots__ = (
        "_answered", "_heard", "_interim", "_parser", "_reading", "_sent_all", "is_reused", "paused", "pool",
        "receiver", "transport",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, pool: "Pool") -> None:
        self.pool = pool
        self.receiver: Receiver | None = None
        self.paused = False
        self.is_reused = False
        self._parser = ResponseParser(RESPONSE_LIMITS, pool.tokeniser)
        self._answered = self._sent_all = False
        self._reading = True
        self._interim = 0
        # When something last moved, by the clock of the pool.
        self._heard = 0.0

    # What its user does.

    def send(self, receiver: Receiver, method: str, data: bytes, *, complete: bool) -> bool:
        """Begin a request; `complete`: that is all of it. False when the server should be waited for."""
        self.receiver = receiver
        self._parser.method = method
        self._sent_all = complete
        self._answered = False
        self._interim = 0
        self._heard = self.pool.now
        self.transport.write(data)
        return not self.paused

    def write(self, data: bytes) -> bool:
        """More of the request. False when the server should be waited for, see `Receiver.writable`."""
        self._heard = self.pool.now
        self.transport.write(data)
        return not self.paused

    def finish(self) -> None:
        """The request is complete."""
        self._sent_all = True
        self._heard = self.pool.now

    def pause_reading(self) -> None:
        if self._reading and self.receiver is not None:
            self._reading = False
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self._heard = self.pool.now
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def abandon(self) -> None:
        """Nobody wants the rest of the answer: cut the connection."""
        self.receiver = None
        self.transport.abort()

    def hand_over(self, end: "TunnelEnd") -> bytes:
        """Leave the pool; what the server has sent of the other protocol already."""
        self.receiver = None
        self.pool.forget(self)
        data, self._parser.buffer = self._parser.buffer, b""
        end.paused = self.paused
        self.transport.set_protocol(cast(asyncio.BaseProtocol, end))
        self.resume_reading()
        return data

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        receiver = self.receiver
        if receiver is None:  # nobody has asked
            self.transport.abort()
            return
        parser = self._parser
        try:
            parser.receive(data)
            if not self._answered:
                self._read_head(receiver)
                return
            self._heard = self.pool.now
            if parser.framing is None:
                self._complete(receiver)
            else:
                receiver.more(parser.body.take())
        except ProtocolError as error:
            self._fail(UpstreamError(502, error.message))

    def _read_head(self, receiver: Receiver) -> None:
        parser = self._parser
        while True:
            head = parser.next()
            if head is None:  # a part of one is no answer yet, however it drips
                return
            self._heard = self.pool.now
            if head.status >= 200:
                break
            if head.status == SWITCHING:
                receiver.switched(head)
                return
            self._interim += 1
            if self._interim > _INTERIM_MAX:
                raise ProtocolError(502, "expected an answer, got no end of interim responses")
            receiver.informed(head)
            if self.receiver is not receiver:
                return
        if parser.method == "CONNECT" and head.status < 300:
            receiver.switched(head)
            return
        self._answered = True
        self._sent_all = self._sent_all and head.keep_alive
        if parser.framing is not None:
            receiver.answered(head, parser.body.take(), complete=False)
            return
        if parser.body is not EMPTY:  # chunks, all of them
            if parser.body.trailers:
                receiver.answered(head, b"", complete=False)
                if self.receiver is receiver:
                    self._complete(receiver)
                return
            parser.content, parser.body = parser.body.take(), EMPTY
        content, parser.content = parser.content, b""
        self._release()
        receiver.answered(head, content, complete=True)

    def _complete(self, receiver: Receiver) -> None:
        """All of the content has come: the rest of it may have been in the last read."""
        parser = self._parser
        body, parser.body = parser.body, EMPTY
        data = body.take()
        if data:
            receiver.more(data)
            if self.receiver is not receiver:
                return
        self._release()
        receiver.completed(body.trailers)

    def _release(self) -> None:
        """The answer is complete: back to the pool, or away with it."""
        self.receiver = None
        self.resume_reading()
        if self._sent_all and not self._parser.buffer and not self.paused:
            self.pool.release(self)
        else:
            self.pool.forget(self)
            self.transport.close()

    def eof_received(self) -> bool:
        receiver = self.receiver
        if receiver is not None:
            if self._parser.eof():
                self._sent_all = False  # nothing more can be asked here
                self._complete(receiver)
            else:
                self._fail(self._cut_short())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.pool.forget(self)
        if self.receiver is not None:
            self._fail(self._cut_short())

    def _cut_short(self) -> UpstreamError:
        if self._answered:
            return UpstreamError(502, "the connection ended before the content did")
        return UpstreamError(502, "the connection ended without an answer")

    def _fail(self, error: UpstreamError) -> None:
        receiver, self.receiver = self.receiver, None
        self._parser.framing = None
        self.transport.abort()
        if receiver is not None:
            receiver.broke(error)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._heard = self.pool.now
        if self.receiver is not None:
            self.receiver.writable()

    # Time.

    def sweep(self, now: float) -> None:
        receiver = self.receiver
        timeouts = self.pool.timeouts
        if receiver is None:
            if now - self._heard >= timeouts.idle:
                self.transport.close()
            return
        if receiver.is_gone():
            self.abandon()
        elif self._answered:
            if self._reading and now - self._heard >= timeouts.read:
                self._fail(UpstreamError(504, f"no more of the answer within {timeouts.read:g} s"))
        elif self.paused:
            if now - self._heard >= timeouts.read:
                self._fail(UpstreamError(504, f"the request was not taken within {timeouts.read:g} s"))
        elif self._sent_all and now - self._heard >= timeouts.answer:
            self._fail(UpstreamError(504, f"no answer within {timeouts.answer:g} s"))

    def rest(self) -> None:
        """It idles from now on."""
        self._heard = self.pool.now
