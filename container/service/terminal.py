"""The terminal a process was started in: SIGHUP says that it has gone, or, as long as it is there, that the
configuration is to be read again."""

from __future__ import annotations

import os
import signal
from typing import Final

_NONE: Final = -1


class Terminal:
    """That of this process, if it has one; to be made before SIGHUP is handled. A process that was started with the
    signal ignored, as nohup does, wants to outlive its terminal (`is_outlived`): for it there is none."""

    def __init__(self) -> None:
        self._file = _NONE
        self.is_outlived = os.name == "posix" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        if self.is_outlived:
            return
        try:  # open for good: it may not be found any more from another root, or by another user
            self._file = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
        except OSError:
            pass

    def is_gone(self) -> bool:
        """Was there one, and is no more?"""
        if self._file == _NONE:
            return False
        try:
            os.tcgetpgrp(self._file)
        except OSError:  # EIO once it was closed, ENOTTY when only its session has ended
            return True
        return False

    def close(self) -> None:
        if self._file != _NONE:
            os.close(self._file)
            self._file = _NONE
