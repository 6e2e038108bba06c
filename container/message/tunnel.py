"""One end of a tunnel: bytes both ways between two connections, no faster than the slower one. No I/O, no clock.

Hot path. A transport calls it (it has the methods of asyncio.Protocol), and it calls the end at the other side.
Each side may close its half (RFC 9110 9.3.6); when both have, or one is lost, the tunnel is over.
"""

from collections.abc import Callable
from typing import Protocol


class Wire(Protocol):
    """What an end needs of its transport."""

    def write(self, data: bytes) -> None: ...
    def write_eof(self) -> None: ...
    def can_write_eof(self) -> bool: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def is_closing(self) -> bool: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


class TunnelEnd:
    """One end. `join` two of them; what came before that is passed on then.

    `received`: bytes that have come from its transport. `moved`: something has come since somebody last looked.
    """

    __slots__ = (
        "_held",
        "_on_over",
        "_peer",
        "_saw_eof",
        "is_over",
        "moved",
        "paused",
        "received",
        "transport",
    )

    def __init__(self, transport: Wire, on_over: Callable[[Exception | None], None] | None = None) -> None:
        self.transport = transport
        self.paused = False
        self.is_over = False
        self.moved = True
        self.received = 0
        self._peer: TunnelEnd | None = None
        self._on_over = on_over
        self._saw_eof = False
        self._held: list[bytes] = []

    # Called by the transport.

    def data_received(self, data: bytes) -> None:
        self.moved = True
        self.received += len(data)
        peer = self._peer
        if peer is None:
            self._held.append(data)
            self.transport.pause_reading()
        elif not peer.is_over:
            peer.transport.write(data)
            if peer.paused:
                self.transport.pause_reading()

    def eof_received(self) -> bool:
        self._saw_eof = True
        if self._peer is not None:
            self._peer.finish()
        return not self.is_over

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)

    def pause_writing(self) -> None:
        self.paused = True
        if self._peer is not None and not self._peer.is_over:
            self._peer.transport.pause_reading()

    def resume_writing(self) -> None:
        self.paused = False
        self.moved = True
        if self._peer is not None and not self._peer.is_over and not self._peer.transport.is_closing():
            self._peer.transport.resume_reading()

    # Called by the other end, or whoever watches.

    def finish(self) -> None:
        """Nothing more will be written here."""
        if self.is_over or self.transport.is_closing():
            return
        if self._saw_eof or not self.transport.can_write_eof():
            self.close()
            return
        try:
            self.transport.write_eof()
        except OSError:  # asyncio has not noticed yet that this end is gone
            self.close()

    def close(self) -> None:
        """Close both when what was written has left."""
        self._end(None)

    def abort(self, error: Exception | None = None) -> None:
        """Cut both."""
        self.transport.abort()
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        if self.is_over:
            return
        self.is_over = True
        if not self.transport.is_closing():
            self.transport.close()
        if self._on_over is not None:
            self._on_over(error)
        if self._peer is not None:
            self._peer._end(error)


def join(one: TunnelEnd, other: TunnelEnd) -> None:
    """Make the two the ends of a tunnel."""
    one._peer, other._peer = other, one
    for end, peer in ((one, other), (other, one)):
        held, end._held = end._held, []
        if held and not peer.is_over:
            peer.transport.write(b"".join(held))
            if not peer.paused:
                end.transport.resume_reading()
        if end._saw_eof:
            peer.finish()
    for end in (one, other):
        if end.is_over:
            end._peer._end(None) if end._peer is not None else None
