"""Content of `multipart/form-data` (RFC 7578), decoded as it comes, within the limits of a form."""

import io
import re
import tempfile
from contextlib import ExitStack
from typing import IO

from container.message.form_data import FormData, UploadedFile, text_of
from container.message.form_limits import KIB, FormError, FormLimits, check_size
from container.message.headers import Headers

_SLICE = 64 * KIB
_PADDING_MAX = 256
# RFC 2046 5.1.1: 1 to 70 bchars, the last one not a space.
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
# The rest of a delimiter line as the decoder knows it: complete, and cut off anywhere.
_REST = re.compile(rb"(--)?[^\S\r\n]*")
_CUT_REST = re.compile(rb"-|(--)?[^\S\r\n]*")


class _Part:
    """The part being read. Without a `sink` it is skipped; without a `filename` it is text."""

    __slots__ = ("filename", "headers", "limit", "name", "sink", "size")

    def __init__(
        self,
        name: str,
        filename: str | None,
        headers: Headers,
        sink: IO[bytes] | None,
        limit: int | None,
    ) -> None:
        self.name = name
        self.filename = filename
        self.headers = headers
        self.sink = sink
        self.limit = limit
        self.size = 0


class MultipartDecoder:
    """Runs werkzeug's decoder and keeps what comes out of it within the limits.

    The decoder misreads a delimiter line that arrives in pieces (a CR slips into the content when the "--" at
    its end is split), so what may be the beginning of one is held back until the line is complete.
    """

    __slots__ = (
        "_complete",
        "_decoder",
        "_delimiter",
        "_fields",
        "_files",
        "_held",
        "_limits",
        "_pairs",
        "_part",
        "_text_bytes",
        "_uploads",
    )

    def __init__(self, content_type: str, limits: FormLimits) -> None:
        from werkzeug.http import parse_options_header
        from werkzeug.sansio.multipart import MultipartDecoder

        boundary = parse_options_header(content_type)[1].get("boundary", "")
        if _BOUNDARY.fullmatch(boundary) is None:
            raise FormError(400, f"expected a boundary of 1 to 70 characters, got {boundary[:80]!r}")
        self._limits = limits
        self._delimiter = b"--" + boundary.encode()
        self._decoder = MultipartDecoder(boundary.encode())
        # The first delimiter has no line break before it when there is no preamble.
        self._held = b"\r\n"
        self._complete = False
        self._part: _Part | None = None
        self._fields = self._files = self._text_bytes = 0
        self._pairs: list[tuple[str, str]] = []
        self._uploads: list[tuple[str, UploadedFile]] = []

    def feed(self, data: bytes) -> None:
        for start in range(0, len(data), _SLICE):
            if self._complete:
                return  # an epilogue means nothing (RFC 2046 5.1.1)
            window = self._held + data[start : start + _SLICE]
            end = self._settled(window)
            self._held = window[end:]
            self._decode(window[:end])

    def finish(self) -> FormData:
        if not self._complete:
            self._decode(self._held)
        if not self._complete:
            raise FormError(400, "expected a closing delimiter, got the end of the content")
        return FormData(self._pairs, self._uploads)

    def close(self) -> None:
        with ExitStack() as stack:
            stack.callback(FormData((), self._uploads).close)
            if self._part is not None and self._part.sink is not None:
                stack.callback(self._part.sink.close)

    def _settled(self, window: bytes) -> int:
        """How many bytes of `window` come before what may turn out to be a delimiter line."""
        end = len(window) - window.endswith(b"\r")
        break_start, line_start = self._last_break(window, end)
        line = window[line_start:end]
        if break_start < 0 or not (self._delimiter.startswith(line) or self._is_delimiter(line, _CUT_REST)):
            return end
        before = self._last_break(window, break_start)[1]
        # The line break that ends a delimiter line does not begin the next one.
        return line_start if self._is_delimiter(window[before:break_start], _REST) else break_start

    def _last_break(self, window: bytes, end: int) -> tuple[int, int]:
        """Where the last line break before `end` starts and ends; (-1, 0) if none is near."""
        near = max(0, end - len(self._delimiter) - _PADDING_MAX)
        last = max(window.rfind(b"\n", near, end), window.rfind(b"\r", near, end))
        return last - window.endswith(b"\r\n", 0, last + 1), last + 1

    def _is_delimiter(self, line: bytes, rest: re.Pattern[bytes]) -> bool:
        size = len(self._delimiter)
        return line.startswith(self._delimiter) and rest.fullmatch(line, size) is not None

    def _decode(self, data: bytes) -> None:
        from werkzeug.sansio.multipart import Data, Field, File, NeedData, State

        decoder = self._decoder
        decoder.receive_data(data)
        while True:
            is_header = decoder.state in (State.PREAMBLE, State.PART)
            before = len(decoder.buffer)
            try:
                event = decoder.next_event()
            except ValueError as old:
                raise FormError(400, f"expected multipart content, got a malformed part: {old}") from old
            if is_header:
                waiting = isinstance(event, NeedData)
                used = before - 1 if waiting else before - len(decoder.buffer)
                check_size("bytes before the content of a part", used, self._limits.max_header_bytes)
            if isinstance(event, Field | File):
                filename = event.filename if isinstance(event, File) else None
                headers = Headers(event.headers.items(), frozen=True)
                self._part = self._begin(event.name, filename, headers)
            elif isinstance(event, Data):
                self._write(event.data)
                if not event.more_data:
                    self._end()
            elif isinstance(event, NeedData):
                break
        self._complete = decoder.state is State.EPILOGUE

    def _begin(self, name: str | None, filename: str | None, headers: Headers) -> _Part:
        """Open the next part. One without a name is skipped, but counts."""
        limits = self._limits
        if filename is None:
            self._fields += 1
            check_size("fields", self._fields, limits.max_fields)
        else:
            self._files += 1
            check_size("files", self._files, limits.max_files)
        if name is None:
            return _Part("", filename, headers, None, None)
        if filename is None:
            self._count_text(len(name.encode("utf-8", "surrogatepass")))
            return _Part(name, None, headers, io.BytesIO(), limits.max_field_bytes)
        # A max_size of 0 would never go to disk.
        spool = tempfile.SpooledTemporaryFile(max_size=max(1, limits.spool_bytes))  # noqa: SIM115
        return _Part(name, filename, headers, spool, limits.max_file_bytes)

    def _write(self, data: bytes) -> None:
        part = self._part
        assert part is not None
        if part.sink is None:
            return
        part.size += len(data)
        check_size("bytes in a field", part.size, part.limit)
        if part.filename is None:
            self._count_text(len(data))
        part.sink.write(data)

    def _end(self) -> None:
        part = self._part
        assert part is not None
        if part.sink is not None:
            part.sink.seek(0)
            if part.filename is None:
                self._pairs.append((part.name, text_of(part.sink.read())))
            else:
                upload = UploadedFile(
                    part.name, part.filename, part.sink, size=part.size, headers=part.headers
                )
                self._uploads.append((part.name, upload))
        self._part = None

    def _count_text(self, size: int) -> None:
        self._text_bytes += size
        check_size("bytes of text", self._text_bytes, self._limits.max_text_bytes)
