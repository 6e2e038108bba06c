"""The in-memory bench: a transport that only counts, a tally of answers, and the loop that drives a protocol.

A contender is a set of connections that take bytes and answer through such a transport. What the kernel and
the event loop's sockets cost is absent from every row alike.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from apps import BODY

if TYPE_CHECKING:
    from rounds import Sample

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
"""What wrk sends."""

ANSWER_TIMEOUT_S = 30.0


class Receiver(Protocol):
    """The side of a connection that the bench feeds: an `asyncio.Protocol`, or anything with this method."""

    def data_received(self, data: bytes, /) -> None: ...


class Tally:
    """Counts answers and writes, wakes the driver when the batch it waits for is whole. Loop thread only."""

    __slots__ = ("_awaited", "_left", "writes")

    def __init__(self) -> None:
        self._left = 0
        self._awaited: asyncio.Future[None] | None = None
        self.writes = 0

    def expect(self, answers: int) -> None:
        """Begin a batch."""
        assert self._left == 0
        self._left = answers

    def answered(self) -> None:
        """One request has its whole answer."""
        self._left -= 1
        if self._left == 0 and self._awaited is not None:
            self._awaited.set_result(None)
            self._awaited = None

    async def whole(self) -> None:
        """Wait for the batch; always gives the loop a turn, so that what was put off is paid for here."""
        if self._left == 0:
            await asyncio.sleep(0)
            return
        self._awaited = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await self._awaited


class CountingTransport(asyncio.Transport):
    """Takes what a protocol writes and forgets it. An answer is whole when a write ends with the body."""

    def __init__(self, tally: Tally) -> None:
        super().__init__({"peername": ("127.0.0.1", 50000), "sockname": ("127.0.0.1", 8080)})
        self._tally = tally
        self._protocol: asyncio.BaseProtocol | None = None
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._tally.writes += 1
        if data[-len(BODY) :] == BODY:
            self._tally.answered()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    def abort(self) -> None:
        self._closing = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass

    def is_reading(self) -> bool:
        return True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return 16384, 65536

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


@dataclass(frozen=True)
class Bench:
    """What a contender builds its connections with."""

    tally: Tally
    connections: int
    threads: int

    def transport(self) -> CountingTransport:
        """A transport for one connection."""
        return CountingTransport(self.tally)


Opening = Callable[[Bench], AbstractAsyncContextManager[Sequence[Receiver]]]
"""Opens a contender: yields `bench.connections` receivers, each with a transport; closes all in the end."""


async def measure(opening: Opening, *, requests: int, connections: int, threads: int) -> Sample:
    """CPU a request of one contender: one request in flight on each connection, batch after batch."""
    bench = Bench(Tally(), connections, threads)
    batches = max(1, requests // connections)
    async with opening(bench) as receivers:
        await _drive(receivers, bench.tally, max(1, batches // 10))  # warm up
        gc.collect()
        bench.tally.writes = 0
        process_s, loop_s = time.process_time(), time.thread_time()
        await _drive(receivers, bench.tally, batches)
        process_s, loop_s = time.process_time() - process_s, time.thread_time() - loop_s
    made = batches * len(receivers)
    return {
        "cpu_us": process_s / made * 1e6,
        "loop_us": loop_s / made * 1e6,
        "writes": bench.tally.writes / made,
    }


async def _drive(receivers: Sequence[Receiver], tally: Tally, batches: int) -> None:
    feeds = [receiver.data_received for receiver in receivers]
    for _ in range(batches):
        tally.expect(len(feeds))
        for feed in feeds:
            feed(REQUEST)
        await tally.whole()
