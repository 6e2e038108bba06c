"""Content in motion: uploads, 100-continue, streams, slow clients and those that leave (RFC 9110 10.1.1, 9112 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.client import PATIENCE_S, NoAnswer
from tests.conformance.leaves import PIECE

if TYPE_CHECKING:
    from tests.conformance.client import Client
    from tests.conformance.conftest import Served

CHUNKED = "Transfer-Encoding: chunked"
EXPECTS = "Expect: 100-continue"
# Enough to go through a temporary file.
LARGE = bytes(range(256)) * 4096


def chunks(content: bytes, size: int) -> bytes:
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


# Uploads.


@pytest.mark.parametrize("size", [1, 7, 4096, 65_536])
def test_a_chunked_upload_arrives_intact(served: Served, client: Client, size: int) -> None:
    content = LARGE if size > 7 else LARGE[:300]
    client.send(
        served.request("echo", CHUNKED, method="POST"), chunks(content, size), served.request("hello")
    )
    assert client.response().body == content
    assert client.response().body == b"hello"
    assert served.marks.uploads == [content]


def test_a_chunked_upload_may_come_byte_by_byte(served: Served, client: Client) -> None:
    sent = served.request("echo", CHUNKED, method="POST") + chunks(b"hello, world", 5)
    client.send(*(sent[at : at + 1] for at in range(len(sent))))
    assert client.response().body == b"hello, world"


def test_extensions_and_trailers_are_no_content(served: Served, client: Client) -> None:
    client.send(
        served.request("echo", CHUNKED, method="POST")
        + b'5;a=b;c="d;e"\r\nhello\r\n000;last\r\nX-Trailer: 1\r\nContent-Length: 7\r\n\r\n'
        + served.request("hello")
    )
    assert client.response().body == b"hello"
    assert client.response().body == b"hello"


def test_a_long_upload_with_a_length_arrives_intact(served: Served, client: Client) -> None:
    client.send(served.post("echo", LARGE), served.request("hello"))
    assert client.response().body == LARGE
    assert client.response().body == b"hello"


@pytest.mark.parametrize(
    ("field", "content"),
    [
        ("Content-Length: 100", b""),
        ("Content-Length: 100", b"hello"),
        ("Content-Length: 2000000", LARGE),
        (CHUNKED, b""),
        (CHUNKED, b"5\r\nhel"),
        (CHUNKED, b"5\r\nhello\r\n"),
        (CHUNKED, b"5\r\nhello\r\n0\r\n"),
        (CHUNKED, b"5\r\nhello\r\n0\r\nX-Trailer: 1\r\n"),
    ],
)
@pytest.mark.parametrize("expects", [False, True])
def test_a_truncated_upload_is_never_seen_as_complete(
    served: Served, client: Client, field: str, content: bytes, *, expects: bool
) -> None:
    client.send(served.request("echo", field, *([EXPECTS] if expects else []), method="POST"))
    if expects:
        assert client.head().status == 100
    client.send(content)
    client.half_close()
    try:
        response = client.response()
    except NoAnswer:
        pass
    else:
        assert response.status >= 400
        assert response.headers.get("connection") == "close"
    assert client.rest() == b""
    assert served.marks.uploads == []


def test_an_upload_that_nobody_reads_does_not_become_a_request(served: Served, client: Client) -> None:
    hidden = served.request("smuggled")
    client.send(served.post("refuses", hidden), served.request("hello", "Connection: close"))
    assert client.response().status == 401
    assert client.response().body == b"hello"
    assert client.rest() == b""
    assert "GET smuggled" not in served.marks.calls


# Expect: 100-continue (RFC 9110 10.1.1).


def test_content_is_asked_for_before_it_is_read(served: Served, client: Client) -> None:
    client.send(served.request("echo", "Content-Length: 5", EXPECTS, method="POST"))
    assert client.head().status == 100
    client.send(b"hello")
    response = client.response()
    assert (response.status, response.body, response.interim) == (200, b"hello", [])
    client.send(served.request("hello"))
    assert client.response().body == b"hello"


def test_chunked_content_is_asked_for_too(served: Served, client: Client) -> None:
    client.send(served.request("echo", CHUNKED, "expect: 100-Continue", method="POST"))
    assert client.head().status == 100
    client.send(chunks(b"hello", 2))
    assert client.response().body == b"hello"


def test_a_leaf_that_does_not_read_pre_empts_the_content(served: Served, client: Client) -> None:
    client.send(served.request("refuses", "Content-Length: 5", EXPECTS, method="POST"))
    if not served.kind.concurrent:  # it needs all of the content before it begins
        assert client.head().status == 100
        client.send(b"hello")
    response = client.response()
    assert (response.status, response.interim) == (401, [])
    if served.kind.concurrent:  # the content may follow or not, so nothing can be told from what follows
        assert response.headers.get("connection") == "close"
        assert client.rest() == b""


def test_content_that_is_there_is_not_asked_for(served: Served, client: Client) -> None:
    client.send(served.post("echo", b"hello", EXPECTS))
    response = client.response()
    assert (response.status, response.body, response.interim) == (200, b"hello", [])


def test_an_http_1_0_client_is_never_asked(served: Served, client: Client) -> None:
    client.send(served.request("echo", "Content-Length: 5", EXPECTS, method="POST", version="1.0"))
    client.send(b"hello")
    response = client.response()
    assert (response.status, response.body, response.interim) == (200, b"hello", [])


def test_a_request_without_content_is_not_continued(served: Served, client: Client) -> None:
    client.send(served.request("hello", EXPECTS))
    response = client.response()
    assert (response.status, response.body, response.interim) == (200, b"hello", [])


def test_an_unknown_expectation_fails(served: Served, client: Client) -> None:
    client.send(served.request("echo", "Content-Length: 5", "Expect: the-unexpected", method="POST"))
    assert client.response().status == 417
    assert client.rest() == b""
    assert served.marks.calls == []


# Streams.


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_stream_is_delivered_piece_by_piece(served: Served, client: Client, version: str) -> None:
    client.send(served.request("gated", version=version))
    client.head()
    assert client.piece() == b"one"
    assert not served.marks.ended.is_set()
    served.marks.go.set()
    assert client.piece() == b"two"
    assert client.piece() == b""
    assert served.marks.ended.wait(PATIENCE_S)


def test_a_leaf_waits_for_a_client_that_does_not_read(served: Served) -> None:
    with served.client(window_bytes=4096) as client:
        client.send(served.request("endless"))
        made = served.marks.stall()
        client.head()
        received = 0
        while not served.marks.grows(made, 0) and received < 2 * made * len(PIECE):
            received += len(client.piece())
        assert served.marks.grows(made), "expected the leaf to go on as soon as the client reads"
        client.reset()
        assert served.marks.ended.wait(PATIENCE_S)


# Clients that close their side, or leave.


@pytest.mark.parametrize("case", ["hello", "pieces"])
def test_a_half_closed_client_is_answered(served: Served, client: Client, case: str) -> None:
    client.send(served.request(case))
    client.half_close()
    response = client.response()
    assert (response.status, response.complete) == (200, True)
    assert client.rest() == b""


def test_a_half_closed_client_is_answered_all_it_asked(served: Served, client: Client) -> None:
    client.send(served.post("echo", b"first") + served.request("pieces") + served.post("echo", b"last"))
    client.half_close()
    assert [client.response().body for _ in range(3)] == [b"first", b"onetwothree", b"last"]
    assert client.rest() == b""


def test_a_client_may_half_close_during_its_answer(served: Served, client: Client) -> None:
    client.send(served.request("gated"))
    client.head()
    assert client.piece() == b"one"
    client.half_close()
    served.marks.go.set()
    assert client.piece() == b"two"
    assert client.piece() == b""
    assert client.rest() == b""


@pytest.mark.parametrize("resets", [False, True])
def test_a_stream_ends_when_its_client_leaves(served: Served, client: Client, *, resets: bool) -> None:
    client.send(served.request("endless?left"))
    client.head()
    client.piece()
    if resets:
        client.reset()
    else:
        client.__exit__(None, None, None)
    assert served.marks.ended.wait(PATIENCE_S)
    assert served.log.holds("endless?left ")


@pytest.mark.parametrize("resets", [False, True])
def test_a_leaf_can_see_its_client_leave_before_it_answers(
    served: Served, client: Client, *, resets: bool
) -> None:
    if not served.kind.concurrent:
        return  # it holds the loop, and with it the news
    client.send(served.request("leaving"))
    assert served.marks.called.wait(PATIENCE_S)
    if resets:
        client.reset()
    else:
        client.__exit__(None, None, None)
    assert served.marks.left.wait(PATIENCE_S)


@pytest.mark.parametrize("content", [b"", b"hello"])
def test_a_client_that_leaves_during_its_upload_is_not_taken_for_done(
    served: Served, client: Client, content: bytes
) -> None:
    client.send(served.request("echo?cut", "Content-Length: 100", method="POST"), content)
    client.reset()
    with served.client() as bystander:
        bystander.send(served.request("hello"))
        assert bystander.response().body == b"hello"
    assert served.marks.uploads == []
