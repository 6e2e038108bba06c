"""Form content as values: the query of a target, and bodies of the two form media types.

`application/x-www-form-urlencoded` follows the WHATWG URL standard (5.1), `multipart/form-data` RFC 7578. The
parser is pushed: whoever reads the body calls `FormParser.feed`, so the same code serves threads and the
loop. Reading the body, and the moment at which a resource asks for its form, are not here.

Text is UTF-8; what is not valid becomes U+FFFD. A `charset` parameter is not obeyed, as in browsers.
"""

import io
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Generic, Protocol, Self, TypeVar, overload
from urllib.parse import unquote_to_bytes

from container.message.errors import HTTPError
from container.message.headers import Headers

KIB = 1 << 10
MIB = 1 << 20

_SLICE = 64 * KIB
_PADDING_MAX = 256
# RFC 2046 5.1.1: 1 to 70 bchars, the last one not a space.
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
# The rest of a delimiter line as the decoder knows it: complete, and cut off anywhere.
_REST = re.compile(rb"(--)?[^\S\r\n]*")
_CUT_REST = re.compile(rb"-|(--)?[^\S\r\n]*")
_SEPARATORS = re.compile(r"[/\\]")
_RESERVED = re.compile(r'[<>:"|?*]')
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)")

V = TypeVar("V")
D = TypeVar("D")


class FormError(HTTPError):
    """A query or form that cannot be read: 400 malformed, 413 over a limit, 415 another media type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormLimits:
    """What one form may hold; `None` is no limit of its own. Sizes are bytes after decoding.

    `max_text_bytes` counts names and values of all text fields, for urlencoded content the bytes as they
    came. `max_header_bytes` is the header section of one part. A file above `spool_bytes` goes to disk.
    """

    max_fields: int = 1000
    max_field_bytes: int = MIB
    max_text_bytes: int = 2 * MIB
    max_files: int = 1000
    max_file_bytes: int | None = None
    max_header_bytes: int = 16 * KIB
    spool_bytes: int = 64 * KIB


class MultiMapping(Generic[V]):
    """Names with one or more values each, in order, unchangeable. Looking up a name gives its first value."""

    __slots__ = ("_pairs", "_values")

    def __init__(self, pairs: Iterable[tuple[str, V]] = ()) -> None:
        self._pairs = tuple(pairs)
        self._values: dict[str, list[V]] = {}
        for name, value in self._pairs:
            self._values.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> V:
        return self._values[name][0]

    @overload
    def get(self, name: str) -> V | None: ...
    @overload
    def get(self, name: str, default: D) -> V | D: ...
    def get(self, name: str, default: D | None = None) -> V | D | None:
        """The first value of `name`, or `default`."""
        values = self._values.get(name)
        return values[0] if values else default

    def get_all(self, name: str) -> list[V]:
        """Every value of `name`, in order."""
        return list(self._values.get(name, ()))

    def keys(self) -> list[str]:
        """Each name once, in order of first appearance."""
        return list(self._values)

    def values(self) -> list[V]:
        """The value of each pair, in the order of `items`."""
        return [value for _, value in self._pairs]

    def items(self) -> list[tuple[str, V]]:
        """All pairs in order, repeated names included."""
        return list(self._pairs)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._pairs == other._pairs

    def __hash__(self) -> int:
        return hash(self._pairs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self._pairs)!r})"


class Params(MultiMapping[str]):
    """Text fields: of a query, or of a form."""

    __slots__ = ()


class UploadedFile:
    """One file of a form. `file` is open for reading at its start; closing it removes it from disk.

    `filename`, `content_type` and `headers` are the client's words, not to be trusted: `filename` may hold a
    path. It is empty when a browser sends a file input in which nothing was chosen.
    """

    __slots__ = ("file", "filename", "headers", "name", "size")

    def __init__(self, name: str, filename: str, file: IO[bytes], *, size: int, headers: Headers) -> None:
        self.name = name
        self.filename = filename
        self.file = file
        self.size = size
        self.headers = headers

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type") or "application/octet-stream"

    @property
    def safe_filename(self) -> str:
        """A name of one path segment that is harmless on every system, never empty; not a unique one."""
        base = unicodedata.normalize("NFC", _SEPARATORS.split(self.filename)[-1])
        base = "".join(c for c in base if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
        base = _RESERVED.sub("_", base).strip(" .")
        if _DEVICES.match(base):
            base = "_" + base
        if len(base.encode()) > 255:
            stem, suffix = os.path.splitext(base)
            raw_suffix = suffix.encode()[:32]
            raw_stem = stem.encode()[: 255 - len(raw_suffix)]
            base = (raw_stem.decode(errors="ignore") + raw_suffix.decode(errors="ignore")).strip(" .")
        return base or "unnamed"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the content to `path`, over what was there; `file` is at its start again. Blocks."""
        self.file.seek(0)
        with open(path, "wb") as target:
            shutil.copyfileobj(self.file, target)
        self.file.seek(0)

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<UploadedFile {self.name!r} {self.filename!r} {self.size} bytes>"


class FormData(Params):
    """The text fields of a form; its files are in `files`. Whoever holds it closes it."""

    __slots__ = ("files",)

    def __init__(
        self, pairs: Iterable[tuple[str, str]] = (), files: Iterable[tuple[str, UploadedFile]] = ()
    ) -> None:
        super().__init__(pairs)
        self.files: MultiMapping[UploadedFile] = MultiMapping(files)

    def close(self) -> None:
        """Close every file; again does no harm."""
        with ExitStack() as stack:
            for upload in self.files.values():
                stack.callback(upload.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FormData) and self._pairs == other._pairs and self.files == other.files

    __hash__ = Params.__hash__


def parse_query(query: str | bytes, *, max_pairs: int = 1000) -> Params:
    """The pairs of a query without its "?". "&" separates, ";" does not; "+" is a space.

    Repeated names keep all values in order; `a=` and `a` both give an empty value; nothing between two "&"
    gives no pair. Raises FormError 400 above `max_pairs`.
    """
    raw = query.encode("utf-8", "surrogatepass") if isinstance(query, str) else query
    return Params((_text(name), _text(value)) for name, value in _split_pairs(raw, max_pairs, 400))


class FormParser:
    """Turns the content of one form into a FormData: `feed` it as it comes, then `finish`.

    `feed` does no I/O except that a file above `limits.spool_bytes` is written to an anonymous temporary
    file. After an error, or after `close`, nothing is left open; after `finish` the files are the FormData's.
    """

    __slots__ = ("_decoder",)

    def __init__(self, content_type: str, *, limits: FormLimits | None = None) -> None:
        limits = limits or FormLimits()
        media_type = content_type.partition(";")[0].strip().lower()
        self._decoder: _Decoder | None
        if media_type == "application/x-www-form-urlencoded":
            self._decoder = _Urlencoded(limits)
        elif media_type == "multipart/form-data":
            self._decoder = _Multipart(content_type, limits)
        else:
            raise FormError(415, f"expected a form, got content of type {media_type!r}")

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the content. Raises FormError 400 or 413."""
        decoder = self._opened()
        try:
            decoder.feed(data)
        except BaseException:
            self.close()
            raise

    def finish(self) -> FormData:
        """The form, once all content was fed. Raises FormError 400 when it is not complete, or 413."""
        decoder = self._opened()
        try:
            form = decoder.finish()
        except BaseException:
            self.close()
            raise
        self._decoder = None
        return form

    def close(self) -> None:
        """Give up: close what is open. Without effect after `finish`."""
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            decoder.close()

    def _opened(self) -> "_Decoder":
        if self._decoder is None:
            raise RuntimeError("expected an open form parser, got one that finished, failed or was closed")
        return self._decoder


class _Decoder(Protocol):
    """One media type's part of FormParser."""

    def feed(self, data: bytes) -> None: ...
    def finish(self) -> FormData: ...
    def close(self) -> None: ...


class _Urlencoded:
    """Collects the content, which is small by limit, and decodes it at the end."""

    __slots__ = ("_content", "_limits")

    def __init__(self, limits: FormLimits) -> None:
        self._content = bytearray()
        self._limits = limits

    def feed(self, data: bytes) -> None:
        _check("bytes of text", len(self._content) + len(data), self._limits.max_text_bytes)
        self._content += data

    def finish(self) -> FormData:
        pairs = []
        for name, value in _split_pairs(bytes(self._content), self._limits.max_fields, 413):
            _check("bytes in a field", len(value), self._limits.max_field_bytes)
            pairs.append((_text(name), _text(value)))
        return FormData(pairs)

    def close(self) -> None:
        self._content.clear()


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


class _Multipart:
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
                _check("bytes before the content of a part", used, self._limits.max_header_bytes)
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
            _check("fields", self._fields, limits.max_fields)
        else:
            self._files += 1
            _check("files", self._files, limits.max_files)
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
        _check("bytes in a field", part.size, part.limit)
        if part.filename is None:
            self._count_text(len(data))
        part.sink.write(data)

    def _end(self) -> None:
        part = self._part
        assert part is not None
        if part.sink is not None:
            part.sink.seek(0)
            if part.filename is None:
                self._pairs.append((part.name, _text(part.sink.read())))
            else:
                upload = UploadedFile(
                    part.name, part.filename, part.sink, size=part.size, headers=part.headers
                )
                self._uploads.append((part.name, upload))
        self._part = None

    def _count_text(self, size: int) -> None:
        self._text_bytes += size
        _check("bytes of text", self._text_bytes, self._limits.max_text_bytes)


def _split_pairs(raw: bytes, limit: int, status: int) -> Iterator[tuple[bytes, bytes]]:
    """Names and values, percent-decoded. Separators are counted before anything is split."""
    raw = raw.strip(b"&")
    if raw and raw.count(b"&") >= limit:
        raise FormError(status, f"expected at most {limit} fields")
    for pair in raw.split(b"&"):
        if pair:
            name, _, value = pair.replace(b"+", b" ").partition(b"=")
            yield unquote_to_bytes(name), unquote_to_bytes(value)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _check(what: str, size: int, limit: int | None) -> None:
    if limit is not None and size > limit:
        raise FormError(413, f"expected at most {limit} {what}")
