"""Header fields on their way out: checked, encoded and classified once a block (RFC 9110 5).

Hot path: encoded lines are interned, so a field that an application sends with every response costs one
dictionary look-up. What a name or value may contain is decided here and nowhere else: a CR or LF never
passes, so no application of any kind can split a response.

Fields that came in are plain `(lower-case name, value)` pairs of bytes, made by `protocol/`.
"""

import re
from collections.abc import Iterable, Sequence

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# field-value: VCHAR, obs-text, SP and HTAB; no other control (RFC 9110 5.5).
VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")

Pair = tuple[str, str]

# What a block holds, as bits of FieldBlock.kinds.
CONTENT_LENGTH = 1
CONTENT_TYPE = 2
DATE = 4
SERVER = 8
CLOSE = 16
_HOP = 32
# Those that change how a head is put together.
UNUSUAL = CLOSE | DATE | SERVER

_KINDS = {
    b"content-length": CONTENT_LENGTH,
    b"content-type": CONTENT_TYPE,
    b"date": DATE,
    b"server": SERVER,
    # The framing of the connection is the channel's own: these never come from an application.
    b"connection": _HOP,
    b"keep-alive": _HOP,
    b"proxy-connection": _HOP,
    b"transfer-encoding": _HOP,
    b"te": _HOP,
    b"upgrade": _HOP,
    b"trailer": _HOP,
}
# Needed before the content, to frame, route, authenticate or understand it (RFC 9110 6.5.1).
_NO_TRAILERS = frozenset(
    "authorization cache-control content-encoding content-length content-range content-type cookie host location "
    "max-forwards range retry-after set-cookie transfer-encoding trailer vary www-authenticate".split()
)
_PRIVATE = (b"set-cookie", b"authorization", b"location", b"etag")
_INTERNED_MAX = 1024
_CODINGS_MAX = 8
_INTERNED_SIZE = 256

_lines: dict[Pair, tuple[bytes, int, int]] = {}


class FieldBlock:
    """A checked header section: `lines` as it goes out by HTTP/1.1, `fields` as text for all others.

    `kinds` tells which special fields are inside; `length` is the Content-Length, or -1 without one (the
    line itself is left out of `lines`: the channel writes the length it keeps to). `section` is what a channel
    made of it for content of `fits` bytes, -1 when none has yet.
    """

    __slots__ = ("fields", "fits", "kinds", "length", "lines", "section")

    section: bytes

    def __init__(self, fields: Sequence[Pair], lines: bytes, kinds: int, length: int) -> None:
        self.fields = fields
        self.lines = lines
        self.kinds = kinds
        self.length = length
        self.fits = -1

    def sized(self, length: int) -> "FieldBlock":
        """The same for content of `length` bytes."""
        return FieldBlock(self.fields, self.lines, self.kinds, length)


class LastingBlock(FieldBlock):
    """Of a whole answer that is given again and again: keeps what its content was encoded to."""

    __slots__ = ("_codings",)

    def __init__(self, fields: Sequence[Pair], lines: bytes, kinds: int, length: int) -> None:
        super().__init__(fields, lines, kinds, length)
        self._codings: list[tuple[object, bytes]] = []

    def sized(self, length: int) -> "LastingBlock":
        block = LastingBlock(self.fields, self.lines, self.kinds, length)
        block._codings = self._codings
        return block

    def coded(self, encoder: object) -> bytes | None:
        """The content as `encoder` has made it."""
        for known, content in self._codings:
            if known is encoder:
                return content
        return None

    def keep(self, encoder: object, content: bytes) -> None:
        if len(self._codings) >= _CODINGS_MAX:
            self._codings.clear()
        self._codings.append((encoder, content))


def encode_fields(fields: Sequence[Pair]) -> FieldBlock:
    """Check and encode `(name, value)` pairs of text; values are latin-1 (PEP 3333, RFC 9110 5.5).

    Hop-by-hop fields are left out; `Connection: close` becomes the CLOSE kind. Raises ValueError naming
    the field that cannot go to the wire.
    """
    lines = []
    kinds = 0
    length = -1
    known = _lines.get
    for pair in fields:
        line, kind, announced = known(pair) or _encode(pair)
        lines.append(line)
        if kind:
            kinds |= kind
            if announced >= 0:
                if length not in (-1, announced):
                    raise ValueError(f"expected one Content-Length, got {length} and {announced}")
                length = announced
    return FieldBlock(fields, b"".join(lines), kinds, length)


def _encode(pair: Pair) -> tuple[bytes, int, int]:
    """Line, kind and announced length of one field; interns it when it is likely to come again."""
    name_text, value_text = pair
    try:
        name, value = name_text.encode("latin-1"), value_text.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"expected latin-1 text in field {name_text!r}, got {value_text!r}") from None
    if TOKEN.fullmatch(name) is None:
        raise ValueError(f"expected a token as field name, got {name_text!r}")
    if VALUE.fullmatch(value) is None:
        raise ValueError(f"expected no control characters in field {name_text!r}, got {value_text!r}")
    lower = name.lower()
    kind = _KINDS.get(lower, 0)
    line, length = name + b": " + value.strip(b" \t") + b"\r\n", -1
    if kind == CONTENT_LENGTH:
        if not value.isdigit() or len(value) > 19:
            raise ValueError(f"expected digits as Content-Length, got {value_text!r}")
        line, length = b"", int(value)
    elif kind == _HOP:
        closes = lower == b"connection" and b"close" in list_tokens([value])
        line, kind = b"", CLOSE if closes else 0
    encoded = line, kind, length
    if len(line) <= _INTERNED_SIZE and lower not in _PRIVATE:
        if len(_lines) >= _INTERNED_MAX:
            _lines.clear()
        _lines[pair] = encoded
    return encoded


def may_trail(name: str) -> bool:
    """May a field of this name come after the content?"""
    return name.lower() not in _NO_TRAILERS


def trailer_lines(block: FieldBlock) -> bytes:
    """The lines of a trailer section. Raises ValueError for a field that must not be there."""
    for name, _ in block.fields:
        if not may_trail(name):
            raise ValueError(f"expected a field that may come after the content, got {name!r}")
    return block.lines


def list_tokens(values: Iterable[bytes]) -> list[bytes]:
    """The lower-case members of a comma-separated list field that may span several lines (RFC 9110 5.6.1)."""
    return [
        member for value in values for part in value.split(b",") if (member := part.strip(b" \t").lower())
    ]


NO_FIELDS = encode_fields(())
