"""Range requests: which bytes are asked for, and how several parts share one answer (RFC 9110 14).

Pure functions over field values and sizes. Whether a range is to be honoured at all is decided in
`selection.py`.
"""

import re
from collections.abc import Sequence
from typing import Final

# More members than this are an attack, or a client that is better off with everything.
RANGES_MAX: Final = 32
# What a number may be: far above every file, far below what is slow to convert.
_DIGITS_MAX: Final = 64
# ranges-specifier; the unit is case-insensitive, the set is judged member by member (RFC 9110 14.1).
_SPECIFIER: Final = re.compile(rb"bytes=(.*)", re.I | re.S)
_MEMBER: Final = re.compile(rb"(\d*)-(\d*)")

Range = tuple[int, int]
"""First byte and count."""


def parse_ranges(value: bytes, size: int) -> list[Range] | None:
    """What a Range field asks for of content of `size` bytes, in the order asked for.

    An empty list: nothing of it is there (416). None: to be ignored, because it is malformed, of another unit,
    has too many members, or asks for more bytes altogether than there are (RFC 9110 14.2).
    """
    specifier = _SPECIFIER.fullmatch(value.strip(b" \t"))
    if specifier is None:
        return None
    # Counted before anything is done with them.
    if specifier[1].count(b",") > 2 * RANGES_MAX:
        return None
    found: list[Range] = []
    members = 0
    has_suffix = False
    for text in specifier[1].split(b","):
        text = text.strip(b" \t")
        if not text:
            continue
        members += 1
        member = _MEMBER.fullmatch(text)
        if member is None or text == b"-" or len(text) > _DIGITS_MAX:
            return None
        first, last = member.groups()
        if not first:
            count = min(int(last), size)
            has_suffix = has_suffix or int(last) > 0
            start = size - count
        else:
            start = int(first)
            if last and int(last) < start:
                return None
            count = min(int(last) + 1 if last else size, size) - start
        if count > 0:
            found.append((start, count))
    if not members or members > RANGES_MAX or sum(count for _, count in found) > size:
        return None
    # The last bytes of nothing are all there is, which no 206 can say.
    return found if found or size or not has_suffix else None


def content_range(start: int, count: int, size: int) -> str:
    """The value of Content-Range for a part of `size` bytes (RFC 9110 14.4)."""
    return f"bytes {start}-{start + count - 1}/{size}"


def multipart(
    ranges: Sequence[Range], size: int, content_type: str | None, boundary: str
) -> tuple[list[tuple[bytes, int, int]], bytes]:
    """The parts of a multipart/byteranges content, each what introduces it, start and count; and its end
    (RFC 9110 14.6)."""
    type_line = f"Content-Type: {content_type}\r\n" if content_type else ""
    parts = []
    before = ""
    for start, count in ranges:
        field = content_range(start, count, size)
        head = f"{before}--{boundary}\r\n{type_line}Content-Range: {field}\r\n\r\n"
        parts.append((head.encode("latin-1"), start, count))
        before = "\r\n"
    return parts, f"\r\n--{boundary}--\r\n".encode("ascii")
