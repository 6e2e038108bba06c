"""Records of FastCGI, netstrings of SCGI, packets of uWSGI."""

from __future__ import annotations

import struct

import pytest

from container.protocol import fastcgi
from container.protocol.fastcgi import BadRecord, RecordReader, Refused
from container.protocol.scgi import encode_scgi, encode_scgi_part, encode_uwsgi, encode_uwsgi_part
from tests.responders import Records

END = fastcgi.encode_record(fastcgi.END_REQUEST, b"\0" * 8)


def test_a_request() -> None:
    """The example of the specification, appendix B, with its lengths of one and of four bytes."""
    long = "v" * 200
    data = fastcgi.BEGIN + fastcgi.encode_variables({"SERVER_PORT": "80", "LONG": long})
    records = list(Records().feed(data + fastcgi.END_OF_PARAMS + fastcgi.END_OF_CONTENT))
    pairs = b"\x0b\x02SERVER_PORT80" + b"\x04\x80\x00\x00\xc8LONG" + long.encode()
    assert records == [
        (fastcgi.BEGIN_REQUEST, 1, b"\x00\x01\x01\x00\x00\x00\x00\x00"),
        (fastcgi.PARAMS, 1, pairs),
        (fastcgi.PARAMS, 1, b""),
        (fastcgi.STDIN, 1, b""),
    ]


def test_records_of_variables_end_where_pairs_do() -> None:
    """php-fpm takes them one by one; only what is larger than a record goes on in the next."""
    data = fastcgi.encode_variables({"A": "x" * 40_000, "B": "y" * 40_000, "C": "", "D": "z" * 70_000})
    contents = [content for _, _, content in Records().feed(data)]
    assert [(content[:7], len(content)) for content in contents[:2]] == [
        (b"\x01\x80\x00\x9c\x40Ax", 40_006),
        (b"\x01\x80\x00\x9c\x40By", 40_006 + 3),
    ]
    assert contents[1].endswith(b"y\x01\x00C")
    assert [len(content) for content in contents[2:]] == [65_535, 70_006 - 65_535]
    assert fastcgi.encode_variables({}) == b""
    with pytest.raises(ValueError, match="no NUL"):
        fastcgi.encode_variables({"A": "a\0b"})


def test_a_stream_takes_as_many_records_as_it_needs() -> None:
    data = fastcgi.encode_stream(fastcgi.STDIN, b"x" * 150_000)
    assert [len(content) for _, _, content in Records().feed(data)] == [65_535, 65_535, 18_930]
    assert fastcgi.encode_stream(fastcgi.STDIN, b"") == b""


@pytest.mark.parametrize("size", [1, 5, 8, 1000])
def test_an_answer_in_pieces_and_with_padding(size: int) -> None:
    """Records of other requests, which were given up, are passed over."""
    data = b"".join(
        [
            struct.pack(">BBHHBx", 1, fastcgi.STDOUT, 1, 3, 5) + b"abc" + b"\0" * 5,
            fastcgi.encode_record(fastcgi.STDOUT, b"another's", 2),
            fastcgi.encode_record(fastcgi.STDERR, b"oh"),
            fastcgi.encode_record(fastcgi.STDOUT, b"de"),
            fastcgi.encode_record(fastcgi.STDOUT, b"f"),
            fastcgi.encode_record(fastcgi.STDOUT),
            END,
        ]
    )
    reader = RecordReader()
    said = b"".join([reader.feed(data[at : at + size]) for at in range(0, len(data), size)])
    assert (said, reader.errors, reader.ended, reader.is_clean) == (b"abcdef", b"oh", True, True)


def test_what_comes_behind_the_end() -> None:
    reader = RecordReader()
    assert reader.feed(END + b"x") == b""
    assert (reader.ended, reader.is_clean) == (True, False)


@pytest.mark.parametrize(
    ("data", "error", "said"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", BadRecord, "version 1, got 72"),
        (fastcgi.encode_record(fastcgi.END_REQUEST, b"x"), BadRecord, "8 bytes"),
        (fastcgi.encode_record(9), BadRecord, "a record of type 9"),
        (fastcgi.encode_record(fastcgi.END_REQUEST, b"\0\0\0\x02\x01\0\0\0"), Refused, "cannot multiplex"),
        (fastcgi.encode_record(fastcgi.END_REQUEST, b"\0\0\0\0\x09\0\0\0"), Refused, "status 9"),
    ],
)
def test_what_is_no_answer(data: bytes, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        RecordReader().feed(data)


def test_scgi() -> None:
    """The example of the specification: CONTENT_LENGTH first, and always there."""
    variables = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "27", "REQUEST_URI": "/deepthought"}
    assert encode_scgi(encode_scgi_part(variables), 27) == (
        b"70:CONTENT_LENGTH\x0027\x00SCGI\x001\x00REQUEST_METHOD\x00POST\x00REQUEST_URI\x00/deepthought\x00,"
    )
    assert encode_scgi(b"", 0) == b"24:CONTENT_LENGTH\x000\x00SCGI\x001\x00,"
    with pytest.raises(ValueError, match="no NUL"):
        encode_scgi_part({"A": "a\0b"})


def test_uwsgi() -> None:
    assert encode_uwsgi(encode_uwsgi_part({"A": "\xe9"})) == b"\x00\x06\x00\x00\x01\x00A\x01\x00\xe9"
    assert encode_uwsgi(b"") == b"\0\0\0\0"
    for variables in ({"A": "x" * 70_000}, {"A": "x" * 40_000, "B": "x" * 40_000}):
        with pytest.raises(ValueError, match="at most 65535 bytes"):
            encode_uwsgi(encode_uwsgi_part(variables))
