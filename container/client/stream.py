"""One connection to a server behind this one: an address, bytes both ways with back-pressure, a pool to keep it.

What the bytes mean is said by `protocol/`, what becomes of them by the resource that asked.
"""

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, cast


@dataclass(frozen=True, slots=True)
class Address:
    """`unix:/path`, `host:port` or `tcp:host:port`; an IPv6 address stands in brackets."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Raises ValueError for anything else."""
        if text.startswith("unix:") and len(text) > len("unix:"):
            return cls(path=text.removeprefix("unix:"))
        host, _, port = text.removeprefix("tcp:").rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if host and port.isdecimal() and 0 < int(port) <= 65_535 and (bracketed or ":" not in host):
            return cls(host=host.strip("[]"), port=int(port))
        raise ValueError(
            f'expected an address such as "unix:/run/app.sock" or "127.0.0.1:9000", got {text!r}'
        )

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Receiver(Protocol):
    """Who reads from a Stream. Called on the loop."""

    def received(self, data: bytes) -> None:
        """More bytes."""

    def closed(self, error: Exception | None) -> None:
        """No more will come."""


class Stream(asyncio.Protocol):
    """A connection. What comes while it has no `receiver` ends it: nothing was asked.

    `used`: it has served a request before, so the other side may have been about to close it.
    """

    def __init__(self) -> None:
        self.receiver: Receiver | None = None
        self.is_open = False
        self.used = False
        self._writable: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def connect(cls, address: Address, timeout: float) -> "Stream":
        """Raises OSError, TimeoutError among them."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout):
            if address.path:
                _, stream = await loop.create_unix_connection(cls, address.path)
            else:
                _, stream = await loop.create_connection(cls, address.host, address.port)
        return stream

    def write(self, data: bytes) -> None:
        if self._transport is not None and self.is_open:
            self._transport.write(data)

    async def drain(self) -> None:
        """Until the other side takes more, or the connection is closed."""
        if self._writable is not None:
            await self._writable

    def pause(self) -> None:
        if self._transport is not None and self.is_open:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and self.is_open:
            with suppress(RuntimeError):  # it is not paused, says asyncio
                self._transport.resume_reading()

    def close(self) -> None:
        """Close it when what was written has left; its receiver is not told any more."""
        self.receiver = None
        self.is_open = False
        if self._transport is not None:
            self._transport.close()

    # Called by the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        if self.receiver is not None:
            self.receiver.received(data)
        else:
            self.close()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        self._transport = None
        self.resume_writing()
        receiver, self.receiver = self.receiver, None
        if receiver is not None:
            receiver.closed(error)

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)


class PoolFull(Exception):
    """More wait for a connection than may."""


class StreamPool:
    """Connections to one address: at most `size` at a time, and `queue_limit` who wait for one."""

    def __init__(self, address: Address, *, size: int, queue_limit: int, connect_timeout: float) -> None:
        self.address = address
        self.size = size
        self.queue_limit = queue_limit
        self.connect_timeout = connect_timeout
        self._idle: list[Stream] = []
        self._busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self, *, fresh: bool = False) -> Stream:
        """A connection, to be given back; a `fresh` one has served nobody. Raises PoolFull, OSError."""
        await self._room()
        try:
            while self._idle and not fresh:
                stream = self._idle.pop()
                if stream.is_open:
                    stream.used = True
                    return stream
            return await Stream.connect(self.address, self.connect_timeout)
        except BaseException:
            self._leave()
            raise

    def give(self, stream: Stream, *, keep: bool) -> None:
        """Back from who took it; `keep` when nothing of the last request is left in it."""
        stream.receiver = None
        if keep and stream.is_open:
            stream.resume()
            self._idle.append(stream)
        else:
            stream.close()
        self._leave()

    def close(self) -> None:
        """Close what nobody uses."""
        while self._idle:
            self._idle.pop().close()

    async def _room(self) -> None:
        if self._busy < self.size:
            self._busy += 1
            return
        if len(self._waiting) >= self.queue_limit:
            raise PoolFull(f"expected at most {self.queue_limit} requests to wait for {self.address}")
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn  # whoever leaves gives its place away
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()
            else:
                self._waiting.remove(turn)
            raise

    def _leave(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._busy -= 1
