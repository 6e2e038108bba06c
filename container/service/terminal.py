"""The terminal a process was started in: SIGHUP says that it has just gone, or else that the configuration is to be
read again."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_NONE: Final = -1
LOOK_EVERY_S: Final = 1.0
# From the end of a terminal until the shell has told all of its jobs; later, somebody else speaks.
TOLD_S: Final = 3.0


class Terminal:
    """That of this process, if it has one; to be made before SIGHUP is handled. A process that was started with the
    signal ignored, as nohup does, wants to outlive its terminal (`is_outlived`): for it there is none. Nor is there
    for one that was not told when it went, as a job that its shell has disowned."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._file = _NONE
        self._gone_at: float | None = None
        self.is_outlived = os.name == "posix" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        if self.is_outlived:
            return
        try:  # open for good: it may not be found any more from another root, or by another user
            self._file = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
        except OSError:
            pass

    def look(self) -> None:
        """Is it still there? To be asked every LOOK_EVERY_S."""
        if self._file == _NONE or self._gone_at is not None:
            return
        try:
            os.tcgetpgrp(self._file)
        except OSError:  # EIO once it was closed, ENOTTY when only its session has ended
            self._gone_at = self._clock()

    def has_hung_up(self) -> bool:
        """When SIGHUP comes: is that what it says?"""
        self.look()
        return self._gone_at is not None and self._clock() - self._gone_at < TOLD_S

    def close(self) -> None:
        if self._file != _NONE:
            os.close(self._file)
            self._file = _NONE
