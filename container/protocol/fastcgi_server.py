"""FastCGI from the side of the application: what a web server asks, how it is answered (FastCGI 1.0, 3 to 5). No I/O.

Text is latin-1, one character for one octet.
"""

import struct
from collections.abc import Iterator
from typing import Final

from container.protocol.fastcgi import END_REQUEST, BadRecord, encode_record

_HEADER: Final = struct.Struct(">BBHHBx")
_GET_VALUES_RESULT, _UNKNOWN_TYPE = 10, 11
GET_VALUES: Final = 9
COMPLETE, CANNOT_MULTIPLEX, _, UNKNOWN_ROLE = range(4)


class Records:
    """Cuts what a web server sends into records."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Type, request id and content of every record that is complete now. Raises BadRecord."""
        held = self._held + data if self._held else data
        at = 0
        while len(held) - at >= _HEADER.size:
            version, kind, request_id, size, padding = _HEADER.unpack_from(held, at)
            if version != 1:
                raise BadRecord(f"expected FastCGI version 1, got {version}")
            start = at + _HEADER.size
            if len(held) - start < size + padding:
                break
            at = start + size + padding
            yield kind, request_id, held[start : start + size]
        self._held = held[at:]


def decode_begin(content: bytes) -> tuple[bool, bool]:
    """Of BEGIN_REQUEST: is a responder asked, and shall the connection be kept? Raises BadRecord."""
    if len(content) != 8:
        raise BadRecord(f"expected 8 bytes in BEGIN_REQUEST, got {len(content)}")
    role, flags = struct.unpack_from(">HB", content)
    return role == 1, bool(flags & 1)


def decode_pairs(data: bytes) -> dict[str, str]:
    """Names and values (3.4). Raises BadRecord."""
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        name, at = _length(data, at)
        value, at = _length(data, at)
        if at + name + value > len(data):
            raise BadRecord(f"expected {name + value} bytes of a name and its value, got {len(data) - at}")
        found[data[at : at + name].decode("latin-1")] = data[at + name : at + name + value].decode("latin-1")
        at += name + value
    return found


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A length of one or four bytes, and where it ends."""
    size = 4 if at < len(data) and data[at] & 0x80 else 1
    if at + size > len(data):
        raise BadRecord("expected the length of a name or value, got the end")
    return int.from_bytes(data[at : at + size], "big") & 0x7FFF_FFFF, at + size


def encode_end(request_id: int, status: int = COMPLETE) -> bytes:
    return encode_record(END_REQUEST, struct.pack(">IB3x", 0, status), request_id)


def answer_management(kind: int) -> bytes:
    """The answer to a record that belongs to no request (4): one request at a time on a connection."""
    if kind == GET_VALUES:
        name, value = b"FCGI_MPXS_CONNS", b"0"
        return encode_record(_GET_VALUES_RESULT, bytes((len(name), len(value))) + name + value, 0)
    return encode_record(_UNKNOWN_TYPE, bytes((kind, *bytes(7))), 0)
