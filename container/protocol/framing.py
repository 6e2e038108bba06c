"""Where the content of a message ends: Content-Length and chunked, strictly (RFC 9112 6, 7.1).

A framing is fed raw bytes, pushes content into a Body and gives back what lies behind the end. It never
guesses: the first octet that the grammar does not allow ends the connection. Every octet is counted, so
neither a chunk extension nor leading zeros nor trailers can be sent for ever.
"""

import re
from typing import Protocol

from container.message.body import Body, Trailers
from container.message.errors import ProtocolError
from container.message.fields import TOKEN, VALUE
from container.message.limits import Limits


class Framing(Protocol):
    """One message's content being read."""

    def feed(self, data: bytes) -> bytes | None:
        """None while more content is to come, else the bytes behind it. Raises ProtocolError."""


class LengthFraming:
    """Exactly `length` bytes (RFC 9112 6.2)."""

    __slots__ = ("_body", "_left")

    def __init__(self, body: Body, length: int) -> None:
        self._body = body
        self._left = length

    def feed(self, data: bytes) -> bytes | None:
        size = len(data)
        if size < self._left:
            if size:
                self._left -= size
                self._body.feed(data)
            return None
        self._body.feed(data if size == self._left else data[: self._left])
        self._body.finish([])
        rest = data[self._left :]
        self._left = 0
        return rest


class CloseFraming:
    """Everything until the connection closes: of responses only (RFC 9112 6.3, the last case)."""

    __slots__ = ("_body",)

    def __init__(self, body: Body) -> None:
        self._body = body

    def feed(self, data: bytes) -> bytes | None:
        self._body.feed(data)
        return None


# chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS ( token / quoted-string ) ] )   (RFC 9112 7.1.1)
_EXTENSION = (
    rb"[ \t]*;[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
    rb"(?:[ \t]*=[ \t]*(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"
    rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"))?'
)
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]+)(?:" + _EXTENSION + rb")*[ \t]*\r\n")
# Sixteen hex digits are 2^64: leading zeros beyond that are as good as garbage.
_SIZE_DIGITS = 16

# What the framing waits for.
_SIZE, _DATA, _DATA_END, _TRAILERS = range(4)


class ChunkedFraming:
    """The chunked coding (RFC 9112 7.1) with its trailer section (7.1.2).

    | state    | reads                     | then                                    |
    |----------|---------------------------|-----------------------------------------|
    | SIZE     | chunk-size [ext] CRLF     | DATA, or TRAILERS when the size is 0    |
    | DATA     | that many bytes           | DATA_END                                |
    | DATA_END | CRLF                      | SIZE                                    |
    | TRAILERS | field lines, empty line   | finished                                |

    A line is looked at as soon as its LF is there; what comes before must end in CR.
    """

    __slots__ = ("_body", "_left", "_limits", "_line", "_state", "_trailer_size", "_trailers")

    def __init__(self, body: Body, limits: Limits) -> None:
        self._body = body
        self._limits = limits
        self._state = _SIZE
        self._left = 0
        self._line = b""
        self._trailers: Trailers = []
        self._trailer_size = 0

    def feed(self, data: bytes) -> bytes | None:
        if self._line:
            data = self._line + data
            self._line = b""
        at, end = 0, len(data)
        while at < end:
            if self._state == _DATA:
                at = self._data(data, at)
                continue
            if self._state == _DATA_END:
                if data[at : at + 2] != b"\r\n"[: end - at]:
                    raise ProtocolError(400, "expected CRLF after the data of a chunk")
                if end - at < 2:
                    break
                at += 2
                self._state = _SIZE
                continue
            stop = data.find(b"\n", at) + 1
            if not stop:
                self._check_partial(data, at)
                break
            if self._state == _SIZE:
                self._size(data, at, stop)
            elif self._trailer(data[at:stop]):
                self._body.finish(self._trailers)
                return data[stop:]
            at = stop
        self._line = data[at:]
        return None

    def _size(self, data: bytes, at: int, stop: int) -> None:
        if stop - at > self._limits.chunk_line:
            raise ProtocolError(400, f"expected a chunk-size line of at most {self._limits.chunk_line} bytes")
        match = _CHUNK_LINE.fullmatch(data, at, stop)
        if match is None:
            raise ProtocolError(400, "expected chunk-size [chunk-ext] CRLF")
        digits = match[1]
        if len(digits) > _SIZE_DIGITS:
            raise ProtocolError(400, f"expected a chunk size of at most {_SIZE_DIGITS} hex digits")
        size = int(digits, 16)
        limit = self._limits.body
        if limit is not None and self._body.received + size > limit:
            raise ProtocolError(413, f"the content exceeds the limit of {limit} bytes")
        self._left = size
        self._state = _DATA if size else _TRAILERS

    def _data(self, data: bytes, at: int) -> int:
        piece = data[at : at + self._left]
        self._left -= len(piece)
        self._body.feed(piece)
        if not self._left:
            self._state = _DATA_END
        return at + len(piece)

    def _trailer(self, line: bytes) -> bool:
        """Take one trailer line; True when it was the empty one that ends the message."""
        if line == b"\r\n":
            return True
        self._trailer_size += len(line)
        if self._trailer_size > self._limits.trailers or len(self._trailers) >= self._limits.fields:
            raise ProtocolError(
                431, f"the trailer section exceeds the limit of {self._limits.trailers} bytes"
            )
        name, colon, value = line[:-2].partition(b":")
        if not (line.endswith(b"\r\n") and colon and TOKEN.fullmatch(name) and VALUE.fullmatch(value)):
            raise ProtocolError(400, "malformed trailer field")
        self._trailers.append((name.lower(), value.strip(b" \t")))
        return False

    def _check_partial(self, data: bytes, at: int) -> None:
        """A line without its end: is it still within bounds?"""
        size = len(data) - at
        if self._state == _SIZE:
            if size > self._limits.chunk_line:
                raise ProtocolError(
                    400, f"expected a chunk-size line of at most {self._limits.chunk_line} bytes"
                )
        elif self._trailer_size + size > self._limits.trailers and data[at:] != b"\r":
            raise ProtocolError(
                431, f"the trailer section exceeds the limit of {self._limits.trailers} bytes"
            )
