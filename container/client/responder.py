"""One connection to a responder, a program that answers requests in words of CGI, and the pool of them. Hot path.

What holds for connections of every protocol is in `pooled.py`; what the answer's bytes mean is said by `protocol/`.
"""

from collections.abc import Callable
from typing import Protocol

from container.client import pooled
from container.client.address import Address
from container.client.errors import UpstreamError
from container.client.pool import ClientTimeouts, ConnectionPool
from container.client.pooled import PooledConnection
from container.protocol.answer import AnswerHead, AnswerReader, BadAnswer, KnownHeads
from container.protocol.fastcgi import BadRecord, Refused

# How soon it is noticed that nobody waits for an answer any more.
_SWEEP_S = 0.25
# How soon a responder that will take no more requests on a connection ends it after its answer.
_SETTLE_S = 0.002


class AnswerBytes(Protocol):
    """Finds the answer to one request in what comes: `ended` with it, see `fastcgi.RecordReader`."""

    errors: bytes
    ended: bool
    is_clean: bool

    def feed(self, data: bytes) -> bytes:
        """What of the answer has come."""


class PlainBytes:
    """All that comes is the answer, up to the end of the connection."""

    __slots__ = ("ended", "errors", "is_clean")

    def __init__(self) -> None:
        self.errors = b""
        self.ended = self.is_clean = False

    def feed(self, data: bytes) -> bytes:
        return data


class Receiver(pooled.Receiver, Protocol):
    """Who has sent a request, and is told what becomes of it. None of these may raise."""

    def connected(self, connection: "ResponderConnection") -> None:
        """A connection is yours: send the request."""

    def answered(self, head: AnswerHead, content: bytes, *, complete: bool) -> None:
        """The head of the answer and the first of its content; `complete`: that was all, of both."""

    def more(self, data: bytes) -> None:
        """More content."""

    def completed(self) -> None:
        """The content is complete."""

    def complained(self, data: bytes) -> None:
        """Words for the log."""


class ResponderConnection(PooledConnection):
    """One connection that carries requests for a responder.

    `is_silent` until something has come in answer to the last one.
    """

    __slots__ = ("_answer", "_bytes", "_method", "is_silent")

    pool: "ResponderPool"
    receiver: Receiver | None
    _answer: AnswerReader
    _bytes: AnswerBytes
    _method: str

    def __init__(self, pool: "ResponderPool") -> None:
        super().__init__(pool)
        self.is_silent = True

    def send(self, receiver: Receiver, method: str, data: bytes, *, complete: bool) -> bool:
        """Begin a request; `complete`: that is all of it. False when the responder should be waited for."""
        self.receiver = receiver
        self._method = method
        self._sent_all = complete
        self._answered = False
        self.is_silent = True
        self._heard = self.pool.now
        self.transport.write(data)
        return not self.paused

    def _cut(self) -> None:
        if self.pool.abort and not (self.paused or self.transport.is_closing()):
            self.transport.write(self.pool.abort)
            self.transport.close()
        else:
            self.transport.abort()

    # Called by the transport.

    def data_received(self, data: bytes) -> None:
        receiver = self.receiver
        if receiver is None:  # nobody has asked
            self.transport.abort()
            return
        pool = self.pool
        self._heard = pool.now
        if self.is_silent:
            self.is_silent = False
            if self._sent_all and self._is_usual(receiver, data):
                return
            self._answer = AnswerReader(self._method, gateway=True, known=pool.heads)
            self._bytes = pool.reader()
        found = self._bytes
        try:
            said = found.feed(data)
            if found.errors:
                complaint, found.errors = found.errors, b""
                receiver.complained(complaint)
            if said or found.ended:
                self._take(receiver, said, ended=found.ended)
        except (BadAnswer, BadRecord) as error:
            self._fail(UpstreamError(502, str(error)))
        except Refused as error:
            self._fail(UpstreamError(503, str(error)))

    def _is_usual(self, receiver: Receiver, data: bytes) -> bool:
        """Is it all of an answer, with a head that came before? Then it is passed on at once."""
        pool = self.pool
        head, content = pool.heads.find(pool.whole(data))
        if head is None or head.chunked:
            return False
        if head.length >= 0 and head.length != len(content):
            return False
        self.receiver = None
        pool.release(self)
        receiver.answered(head, content, complete=True)
        return True

    def _take(self, receiver: Receiver, said: bytes, *, ended: bool) -> None:
        """More of the answer. Raises BadAnswer."""
        answer = self._answer
        content = answer.feed(said)
        if ended:
            answer.finish()
            self._release()
        elif answer.head is None:
            return
        if self._answered:
            if content:
                receiver.more(content)
            if ended:
                receiver.completed()
        else:
            assert answer.head is not None, "or finish() had raised"
            self._answered = True
            receiver.answered(answer.head, content, complete=ended)

    def _release(self) -> None:
        """The answer is complete: back to the pool, or away with it.

        One that has answered before it had all of the request would take the rest for the next.
        """
        self.receiver = None
        self.resume_reading()
        if self._sent_all and self._bytes.is_clean and not self.paused:
            self.pool.release(self)
        else:
            self.pool.forget(self)
            self.transport.abort()

    def eof_received(self) -> None:
        if self.receiver is None:
            self._ended_by_itself()

    def _ended_by_itself(self) -> None:
        """The responder does that: php-fpm after so many requests, and says so to nobody."""
        self.pool.settle_s = _SETTLE_S

    def connection_lost(self, exc: Exception | None) -> None:
        receiver = self.receiver
        if receiver is not None and self.is_silent and self.is_reused:
            self._ended_by_itself()
        if receiver is not None and not (self.is_silent or exc) and isinstance(self._bytes, PlainBytes):
            try:
                self._take(receiver, b"", ended=True)
            except BadAnswer as error:
                self._fail(UpstreamError(502, str(error)))
        super().connection_lost(exc)

    def _cut_short(self) -> UpstreamError:
        if self.is_silent:
            return UpstreamError(502, "the connection was closed without an answer")
        return UpstreamError(502, "the connection ended before the answer did")


class ResponderPool(ConnectionPool[ResponderConnection]):
    """Connections to one responder: at most `connections`, for which `queue_limit` requests may wait.

    `reader` finds an answer among the bytes, `whole` knows one that is all of them; `abort` tells the responder that
    its answer is not wanted any more.
    """

    __slots__ = ("abort", "heads", "reader", "whole")

    def __init__(
        self,
        address: Address,
        timeouts: ClientTimeouts,
        *,
        connections: int,
        queue_limit: int,
        reader: Callable[[], AnswerBytes],
        whole: Callable[[bytes], bytes],
        abort: bytes,
    ) -> None:
        super().__init__(
            address, timeouts, max_connections=connections, max_idle=connections, max_waiting=queue_limit
        )
        self.sweep_s = min(self.sweep_s, _SWEEP_S)
        self.heads = KnownHeads()
        self.reader = reader
        self.whole = whole
        self.abort = abort

    def _make(self) -> ResponderConnection:
        return ResponderConnection(self)
