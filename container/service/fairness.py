"""The loop's share of the interpreter, when threads of applications compute.

A thread that computes keeps the interpreter for the switch interval, 5 ms, every time the loop has to give it
away, which is at every look for events: with eight such threads a loop gets to run 25 times a second, and
everybody waits. A shorter interval mends that and costs switches, so it is set only while the loop is seen to
come late.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Final

LOOK_S: Final = 0.1
# How late a timer may be that nobody kept from being in time.
LATE_S: Final = 0.02
# With the short interval, threads that compute make it less late.
CONTENDED_S: Final = 0.002
SHORT_S: Final = 0.0005
# The short interval stays for so long after it was last needed.
KEEP_S: Final = 10.0


class FairSwitching:
    """Watches how late the loop's timers are, from `start` to `stop`, and adapts the switch interval."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._usual = sys.getswitchinterval()
        self._is_short = False
        self._keep_until = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._due = time.monotonic() + LOOK_S
        self._timer = self._loop.call_later(LOOK_S, self._look)

    def stop(self) -> None:
        """Watch no more; the interval is what it was."""
        if self._timer is not None:
            self._timer.cancel()
        if self._is_short:
            sys.setswitchinterval(self._usual)

    def _look(self) -> None:
        # Not the loop's own clock: it stands still from its look for events on, and we wait after that.
        now = time.monotonic()
        self.judge(now - self._due, now)
        self.start()

    def judge(self, late: float, now: float) -> None:
        """A timer was `late` seconds late at `now`: choose the interval."""
        if late > (CONTENDED_S if self._is_short else LATE_S):
            self._keep_until = now + KEEP_S
            if not self._is_short and self._usual > SHORT_S:
                self._is_short = True
                sys.setswitchinterval(SHORT_S)
        elif self._is_short and now > self._keep_until:
            self._is_short = False
            sys.setswitchinterval(self._usual)
