"""The access log: one line an exchange, formatted and written in batches.

Hot path. The format is the combined one of Apache and nginx; a formatter of your own gets the same Entry.
Requests that broke the standard and clients that left are logged too: status 499 is a client that left
before it was answered.
"""

import json
import logging
from collections.abc import Callable
from time import gmtime, strftime, time
from typing import Final, NamedTuple, Protocol, runtime_checkable

from container.message.exchange import Exchange
from container.message.request import Request

log = logging.getLogger("container.site")

# What would break a line or a quoted part of it, or play with the terminal that shows it.
_ESCAPES: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 256))} | {
    ord('"'): '\\"',
    ord("\\"): "\\\\",
}
_BATCH: Final = 512


class Entry(NamedTuple):
    """One finished exchange: what a formatter may use. `finished` is Unix time in seconds."""

    request: Request
    status: int
    bytes_sent: int
    finished: float


Formatter = Callable[[Entry], str]


class Writable(Protocol):
    """What lines can be written to."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


@runtime_checkable
class Flushable(Protocol):
    """A log that wants to be told once a second to write what it has collected."""

    def flush(self) -> None: ...


class AccessLog:
    """Collects entries and writes their lines to `stream` when `flush` is called, or 512 have come.

    Whoever owns the loop calls `flush` once a second. A stream that fails is given up, once, quietly: the log
    must never stop the service.
    """

    def __init__(self, stream: Writable, formatter: Formatter | None = None) -> None:
        self._stream = stream
        self._format = formatter
        self._combined = CombinedFormatter().line
        self._entries: list[tuple[Request, int, int, float]] = []
        self._broken = False

    def __call__(self, exchange: Exchange) -> None:
        entries = self._entries
        entries.append((exchange.request, exchange.status, exchange.bytes_sent, time()))
        if len(entries) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what has been collected."""
        if not self._entries or self._broken:
            self._entries.clear()
            return
        entries, self._entries = self._entries, []
        try:
            if self._format is None:
                lines = [self._combined(*entry) for entry in entries]
            else:
                lines = [self._format(Entry._make(entry)) for entry in entries]
            text = "\n".join([*lines, ""])
        except Exception:  # the formatter is foreign code
            self._broken = True
            log.exception("the access log ends here: its formatter failed")
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except Exception:  # noqa: BLE001  # the stream may be of any make
            self._broken = True


class CombinedFormatter:
    """`client - user [time] "request line" status bytes "referer" "user agent"`, times in UTC."""

    def __init__(self) -> None:
        self._second = 0
        self._stamp = ""

    def __call__(self, entry: Entry) -> str:
        return self.line(*entry)

    def line(self, request: Request, status: int, bytes_sent: int, finished: float) -> str:
        """The line of one exchange."""
        memo = request.memo
        told = memo.get(self) if memo is not None else None
        if told.__class__ is not _Told or told.target is not request.raw_target:
            told = _Told(request)
            if memo is not None:
                memo[self] = told
        second = int(finished)
        if second != self._second:
            self._second = second
            self._stamp = strftime(" [%d/%b/%Y:%H:%M:%S +0000] ", gmtime(second))
        client = request.connection.client_host or "-"
        user = told.user if request.user is None else _name(request.user[0])
        return f"{client} - {user}{self._stamp}{told.line} {status} {bytes_sent or '-'}{told.visitor}"


class VirtualHostFormatter(CombinedFormatter):
    """The combined line behind the host that was asked for: one log for many hosts, as Apache's vhost_combined."""

    def line(self, request: Request, status: int, bytes_sent: int, finished: float) -> str:
        host = quoted(request.raw_header(b"host") or b"-").replace(" ", "\\x20")
        return f"{host} {super().line(request, status, bytes_sent, finished)}"


class JSONFormatter:
    """One JSON object a line, its text latin-1; null where the client said nothing or could not be understood."""

    def __call__(self, entry: Entry) -> str:
        request = entry.request
        known = request.method != "-"
        headers = {name: value.decode("latin-1") for name, value in request.raw_headers}
        facts = {
            "time": strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(entry.finished)),
            "client": request.connection.client_host or None,
            "user": request.authorization[0] or None if request.user is None else request.user[0],
            "method": request.method if known else None,
            "target": request.raw_target.decode("latin-1") if known else None,
            "http_version": request.http_version if known else None,
            "status": entry.status,
            "bytes": entry.bytes_sent,
            "host": headers.get(b"host"),
            "referer": headers.get(b"referer"),
            "user_agent": headers.get(b"user-agent"),
        }
        return json.dumps(facts, separators=(",", ":"))


class _Told:
    """The parts of a line that follow from the head of the request."""

    __slots__ = ("line", "target", "user", "visitor")

    def __init__(self, request: Request) -> None:
        referer = agent = user = "-"
        for name, value in request.raw_headers:
            if name == b"user-agent":
                agent = quoted(value)
            elif name == b"referer":
                referer = quoted(value)
            elif name == b"authorization":
                user = _name(request.authorization[0])
        self.target = request.raw_target
        self.user = user
        # A request that could not be read has no method.
        known = request.method != "-"
        self.line = (
            f'"{request.method} {quoted(self.target)} HTTP/{request.http_version}"' if known else '"-"'
        )
        self.visitor = f' "{referer}" "{agent}"'


def _name(user: str) -> str:
    """The user's field: a space in it would begin the next one."""
    return quoted(user.encode("utf-8", "replace")).replace(" ", "\\x20") or "-"


def quoted(raw: bytes) -> str:
    """Text that may stand between quotes: anything unusual is written as `\\xNN`."""
    text = raw.decode("latin-1")
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return text.translate(_ESCAPES)
