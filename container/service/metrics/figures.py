"""What is counted of requests and told of processes: figures in memory that the processes share.

Hot path, where a tree has `Metrics`; any other pays nothing. Each process has a place and writes there only, so no
lock is needed; whoever comes after it goes on counting from what it finds. What is told of figures is `page.py`'s,
when they are written `metering.py`'s, who has a place the worker's.
"""

from __future__ import annotations

import mmap
import time
from bisect import bisect_left
from time import perf_counter
from typing import TYPE_CHECKING, Final, Self

from container.service.pidfile import is_alive
from container.tree.accesslog import BeforeLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from container.message.exchange import Exchange

# Upper ends of the buckets of durations, in seconds; one more is without end.
LIMITS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# The words of a place. STARTS is written by whoever starts processes.
STARTS: Final = 0
# These tell of a process as long as it lives.
PID, CONNECTIONS, IN_PROGRESS, THREADS, BUSY, WAITING, MEMORY = GAUGES = range(1, 8)
# These count, whichever process has the place.
REFUSED, CONTENT, SECONDS = range(8, 11)
# By the first digit of the status; in place of 0xx, which there is not, clients that left.
STATUSES: Final = 11
BUCKETS: Final = STATUSES + 10
_WORDS: Final = 40
_LEFT: Final = 499
_SWITCHED: Final = 101


def shared_words(places: int) -> memoryview[float]:
    """Memory for `Figures` of so many processes, to be made before they are. What nobody writes to takes no room."""
    words = memoryview(mmap.mmap(-1, (places + 1) * _WORDS * 8)).cast("d")
    words[0] = time.time()
    return words


class Figures:
    """The figures, seen from the process that has `place` in `words`.

    Numbers are doubles: whole up to 2**53, and read and written at once. A place is used since somebody has begun it.
    """

    def __init__(self, words: memoryview[float], place: int) -> None:
        self._words = words
        self.own = self._slice(place)

    @classmethod
    def alone(cls) -> Self:
        """Those of a process that has no others beside it."""
        figures = cls(shared_words(1), 0)
        figures.begin()
        return figures

    def _slice(self, place: int) -> memoryview[float]:
        return self._words[(place + 1) * _WORDS : (place + 2) * _WORDS]

    @property
    def began(self) -> float:
        """When the memory was made, in Unix time."""
        return float(self._words[0])

    def begin(self) -> None:
        """Another process is to have this place."""
        self.own[STARTS] += 1

    def places(self) -> list[list[float]]:
        """The words of every place that was ever used; gauges of processes that are gone are 0."""
        found = []
        for place in range(len(self._words) // _WORDS - 1):
            words: list[float] = [*self._slice(place)]
            if not words[STARTS]:
                break
            if not is_alive(int(words[PID])):
                words[GAUGES.start : GAUGES.stop] = [0.0] * len(GAUGES)
            found.append(words)
        return found


def timed(dispatch: Callable[[Exchange], None]) -> Callable[[Exchange], None]:
    """`dispatch`, with the time for `Counted`."""

    def dispatch_timed(exchange: Exchange) -> None:
        exchange.request.began = perf_counter()
        dispatch(exchange)

    return dispatch_timed


class Counted(BeforeLog):
    """Counts every exchange that is over, in front of the access log: in `words`, a list, which costs a third of what
    shared memory does."""

    def __init__(self, inner: Callable[[Exchange], None] | None, words: list[float]) -> None:
        super().__init__(inner)
        self._words = words

    def __call__(self, exchange: Exchange) -> None:
        if self._inner is not None:
            self._inner(exchange)
        words, status = self._words, exchange.status
        words[STATUSES + (status // 100 if status != _LEFT else 0)] += 1
        words[CONTENT] += exchange.bytes_sent
        if status == _SWITCHED:  # how long the other protocol was spoken is no time of an answer
            return
        try:
            seconds = perf_counter() - exchange.request.began
        except AttributeError:  # it could not be read, so it was not dispatched
            return
        words[BUCKETS + bisect_left(LIMITS, seconds)] += 1
        words[SECONDS] += seconds
