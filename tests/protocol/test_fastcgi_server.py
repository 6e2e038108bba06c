"""FastCGI as an application reads it: records in any pieces, variables, and what is no FastCGI."""

from __future__ import annotations

import struct

import pytest

from container.protocol import fastcgi
from container.protocol.fastcgi import BadRecord, encode_record, encode_variables
from container.protocol.fastcgi_server import (
    GET_VALUES,
    UNKNOWN_ROLE,
    Records,
    answer_management,
    decode_begin,
    decode_pairs,
    encode_end,
)

PADDED = struct.pack(">BBHHBx", 1, fastcgi.STDIN, 7, 3, 5) + b"abc" + bytes(5)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_records_in_pieces(size: int) -> None:
    stream = (
        encode_record(fastcgi.BEGIN_REQUEST, b"\0\1\1\0\0\0\0\0", 7)
        + PADDED
        + encode_record(fastcgi.STDIN, b"", 7)
    )
    records = Records()
    found = [each for at in range(0, len(stream), size) for each in records.feed(stream[at : at + size])]
    assert found == [
        (fastcgi.BEGIN_REQUEST, 7, b"\0\1\1\0\0\0\0\0"),
        (fastcgi.STDIN, 7, b"abc"),
        (fastcgi.STDIN, 7, b""),
    ]


def test_variables_are_those_that_were_sent() -> None:
    variables = {"A": "", "LONG" * 40: "x" * 70_000, "B": "\xe4"}
    params = b"".join(content for _, _, content in Records().feed(encode_variables(variables)))
    assert decode_pairs(params) == variables


@pytest.mark.parametrize("data", [b"\1", b"\1\1a", b"\x80\0\0", b"\1\x80\0\0\5ab", b"\xff\xff\xff\xff\1"])
def test_variables_that_break_off(data: bytes) -> None:
    with pytest.raises(BadRecord):
        decode_pairs(data)


def test_what_is_no_fastcgi() -> None:
    with pytest.raises(BadRecord, match="version 1, got 71"):
        list(Records().feed(b"GET / HTTP/1.1\r\n"))
    with pytest.raises(BadRecord, match="8 bytes"):
        decode_begin(b"\0\1")


def test_who_is_asked_and_for_how_long() -> None:
    assert decode_begin(b"\0\1\1" + bytes(5)) == (True, True)
    assert decode_begin(b"\0\2\0" + bytes(5)) == (False, False)


def test_answers() -> None:
    assert list(Records().feed(encode_end(3, UNKNOWN_ROLE))) == [
        (fastcgi.END_REQUEST, 3, b"\0\0\0\0\3\0\0\0")
    ]
    [(kind, request_id, content)] = Records().feed(answer_management(GET_VALUES))
    assert (kind, request_id, decode_pairs(content)) == (10, 0, {"FCGI_MPXS_CONNS": "0"})
    assert list(Records().feed(answer_management(42))) == [(11, 0, b"\x2a" + bytes(7))]
