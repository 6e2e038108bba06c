"""The log itself: entries come in one by one, lines go out in batches.

Hot path. Requests that broke the standard and clients that left are logged too: status 499 is a client that
left before it was answered. How a line looks is `formats.py`'s, `custom.py`'s and `jsonlines.py`'s.
"""

import logging
from time import perf_counter, time
from typing import Final, Protocol, runtime_checkable

from container.message.exchange import Exchange
from container.tree.accesslog.entry import Entry, Formatter
from container.tree.accesslog.formats import CombinedFormatter, CommonFormatter, VirtualHostFormatter

log = logging.getLogger("container.site")

_BATCH: Final = 512
_OURS: Final = (CombinedFormatter, CommonFormatter, VirtualHostFormatter)


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

    Whoever owns the loop calls `flush` once a second. A formatter may say by `needs_notes = False` that it asks
    for nothing that has to be noted while a request is answered. Lines that cannot be written are lost, quietly:
    the log must never stop the service. A stream that was closed is given up.
    """

    def __init__(self, stream: Writable, formatter: Formatter | None = None) -> None:
        self._stream = stream
        self._format = formatter
        # Ours are quick and never fail: they write at once, so that no request has to be kept.
        ours = formatter if formatter is not None else CombinedFormatter()
        self._line = ours.line if isinstance(ours, CombinedFormatter) and type(ours) in _OURS else None
        self.needs_notes: bool = formatter is not None and getattr(formatter, "needs_notes", True)
        self._entries: list[Entry] = []
        self._lines: list[str] = []
        self._broken = False

    def __call__(self, exchange: Exchange) -> None:
        if self._line is not None:
            lines = self._lines
            lines.append(self._line(exchange.request, exchange.status, exchange.bytes_sent, time()))
            if len(lines) >= _BATCH:
                self.flush()
            return
        request, entries = exchange.request, self._entries
        if request.notes is not None:
            request.notes.ended = perf_counter()
        entries.append(Entry(request, exchange.status, exchange.bytes_sent, time()))
        if len(entries) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what has been collected."""
        if self._entries and self._format is not None:
            self._format_all(self._format)
        if not self._lines or self._broken:
            self._lines.clear()
            return
        lines, self._lines = self._lines, []
        lines.append("")
        text = "\n".join(lines)
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:  # a full disk may have room again
            pass
        except Exception:  # noqa: BLE001  # the stream may be of any make
            self._broken = True

    def _format_all(self, formatter: Formatter) -> None:
        entries, self._entries = self._entries, []
        if self._broken:
            return
        try:
            self._lines = [formatter(entry) for entry in entries]
            "".join(self._lines)
        except Exception:  # the formatter is foreign code
            self._broken = True
            log.exception("the access log ends here: its formatter failed")
