"""The access log: one line an exchange, formatted and written in batches.

Hot path. The format is the combined one of Apache and nginx; a formatter of your own gets the same Entry.
Requests that broke the standard and clients that left are logged too: status 499 is a client that left
before it was answered.
"""

import time
from collections.abc import Callable
from typing import Final, TextIO

from container.message.exchange import Exchange
from container.message.request import Request

# What would break a line or a quoted part of it, or play with the terminal that shows it.
_ESCAPES: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 256))} | {
    ord('"'): '\\"',
    ord("\\"): "\\\\",
}
_BATCH: Final = 512


class Entry:
    """One finished exchange: what a formatter may use."""

    __slots__ = ("bytes_sent", "finished", "request", "status")

    def __init__(self, request: Request, status: int, bytes_sent: int, finished: float) -> None:
        self.request = request
        self.status = status
        self.bytes_sent = bytes_sent
        self.finished = finished


Formatter = Callable[[Entry], str]


class AccessLog:
    """Collects entries and writes their lines to `stream` when `flush` is called, or 512 have come.

    Whoever owns the loop calls `flush` once a second. A stream that fails is given up, once, quietly: the log
    must never stop the service.
    """

    def __init__(self, stream: TextIO, formatter: Formatter | None = None) -> None:
        self._stream = stream
        self._format = formatter or CombinedFormatter()
        self._entries: list[Entry] = []
        self._broken = False

    def __call__(self, exchange: Exchange) -> None:
        entries = self._entries
        entries.append(Entry(exchange.request, exchange.status, exchange.bytes_sent, time.time()))
        if len(entries) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what has been collected."""
        if not self._entries or self._broken:
            self._entries.clear()
            return
        entries, self._entries = self._entries, []
        try:
            self._stream.write("".join([f"{self._format(entry)}\n" for entry in entries]))
            self._stream.flush()
        except (OSError, ValueError):
            self._broken = True


class CombinedFormatter:
    """`client - user [time] "request line" status bytes "referer" "user agent"`, times in UTC."""

    def __init__(self) -> None:
        self._second = 0
        self._stamp = ""

    def __call__(self, entry: Entry) -> str:
        request = entry.request
        referer = agent = "-"
        user = "-"
        for name, value in request.raw_headers:
            if name == b"user-agent":
                agent = quoted(value)
            elif name == b"referer":
                referer = quoted(value)
            elif name == b"authorization":
                user = quoted(request.authorization[0].encode("latin-1", "replace")) or "-"
        line = f"{request.method} {quoted(request.raw_target)} HTTP/{request.http_version}"
        if request.method == "-":
            line = "-"
        second = int(entry.finished)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(second))
        return (
            f"{request.connection.client_host or '-'} - {user} [{self._stamp}] "
            f'"{line}" {entry.status} {entry.bytes_sent or "-"} "{referer}" "{agent}"'
        )


def quoted(raw: bytes) -> str:
    """Text that may stand between quotes: anything unusual is written as `\\xNN`."""
    text = raw.decode("latin-1")
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return text.translate(_ESCAPES)
