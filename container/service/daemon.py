"""Going into the background, with an honest exit code for whoever started the command; the standard files.

The process that was started waits until the daemon says that it serves, or why it does not; then it exits with
what it was told. Until then the daemon's lines go where the command's go.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import Final

# Nobody but the owner reads what a daemon writes, unless told otherwise.
UMASK: Final = 0o077
_UNTOLD: Final = 1


class Verdict:
    """What the daemon tells the command that started it, once."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def tell(self, code: int) -> None:
        """The start ended so; 0: it serves. The terminal is nobody's any more."""
        if self._pipe < 0:
            return
        try:
            os.write(self._pipe, bytes([code & 0xFF]))
        except BrokenPipeError:  # it was not waited for
            pass
        os.close(self._pipe)
        self._pipe = -1
        leave_terminal()


def open_standard_files() -> None:
    """Whoever starts a process may have closed the files it is used to find open. The next ones that are opened, a
    socket or a database, would take their numbers, and what somebody writes to standard error would go there."""
    for file in range(3):
        try:
            os.fstat(file)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def daemonize() -> Verdict:
    """Go on in a process without a terminal, the child of init; returns there only."""
    reading, writing = os.pipe()
    flush_output()
    if os.fork():
        os.close(writing)
        told = os.read(reading, 1)
        os._exit(told[0] if told else _UNTOLD)
    os.close(reading)
    os.setsid()
    if os.fork():  # no leader of a session: never again a controlling terminal
        os._exit(0)
    os.umask(UMASK)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.close(nothing)
    return Verdict(writing)


def leave_terminal() -> None:
    """Write nothing more to a terminal or a pipe; what goes to a file goes on to do so."""
    flush_output()
    nothing = os.open(os.devnull, os.O_RDWR)
    for file in (1, 2):
        try:
            is_file = stat.S_ISREG(os.fstat(file).st_mode)
        except OSError:  # closed
            is_file = False
        if not is_file:
            os.dup2(nothing, file)
    os.close(nothing)


def flush_output() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # closed
            pass
