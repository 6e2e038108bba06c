"""A connection that its HTTP/1.1 channel has given away to a tunnel (RFC 9110 7.8, 9.3.6)."""

import logging
from typing import TYPE_CHECKING, Final

from container.message.errors import ClientDisconnected
from container.message.tunnel import TunnelEnd

if TYPE_CHECKING:
    from container.channel.exchange import H1Exchange
    from container.channel.h1 import H1Channel

log = logging.getLogger("container.channel")

_NEVER: Final = float("inf")
# When the server stops, a tunnel in which nothing has moved for so long has nothing to finish.
_QUIET_S: Final = 5.0


class TunnelChannel(TunnelEnd):
    """The client's end: its group watches over it as over any channel.

    Without a byte either way for `idle_timeout` it is cut; so is a client that does not read, or does not close
    its side. When the server stops it goes on for as long as something moves, until the others are cut, too.
    """

    __slots__ = (
        "_backlog",
        "_closing",
        "_exchange",
        "_idle_timeout",
        "_moved_since",
        "_watched",
        "group",
        "wire",
    )

    def __init__(self, exchange: "H1Exchange", previous: "H1Channel", idle_timeout: float) -> None:
        super().__init__(previous.transport)
        self.wire = previous.transport
        self.group = previous.group
        self._exchange = exchange
        self._idle_timeout = idle_timeout
        self._moved_since = self.group.now
        self._closing = _NEVER
        self._backlog = 0
        self.paused = previous.paused
        if data := previous.hand_over(self):
            self.data_received(data)
        if previous.half_closed:
            self.eof_received()
        if self.group.draining:
            self.group.close_soon(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.group.remove(self)
        super().connection_lost(exc)

    def _end(self, error: Exception | None) -> None:
        if not self.is_over:
            sent = self._peer.received if self._peer is not None else 0
            self._closing = self.group.now + self.group.host.timeouts.linger
            super()._end(error)
            self._exchange.end_switched(self, sent, error)

    # Called by the group.

    def sweep(self, now: float) -> None:
        if self.is_over:
            self._expect_close(now)
            return
        idle = self._idle_s()
        if idle and idle >= self._idle_timeout:
            log.info("nothing moved for %g s: tunnel of %s cut", self._idle_timeout, self._exchange.request)
            self.abort(ClientDisconnected("nothing moved in the tunnel"))
        elif self.group.draining:
            self.close_if_idle()

    def _idle_s(self) -> float:
        """How long nothing has moved."""
        peer = self._peer
        if self.moved or (peer is not None and peer.moved):
            self.moved = False
            if peer is not None:
                peer.moved = False
            self._moved_since = self.group.now
        return self.group.now - self._moved_since

    def _expect_close(self, now: float) -> None:
        """What was written has to leave, or at least to get less."""
        backlog = self.wire.get_write_buffer_size()
        if backlog != self._backlog:
            self._backlog = backlog
            self._closing = now + self.group.host.timeouts.linger
        elif now >= self._closing:
            self.wire.abort()

    def close_if_idle(self) -> None:
        """The server stops, and cannot know what the two still have to say to each other."""
        if self._idle_s() >= _QUIET_S:
            self.close()
