"""A transport in memory with both of its ends: the protocol's, and the client's that a test plays.

Where event loops differ it takes the stricter side, so that what works here works on all of them: a paused
reader learns neither of an end nor of a reset, and writing to a transport that is closed is an error.
"""

import asyncio
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

# What one read of a socket brings at most.
READ_MAX = 256 * 1024
HIGH_WATER = 64 * 1024

Address = tuple[str, int] | str


class MockTransport(asyncio.Transport):
    """One connection; `protocol` is connected at once.

    The client's end: `feed`, `feed_eof`, `leave` and `reset` are what a client does; `take` is what it reads;
    `written` is everything that was ever written, `writes` the same call by call (with `record`); `eof_seen`
    and `reset_seen` tell how the protocol ended it; `hold` and `release` play a client that does not read.

    The client's kernel keeps `window` bytes that the client has not taken, without it everything; the rest
    waits in the transport, which pauses the protocol's writing above `high_water` bytes.
    """

    def __init__(
        self,
        protocol: asyncio.Protocol,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        peername: Address = ("127.0.0.1", 50000),
        sockname: Address = ("127.0.0.1", 80),
        secure: bool = False,
        high_water: int = HIGH_WATER,
        window: int | None = None,
        record: bool = True,
    ) -> None:
        extra: dict[str, object] = {"peername": peername, "sockname": sockname}
        if secure:
            extra["sslcontext"] = object()
        super().__init__(extra)
        self.writes: list[bytes] = []
        self.eof_seen = False
        self.reset_seen = False
        self.lost = False
        self.activity = 0
        self.on_change: Callable[[], None] | None = None
        self._record = record
        self._loop = loop or asyncio.get_running_loop()
        self._secure = secure
        self._window = window
        self._inbox = bytearray()
        self._buffer = bytearray()
        self._taken = bytearray()
        self._reading = True
        self._delivering = False
        self._closing = False
        self._eof_written = False
        self._client_eof = False
        self._eof_waits = False
        self._client_left = False
        self._reset_waits = False
        self._held = False
        self._paused = False
        self.set_write_buffer_limits(high_water)
        self._protocol: asyncio.Protocol = protocol
        protocol.connection_made(self)

    # What the client does.

    def feed(self, data: bytes) -> None:
        """The client sends `data`; it waits while the protocol has paused reading."""
        if self._client_eof:
            raise RuntimeError("expected no more from this client: its end was sent")
        if self._closing or self._reset_waits:
            return
        self._inbox += data
        self._deliver()

    def feed_eof(self) -> None:
        """The client sends no more, but goes on reading."""
        if self._client_eof:
            return
        self._client_eof = self._eof_waits = True
        self._deliver()

    def leave(self) -> None:
        """The client closes its socket: an end for now, a reset for whatever is written after it.

        With bytes it has not read it is a reset at once, as kernels do (RFC 9293 3.6.1).
        """
        if self._client_left or self.lost:
            return
        self._client_left = True
        if self._taken or self._buffer:
            self.reset()
        else:
            self.feed_eof()

    def reset(self, error: Exception | None = None) -> None:
        """The client's side breaks: what is on its way in either direction is lost."""
        self._client_left = self._client_eof = True
        self._eof_waits = False
        self._inbox.clear()
        self._taken.clear()
        if self._reading or self._closing:
            self._force_close(error or ConnectionResetError("the client has reset the connection"))
        else:
            self._reset_waits = True

    def hold(self) -> None:
        """The client reads no more, until `release`."""
        self._held = True

    def release(self) -> None:
        """The client reads again, beginning with what has been kept back."""
        self._held = False
        self._flow()

    def take(self) -> bytes:
        """What has reached the client since the last call."""
        data = bytes(self._taken)
        self._taken.clear()
        self._flow()
        return data

    @property
    def written(self) -> bytes:
        """All that was written, whether it has reached the client or not."""
        return b"".join(self.writes)

    @property
    def unread(self) -> int:
        """How many bytes have reached the client that it did not take yet."""
        return len(self._taken)

    @property
    def is_held(self) -> bool:
        """Has the client stopped reading?"""
        return self._held

    @property
    def pending(self) -> int:
        """How many bytes the client has sent that the protocol did not read yet."""
        return len(self._inbox)

    # What the protocol does.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"expected bytes to write, got {type(data).__name__}")
        if self.lost:
            raise RuntimeError("expected no write() after connection_lost()")
        if self._eof_written:
            raise RuntimeError("expected no write() after write_eof()")
        if self._closing or not data:
            return
        if self._client_left or self._reset_waits:
            self._force_close(BrokenPipeError("the client has left"))
            return
        if self._record:
            self.writes.append(bytes(data))
        self._buffer += data
        self._flow()
        if len(self._buffer) > self._high and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def write_eof(self) -> None:
        if self._secure:
            raise NotImplementedError("TLS connections cannot be half-closed")
        if self._closing or self._eof_written:
            return
        self._eof_written = True
        self._flow()

    def can_write_eof(self) -> bool:
        return not self._secure

    def close(self) -> None:
        """Close when everything has been sent."""
        if self._closing:
            return
        self._closing = True
        self._inbox.clear()
        if not self._buffer:
            self._loop.call_soon(self._lose, None)
        self._changed()

    def abort(self) -> None:
        """Close at once by a reset; what was not sent yet is lost."""
        if not self.lost and not self.reset_seen:
            self.reset_seen = True
            self._force_close(None)

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        if not self._closing:
            self._reading = False

    def resume_reading(self) -> None:
        if self._reading or self._closing:
            return
        self._reading = True
        self._loop.call_soon(self._deliver)

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"expected high >= low >= 0, got {high} and {low}")
        self._high, self._low = high, low

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        if not hasattr(protocol, "data_received"):  # its methods count, not what it inherits from
            raise TypeError(f"expected an asyncio.Protocol, got {protocol!r}")
        self._protocol = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    # Between the two.

    def _deliver(self) -> None:
        """Give the protocol what the client has sent, as far as it reads."""
        if self._delivering:
            return
        if self._reset_waits and self._reading:
            self._force_close(ConnectionResetError("the client has reset the connection"))
        self._delivering = True
        try:
            while self._inbox and self._reading and not self._closing:
                data = bytes(self._inbox[:READ_MAX])
                del self._inbox[:READ_MAX]
                self._protocol.data_received(data)
            if self._eof_waits and self._reading and not self._closing and not self._inbox:
                self._eof_waits = False
                if not self._protocol.eof_received():
                    self.close()
        finally:
            self._delivering = False
        self._changed()

    def _flow(self) -> None:
        """Move what was written to the client, as far as it reads."""
        if self._held or self.lost:
            return
        room = len(self._buffer) if self._window is None else max(0, self._window - len(self._taken))
        moved = self._buffer[:room]
        if moved:
            self._taken += moved
            del self._buffer[:room]
        ends = self._eof_written and not self._buffer and not self.eof_seen
        if ends:
            self.eof_seen = True
        if self._paused and len(self._buffer) <= self._low:
            self._paused = False
            self._protocol.resume_writing()
        if not self._buffer and self._closing:
            self._loop.call_soon(self._lose, None)
        if moved or ends:
            self._changed()

    def _force_close(self, error: Exception | None) -> None:
        if self.lost:
            return
        self._closing = True
        self._inbox.clear()
        self._buffer.clear()
        self._loop.call_soon(self._lose, error)
        self._changed()

    def _lose(self, error: Exception | None) -> None:
        if self.lost:
            return
        self.lost = True
        self.eof_seen = True
        self._protocol.connection_lost(error)
        self._changed()

    def _changed(self) -> None:
        self.activity += 1
        if self.on_change is not None:
            self.on_change()
