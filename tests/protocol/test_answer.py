"""Responses that were said or stored, scripts' too: heads of all spellings, content by every framing, whole and in
pieces (RFC 9112 4 to 7, RFC 3875 6)."""

from __future__ import annotations

import pytest

from container.protocol.answer import AnswerReader, BadAnswer, parse_head, split_head


@pytest.mark.parametrize(
    ("lines", "status", "reason", "fields"),
    [
        (b"HTTP/1.1 299 So be it\r\nA: 1\r\nB:2 ", 299, "So be it", [("A", "1"), ("B", "2")]),
        (b"HTTP/1.0 200 OK\nA: 1", 200, "", [("A", "1")]),
        (b"HTTP/1.1 200", 200, "", []),
        (b"HTTP/1.1 200 ", 200, "", []),
        (b"Status: 404 Not here\nA: 1", 404, "Not here", [("A", "1")]),
        (b"A: 1\nstatus: 301", 301, "", [("A", "1")]),
        (b"A: \xe9", 0, "", [("A", "\xe9")]),
        (b"HTTP/1.1 200 OK\r\nStatus: 404\r\nServer: x\r\nDate: y", 200, "", [("Status", "404")]),
        (b"", 0, "", []),
        (b"status:418   Very Teapot", 418, "Very Teapot", []),
        (b"Connection: close\nKeep-Alive: 5\nTE: a\nUpgrade: b\nTrailer: c\nProxy-Connection: d", 0, "", []),
        (b"Set-Cookie: a\nSet-Cookie: b", 0, "", [("Set-Cookie", "a"), ("Set-Cookie", "b")]),
    ],
)
def test_heads(lines: bytes, status: int, reason: str, fields: list[tuple[str, str]]) -> None:
    """CG-06, CG-07, CG-09: what is the server's own business is not passed on."""
    head = parse_head(lines)
    assert (head.status, head.reason, head.fields, head.length, head.chunked) == (
        status,
        reason,
        fields,
        -1,
        False,
    )


@pytest.mark.parametrize(
    "lines",
    [
        b"hello", b"<html>", b"HTTP/1.1 OK", b"HTTP/1.1 99 x", b"HTTP/1.1 2000 x", b"HTTP/1.1 200 a\rb",
        b"A : 1", b": 1",
        b"Status: 1", b"Status: abc", b"Status: 2000", b"Status:", b"Location: /a\nLocation: /b",
        b"Content-Type: a/b\ncontent-type: c/d", b"Status: 200\nStatus: 200", b"Content-Length: x",
        b"Content-Length: -1", b"A: 1\n b",
        b"Content-Length: 1\nContent-Length: 2", b"Content-Length: " + b"1" * 20,
        b"Transfer-Encoding: gzip", b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked\nTransfer-Encoding: chunked",
    ],
)  # fmt: skip
def test_heads_that_are_none(lines: bytes) -> None:
    """CG-06, CG-07"""
    with pytest.raises(BadAnswer):
        parse_head(lines)


def test_the_first_empty_line_ends_a_head() -> None:
    assert split_head(b"A: 1\r\n\r\nb\n\nc") == (b"A: 1", b"b\n\nc")
    assert split_head(b"A: 1\n\r\nb") == (b"A: 1", b"b")
    assert split_head(b"A: 1\r\n") is None
    for empty in (b"\nb", b"\r\nb"):
        assert split_head(empty) == (b"", b"b")


GATEWAY = [
    (b"Status: 404 Nope\n\n", 404, "Nope", b""),
    (b"Status: 404\n\n", 404, "", b""),
    (b"A: 1\n\n", 200, "", b""),
    (b"\n", 200, "", b""),
    (b"HTTP/1.1 202 Later\n\n", 202, "Later", b""),
    (b"Location: http://b/\n\n", 302, "", b""),
    (b"Location: http://b/\nStatus: 303 Look\n\n", 303, "Look", b""),
    (b"Status: 303 Look\nLocation: http://b/\n\n", 303, "Look", b""),
    (b"Location: /x?y\n\n", 302, "", b"/x?y"),
    (b"Content-Type: text/html\nlocation: /x\nServer: me\n\n", 302, "", b"/x"),
    (b"Location: /x\nStatus: 302\n\n", 302, "", b""),
    (b"Location: /x\nSet-Cookie: a=1\n\n", 302, "", b""),
    (b"Location: //evil.example/x\n\n", 302, "", b""),
    (b"Location: x\n\n", 302, "", b""),
    (b"Location: /x y\n\n", 302, "", b""),
]


@pytest.mark.parametrize(("octets", "status", "reason", "local"), GATEWAY)
@pytest.mark.parametrize("size", [1, 10_000])
def test_the_head_of_a_script(octets: bytes, status: int, reason: str, local: bytes, size: int) -> None:
    """CG-06, CG-07, CG-08: it need say no status; one wins wherever it stands; a bare path is for this server."""
    reader = AnswerReader("GET", gateway=True)
    stream = octets + b"body\n\nmore"
    got = b"".join([reader.feed(stream[at : at + size]) for at in range(0, len(stream), size)])
    head = reader.head
    assert head is not None
    assert (head.status, head.reason, head.local, got) == (status, reason, local, b"body\n\nmore")


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_lines_end_as_they_like(end: bytes) -> None:
    """CG-06: without a space after the colon too."""
    reader = AnswerReader("GET", gateway=True)
    assert reader.feed(end.join([b"Content-Type: text/plain", b"X-A:1", b"", b"body"])) == b"body"
    assert reader.head is not None
    assert reader.head.fields == [("Content-Type", "text/plain"), ("X-A", "1")]


def test_what_is_announced_goes_out_with_the_fields() -> None:
    reader = AnswerReader("GET", gateway=True)
    assert reader.feed(b"A: 1\nContent-Length: 3\n\nabcdef") == b"abc"
    assert reader.head is not None
    block = reader.head.block()
    assert (block.lines, block.length) == (b"A: 1\r\n", 3)


def test_interim_heads_are_taken_once() -> None:
    """CG-20: those of a script that speaks HTTP, or says Status: 103."""
    for octets in (b"HTTP/1.1 100 Continue\n\nHTTP/1.1 103 E\nLink: a\n\n", b"Status: 103\nLink: a\n\n"):
        reader = AnswerReader("GET", gateway=True)
        reader.feed(octets)
        assert [(head.status, head.fields) for head in reader.take_interim()] == [(103, [("Link", "a")])]
        assert not reader.take_interim()
        assert reader.head is None
        assert reader.feed(b"Status: 200\n\nx") == b"x"


CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n"
    b"5;x=y\r\nhello\r\n0\r\nT: 1\r\n\r\n"
)
ANSWERS = [
    ("GET", b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello", False),
    ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", True),
    ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello and more", b"hello", True),
    ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", b"", True),
    ("GET", CHUNKED, b"hello", True),
    ("GET", CHUNKED + b"HTTP/1.1 200 OK\r\n\r\n", b"hello", True),
    ("GET", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\n\nhello", b"hello", False),
    ("HEAD", b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", b"", True),
    ("GET", b"HTTP/1.0 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", True),
    ("POST", b"HTTP/1.0 205 Reset Content\r\nContent-Length: 5\r\n\r\nhello", b"", True),
]


@pytest.mark.parametrize(("method", "stream", "content", "known"), ANSWERS)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_content(method: str, stream: bytes, content: bytes, known: bool, size: int) -> None:
    reader = AnswerReader(method)
    got = b"".join([reader.feed(stream[at : at + size]) for at in range(0, len(stream), size)])
    assert (got, reader.complete) == (content, known)
    reader.finish()
    assert reader.complete
    assert [each.status for each in reader.interim] == ([100] if b"100 C" in stream else [])


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (b"", "got none"),
        (b"<html>", "got b'<html>'"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "got none"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "got 101"),
        (b"A: 1\r\n\r\n", "expected a status line"),
        (b"\n\n", "expected a status line"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "expected 1 more bytes"),
        (CHUNKED[:-2], "expected the last chunk"),
        (CHUNKED.replace(b"5;x", b"x;x"), "expected chunk-size"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 2000, "at most 1000 bytes"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 2000 + b"\r\n\r\n", "at most 1000 bytes"),
    ],
)
def test_streams_that_are_no_response(stream: bytes, said: str) -> None:
    """CG-06, CG-20: only a gateway's head need say no status."""
    reader = AnswerReader("GET", 1000)

    def read() -> None:
        reader.feed(stream)
        reader.finish()

    with pytest.raises(BadAnswer, match=said):
        read()
