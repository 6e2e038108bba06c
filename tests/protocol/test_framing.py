from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.message.body import Body, SpoolQuota, Trailers
from container.message.errors import ProtocolError
from container.message.limits import Limits
from container.protocol.framing import ChunkedFraming, Framing, LengthFraming

# Whatever follows a message must come back untouched.
NEXT = b"GET /next HTTP/1.1\r\n"

Outcome = tuple[bytes, Trailers, bytes] | int


def outcome(framing: Framing, body: Body, pieces: Iterable[bytes]) -> Outcome | None:
    """Content, trailers and rest; the status of a refusal; None while more is awaited."""
    rest = None
    try:
        for piece in pieces:
            if rest is None:
                rest = framing.feed(piece)
            else:
                rest += piece
    except ProtocolError as error:
        assert not body.complete
        return error.status
    assert body.complete == (rest is not None)
    return None if rest is None else (body.take(), body.trailers, rest)


def chunked(pieces: Iterable[bytes], limits: Limits | None = None) -> Outcome | None:
    body = Body()
    return outcome(ChunkedFraming(body, limits or Limits()), body, pieces)


def sized(length: int, pieces: Iterable[bytes]) -> Outcome | None:
    body = Body(length)
    return outcome(LengthFraming(body, length), body, pieces)


def one_by_one(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def every_split(data: bytes) -> list[list[bytes]]:
    """Whole, one byte at a time, and in two at every point."""
    return [[data], one_by_one(data), *([data[:at], data[at:]] for at in range(len(data) + 1))]


@pytest.mark.parametrize(
    ("length", "data", "expected"),
    [
        (1, b"a", (b"a", [], b"")),
        (5, b"hello", (b"hello", [], b"")),
        (5, b"hello" + NEXT, (b"hello", [], NEXT)),
        (5, b"\r\n\r\n\0" + NEXT, (b"\r\n\r\n\0", [], NEXT)),
        (5, b"hell", None),
        (5, b"", None),
        (1 << 62, b"hello", None),
    ],
)
def test_a_length_takes_exactly_so_many_bytes(length: int, data: bytes, expected: Outcome | None) -> None:
    for pieces in every_split(data):
        assert sized(length, pieces) == expected


def test_content_of_a_length_is_there_before_its_end() -> None:
    body = Body(5)
    framing = LengthFraming(body, 5)
    assert framing.feed(b"he") is None
    assert (body.take(), body.received, body.complete) == (b"he", 2, False)
    assert framing.feed(b"llo!") == b"!"
    assert (body.take(), body.received, body.complete) == (b"llo", 5, True)


HELLO: Outcome = (b"hello", [], NEXT)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"5\r\nhello\r\n0\r\n\r\n", HELLO),
        (b"1\r\nh\r\n2\r\nel\r\n2\r\nlo\r\n0\r\n\r\n", HELLO),
        (b"0\r\n\r\n", (b"", [], NEXT)),
        (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", (b"0123456789" * 2, [], NEXT)),
        (b"0005\r\nhello\r\n000\r\n\r\n", HELLO),
        (b"0000000000000005\r\nhello\r\n0\r\n\r\n", HELLO),
        (b"2\r\n\r\n\r\n2\r\n0\r\r\n0\r\n\r\n", (b"\r\n0\r", [], NEXT)),
        (b"4\r\n\0\xff\n\r\r\n0\r\n\r\n", (b"\0\xff\n\r", [], NEXT)),
    ],
)
def test_chunks_become_content(data: bytes, expected: Outcome) -> None:
    for pieces in every_split(data + NEXT):
        assert chunked(pieces) == expected


@pytest.mark.parametrize(
    "extension",
    [
        b";foo",
        b";foo=bar",
        b";a=1;b;c=3",
        b" ; a = b",
        b"\t;\ta\t=\tb\t",
        b" ;a ;b= c",
        b';a="b;c"',
        b';a=""',
        b';a="x\\"y\\\\z"',
        b';a="tab\there, comma"',
        b';a="\xe4\x80"',
        b';a="\\\xff"',
        b";!#$%&'*+-.^_`|~09azAZ=!#$%&'*+-.^_`|~09azAZ",
        b" ",
        b"\t ",
    ],
)
def test_legal_chunk_extensions_are_ignored(extension: bytes) -> None:
    data = b"5%b\r\nhello\r\n0%b\r\n\r\n" % (extension, extension) + NEXT
    for pieces in every_split(data):
        assert chunked(pieces) == HELLO


@pytest.mark.parametrize(
    ("lines", "trailers"),
    [
        (b"X-Sum: 1\r\n", [(b"x-sum", b"1")]),
        (b"a: 1\r\nA:2\r\nb:\t 3 \t\r\n", [(b"a", b"1"), (b"a", b"2"), (b"b", b"3")]),
        (b"a:\r\nb: \r\n", [(b"a", b""), (b"b", b"")]),
        (b"a: b: c\r\n", [(b"a", b"b: c")]),
        (b"a: \xe4\x80\r\n", [(b"a", b"\xe4\x80")]),
        (b"Content-Length: 99\r\n", [(b"content-length", b"99")]),
    ],
)
def test_trailers_are_kept_apart(lines: bytes, trailers: Trailers) -> None:
    for pieces in every_split(b"5\r\nhello\r\n0\r\n%b\r\n" % lines + NEXT):
        assert chunked(pieces) == (b"hello", trailers, NEXT)


def test_chunks_that_are_cut_short_are_never_complete() -> None:
    message = b"5;a=b\r\nhello\r\n0\r\na: 1\r\n\r\n"
    for size in range(len(message)):
        assert chunked([message[:size]]) is None
        assert chunked(one_by_one(message[:size])) is None


END = b"\r\nhello\r\n0\r\n\r\n"
SIZES = [
    b"g", b"0x5", b"0_5", b"+5", b"-5", b" 5", b"\t5", b"", b";a=1", b"5,5", b"5 5", b"5\0", b"5\x0b", b"5.",
    b"5h", b"\xd9\xa5", b"\xb2", b"'5'", b'"5"', b"10000000000000005", b"00000000000000005", b"\r\n5", b"\n5",
]  # fmt: skip
EXTENSIONS = [
    b";", b";;a", b";a;", b";=b", b";a=", b"; a =;b", b";a b", b";a\rb", b";a\0", b";a=b\x7f", b";a=\xe4",
    b";\xe4", b";a==b", b';a="', b';a="b', b';a="b"c', b';a="\\"', b';a="\0"', b';a=b"c"', b';a="\r\n"',
    b";a=\r\n b", b";a\nb", b";a\n", b';a="\n"',
]  # fmt: skip
TRAILERS = [
    b"nocolon", b": v", b"a : v", b" a: v", b"a\t: v", b"a b: v", b"a: 1\r\n b", b"a: \0", b"a: b\x7f",
    b"\xe4: v", b"a: b\rc", b"a: b\r", b"a: 1\nb: 2", b"\r", b"\n",
]  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        *(size + END for size in SIZES),
        *(b"5" + extension + END for extension in EXTENSIONS),
        *(b"0\r\n" + line + b"\r\n\r\n" for line in TRAILERS),
        # Something other than CRLF after the size, the data, the last chunk, a trailer, all trailers.
        b"5\rhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloXX\r\n0\r\n\r\n",
        b"5\r\nhelloab0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n",
        b"5\r\nhello\n\r0\r\n\r\n",
        b"5\r\nhell\r\n0\r\n\r\n",
        b"0\n\n",
        b"0\n\r\n",
        b"0\r\n\n",
        b"0\r\na: 1\n\r\n",
        b"0\r\na: 1\r\n\n",
        b"0\r\n\r\r\n",
    ],
)
def test_a_malformed_chunk_is_refused(data: bytes) -> None:
    for pieces in every_split(data + NEXT):
        assert chunked(pieces) == 400


def test_size_line_is_bounded_however_it_arrives() -> None:
    limits = Limits(chunk_line=16)
    longest = b"1;" + b"x" * 12 + b"\r\n"
    assert len(longest) == 16
    for pieces in every_split(longest + b"a\r\n0\r\n\r\n"):
        assert chunked(pieces, limits) == (b"a", [], b"")
    for pieces in every_split(b"1;x" + longest[2:] + b"a\r\n0\r\n\r\n"):
        assert chunked(pieces, limits) == 400


@pytest.mark.parametrize(
    "line", [b"0" * 2048, b"5;" + b"x" * 2048, b"5" + b" " * 2048, b'5;a="' + b"x" * 2048]
)
def test_endless_size_line_is_refused_before_its_end(line: bytes) -> None:
    assert chunked([line]) == 400
    assert chunked(one_by_one(line[:1024])) is None
    assert chunked(one_by_one(line[:1025])) == 400


def test_trailer_section_is_bounded_however_it_arrives() -> None:
    limits = Limits(trailers=16)
    fitting = b"0\r\na: 123\r\nb: 456\r\n\r\n"
    for pieces in every_split(fitting + NEXT):
        assert chunked(pieces, limits) == (b"", [(b"a", b"123"), (b"b", b"456")], NEXT)
    for pieces in every_split(b"0\r\na: 123\r\nb: 4567\r\n\r\n"):
        assert chunked(pieces, limits) == 431


def test_endless_trailers_are_refused_before_their_end() -> None:
    limits = Limits(trailers=1000, fields=20)
    assert chunked([b"0\r\na: " + b"x" * 1000], limits) == 431
    assert chunked(one_by_one(b"0\r\na: " + b"x" * 1000), limits) == 431
    assert chunked([b"0\r\n" + b"x" * 1000], limits) is None
    assert chunked([b"0\r\n" + b"x" * 1001], limits) == 431


def test_trailer_fields_are_counted() -> None:
    limits = Limits(fields=3)
    assert chunked([b"0\r\n" + b"a:\r\n" * 3 + b"\r\n"], limits) == (b"", [(b"a", b"")] * 3, b"")
    for pieces in every_split(b"0\r\n" + b"a:\r\n" * 4 + b"\r\n"):
        assert chunked(pieces, limits) == 431


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"8\r\n01234567\r\n0\r\n\r\n", (b"01234567", [], b"")),
        (b"4\r\n0123\r\n4\r\n4567\r\n0\r\n\r\n", (b"01234567", [], b"")),
        (b"9\r\n", 413),
        (b"8\r\n01234567\r\n1\r\n", 413),
        (b"ffffffffffffffff\r\n", 413),
    ],
)
def test_content_over_the_limit_is_refused_by_its_announcement(data: bytes, expected: Outcome) -> None:
    for pieces in every_split(data):
        assert chunked(pieces, Limits(body=8)) == expected


def test_without_a_limit_any_size_may_be_announced() -> None:
    assert chunked([b"ffffffffffffffff\r\nabc"], Limits(body=None)) is None


def test_what_was_discarded_counts_too() -> None:
    body = Body()
    framing = ChunkedFraming(body, Limits(body=8))
    framing.feed(b"8\r\n01234567\r\n")
    body.discard()
    with pytest.raises(ProtocolError, match="limit of 8 bytes"):
        framing.feed(b"1\r\n")


def test_used_up_quota_surfaces_from_either_framing() -> None:
    for framing_of, data in ((lambda body: LengthFraming(body, 9), b"12345"), (by_chunks, b"5\r\n12345")):
        body = Body()
        body.spool(memory=100, quota=SpoolQuota(4))
        with pytest.raises(ProtocolError) as caught:
            framing_of(body).feed(data)
        assert caught.value.status == 503


def by_chunks(body: Body) -> Framing:
    return ChunkedFraming(body, Limits())


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=8),
    st.binary(max_size=20),
    st.lists(st.integers(0, 500), max_size=12),
)
def test_chunks_come_back_however_they_are_cut(chunks: list[bytes], rest: bytes, cuts: list[int]) -> None:
    wire = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n" + rest
    points = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    pieces = [wire[start:stop] for start, stop in pairwise(points)]
    assert chunked(pieces) == (b"".join(chunks), [], rest)
