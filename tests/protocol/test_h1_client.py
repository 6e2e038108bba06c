"""Responses as a client reads them: bytes in, heads and content out, whole and one byte at a time."""

from __future__ import annotations

import pytest

from container.message.body import EMPTY
from container.message.errors import ProtocolError
from container.message.limits import Limits
from container.protocol.h1_client import RESPONSE_LIMITS, ResponseParser, ResponseTokeniser

Read = tuple[list[int], bytes, bool, bytes]


def read(data: bytes, *, step: int, method: str = "GET", eof: bool = False) -> Read:
    """Statuses, content, whether it is complete, and what is left over."""
    parser = ResponseParser(RESPONSE_LIMITS, ResponseTokeniser())
    parser.method = method
    statuses: list[int] = []
    content, complete = b"", False
    for at in range(0, len(data), step):
        parser.receive(data[at : at + step])
        while not (statuses and statuses[-1] >= 200):
            head = parser.next()
            if head is None:
                break
            statuses.append(head.status)
            content += parser.content
        if parser.body is not EMPTY:
            content += parser.body.take()
    if eof:
        complete = parser.eof()
    complete = complete or bool(statuses and statuses[-1] >= 200 and parser.framing is None)
    return statuses, content, complete, parser.buffer


GOOD = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", [200], b"abc", True, b""),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", [200], b"", True, b""),
    "left over": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc", [200], b"a", True, b"bc"),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nX: y\r\n\r\nz",
        [200],
        b"abc",
        True,
        b"z",
    ),
    "until close": (b"HTTP/1.1 200 OK\r\n\r\nabc", [200], b"abc", False, b""),
    "interim": (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n", [103, 204], b"", True, b""),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", [304], b"", True, b""),
    "cut short": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", [200], b"abc", False, b""),
}  # fmt: skip


@pytest.mark.parametrize("step", [1, 7, 10_000])
@pytest.mark.parametrize("name", GOOD)
def test_a_response_is_read_whole_and_in_pieces(name: str, step: int) -> None:
    """PX-03: left-over bytes stay apart, and what is cut short is not complete."""
    data, *expected = GOOD[name]
    statuses, content, complete, rest = read(data, step=step)
    # One byte at a time, what lies behind the end comes after it.
    assert [statuses, content, complete, rest] == expected


def test_the_close_ends_content_without_another_end_and_no_other() -> None:
    """PX-03."""
    assert read(GOOD["until close"][0], step=99, eof=True)[2]
    assert not read(GOOD["cut short"][0], step=99, eof=True)[2]


@pytest.mark.parametrize("field", [b"", b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_what_follows_a_yes_to_connect_is_of_the_tunnel(field: bytes) -> None:
    """RFC 9110 9.3.6: whatever it says."""
    data = b"HTTP/1.1 200 OK\r\n%b\r\nSSH-2.0" % field
    assert read(data, step=10_000, method="CONNECT") == ([200], b"", True, b"SSH-2.0")
    refusal = b"HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno"
    assert read(refusal, step=10_000, method="CONNECT") == ([407], b"no", True, b"")


def test_the_answer_to_head_has_no_content() -> None:
    """PX-08."""
    for framing in (b"Content-Length: 5", b"Transfer-Encoding: chunked"):
        data = b"HTTP/1.1 200 OK\r\n%b\r\n\r\nHTTP" % framing
        assert read(data, step=999, method="HEAD") == ([200], b"", True, b"HTTP")


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\nA: b\n\n\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 O\x00K\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 199 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(data: bytes) -> None:
    """PX-03."""
    for step in (1, 999):
        with pytest.raises(ProtocolError) as caught:
            read(data, step=step)
        assert caught.value.status == 502


def _feed_for_ever(parser: ResponseParser) -> None:
    parser.receive(b"HTTP/1.1 200 OK\r\nA: ")
    for _ in range(20):
        parser.receive(b"x" * 20)
        parser.next()


def test_heads_are_bounded() -> None:
    """PX-01."""
    parser = ResponseParser(Limits(field_section=100), ResponseTokeniser())
    with pytest.raises(ProtocolError, match="100 bytes"):
        _feed_for_ever(parser)


def test_a_head_that_came_before_is_remembered_unless_it_is_private() -> None:
    tokeniser = ResponseTokeniser()
    same = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    private = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
    heads = []
    for data in (same, same, private):
        parser = ResponseParser(RESPONSE_LIMITS, tokeniser)
        parser.receive(data)
        heads.append(parser.next())
    assert heads[0] is heads[1]
    assert list(tokeniser.known) == [same]
