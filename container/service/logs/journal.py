"""The journal of systemd: its native protocol, and how to find out that standard error leads there.

See systemd.journal-fields(7), and "Native Journal Protocol" and `$JOURNAL_STREAM` in systemd's documentation.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING, Final

from container.service.logs.datagrams import DatagramHandler, Datagrams
from container.service.logs.records import fields_of, request_of, severity_of

if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping

SOCKET: Final = "/run/systemd/journal/socket"
# Of a field; a datagram has to fit into the buffer of a socket.
_VALUE_MAX: Final = 48 * 1024


class JournalHandler(DatagramHandler):
    """Sends records with their fields: MESSAGE, PRIORITY, LOGGER, the place in the code, and those of the request."""

    def __init__(self, prefix: str, path: str = SOCKET) -> None:
        """Raises OSError when there is no journal."""
        super().__init__(Datagrams(path))
        self._prefix = prefix

    def pieces(self, record: logging.LogRecord) -> list[bytes]:
        fields: dict[str, object] = {
            "MESSAGE": record.getMessage(),
            "PRIORITY": severity_of(record),
            "SYSLOG_IDENTIFIER": self._prefix,
            "SYSLOG_PID": record.process,
            "LOGGER": record.name,
            "CODE_FILE": record.pathname,
            "CODE_LINE": record.lineno,
            "CODE_FUNC": record.funcName,
        }
        if record.exc_info and record.exc_info[0] is not None:
            text = "".join(traceback.format_exception(*record.exc_info))
            fields["MESSAGE"] = f"{fields['MESSAGE']}\n{text.rstrip()}"
        request = request_of(record)
        if request is not None:
            fields |= {name.upper(): value for name, value in fields_of(request).items()}
        return [b"".join([_entry(name, str(value)) for name, value in fields.items()])]


def _entry(name: str, value: str) -> bytes:
    """One field: `NAME=value`, or with its size in front when it is of several lines."""
    data = value.encode("utf-8", "backslashreplace")[:_VALUE_MAX]
    if b"\n" in data:
        return b"%b\n%b%b\n" % (name.encode(), len(data).to_bytes(8, "little"), data)
    return b"%b=%b\n" % (name.encode(), data)


def leads_to_journal(environ: Mapping[str, str]) -> bool:
    """Is standard error the stream that systemd has connected to the journal?"""
    said = environ.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):  # closed, or something else in its place
        return False
    return said == f"{status.st_dev}:{status.st_ino}"
