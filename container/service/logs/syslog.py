"""Syslog: a datagram a line, as local daemons expect them and RFC 3164 tells of them."""

from __future__ import annotations

import os
import re
from time import localtime, strftime
from typing import TYPE_CHECKING, Final, NamedTuple

from container.service.logs.datagrams import DatagramHandler, Datagrams, Target
from container.service.logs.records import severity_of

if TYPE_CHECKING:
    import logging

# Their places are their numbers (RFC 5424 6.2.1); logging.handlers has them too, and is slow to import.
FACILITIES: Final = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "security", "console", "solaris-cron", *(f"local{number}" for number in range(8)),
)  # fmt: skip
DEFAULT_ADDRESS: Final = "/dev/log"
DEFAULT_PREFIX: Final = "container"
_PORT: Final = 514
_INFO: Final = 6
# Bytes of a line; daemons cut what is longer, or drop it.
_LINE_MAX: Final = 8 * 1024
_PREFIX: Final = re.compile(r"[!-9;-Z\\^-~]{1,48}")  # what ends a tag is not in it: space, colon, brackets


class Syslog(NamedTuple):
    """Where lines go and how they are marked."""

    datagrams: Datagrams
    facility: int
    prefix: str

    def line(self, severity: int, text: str) -> bytes:
        """The datagram of one line."""
        stamp = strftime("%b %e %H:%M:%S", localtime())
        head = f"<{self.facility << 3 | severity}>{stamp} {self.prefix}[{os.getpid()}]: "
        return (head + text).encode("utf-8", "backslashreplace")[:_LINE_MAX]


def open_syslog(address: str, facility: str, prefix: str) -> Syslog:
    """Raises OSError when nobody listens at a path, ValueError for what is no address."""
    return Syslog(Datagrams(parse_address(address)), FACILITIES.index(facility), prefix)


def parse_address(text: str) -> Target:
    """`/dev/log`, `unix:///dev/log`, `host:514`, `udp://host`; ValueError."""
    text, _, kind = text.partition("#")  # gunicorn's unix://PATH#TYPE
    scheme, there, rest = text.partition("://")
    if not there:
        scheme, rest = ("unix", text) if text.startswith("/") else ("udp", text)
    if scheme == "unix" and rest.startswith("/") and kind in ("", "dgram"):
        return rest
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9A-Za-z._-]+))(?::([0-9]{1,5}))?", rest)
    if scheme == "udp" and match is not None and 0 < int(match[3] or _PORT) < 65536:
        return match[1] or match[2], int(match[3] or _PORT)
    raise ValueError(f"expected a socket of datagrams such as /dev/log or udp://host:514, got {text!r}")


def check_prefix(text: str) -> str:
    if _PREFIX.fullmatch(text) is None:
        raise ValueError(f"expected a word without spaces, colons and brackets, got {text!r}")
    return text


class SyslogHandler(DatagramHandler):
    """Sends records; a traceback is as many lines as it has."""

    def __init__(self, syslog: Syslog) -> None:
        super().__init__(syslog.datagrams)
        self._syslog = syslog

    def pieces(self, record: logging.LogRecord) -> list[bytes]:
        severity = severity_of(record)
        return [self._syslog.line(severity, line) for line in self.format(record).splitlines()]


class SyslogStream:
    """What the access log can write its lines to."""

    def __init__(self, syslog: Syslog) -> None:
        self._syslog = syslog

    def write(self, text: str) -> None:
        for line in text.splitlines():
            self._syslog.datagrams.put(self._syslog.line(_INFO, line))

    def flush(self) -> None:
        """They are on their way."""
