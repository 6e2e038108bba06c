"""Room for connections: how many a process may have, and whether the next one is left to another process.

Not here: the figures that processes share (balance.py), and who accepts (listener.py).
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Final

from container.channel.balance import Balance

# What other processes, which have fewer connections, get to accept before us; they may be blocked.
PATIENCE_S: Final = 0.005
BURST_MAX: Final = 64


class Room:
    """Counts the connections of all groups of a process, where they have a limit or are shared with other processes.

    Who accepts asks for a place before each connection, and is called when there is one again. An arrival and the
    channel it becomes are two for a moment.
    """

    def __init__(self, most: int | None = None, balance: Balance | None = None) -> None:
        self._most = sys.maxsize if most is None else most
        self._balance = balance
        self._taken: set[object] = set()
        # These take room, but ask for nothing more.
        self._ending: set[object] = set()
        self._waiting: list[Callable[[], None]] = []
        # Others go first until this is over, or until they have no fewer.
        self._patience: asyncio.TimerHandle | None = None
        # Connections to take before others are waited for again, and after that.
        self._in_turn = self._burst = 1

    def wanted_by(self, accept: Callable[[], None]) -> None:
        """Call `accept` whenever there is a place again."""
        self._waiting.append(accept)

    def has_place(self) -> bool:
        """Is the next connection for us? Every time that others were waited for in vain, twice as many are."""
        if len(self._taken) >= self._most or self._patience is not None:
            return False
        if not self._is_ahead():
            self._in_turn = self._burst = 1
            return True
        if self._in_turn:
            self._in_turn -= 1
            return True
        self._in_turn = self._burst
        self._burst = min(2 * self._burst, BURST_MAX)
        self._patience = asyncio.get_running_loop().call_later(PATIENCE_S, self._go_on)
        return False

    def lift(self) -> None:
        """There is no limit any more, and others need not wait for this process."""
        self._most = sys.maxsize
        if self._balance is not None:
            self._balance.leave()
            self._balance = None
        self._go_on()

    def take(self, connection: object) -> None:
        """`connection` has a place, from now on or already."""
        if connection not in self._taken:
            self._taken.add(connection)
            self.tell()

    def end(self, connection: object) -> None:
        """Its client sends no more: the process is free for another, whatever is still to be answered."""
        if connection in self._taken:
            self._ending.add(connection)
            self._has_fewer()

    def give(self, connection: object) -> None:
        if connection in self._taken:
            self._taken.remove(connection)
            self._ending.discard(connection)
            self._has_fewer()

    def tell(self) -> None:
        """Let the other processes know."""
        if self._balance is not None:
            self._balance.tell(self._asking)

    @property
    def _asking(self) -> int:
        return len(self._taken) - len(self._ending)

    def _is_ahead(self) -> bool:
        return self._balance is not None and self._balance.is_ahead(self._asking)

    def _has_fewer(self) -> None:
        """One has gone. Who lets others go first goes on when it has no more than they: their figures may be old."""
        self.tell()
        if self._patience is None:
            if len(self._taken) == self._most - 1:
                self._go_on()
        elif self._balance is None or not self._balance.has_more(self._asking):
            self._go_on()

    def _go_on(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        for accept in self._waiting:
            accept()
