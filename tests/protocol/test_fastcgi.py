"""Records of FastCGI, netstrings of SCGI, packets of uWSGI."""

from __future__ import annotations

import struct

import pytest

from container.protocol import fastcgi
from container.protocol.fastcgi import BadRecord, RecordReader
from container.protocol.scgi import encode_scgi, encode_uwsgi


def test_the_beginning_of_a_request() -> None:
    """The example of the specification, appendix B, with its lengths of one and of four bytes."""
    long = "v" * 200
    data = fastcgi.encode_begin(7, {"SERVER_PORT": "80", "LONG": long}, keep=True)
    records = RecordReader().feed(data)
    pairs = b"\x0b\x02SERVER_PORT80" + b"\x04\x80\x00\x00\xc8LONG" + long.encode()
    assert records == [
        (fastcgi.BEGIN_REQUEST, 7, b"\x00\x01\x01\x00\x00\x00\x00\x00"),
        (fastcgi.PARAMS, 7, pairs),
        (fastcgi.PARAMS, 7, b""),
    ]
    assert fastcgi.encode_begin(1, {}, keep=False)[10] == 0


def test_a_stream_takes_as_many_records_as_it_needs() -> None:
    data = fastcgi.encode_stream(fastcgi.STDIN, 1, b"x" * 150_000)
    assert [len(content) for _, _, content in RecordReader().feed(data)] == [65_535, 65_535, 18_930]
    assert fastcgi.encode_stream(fastcgi.STDIN, 1, b"") == b""


@pytest.mark.parametrize("size", [1, 5, 8, 1000])
def test_records_in_pieces_and_with_padding(size: int) -> None:
    data = struct.pack(">BBHHBx", 1, 6, 1, 3, 5) + b"abc" + b"\0" * 5 + fastcgi.encode_record(3, 1, b"\0" * 8)
    reader = RecordReader()
    got = [each for at in range(0, len(data), size) for each in reader.feed(data[at : at + size])]
    assert got == [(6, 1, b"abc"), (3, 1, b"\0" * 8)]


def test_what_is_no_fastcgi() -> None:
    with pytest.raises(BadRecord, match="version 1, got 72"):
        RecordReader().feed(b"HTTP/1.1 200 OK\r\n")
    with pytest.raises(BadRecord, match="8 bytes"):
        fastcgi.parse_end(b"x")
    assert fastcgi.parse_end(b"\0\0\0\x02\x01\0\0\0") == (2, 1)


def test_scgi() -> None:
    """The example of the specification: CONTENT_LENGTH first, and always there."""
    got = encode_scgi({"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "27", "REQUEST_URI": "/deepthought"})
    assert got == (
        b"70:CONTENT_LENGTH\x0027\x00SCGI\x001\x00REQUEST_METHOD\x00POST\x00REQUEST_URI\x00/deepthought\x00,"
    )
    assert encode_scgi({}) == b"24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,"
    with pytest.raises(ValueError, match="no NUL"):
        encode_scgi({"A": "a\0b"})


def test_uwsgi() -> None:
    assert encode_uwsgi({"A": "\xe9"}) == b"\x00\x06\x00\x00\x01\x00A\x01\x00\xe9"
    assert encode_uwsgi({}) == b"\0\0\0\0"
    for variables in ({"A": "x" * 70_000}, {"A": "x" * 40_000, "B": "x" * 40_000}):
        with pytest.raises(ValueError, match="at most 65535 bytes"):
            encode_uwsgi(variables)
