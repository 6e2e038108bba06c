"""One connection to another server by HTTP/1.1, as long as it lives (RFC 9112 9). Hot path.

What holds for connections of every protocol is in `pooled.py`.
"""

import asyncio
from typing import TYPE_CHECKING, Final, Protocol, cast

from container.client import pooled
from container.client.errors import UpstreamError
from container.client.pooled import PooledConnection
from container.message.body import EMPTY, Trailers
from container.message.errors import ProtocolError
from container.protocol.h1_client import RESPONSE_LIMITS, ResponseHead, ResponseParser
from container.protocol.response_head import SWITCHING

if TYPE_CHECKING:
    from container.client.pool import Pool
    from container.message.tunnel import TunnelEnd

# Interim responses to one request; more than that is a server gone mad.
_INTERIM_MAX: Final = 64


class Receiver(pooled.Receiver, Protocol):
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

    def switched(self, head: ResponseHead) -> None:
        """The connection speaks another protocol from now on: take it over at once by `hand_over`."""


class ClientConnection(PooledConnection):
    """One connection that speaks HTTP/1.1."""

    __slots__ = ("_interim", "_parser", "_persists")

    pool: "Pool"
    receiver: Receiver | None

    def __init__(self, pool: "Pool") -> None:
        super().__init__(pool)
        self._parser = ResponseParser(RESPONSE_LIMITS, pool.tokeniser)
        self._interim = 0
        self._persists = False  # the server lets it be used again

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
        self._persists = head.keep_alive
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
        if not self._sent_all:  # nobody can use a part of a request, nor might the server ever read it
            self.transport.abort()
        elif self._persists and not self._parser.buffer and not self.paused:
            self.pool.release(self)
        else:
            self.rest()
            self.transport.close()

    def eof_received(self) -> bool:
        receiver = self.receiver
        if receiver is not None:
            if self._parser.eof():
                self._persists = False
                self._complete(receiver)
            else:
                self._fail(self._cut_short())
        return False

    def _cut_short(self) -> UpstreamError:
        if self._answered:
            return UpstreamError(502, "the connection ended before the content did")
        return UpstreamError(502, "the connection ended without an answer")

    def _fail(self, error: UpstreamError) -> None:
        self._parser.framing = None
        super()._fail(error)
