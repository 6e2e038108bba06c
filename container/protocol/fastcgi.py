"""FastCGI from the side of the web server: records out, records in (FastCGI 1.0, 3 and 5). No I/O.

One request has one id; a connection may be kept for the next. Requests are not interleaved on it: the
responders in use (php-fpm) refuse that, and a slow reader would hold up its neighbours.
"""

import struct
from collections.abc import Mapping
from typing import Final

_HEADER: Final = struct.Struct(">BBHHBx")
_BEGIN: Final = struct.Struct(">HB5x")
_END: Final = struct.Struct(">IB3x")
_VERSION: Final = 1
CONTENT_MAX: Final = 65_535

BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR = range(1, 8)
_RESPONDER: Final = 1
_KEEP_CONN: Final = 1

# Why a responder did not serve a request (5.5).
REFUSALS: Final = {1: "cannot multiplex", 2: "is overloaded", 3: "does not know the role of a responder"}


class BadRecord(Exception):
    """The peer does not speak FastCGI; the message is for the log."""


def encode_record(kind: int, request_id: int, content: bytes = b"") -> bytes:
    """One record; at most CONTENT_MAX bytes of content."""
    return _HEADER.pack(_VERSION, kind, request_id, len(content), 0) + content


def encode_stream(kind: int, request_id: int, content: bytes) -> bytes:
    """A piece of a stream in as many records as it takes; nothing for no content, which would end it."""
    if len(content) <= CONTENT_MAX:
        return encode_record(kind, request_id, content) if content else b""
    return b"".join(
        [
            encode_record(kind, request_id, content[at : at + CONTENT_MAX])
            for at in range(0, len(content), CONTENT_MAX)
        ]
    )


def encode_begin(request_id: int, variables: Mapping[str, str], *, keep: bool) -> bytes:
    """The beginning of a request: its role, its variables, and their end. Text is latin-1."""
    begin = _BEGIN.pack(_RESPONDER, _KEEP_CONN if keep else 0)
    pairs = b"".join(
        [_pair(name.encode("latin-1"), value.encode("latin-1")) for name, value in variables.items()]
    )
    return b"".join(
        (
            encode_record(BEGIN_REQUEST, request_id, begin),
            encode_stream(PARAMS, request_id, pairs),
            encode_record(PARAMS, request_id),
        )
    )


def _pair(name: bytes, value: bytes) -> bytes:
    """A name and its value, with lengths of one or four bytes (3.4)."""
    return _length(len(name)) + _length(len(value)) + name + value


def _length(size: int) -> bytes:
    return bytes((size,)) if size < 128 else struct.pack(">I", size | 0x8000_0000)


def parse_end(content: bytes) -> tuple[int, int]:
    """The application's exit code and the protocol status of END_REQUEST. Raises BadRecord."""
    if len(content) != _END.size:
        raise BadRecord(f"expected 8 bytes in END_REQUEST, got {len(content)}")
    code, status = _END.unpack(content)
    return code, status


class RecordReader:
    """Cuts a stream into records."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """Type, request id and content of every record that is complete now. Raises BadRecord."""
        held = self._held + data if self._held else data
        records = []
        at, end = 0, len(held)
        while end - at >= _HEADER.size:
            version, kind, request_id, size, padding = _HEADER.unpack_from(held, at)
            if version != _VERSION:
                raise BadRecord(f"expected FastCGI version 1, got {version}")
            start = at + _HEADER.size
            if end - start < size + padding:
                break
            records.append((kind, request_id, held[start : start + size]))
            at = start + size + padding
        self._held = held[at:]
        return records
