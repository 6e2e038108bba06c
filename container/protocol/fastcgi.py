"""FastCGI from the side of the web server: records out, an answer in (FastCGI 1.0, 3 and 5). No I/O. Hot path.

A connection carries one request at a time, always by the same id, and may be kept for the next. Requests are not
interleaved on it: the responders in use (php-fpm) refuse that, and a slow reader would hold up its neighbours.
"""

import struct
from collections.abc import Mapping
from typing import Final

_HEADER: Final = struct.Struct(">BBHHBx")
_HEADER_SIZE: Final = 8
_END: Final = struct.Struct(">IB3x")
_VERSION: Final = 1
CONTENT_MAX: Final = 65_535

BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR = range(1, 8)
REQUEST_ID: Final = 1

# Why a responder did not serve a request (5.5).
_REFUSALS: Final = {1: "cannot multiplex", 2: "is overloaded", 3: "does not know the role of a responder"}


class BadRecord(Exception):
    """The peer does not speak FastCGI; the message is for the log."""


class Refused(Exception):
    """The responder does not want the request now; the message is for the log."""


def encode_record(kind: int, content: bytes = b"", request_id: int = REQUEST_ID) -> bytes:
    """One record; at most CONTENT_MAX bytes of content."""
    return _HEADER.pack(_VERSION, kind, request_id, len(content), 0) + content


def encode_stream(kind: int, content: bytes, request_id: int = REQUEST_ID) -> bytes:
    """A piece of a stream in as many records as it takes; nothing for no content, which would end it."""
    if len(content) <= CONTENT_MAX:
        return encode_record(kind, content, request_id) if content else b""
    return b"".join(
        [
            encode_record(kind, content[at : at + CONTENT_MAX], request_id)
            for at in range(0, len(content), CONTENT_MAX)
        ]
    )


# A request: BEGIN, its variables, END_OF_PARAMS, its content, END_OF_CONTENT. BEGIN asks a responder (role 1)
# to keep the connection (flag 1).
BEGIN: Final = encode_record(BEGIN_REQUEST, struct.pack(">HB5x", 1, 1))
END_OF_PARAMS: Final = encode_record(PARAMS)
END_OF_CONTENT: Final = encode_record(STDIN)
ABORT: Final = encode_record(ABORT_REQUEST)


def encode_variables(variables: Mapping[str, str]) -> bytes:
    """Some variables of a request; others may follow. Text is latin-1. Raises ValueError where one holds a NUL.

    Records end where pairs do: php-fpm reads them one by one.
    """
    records: list[bytes] = []
    pairs: list[bytes] = []
    room = CONTENT_MAX
    for name, value in variables.items():
        if "\0" in value:
            raise ValueError("expected no NUL in the variables of a request")
        pair = _pair(name.encode("latin-1"), value.encode("latin-1"))
        room -= len(pair)
        if room < 0:
            records.append(encode_stream(PARAMS, b"".join(pairs)))
            pairs.clear()
            room = CONTENT_MAX - len(pair)
        pairs.append(pair)
    records.append(encode_stream(PARAMS, b"".join(pairs)))
    return b"".join(records)


def _pair(name: bytes, value: bytes) -> bytes:
    """A name and its value, with lengths of one or four bytes (3.4)."""
    return _length(len(name)) + _length(len(value)) + name + value


def _length(size: int) -> bytes:
    return bytes((size,)) if size < 128 else struct.pack(">I", size | 0x8000_0000)


# How most answers begin and end: some of the content, and nothing to be said of the request.
_FIRST: Final = encode_record(STDOUT)[:4]
_LAST: Final = encode_record(END_REQUEST, bytes(8))


def whole_answer(data: bytes) -> bytes:
    """The answer, when `data` is one record of it and the usual end, as small answers are; nothing otherwise."""
    if data.endswith(_LAST) and data.startswith(_FIRST):
        size = (data[4] << 8) | data[5]
        if len(data) == _HEADER_SIZE + size + data[6] + len(_LAST):
            return data[_HEADER_SIZE : _HEADER_SIZE + size]
    return b""


class RecordReader:
    """Reads what a responder says in answer to one request.

    `errors`: what it has written to its standard error, for whoever takes it away. `ended` once END_REQUEST has
    come; `is_clean`: nothing came behind that.
    """

    __slots__ = ("_held", "ended", "errors", "is_clean")

    def __init__(self) -> None:
        self._held = self.errors = b""
        self.ended = self.is_clean = False

    def feed(self, data: bytes) -> bytes:
        """More of the stream: what of the answer is in the records that are complete now.

        Raises BadRecord, and Refused for an answer there will not be. Records of other requests are passed over.
        """
        if self._held:
            data = self._held + data
            self._held = b""
        said = b""
        pieces: list[bytes] | None = None
        at, end = 0, len(data)
        while end - at >= _HEADER_SIZE:
            version, kind, request_id, size, padding = _HEADER.unpack_from(data, at)
            if version != _VERSION:
                raise BadRecord(f"expected FastCGI version 1, got {version}")
            stop = at + _HEADER_SIZE + size
            if stop + padding > end:
                break
            content = data[at + _HEADER_SIZE : stop]
            at = stop + padding
            if request_id != REQUEST_ID:
                continue
            if kind == STDOUT:
                if pieces is not None:
                    pieces.append(content)
                elif said:
                    pieces = [said, content]
                else:
                    said = content
            elif kind == END_REQUEST:
                self.ended = True
                self.is_clean = at == end
                _check_end(content)
                break
            elif kind == STDERR:
                self.errors += content
            else:
                raise BadRecord(f"expected STDOUT, STDERR or END_REQUEST, got a record of type {kind}")
        if at < end and not self.ended:
            self._held = data[at:]
        return said if pieces is None else b"".join(pieces)


def _check_end(content: bytes) -> None:
    if len(content) != _END.size:
        raise BadRecord(f"expected 8 bytes in END_REQUEST, got {len(content)}")
    _, status = _END.unpack(content)
    if status:
        raise Refused(f"it {_REFUSALS.get(status, f'refused with status {status}')}")
