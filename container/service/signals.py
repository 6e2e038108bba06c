"""What asks a process to end: SIGINT and SIGTERM, and SIGHUP when its terminal goes. SIGUSR1 opens its logs again.

What it does then is loop.py's; a worker of several has meanings of its own (worker.py).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from container.channel.group import IDLE_GRACE_S
from container.service.logs import reopen_logs
from container.service.terminal import LOOK_EVERY_S, Terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

log = logging.getLogger("container.server")

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
# POSIX only.
HANGUP: Final = getattr(signal, "SIGHUP", None)
REOPEN: Final = getattr(signal, "SIGUSR1", None)
_Handler: TypeAlias = "Callable[[int, FrameType | None], object] | int | None"


class StopSignals:
    """SIGINT and SIGTERM while the block runs: the first asks for the end, the second forces it.

    A third ends the process on the spot, should the loop be stuck. Not `loop.add_signal_handler`: that one
    is deaf while the application blocks the loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.asked = asyncio.Event()
        self.forced = asyncio.Event()
        # Other processes take over: nobody needs to be told, and idle connections may take their time.
        self.is_replaced = False
        self.idle_grace = IDLE_GRACE_S
        self.last = 0
        self._loop = loop
        self._came = 0
        self._previous: list[tuple[signal.Signals, _Handler]] = []

    @property
    def exit_code(self) -> int:
        """What a shell reports of a process that the last signal ended."""
        return 128 + self.last

    def __enter__(self) -> Self:
        self._terminal = Terminal()
        self._look()
        self._previous = [(number, signal.signal(number, self._received)) for number in STOP_SIGNALS]
        for number, handler in ((HANGUP, self._hung_up), (REOPEN, self._reopen)):
            if number is not None:
                self._previous.append((number, signal.signal(number, handler)))
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous:
            signal.signal(number, handler)
        self._looking.cancel()
        self._terminal.close()

    def _look(self) -> None:
        self._terminal.look()
        self._looking = self._loop.call_later(LOOK_EVERY_S, self._look)

    def _hung_up(self, number: int, frame: FrameType | None) -> None:
        """The process ends with its terminal, which may be told more than once. Else it means: read the configuration
        again, which takes a process to do and another one to answer meanwhile."""
        if self._terminal.has_hung_up():
            if not self._came:
                self._received(number, frame)
            return
        self._loop.call_soon_threadsafe(reopen_logs)
        self._loop.call_soon_threadsafe(log.warning, "SIGHUP reloads nothing without --workers")

    def _reopen(self, number: int, frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe(reopen_logs)

    def _received(self, number: int, frame: FrameType | None) -> None:
        self._came += 1
        self.last = number
        if self._came > 2 or self._loop.is_closed():
            os._exit(self.exit_code)
        # Python runs this between two instructions of the main thread; the loop may be waiting for events.
        self._loop.call_soon_threadsafe(self.asked.set if self._came == 1 else self.forced.set)
