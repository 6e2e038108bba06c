"""How many connections each of several processes has that accept at the same sockets, so that none takes them all.

The kernel wakes all of them and the first one takes the connection, and the next, and all the others as long as it
is awake: kept connections then stay with one process while another has nothing to do. Here: the figures, in memory
that the processes share. Who waits because of them is `channel/room.py`.
"""

import mmap
import time
from collections.abc import Callable
from typing import Final

# More processes than that share places, and are then taken for one.
PLACES: Final = 64
# A process that says nothing for so long is gone, or blocked: others do not wait for it. In tenths of a second.
SILENCE: Final = 30
_BITS: Final = 32
_COUNT: Final = (1 << _BITS) - 1


def shared_figures() -> memoryview:
    """Memory for `Balance`, to be made before the processes are."""
    return memoryview(mmap.mmap(-1, PLACES * 8)).cast("Q")


class Balance:
    """The figures, seen from the process that has `place`. Each is one word: when it was written, and the count."""

    def __init__(self, figures: memoryview, place: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._figures = figures
        self._place = place % PLACES
        self._clock = clock
        # Whom to compare with, and when that was looked up.
        self._others: list[int] = []
        self._looked = 0

    def tell(self, connections: int) -> None:
        """Say how many there are; at least once a second."""
        self._figures[self._place] = (int(self._clock() * 10) << _BITS) | connections

    def leave(self) -> None:
        """This process takes no more."""
        self._figures[self._place] = 0

    def is_ahead(self, connections: int) -> bool:
        """Would another process, which has clearly fewer, better take the next one?"""
        least = self._least()
        return least is not None and connections > least + 1 + least // 32

    def has_more(self, connections: int) -> bool:
        """Has another process fewer, be it by one?"""
        least = self._least()
        return least is not None and connections > least

    def _least(self) -> int | None:
        now = int(self._clock() * 10)
        if now != self._looked:  # 64 places take longer to read than a request to answer
            self._looked = now
            self._others = [
                place
                for place, figure in enumerate(self._figures)
                if figure and place != self._place and figure >> _BITS >= now - SILENCE
            ]
        figures = [figure & _COUNT for place in self._others if (figure := self._figures[place])]
        return min(figures) if figures else None
