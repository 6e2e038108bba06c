"""Anything may arrive: mutated and random octets against the request parser, with h11 as a second opinion."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import NamedTuple

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from container.message.errors import ProtocolError
from container.message.fields import list_tokens
from container.message.limits import Limits
from container.protocol.h1 import RequestParser, Tokeniser

LIMITS = Limits()
TIGHT = Limits(
    request_line=50, field_section=120, field_size=60, fields=6, body=40, trailers=40, chunk_line=20
)
SOAK_EXAMPLES = 30_000

SEEDS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\nGET /p%20q?x=1 HTTP/1.1\r\nHost: a.example:80\r\nAccept: */*\r\nCookie: a=1\r\n\r\n",
    b"HEAD http://b:8/x?y HTTP/1.1\r\nHost: a\r\nX: \t y \t\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
    b"CONNECT b:443 HTTP/1.1\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"POST /f HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /f HTTP/1.1\r\nHost: a\r\nContent-Length: 27\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n",
    b"POST /f HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 005\r\n\r\nhello",
    b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b'PUT /c HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\nA;q="x;\\""\r\n'
    b"0123456789\r\n"
    b"00\r\nX-Sum: 1\r\nY: 2\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"DELETE / HTTP/1.2\r\nHost: a\r\nConnection: x, keep-alive\r\nProxy-Connection: close\r\n\r\n",
]
SPLINTERS = [
    b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\n\n", b"\r\n\n", b" ", b"\t", b"\0", b":", b";", b",", b'"', b"\\",
    b"0", b"1", b"f", b"\x7f", b"\x80", b"\xff", b"\x0b", b"#", b"?", b"*", b"HTTP/1.1", b"HTTP/1.0",
    b"HTTP/2.0", b"Host: b\r\n", b"0\r\n\r\n", b"Content-Length: 3\r\n", b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n",
    b"Upgrade: x\r\n", b"Expect: x\r\n", b" , ", b"chunked", b"gzip, ", b"http://c", b"\r\n ",
]  # fmt: skip
LINES = [
    b"X: y", b"X:\ty\t ", b"x: y ", b"x:", b"Host: b", b"Content-Length: 3", b"content-length: 0",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: , chunked", b"Transfer-Encoding: gzip, chunked",
    b"Connection: close", b"Upgrade: x", b"Connection: keep-alive, Upgrade", b"Expect: 100-continue ",
    b"3 ; a = \"b\"", b"0", b"abc", b"GET /z HTTP/1.1", b"Content-Length: 000000000000000000000000000005",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Some valid requests in a row, damaged in a few places."""
    wire = b"".join(draw(st.lists(st.sampled_from(SEEDS), min_size=1, max_size=3)))
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 2, 3, 4]))):
        at = draw(st.integers(0, len(wire)))
        stop = at + draw(st.integers(0, 12))
        match draw(st.integers(0, 7)):
            case 0:
                wire = wire[:at] + draw(st.binary(min_size=1, max_size=1)) + wire[at + 1 :]
            case 1:
                wire = wire[:at] + draw(st.sampled_from(SPLINTERS)) + wire[at:]
            case 2:
                wire = wire[:at] + draw(st.sampled_from(SPLINTERS)) + wire[stop:]
            case 3:
                wire = wire[:at] + wire[stop:]
            case 4:
                wire = wire[:stop] + wire[at:]
            case 5:
                wire = wire[:at]
            case _:
                line = wire.find(b"\r\n", at) + 2
                wire = wire[:line] + draw(st.sampled_from(LINES)) + b"\r\n" + wire[line:]
    return wire


WIRES = st.one_of(
    *[mutated()] * 4,
    st.lists(st.sampled_from(SPLINTERS + SEEDS), max_size=12).map(b"".join),
    st.binary(max_size=200),
)
CUTS = st.lists(st.integers(0, 400), max_size=10)


class Message(NamedTuple):
    """A request as either parser sees it."""

    method: bytes
    target: bytes
    fields: list[tuple[bytes, bytes]]
    content: bytes
    complete: bool


class Story(NamedTuple):
    """A connection: its messages, why it was refused if it was, and whether it could go on."""

    messages: list[Message]
    refusal: str | int | None
    open: bool


def pieces(wire: bytes, cuts: Iterable[int]) -> list[bytes]:
    points = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    return [wire[start:stop] for start, stop in pairwise(points)]


def ours(
    chunks: Iterable[bytes], limits: Limits = LIMITS, tokeniser: Tokeniser | None = None
) -> tuple[Story, RequestParser]:
    """Read until a refusal or the last request of the connection; broken content unmakes its request."""
    parser = RequestParser(limits, tokeniser or Tokeniser())
    requests = []
    refusal = None
    try:
        for chunk in chunks:
            parser.receive(chunk)
            while (parser.keep_alive or parser.framing) and (request := parser.next()):
                requests.append(request)
    except ProtocolError as error:
        refusal = error.status
        requests = [request for request in requests if request.body.complete]
    messages = [
        Message(
            request.method.encode(),
            request.raw_target,
            list(request.raw_headers),
            request.body.take(),
            request.body.complete,
        )
        for request in requests
    ]
    return Story(messages, refusal, parser.keep_alive), parser


def theirs(wire: bytes) -> Story:
    """The same by h11; a new connection for each request, so that it never stops by itself."""
    messages: list[Message] = []
    while True:
        # One empty line before a request is for us to skip (RFC 9112 2.2), h11 refuses it.
        wire = wire.removeprefix(b"\r\n")
        if not wire:
            return Story(messages, None, True)
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(wire)
        message = Message(b"", b"", [], b"", complete=False)
        try:
            while (event := connection.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Request):
                    message = Message(event.method, event.target, list(event.headers), b"", complete=False)
                elif isinstance(event, h11.Data):
                    message = message._replace(content=message.content + bytes(event.data))
                elif isinstance(event, h11.EndOfMessage):
                    messages.append(message._replace(complete=True))
                    break
        except h11.RemoteProtocolError as error:
            return Story(messages, str(error), True)
        if event is h11.NEED_DATA:
            return Story(messages + ([message] if message.method else []), None, True)
        wire = connection.trailing_data[0]


# What we accept and h11 does not: its words, and what must be true of our message.
DIFFERENCES: dict[str, Callable[[Message], bool]] = {
    # Whitespace around ";" and "=" of a chunk extension is "bad" but to be parsed (RFC 9112 7.1.1).
    "illegal chunk header": lambda message: bool(value_of(message, b"transfer-encoding")),
    # Empty members of a list are to be ignored (RFC 9110 5.6.1.2).
    "Only Transfer-Encoding: chunked": lambda message: (
        list_tokens([value_of(message, b"transfer-encoding")]) == [b"chunked"]
    ),
    # Leading zeros; h11 counts digits.
    "bad Content-Length": lambda message: len(value_of(message, b"content-length")) > 20,
}


def value_of(message: Message, name: bytes) -> bytes:
    return dict(message.fields).get(name, b"")


def comparable(message: Message) -> Message:
    """Without the fields that either side rewrites: the Host of an absolute target, the names of codings."""
    rewritten = (b"host", b"transfer-encoding")
    return message._replace(fields=[field for field in message.fields if field[0] not in rewritten])


def check_only_refusals(wire: bytes, cuts: list[int]) -> None:
    for limits in (LIMITS, TIGHT):
        story, parser = ours(pieces(wire, cuts), limits)
        assert len(story.messages) <= 1 + len(wire) // 18
        assert sum(len(message.content) for message in story.messages) <= len(wire)
        if story.refusal is None and story.open and parser.framing is None:
            assert len(parser.buffer) <= limits.request_line + limits.field_section + 5


def check_splits(wire: bytes, cuts: list[int]) -> None:
    whole, _ = ours([wire])
    assert ours(pieces(wire, cuts))[0] == whole
    assert ours(pieces(wire, range(len(wire))))[0] == whole


SHARED = Tokeniser()


def check_sharing(wire: bytes, cuts: list[int]) -> None:
    alone, _ = ours(pieces(wire, cuts))
    assert ours(pieces(wire, cuts), tokeniser=SHARED)[0] == alone
    for seed in SEEDS:
        assert ours([seed], tokeniser=SHARED)[0] == ours([seed])[0]


def check_against_h11(wire: bytes, _cuts: list[int]) -> None:
    we, they = ours([wire])[0], theirs(wire)
    for number, message in enumerate(we.messages):
        if number < len(they.messages):
            assert comparable(message) == comparable(they.messages[number])
            continue
        assert isinstance(they.refusal, str), "h11 sees fewer requests"
        if message.complete:
            reasons = [reason for reason in DIFFERENCES if reason in they.refusal]
            assert reasons, they.refusal
            assert DIFFERENCES[reasons[0]](message)
        return
    if we.refusal is None and we.open:
        assert len(we.messages) == len(they.messages), "h11 sees more requests"


CHECKS = [check_only_refusals, check_splits, check_sharing, check_against_h11]
FUZZ = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FUZZ
@given(WIRES, CUTS)
def test_whatever_arrives_is_read_or_refused_within_bounds(wire: bytes, cuts: list[int]) -> None:
    check_only_refusals(wire, cuts)


@FUZZ
@given(WIRES, CUTS)
def test_no_split_changes_what_a_connection_says(wire: bytes, cuts: list[int]) -> None:
    check_splits(wire, cuts)


@FUZZ
@given(WIRES, CUTS)
def test_nothing_sent_on_one_connection_changes_another(wire: bytes, cuts: list[int]) -> None:
    check_sharing(wire, cuts)


@FUZZ
@given(WIRES, CUTS)
def test_h11_sees_the_same_requests(wire: bytes, cuts: list[int]) -> None:
    check_against_h11(wire, cuts)


@pytest.mark.parametrize(
    ("words", "fields", "content"),
    [
        ("illegal chunk header", b"Transfer-Encoding: chunked", b"5 ; a\t= b\r\nhello\r\n0\r\n\r\n"),
        ("Only Transfer-Encoding: chunked", b"Transfer-Encoding: ,chunked", b"5\r\nhello\r\n0\r\n\r\n"),
        ("bad Content-Length", b"Content-Length: " + b"0" * 20 + b"5", b"hello"),
    ],
)
def test_where_h11_is_stricter(words: str, fields: bytes, content: bytes) -> None:
    wire = b"POST / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n\r\n" + content
    assert [message.content for message in ours([wire])[0].messages] == [b"hello"]
    assert words in str(theirs(wire).refusal)
    check_against_h11(wire, [])


@pytest.mark.soak
@pytest.mark.parametrize("check", CHECKS)
def test_soak(check: Callable[[bytes, list[int]], None], request: pytest.FixtureRequest) -> None:
    if "soak" not in str(request.config.getoption("markexpr")):
        pytest.skip("run with -m soak")
    settings(FUZZ, max_examples=SOAK_EXAMPLES)(given(WIRES, CUTS)(check))()
