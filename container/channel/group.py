"""The channels of one loop that serve one host: the clock they share, the sweep, the drain.

Hot path: what every answer needs and no request changes (the Date field, the coarse clock) is kept ready
here and renewed by the sweep. No timer is made per request or per connection.
"""

import asyncio
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Protocol

from container.channel.room import Room
from container.message.exchange import Exchange, Host
from container.message.fields import DATE, SERVER
from container.protocol.h1 import Tokeniser
from container.protocol.h1_response import PLAIN_LINES

SWEEP_S = 1.0
# Idle connections may have a request on its way when the drain begins: they are closed a little later.
IDLE_GRACE_S = 0.1


class Channel(Protocol):
    """One connection, as its group sees it."""

    def sweep(self, now: float) -> None:
        """Compare deadlines with `now`, the loop's time in seconds."""

    def close_if_idle(self) -> None:
        """Close unless a request is being read or answered."""

    def abort(self) -> None:
        """Cut the connection."""


class ChannelGroup:
    """All connections of one host on one loop.

    `now` is the loop's time as of the last sweep, at most a second old: precise enough for deadlines.
    `openings`: how answers begin that are like most, by status: the start-line and the default fields.
    While `draining`, every answer closes its connection. `room` counts
    connections where that is needed.
    """

    __slots__ = (
        "_drained", "_server_field", "_timer", "channels", "date_field", "default_fields", "dispatch", "draining",
        "host", "keep_alive", "loop", "now", "openings", "room", "stopped", "tokeniser",
    )  # fmt: skip

    def __init__(
        self,
        host: Host,
        loop: asyncio.AbstractEventLoop,
        *,
        server_name: str = "container",
        room: Room | None = None,
    ) -> None:
        self.host = host
        self.room = room
        self.loop = loop
        self.channels: set[Channel] = set()
        self.tokeniser = Tokeniser()
        # Bound once: every request needs these.
        self.dispatch: Callable[[Exchange], None] = host.dispatch
        self.keep_alive = host.timeouts.keep_alive
        self.draining = False
        self.stopped = False
        self._server_field = f"Server: {server_name}\r\n".encode("latin-1") if server_name else b""
        self._drained: asyncio.Event | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.now = 0.0
        self.date_field = b""
        self.default_fields = b""
        self.openings: dict[int, bytes] = {}
        self.tick()

    def tick(self) -> None:
        """Renew the clock and the fields made from it."""
        self.now = self.loop.time()
        self.date_field = f"Date: {formatdate(time.time(), usegmt=True)}\r\n".encode("ascii")
        self.default_fields = self.date_field + self._server_field
        self.openings = {status: line + self.default_fields for status, line in PLAIN_LINES.items()}

    def default_fields_besides(self, kinds: int) -> bytes:
        """The default fields an answer lacks that has fields of `kinds` already."""
        if not kinds & (DATE | SERVER):
            return self.default_fields
        date = b"" if kinds & DATE else self.date_field
        return date + (b"" if kinds & SERVER else self._server_field)

    def start(self) -> None:
        """Begin to sweep."""
        if self.room is not None:
            self.room.tell()  # others that are busy already know whom to leave connections to
        self._timer = self.loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        self._timer = self.loop.call_later(SWEEP_S, self._sweep)
        self.tick()
        if self.room is not None:
            self.room.tell()
        for channel in list(self.channels):
            channel.sweep(self.now)

    def add(self, channel: Channel) -> None:
        self.channels.add(channel)
        if self.room is not None:
            self.room.take(channel)

    def remove(self, channel: Channel) -> None:
        if self.room is not None:
            self.room.give(channel)
        self.channels.discard(channel)
        if self._drained is not None and not self.channels:
            self._drained.set()

    def ending(self, channel: Channel) -> None:
        """`channel` will be removed when what has come is answered."""
        if self.room is not None:
            self.room.end(channel)

    async def drain(self, timeout: float | None, *, idle_grace: float = IDLE_GRACE_S) -> bool:
        """Answer what is in flight, then close; True when all of it was done within `timeout` seconds.

        What is still open then is cut. Idle connections have `idle_grace` seconds for one more request.
        """
        self.draining = True
        self._drained = asyncio.Event()
        if not self.channels:
            return True
        self.loop.call_later(idle_grace, self.close_idle)
        try:
            async with asyncio.timeout(timeout):
                await self._drained.wait()
        except TimeoutError:
            for channel in list(self.channels):
                channel.abort()
            return False
        return True

    def close_soon(self, channel: Channel) -> None:
        """Close `channel` unless another request comes within a moment."""
        self.loop.call_later(IDLE_GRACE_S, channel.close_if_idle)

    def close_idle(self) -> None:
        """Close every connection that has nothing to do."""
        for channel in list(self.channels):
            channel.close_if_idle()

    def stop(self) -> None:
        """Sweep no more, and take no more connections: one that is just being made is cut."""
        self.stopped = True
        for channel in list(self.channels):
            channel.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
