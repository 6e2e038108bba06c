from collections.abc import Iterable

import pytest

from container.message.errors import ProtocolError
from container.message.limits import Limits
from container.message.request import Request
from container.protocol.h1 import RequestParser, Tokeniser

GET = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"
SIZED = b"POST /%b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST /%b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
UPGRADE = b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n"

# What one request comes to: its path and content. What a refusal comes to: its status.
Event = tuple[bytes, bytes] | int


def conversation(pieces: Iterable[bytes], limits: Limits | None = None) -> list[Event]:
    """What a connection makes of the bytes, up to the first refusal or the last request it may serve."""
    parser = RequestParser(limits or Limits(), Tokeniser())
    requests: list[Request] = []
    refusals: list[Event] = []
    try:
        for piece in pieces:
            parser.receive(piece)
            while (parser.keep_alive or parser.framing) and (request := parser.next()):
                requests.append(request)
    except ProtocolError as error:
        refusals.append(error.status)
    done = [request for request in requests if request.body.complete]
    assert len(done) >= len(requests) - 1, "a request before the content of the last had ended"
    return [*((request.raw_path, request.body.take()) for request in done), *refusals]


def every_way(data: bytes, limits: Limits | None = None) -> list[Event]:
    """The same, once it was made sure that it does not depend on how the bytes arrive."""
    whole = conversation([data], limits)
    for step in (1, 2, 3, 5, 11):
        assert conversation([data[at : at + step] for at in range(0, len(data), step)], limits) == whole
    if len(data) < 1000:
        for at in range(len(data)):
            assert conversation([data[:at], data[at:]], limits) == whole
    return whole


A, B = (b"/a", b""), (b"/b", b"")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (GET % b"a", [A]),
        (GET % b"a" + GET % b"b", [A, B]),
        (SIZED % (b"a", 5) + b"hello" + GET % b"b", [(b"/a", b"hello"), B]),
        (SIZED % (b"a", 0) + GET % b"b", [A, B]),
        (CHUNKED % b"a" + b"5\r\nhello\r\n0\r\n\r\n" + GET % b"b", [(b"/a", b"hello"), B]),
        (CHUNKED % b"a" + b"0\r\nHost: c\r\n\r\n" + GET % b"b", [A, B]),
        (CHUNKED % b"a" + b"0\r\n\r\n" + SIZED % (b"b", 1) + b"x" + GET % b"a", [A, (b"/b", b"x"), A]),
        # Content is content, whatever it looks like.
        (SIZED % (b"a", len(GET % b"b")) + GET % b"b", [(b"/a", GET % b"b")]),
        (SIZED % (b"a", 4) + b"\r\n\r\n" + GET % b"b", [(b"/a", b"\r\n\r\n"), B]),
        (CHUNKED % b"a" + b"1c\r\n" + GET % b"b" + b"\r\n0\r\n\r\n", [(b"/a", GET % b"b")]),
        # A request that switches protocols has content too.
        (UPGRADE + b"Content-Length: 3\r\n\r\nabc" + GET % b"b", [(b"/a", b"abc"), B]),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n" + GET % b"b", [(b"*", b""), B]),
        # One empty line before each request.
        (b"\r\n" + GET % b"a", [A]),
        (b"\r\n" + GET % b"a" + b"\r\n" + GET % b"b", [A, B]),
        (b"\r\n" + SIZED % (b"a", 5) + b"hello\r\n" + GET % b"b", [(b"/a", b"hello"), B]),
        (b"\r\n", []),
        (b"\r\n\r\n", [400]),
        (b"\r\n\r\n" + GET % b"a", [400]),
        (GET % b"a" + b"\r\n\r\n" + GET % b"b", [A, 400]),
        (b"\n" + GET % b"a", [400]),
        (b"\r" + GET % b"a", [400]),
        (b" \r\n" + GET % b"a", [400]),
        # Nothing is served after the last request of a connection.
        (b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET % b"b", [A]),
        (b"GET /a HTTP/1.0\r\n\r\n" + GET % b"b", [A]),
        (b"POST /a HTTP/1.0\r\nContent-Length: 1\r\n\r\nx" + GET % b"b", [(b"/a", b"x")]),
        (b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + GET % b"b", [A, B]),
        # Nor after a refusal.
        (GET % b"a" + b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n" + GET % b"b", [A, 501]),
        (CHUNKED % b"a" + b"x\r\n\r\n" + GET % b"b", [400]),
        (CHUNKED % b"a" + b"5\r\nhelloGET /b HTTP/1.1\r\nHost: a\r\n\r\n", [400]),
        (SIZED % (b"a", 3 << 30) + b"hello", [413]),
        # Not there yet.
        (b"", []),
        ((GET % b"a")[:-1], []),
        (SIZED % (b"a", 5) + b"hell", []),
        (CHUNKED % b"a" + b"5\r\nhello\r\n0\r\n", []),
        (GET % b"a" + SIZED % (b"b", 5) + b"hell", [A]),
    ],
)  # fmt: skip
def test_a_connection_is_read_the_same_however_it_arrives(data: bytes, expected: list[Event]) -> None:
    assert every_way(data) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\nHost: a\n",
        b"GET / HTTP/1.1\r\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"GET / HTTP/1.1\r\n\n",
        b"\n",
        b"\r\n\n",
        # What is no request line at all.
        b"\x16\x03\x01\x02\x00\x01\x00",
        b" ",
        b"GET\t",
        b"GET /\r\n",
        b"GET / HTTP/1.1 \r\n",
        b"GET /  H",
        b"GET / X Y",
        b"G\xc3",
        b"GET /\0",
        b"GET\r/",
        b"{",
        b"PRI * HTTP/2.0\n",
    ],
)
def test_a_beginning_that_leads_nowhere_is_refused_at_once(data: bytes) -> None:
    assert every_way(data) == [400]


def test_request_line_is_bounded_however_it_arrives() -> None:
    limits = Limits(request_line=40)
    fitting = b"GET /%b HTTP/1.1" % (b"a" * 26)
    assert len(fitting) == 40
    fields = b"\r\nHost: a\r\n\r\n"
    assert every_way(fitting + fields, limits) == [(b"/" + b"a" * 26, b"")]
    assert every_way(fitting.replace(b"/", b"/a") + fields, limits) == [414]


@pytest.mark.parametrize("line", [b"GET /" + b"a" * 100_000, b"A" * 100_000, b"GET / H" + b"T" * 100_000])
def test_endless_request_line_is_refused_before_its_end(line: bytes) -> None:
    assert conversation([line]) == [414]
    assert conversation([line[at : at + 500] for at in range(0, 8000, 500)]) == []
    assert conversation([line[at : at + 500] for at in range(0, 9000, 500)]) == [414]


def test_field_section_is_bounded_however_it_arrives() -> None:
    limits = Limits(field_section=40)
    line = b"GET /a HTTP/1.1\r\n"
    fields = b"Host: a\r\nX: %b\r\nY: z\r\n" % (b"y" * 20)
    assert len(fields) == 40
    assert every_way(line + fields + b"\r\n", limits) == [A]
    assert every_way(line + b"X" + fields + b"\r\n", limits) == [431]


def test_a_field_is_bounded_however_it_arrives() -> None:
    limits = Limits(field_size=20)
    line = b"GET /a HTTP/1.1\r\nHost: a\r\n"
    assert every_way(line + b"X: %b\r\n\r\n" % (b"y" * 17), limits) == [A]
    assert every_way(line + b"X: %b\r\n\r\n" % (b"y" * 18), limits) == [431]
    assert every_way(line + b"%b: y\r\n\r\n" % (b"x" * 18), limits) == [431]


def test_fields_are_counted_for_every_request_anew() -> None:
    limits = Limits(fields=5)
    line = b"GET /a HTTP/1.1\r\nHost: a\r\n"
    assert every_way((line + b"x:\r\n" * 4 + b"\r\n") * 3, limits) == [A, A, A]
    assert every_way(line + b"x:\r\n" * 5 + b"\r\n", limits) == [431]


def test_five_hundred_fields_are_served_by_default() -> None:
    line = b"GET /a HTTP/1.1\r\nHost: a\r\n"
    assert conversation([line + b"x: y\r\n" * 499 + b"\r\n"]) == [A]
    assert conversation([line + b"x: y\r\n" * 500 + b"\r\n"]) == [431]


def test_endless_fields_are_refused_before_their_end() -> None:
    line = b"GET /a HTTP/1.1\r\nHost: a\r\n"
    assert conversation([line + b"X: " + b"y" * 100_000]) == [431]
    assert conversation([line + b"X: " + b"y" * 100_000 + b"\r\n\r\n"]) == [431]
    assert conversation([line, *[b"x: y\r\n"] * 2000]) == []
    assert conversation([line, *[b"x: y\r\n"] * 3000]) == [431]


def test_content_over_the_limit_is_refused() -> None:
    limits = Limits(body=4)
    assert every_way(SIZED % (b"a", 4) + b"four", limits) == [(b"/a", b"four")]
    assert every_way(SIZED % (b"a", 5), limits) == [413]
    assert every_way(CHUNKED % b"a" + b"4\r\nfour\r\n0\r\n\r\n", limits) == [(b"/a", b"four")]
    assert every_way(CHUNKED % b"a" + b"4\r\nfour\r\n1\r\n", limits) == [413]
    assert every_way(SIZED % (b"a", 10**18) + b"x", Limits(body=None)) == []


def begun(data: bytes) -> tuple[RequestParser, Request]:
    parser = RequestParser(Limits(), Tokeniser())
    parser.receive(data)
    request = parser.next()
    assert request is not None
    return parser, request


def test_content_arrives_in_the_body_that_was_given_out() -> None:
    parser, request = begun(SIZED % (b"a", 5) + b"he")
    assert (request.body.take(), request.body.complete, parser.next()) == (b"he", False, None)
    parser.receive(b"llo" + GET % b"b")
    assert (request.body.take(), request.body.complete) == (b"llo", True)
    following = parser.next()
    assert following is not None
    assert following.raw_path == b"/b"


def test_trailers_reach_the_body() -> None:
    parser, request = begun(CHUNKED % b"a" + b"0\r\nX: y\r\n")
    parser.receive(b"\r\n")
    assert request.body.trailers == [(b"x", b"y")]


def test_broken_content_fails_the_body_and_the_connection() -> None:
    parser, request = begun(CHUNKED % b"a" + b"5\r\nhe")
    with pytest.raises(ProtocolError) as caught:
        parser.receive(b"lloXX")
    assert (request.body.error, request.body.complete, parser.framing) == (caught.value, False, None)
    assert parser.next() is None


@pytest.mark.parametrize("head", [SIZED % (b"a", 5), CHUNKED % b"a"])
def test_content_cut_short_never_looks_complete(head: bytes) -> None:
    parser, request = begun(head)
    parser.receive(b"3\r\n")
    parser.eof()
    assert isinstance(request.body.error, ProtocolError)
    assert (request.body.error.status, request.body.complete, parser.keep_alive) == (400, False, False)
    assert parser.framing is None


def test_the_end_of_the_stream_between_requests_harms_nothing() -> None:
    parser, request = begun(GET % b"a")
    parser.eof()
    assert request.body.complete
    assert parser.keep_alive


EXPECT = b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "expects"),
    [
        (EXPECT, True),
        (EXPECT + b"h", False),
        (EXPECT + b"hello", False),
        (EXPECT.replace(b"5", b"0"), False),
        (EXPECT.replace(b"1.1", b"1.0"), False),
        (EXPECT.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked"), True),
        (EXPECT.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", False),
    ],
)
def test_a_client_that_sends_content_does_not_wait_to_be_asked(data: bytes, expects: bool) -> None:
    parser, _ = begun(data)
    assert parser.expects_continue == expects
    parser.receive(b"hello")
    assert not parser.expects_continue


def test_an_expectation_ends_with_its_request() -> None:
    parser, _ = begun(EXPECT)
    parser.receive(b"hello" + GET % b"b")
    assert parser.next() is not None
    assert not parser.expects_continue


def test_two_connections_may_interleave_on_one_tokeniser() -> None:
    tokeniser = Tokeniser()
    wires = [SIZED % (b"a", 5) + b"hello", CHUNKED % b"b" + b"5\r\nworld\r\n0\r\n\r\n", GET % b"c"]
    parsers = [RequestParser(Limits(), tokeniser) for _ in wires]
    requests = []
    for at in range(max(map(len, wires))):
        for parser, wire in zip(parsers, wires, strict=True):
            parser.receive(wire[at : at + 1])
            if request := parser.next():
                requests.append(request)
    content = {request.raw_path: request.body.take() for request in requests}
    assert content == {b"/a": b"hello", b"/b": b"world", b"/c": b""}
