"""What every connection of a pool does, whatever is spoken on it: back-pressure both ways, deadlines, its end.

Hot path. A connection carries one request at a time for a Receiver. It is given back to its pool the moment the
answer is complete, if nothing on it can be misunderstood by the next request: everything was sent, everything was
read, nothing came on top.
"""

import asyncio
from abc import abstractmethod
from typing import TYPE_CHECKING, Protocol, Self, cast

from container.client.errors import UpstreamError

if TYPE_CHECKING:
    from container.client.pool import ConnectionPool


class Receiver(Protocol):
    """Who has sent a request, and is told what becomes of it. None of these may raise."""

    def broke(self, error: UpstreamError) -> None:
        """There will be no answer, or no more of it."""

    def writable(self) -> None:
        """The server takes more of the request."""

    def is_gone(self) -> bool:
        """Nobody wants the answer any more."""


class PooledConnection(asyncio.Protocol):
    """One connection.

    | state     | told by                       | limit in time          | after it |
    |-----------|-------------------------------|------------------------|----------|
    | idle      | no receiver                   | idle                   | close    |
    | asking    | receiver, no head yet         | answer, while all sent | 504      |
    | answering | receiver, head has come       | read, unless paused    | broken   |
    | blocked   | the server takes no more      | read                   | 504      |
    """

    __slots__ = (
        "_answered", "_heard", "_reading", "_sent_all", "is_reused", "paused", "pool", "receiver", "transport",
    )  # fmt: skip

    transport: asyncio.Transport
    pool: "ConnectionPool[Self]"
    receiver: Receiver | None

    def __init__(self, pool: "ConnectionPool[Self]") -> None:
        self.pool = pool
        self.receiver = None
        self.paused = False
        self.is_reused = False
        self._answered = self._sent_all = False
        self._reading = True
        # When something last moved, by the clock of the pool.
        self._heard = 0.0

    # What its user does.

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
        self._cut()

    # What differs.

    @abstractmethod
    def _cut_short(self) -> UpstreamError:
        """What it means that the connection has ended now, with a receiver."""

    def _cut(self) -> None:
        """End it in the middle of an answer."""
        self.transport.abort()

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self: Self, exc: Exception | None) -> None:
        self.pool.forget(self)
        if self.receiver is not None:
            self._fail(self._cut_short())

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._heard = self.pool.now
        if self.receiver is not None:
            self.receiver.writable()

    def _fail(self, error: UpstreamError) -> None:
        receiver, self.receiver = self.receiver, None
        self._cut()
        if receiver is not None:
            receiver.broke(error)

    # Time.

    def sweep(self, now: float) -> None:
        receiver = self.receiver
        timeouts = self.pool.timeouts
        if receiver is None:
            if now - self._heard >= timeouts.idle:
                if self.transport.is_closing():  # it waits for the server to read the rest of a request
                    self.transport.abort()
                else:
                    self.transport.close()
            return
        # Never too early: what has moved since the last sweep bears the time of that.
        waited = now - self._heard - self.pool.sweep_s
        if receiver.is_gone():
            self.abandon()
        elif self._answered:
            if self._reading and waited >= timeouts.read:
                self._fail(UpstreamError(504, f"no more of the answer within {timeouts.read:g} s"))
        elif self.paused:
            if waited >= timeouts.read:
                self._fail(UpstreamError(504, f"the request was not taken within {timeouts.read:g} s"))
        elif self._sent_all and waited >= timeouts.answer:
            self._fail(UpstreamError(504, f"no answer within {timeouts.answer:g} s"))

    def rest(self) -> None:
        """It idles from now on."""
        self._heard = self.pool.now
