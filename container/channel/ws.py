"""WebSockets over an HTTP/1.1 connection: the channel that takes it over (RFC 6455).

Hot path. A message that has come waits in a queue; no task and no timer is made for it, and a future only
when the application is there before the message. Frames are `protocol/ws.py`'s, what resources get is `websocket.py`.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from container.message.errors import ExchangeStateError
from container.message.websocket import (
    GOING_AWAY,
    INTERNAL_ERROR,
    NO_STATUS,
    NORMAL,
    SERVICE_RESTART,
    WebSocketDisconnected,
    WebSocketOptions,
)
from container.protocol.ws import Frames

if TYPE_CHECKING:
    from container.channel.exchange import H1Exchange
    from container.channel.h1 import H1Channel

log = logging.getLogger("container.channel")

# Read at a time, so that a full queue is noticed: what a bomb may unpack to is a thousand times as much.
SLICE: Final = 16 * 1024
# While lingering, what a client may still push before it is cut off.
LINGER_MAX: Final = 1 << 20
# Seconds without a message after which memory that can be had again is given back.
REST_S: Final = 5.0
NEVER: Final = float("inf")
_BINARY: Final = (bytes, bytearray, memoryview)
# A WebSocket that ends with one of these was closed as it should be.
PROPER: Final = frozenset({NORMAL, GOING_AWAY, NO_STATUS, SERVICE_RESTART})


class WebSocketChannel(asyncio.Protocol):
    """A connection whose HTTP/1.1 channel has handed it over.

    | state     | told by             | deadline                       | after it           |
    |-----------|---------------------|--------------------------------|--------------------|
    | open      | is_open             | ping_interval, idle_timeout    | ping, 1011 or 1000 |
    | blocked   | open and paused     | write, no progress             | cut                |
    | closing   | neither             | close_timeout                  | cut                |
    | over      | is_over             | linger                         | cut                |
    """

    __slots__ = (
        "_active", "_active_since", "_backlog", "_closers", "_deadline", "_discarded", "_eof", "_exchange", "_full",
        "_heard", "_heard_since", "_pinged", "_reading", "_rest", "_waiter", "_writers",
        "frames", "group", "is_open", "is_over", "messages", "options", "paused", "sent", "transport",
    )  # fmt: skip

    def __init__(
        self, exchange: "H1Exchange", previous: "H1Channel", frames: Frames, options: WebSocketOptions
    ) -> None:
        self._exchange = exchange
        self.group = previous.group
        self.transport = previous.transport
        self.paused = previous.paused
        self.frames = frames
        self.messages = frames.messages
        self.options = options
        self.is_open = True
        self.is_over = False
        self.sent = 0
        self._rest = b""  # has come, is not parsed yet
        self._eof = False  # has come behind the rest
        self._full = False
        self._reading = True
        self._waiter: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] | None = None
        self._closers: list[asyncio.Future[None]] | None = None
        self._heard = self._active = True
        self._heard_since = self._active_since = self.group.now
        self._pinged = False
        self._deadline = NEVER
        self._backlog = self._discarded = 0
        if data := previous.hand_over(self):
            self.data_received(data)
        if self.group.draining:
            self.begin_close(SERVICE_RESTART)

    # Called by the transport.

    def data_received(self, data: bytes) -> None:
        self._heard = True
        if self.is_over:
            self._discarded += len(data)
            if self._discarded > LINGER_MAX:
                self.transport.abort()
        elif self._rest or len(data) > SLICE:
            self._rest += data
            self._parse_rest()
        else:
            self._parse(data)

    def eof_received(self) -> bool:
        """The client has closed its side without a closing handshake, or after it."""
        if self._rest and not self.is_over:
            self._eof = True
            return True
        self._lose()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.group.remove(self)
        self._rest = b""
        self._lose()

    def pause_writing(self) -> None:
        self.paused = True
        self._backlog = self.transport.get_write_buffer_size()
        if self.is_open:
            self._deadline = self.group.now + self.group.host.timeouts.write

    def resume_writing(self) -> None:
        self.paused = False
        if self.is_open:
            self._deadline = NEVER
        writers, self._writers = self._writers, None
        _wake(writers)
        self._read_on()

    # Messages in.

    def _parse(self, data: bytes) -> None:
        frames = self.frames
        frames.receive_data(data)
        if frames.writes:
            self._write_control()
        if self.messages:
            self._active = True
            waiter = self._waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
            if frames.held > self.options.queue_bytes or len(self.messages) > self.options.queue_messages:
                self._full = True
                self._stop_reading()

    def _parse_rest(self) -> None:
        """Parse as long as there is room for messages; when we are closing they need none."""
        data, at = self._rest, 0
        while at < len(data) and not self.is_over and not (self._full and self.is_open):
            self._parse(data[at : at + SLICE])
            at += SLICE
        self._rest = data[at:] if not self.is_over else b""
        if self._eof and not self._rest and not self.is_over:
            self._lose()
            self.transport.close()

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self.transport.pause_reading()

    def _read_on(self) -> None:
        """Whatever kept us from reading may be over."""
        if self._reading or (self._full and self.is_open):
            return
        self._reading = True
        if not self.transport.is_closing():
            self.transport.resume_reading()

    async def wait(self) -> None:
        """Return when there is a message. Raises WebSocketDisconnected when there will be none."""
        while not self.messages:
            if self.is_over:
                raise WebSocketDisconnected(*self.frames.outcome)
            if self._waiter is not None:
                raise ExchangeStateError("expected one task at a time in receive()")
            self._waiter = self.group.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def emptied(self) -> None:
        """The last message was taken."""
        self.frames.held = 0
        if self._full:
            self._full = False
            if self._rest:
                self._parse_rest()
            self._read_on()

    # Messages out.

    def send(self, message: str | bytes | bytearray | memoryview) -> None:
        """Write one message now. The channel is open. Raises TypeError for what is no message."""
        if message.__class__ is str:
            data = self.frames.text(message.encode())
        elif isinstance(message, _BINARY):
            data = self.frames.binary(message)
        elif isinstance(message, str):
            data = self.frames.text(message.encode())
        else:
            raise TypeError(f"expected str or bytes to send, got {type(message).__name__}")
        self._active = True
        self.sent += len(data)
        self.transport.write(data)

    async def writable(self) -> None:
        """Wait until the client takes more, or is gone."""
        while self.paused and self.is_open:
            writable = self.group.loop.create_future()
            if self._writers is None:
                self._writers = []
            self._writers.append(writable)
            await writable

    def _write_control(self) -> None:
        """Write the frames that answer what has come, and end where they end."""
        writes = self.frames.data_to_send()
        data = b"".join(writes)
        if data:
            self.sent += len(data)
            self.transport.write(data)
        if self.frames.eof_sent:
            self._finish()
        elif self.paused:  # a client that pings and does not read must wait
            self._stop_reading()

    # The end.

    def begin_close(self, code: int, reason: str = "") -> None:
        """Send a Close frame unless one was sent, and expect the client's within the time for it."""
        if not self.is_open:
            return
        self.is_open = False
        self.frames.send_close(code, reason)
        self._deadline = self.group.now + self.options.close_timeout
        self._write_control()
        writers, self._writers = self._writers, None
        _wake(writers)
        if self._rest:
            self._parse_rest()
        self._read_on()

    async def closed(self) -> None:
        """Wait until it is over."""
        if not self.is_over:
            over = self.group.loop.create_future()
            if self._closers is None:
                self._closers = []
            self._closers.append(over)
            await over

    def _fail(self, code: int, reason: str) -> None:
        self.frames.fail(code, reason)
        self._write_control()

    def _lose(self) -> None:
        """There will be no more from the client."""
        if not self.is_over:
            self.frames.receive_eof()
            self.frames.data_to_send()
            self._end()

    def _finish(self) -> None:
        """Both sides have closed, or ours has given up: close the connection when what was written has left.

        The client may have more on its way, which must not reset what is on the way to it: read on.
        """
        self._end()
        transport = self.transport
        if transport.is_closing():
            return
        self._deadline = self.group.now + self.group.host.timeouts.linger
        self._backlog = 0
        if transport.can_write_eof():
            try:
                transport.write_eof()
            except OSError:  # asyncio has not noticed yet that the client is gone
                transport.abort()
                return
            self._read_on()
        else:
            transport.close()

    def _end(self) -> None:
        """No message comes or goes any more: tell whoever waits."""
        self.is_open = False
        self.is_over = True
        code, reason = self.frames.outcome
        error = None if code in PROPER else WebSocketDisconnected(code, reason)
        self._exchange.end_switched(self, self.sent, error)
        waiters = [*(self._writers or ()), *(self._closers or ())]
        if self._waiter is not None:
            waiters.append(self._waiter)
        self._writers = self._closers = None
        _wake(waiters)

    # Called by the group.

    def sweep(self, now: float) -> None:
        if now >= self._deadline:
            self._time_out(now)
        if not self.is_open:
            return
        options = self.options
        if (
            self._heard or self.paused
        ):  # behind what a slow client has not read yet, a ping would tell nothing
            self._heard = self._pinged = False
            self._heard_since = now
        elif self._pinged:
            if now - self._heard_since >= options.ping_timeout and self._reading:
                log.info("no answer to a ping: WebSocket of %s cut", self._exchange.request)
                self._fail(INTERNAL_ERROR, "no answer to a ping")
                return
        elif options.ping_interval is not None and now - self._heard_since >= options.ping_interval:
            self._pinged = True
            self._heard_since = now
            self.frames.send_ping(b"")
            self._write_control()
        if self._active:
            self._active = False
            self._active_since = now
        else:
            self._rest_or_close(now - self._active_since)

    def _rest_or_close(self, idle: float) -> None:
        if self.options.idle_timeout is not None and idle >= self.options.idle_timeout:
            self.begin_close(NORMAL, "idle")
        elif idle >= REST_S:
            self.frames.rest()

    def _time_out(self, now: float) -> None:
        """Cut, unless the client is reading what waits for it."""
        backlog = self.transport.get_write_buffer_size()
        if backlog and backlog != self._backlog and (self.is_open or self.is_over):
            self._backlog = backlog
            timeouts = self.group.host.timeouts
            self._deadline = now + (timeouts.write if self.is_open else timeouts.linger)
        else:
            self._deadline = NEVER
            self.transport.abort()

    def close_if_idle(self) -> None:
        """The server stops (RFC 6455 7.4.2: 1012 is in the registry)."""
        self.begin_close(SERVICE_RESTART)

    def abort(self) -> None:
        self.transport.abort()


def _wake(waiters: "list[asyncio.Future[None]] | None") -> None:
    for waiter in waiters or ():
        if not waiter.done():
            waiter.set_result(None)
