"""Responses as a client reads them: strict, bounded, and independent of the code that writes them (RFC 9112).

What a lenient client would repair is a `BadResponse` here: the tests are there to find it.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from container.message.fields import TOKEN, VALUE, list_tokens
from container.message.headers import Headers
from container.message.status import BODILESS

HEAD_MAX = 64 * 1024
_SWITCHING = 101
_SIZE_LINE_MAX = 18

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-9][0-9][0-9]) ([\t\x20-\x7e\x80-\xff]*)")
_SIZE_LINE = re.compile(rb"[0-9A-Fa-f]{1,16}")
_CHARSET = re.compile(r';\s*charset="?([A-Za-z0-9_.:-]+)', re.IGNORECASE)


class BadResponse(AssertionError):  # a test that fails, not an error of it
    """What the server sent is not HTTP."""


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """The start of a response, which is all there is of an interim one (1xx, RFC 9110 15.2)."""

    status: int
    reason: str
    headers: Headers


@dataclass(frozen=True, slots=True)
class ClientResponse:
    """A final response with its content.

    `complete` is False when the connection was cut before the end of the content. `interim` are the 1xx
    responses that came before, `trailers` the fields that came after, `history` the redirects that led here.
    """

    status: int
    reason: str
    headers: Headers
    body: bytes
    complete: bool
    interim: Sequence[ResponseHead] = ()
    trailers: Headers = field(default_factory=Headers)
    history: Sequence["ClientResponse"] = ()

    @property
    def text(self) -> str:
        """The content as text, in the charset of its Content-Type or UTF-8; U+FFFD for what is neither."""
        found = _CHARSET.search(self.headers.get("content-type") or "")
        return self.body.decode(found[1] if found else "utf-8", "replace")

    def json(self) -> object:
        """The content as JSON. Raises ValueError when it is not."""
        value: object = json.loads(self.body)
        return value

    def __repr__(self) -> str:
        cut = "" if self.complete else ", cut"
        return f"<ClientResponse {self.status} {self.reason}, {len(self.body)} bytes{cut}>"


# How the end of the content is told.
_NONE, _LENGTH, _CHUNKED, _CLOSE = "none", "length", "chunked", "close"


class ResponseReader:
    """The responses of one connection: `feed` bytes, tell the `end`, ask for a `head`, then for each `piece`.

    `done` when the content has ended or cannot go on; `complete` only when it ended as its framing says.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._framing = _NONE
        self._left = 0
        self._after_chunk = False
        self._in_trailers = False
        self._ended = False
        self._clean = False
        self.done = True
        self.complete = True
        self.trailers: list[tuple[str, str]] = []

    def feed(self, data: bytes) -> None:
        self._data += data

    def end(self, *, clean: bool) -> None:
        """Nothing more will come; `clean` when the server has closed rather than reset the connection."""
        self._ended = True
        self._clean = clean

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def buffered(self) -> bytes:
        """What has come and was not asked for."""
        return bytes(self._data)

    # Heads.

    def head(self, method: str) -> ResponseHead | None:
        """The next head, interim or final, of an answer to `method`; None until all of it is there."""
        end = self._data.find(b"\r\n\r\n")
        if end < 0 or end > HEAD_MAX:
            if end >= 0 or len(self._data) > HEAD_MAX:
                raise BadResponse(f"expected the head of a response within {HEAD_MAX} bytes")
            return None
        line, *lines = bytes(self._data[:end]).split(b"\r\n")
        del self._data[: end + 4]
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise BadResponse(f"expected a status line of HTTP/1.1, got {line!r}")
        status = int(match[1])
        headers = Headers([_field(each) for each in lines], frozen=True)
        self._begin(method, status, headers)
        return ResponseHead(status, match[2].decode("latin-1"), headers)

    def _begin(self, method: str, status: int, headers: Headers) -> None:
        """How the content will end (RFC 9112 6.3)."""
        lengths = headers.get_all("content-length")
        codings = list_tokens(value.encode("latin-1") for value in headers.get_all("transfer-encoding"))
        if len(lengths) > 1 or (lengths and codings):
            raise BadResponse(f"expected one framing, got Content-Length {lengths} and codings {codings}")
        if lengths and not (lengths[0].isascii() and lengths[0].isdigit()):
            raise BadResponse(f"expected digits as Content-Length, got {lengths[0]!r}")
        if codings not in ([], [b"chunked"]):
            raise BadResponse(f"expected chunked as the only coding, got {codings}")
        if (lengths or codings) and status in BODILESS and status != 304:
            raise BadResponse(f"expected no framing fields in a {status} response (RFC 9110 8.6)")
        self._framing = _NONE
        self._after_chunk = self._in_trailers = False
        self._left = 0
        self.trailers = []
        if method != "HEAD" and status not in BODILESS:
            self._framing = _CHUNKED if codings else _LENGTH if lengths else _CLOSE
            self._left = int(lengths[0]) if lengths else 0
        self.done = self.complete = self._framing == _NONE or (self._framing == _LENGTH and not self._left)

    # Content.

    def piece(self) -> bytes:
        """The content that has come since the last call."""
        if self.done:
            return b""
        if self._framing == _CHUNKED:
            piece = self._chunks()
        elif self._framing == _LENGTH:
            piece = self._bytes_left()
            self.done = self.complete = not self._left
        else:
            piece = bytes(self._data)
            self._data.clear()
            self.complete = self._ended and self._clean
        if self._ended and not self.done:
            self.done = True
        return piece

    def _bytes_left(self) -> bytes:
        piece = bytes(self._data[: self._left])
        del self._data[: self._left]
        self._left -= len(piece)
        return piece

    def _chunks(self) -> bytes:
        pieces = []
        while not self.done:
            if self._left:
                if not self._data:
                    break
                pieces.append(self._bytes_left())
                self._after_chunk = not self._left
                continue
            line = self._line()
            if line is None:
                break
            self._chunk_line(line)
        return b"".join(pieces)

    def _chunk_line(self, line: bytes) -> None:
        """The end of a chunk, the size of the next, or a trailer (RFC 9112 7.1)."""
        if self._after_chunk:
            if line:
                raise BadResponse(f"expected CRLF after a chunk, got {line!r}")
            self._after_chunk = False
        elif self._in_trailers:
            if line:
                self.trailers.append(_field(line))
            else:
                self.done = self.complete = True
        else:
            if _SIZE_LINE.fullmatch(line) is None:
                raise BadResponse(f"expected the size of a chunk, got {line!r}")
            self._left = int(line, 16)
            self._in_trailers = not self._left

    def _line(self) -> bytes | None:
        limit = HEAD_MAX if self._in_trailers else _SIZE_LINE_MAX
        end = self._data.find(b"\r\n")
        if end > limit or (end < 0 and len(self._data) > limit):
            raise BadResponse(f"expected a line of at most {limit} bytes, got {bytes(self._data[:limit])!r}")
        if end < 0:
            return None
        line = bytes(self._data[:end])
        del self._data[: end + 2]
        return line


def _field(line: bytes) -> tuple[str, str]:
    name, colon, value = line.partition(b":")
    if not (colon and TOKEN.fullmatch(name) and VALUE.fullmatch(value)):
        raise BadResponse(f"expected a field line, got {line!r}")
    return name.decode("latin-1"), value.strip(b" \t").decode("latin-1")


def is_interim(status: int) -> bool:
    """Does a final response follow?"""
    return status < 200 and status != _SWITCHING
