"""What scripts say on standard error, and what is to be said of them, in the server's log: line by line, bounded."""

import errno
import logging
import os
import signal
from typing import Final, Protocol

from container.resources.said import shown

log = logging.getLogger("container.cgi")

LINE_MAX: Final = 2048
# What one run of a script may add to the log.
TOTAL_MAX: Final = 64 * 1024


class Named(Protocol):
    """Whose words they are."""

    @property
    def name(self) -> str:
        """As the log shows it."""


class Words:
    """The lines of one run."""

    __slots__ = ("_dropped", "_line", "_script", "_total")

    def __init__(self, script: Named) -> None:
        self._script = script
        self._line = b""
        self._total = 0
        self._dropped = 0

    def feed(self, data: bytes) -> None:
        if self._total >= TOTAL_MAX:
            self._dropped += len(data)
            return
        *lines, rest = (self._line + data).split(b"\n")
        for line in lines:
            self._say(line)
        while len(rest) > LINE_MAX and self._total < TOTAL_MAX:
            self._say(rest[:LINE_MAX])
            rest = rest[LINE_MAX:]
        self._line = rest[:LINE_MAX]

    def finish(self) -> None:
        """No more will come."""
        line, self._line = self._line, b""
        if line:
            self._say(line)
        if self._dropped:
            log.warning("%s: … and %d more bytes on standard error", self._script.name, self._dropped)
            self._dropped = 0

    def complain(self, text: str) -> None:
        """Something about the script that its author should know."""
        log.error("%s %s", self._script.name, text)

    def _say(self, line: bytes) -> None:
        if self._total >= TOTAL_MAX:
            self._dropped += len(line) + 1
            return
        self._total += len(line) + 1
        log.warning("%s: %s", self._script.name, shown(line[:LINE_MAX]))


def describe_end(code: int) -> str:
    if code >= 0:
        return f"exited with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def explain(number: int) -> str:
    """An errno of execve, in words that lead to the cause."""
    if number == errno.ENOENT:
        return "the script, or the interpreter its first line names, does not exist"
    if number == errno.ENOEXEC:
        return 'it does not begin with a line such as "#!/bin/sh", and is no program'
    return os.strerror(number)
