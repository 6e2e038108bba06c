"""Persistence and framing of answers: the same for every kind of leaf, anywhere in the tree (RFC 9112 6, 7, 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conformance.client import Client
    from tests.conformance.conftest import Served

BOTH_VERSIONS = pytest.mark.parametrize("version", ["1.0", "1.1"])


# Persistence (RFC 9112 9.3).


@pytest.mark.parametrize(
    ("version", "fields", "stays"),
    [
        ("1.1", [], True),
        ("1.1", ["Connection: close"], False),
        ("1.1", ["connection: CLOSE"], False),
        ("1.1", ["Connection: keep-alive"], True),
        ("1.1", ["Connection: keep-alive, close"], False),
        ("1.1", ["Connection: keep-alive,close"], False),
        ("1.1", ["Connection: close, keep-alive"], False),
        ("1.1", ["Connection: , ,\tclose ,"], False),
        ("1.1", ["Connection: keep-alive", "Connection: close"], False),
        ("1.1", ["Connection: close", "Connection: x"], False),
        ("1.1", ["Connection: not-close, closed"], True),
        ("1.0", [], False),
        ("1.0", ["Connection: keep-alive"], True),
        ("1.0", ["Connection: Keep-Alive, x"], True),
        ("1.0", ["Connection: keep-alive, close"], False),
        ("1.0", ["Connection: close"], False),
    ],
)
def test_the_connection_stays_as_version_and_options_say(
    served: Served, client: Client, version: str, fields: list[str], *, stays: bool
) -> None:
    client.send(served.request("hello", *fields, version=version))
    response = client.response()
    assert (response.status, response.body, response.complete) == (200, b"hello", True)
    option = (response.headers.get("connection") or "").lower()
    if stays:
        assert option == ("keep-alive" if version == "1.0" else "")
        client.send(served.request("hello", "Connection: close"))
        assert client.response().body == b"hello"
    else:
        assert option == "close"
    assert client.rest() == b""


@pytest.mark.parametrize("fields", [[], ["Connection: keep-alive"]])
def test_an_http_1_0_answer_of_unknown_length_ends_with_the_connection(
    served: Served, client: Client, fields: list[str]
) -> None:
    client.send(served.request("pieces", *fields, version="1.0"))
    response = client.response()
    assert (response.body, response.complete) == (b"onetwothree", True)
    assert "transfer-encoding" not in response.headers
    if not served.kind.is_behind:
        assert "content-length" not in response.headers
        assert client.rest() == b""


# Pipelining (RFC 9112 9.3.2).


def test_pipelined_requests_are_answered_in_order(served: Served, client: Client) -> None:
    contents = [b"%d" % number for number in range(20)]
    client.send(b"".join(served.post("echo", content) for content in contents))
    assert [client.response().body for _ in contents] == contents


def test_a_pipelined_request_waits_for_the_answer_before_it(served: Served, client: Client) -> None:
    client.send(served.request("gated") + served.request("hello"))
    client.head()
    assert client.piece() == b"one"
    assert served.marks.calls == ["GET gated"]
    served.marks.go.set()
    assert client.piece() == b"two"
    assert client.piece() == b""
    assert client.response().body == b"hello"
    assert served.marks.calls == ["GET gated", "GET hello"]


# Heads without content.


@BOTH_VERSIONS
@pytest.mark.parametrize(
    "case", ["hello", "nothing", "pieces", "sized-pieces", "no-pieces", "excess", "refuses"]
)
def test_an_answer_to_head_has_no_content(served: Served, client: Client, case: str, version: str) -> None:
    client.send(served.request(case, "Connection: keep-alive", method="HEAD", version=version))
    head = client.response("HEAD")
    client.send(served.request("hello", "Connection: close"))
    assert client.response().body == b"hello"
    assert client.rest() == b""
    with served.client() as other:
        other.send(served.request(case, version=version))
        get = other.response()
    assert head.status == get.status
    assert head.headers.get("content-type") == get.headers.get("content-type")
    if "content-length" in head.headers:
        assert head.headers.get("content-length") == get.headers.get("content-length")


@BOTH_VERSIONS
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("case", ["204", "304", "204-pieces", "304-pieces"])
def test_204_and_304_have_neither_content_nor_coding(
    served: Served, client: Client, case: str, method: str, version: str
) -> None:
    client.send(served.request(case, "Connection: keep-alive", method=method, version=version))
    response = client.response(method)
    assert response.status == int(case[:3])
    assert "transfer-encoding" not in response.headers
    assert case.startswith("304") or "content-length" not in response.headers
    client.send(served.request("hello", "Connection: close"))
    assert client.response().body == b"hello"
    assert client.rest() == b""


@BOTH_VERSIONS
@pytest.mark.parametrize("case", ["205", "205-pieces"])
def test_205_has_an_empty_content(served: Served, client: Client, case: str, version: str) -> None:
    client.send(served.request(case, "Connection: keep-alive", version=version))
    response = client.response()
    assert (response.status, response.body) == (205, b"")
    assert response.headers.get("content-length") == "0"
    client.send(served.request("hello", "Connection: close"))
    assert client.response().body == b"hello"
    assert client.rest() == b""


# Content-Length and chunked.


def test_an_answer_in_one_piece_has_its_length(served: Served, client: Client) -> None:
    client.send(served.request("hello") + served.request("nothing"))
    whole, empty = client.response(), client.response()
    assert (whole.headers.get("content-length"), whole.body) == ("5", b"hello")
    assert (empty.headers.get("content-length"), empty.body) == ("0", b"")


def test_an_http_1_1_answer_of_unknown_length_is_chunked(served: Served, client: Client) -> None:
    client.send(served.request("pieces") + served.request("hello"))
    response = client.response()
    assert (response.body, response.complete) == (b"onetwothree", True)
    if not served.kind.is_behind:
        assert response.headers.get("transfer-encoding") == "chunked"
        assert "content-length" not in response.headers
    assert client.response().body == b"hello"


@BOTH_VERSIONS
def test_pieces_of_a_known_length_are_not_chunked(served: Served, client: Client, version: str) -> None:
    client.send(served.request("sized-pieces", "Connection: keep-alive", version=version))
    response = client.response()
    assert (response.headers.get("content-length"), response.body) == ("11", b"onetwothree")
    assert "transfer-encoding" not in response.headers
    client.send(served.request("hello"))
    assert client.response().body == b"hello"


@BOTH_VERSIONS
def test_a_stream_without_pieces_is_an_empty_answer(served: Served, client: Client, version: str) -> None:
    client.send(served.request("no-pieces", "Connection: close", version=version))
    response = client.response()
    assert (response.status, response.body, response.complete) == (200, b"", True)
    assert client.rest() == b""


@BOTH_VERSIONS
@pytest.mark.parametrize("case", ["excess", "excess-pieces"])
def test_content_beyond_its_length_is_cut_off(
    served: Served, client: Client, case: str, version: str
) -> None:
    client.send(served.request(case, "Connection: keep-alive", version=version))
    response = client.response()
    assert (response.headers.get("content-length"), response.body) == ("5", b"hello")
    if response.headers.get("connection") != "close":
        client.send(served.request("hello", "Connection: close"))
        assert client.response().body == b"hello"
    assert client.rest() == b""
    assert b"world" not in client.received


@BOTH_VERSIONS
@pytest.mark.parametrize("case", ["shortage", "shortage-pieces"])
def test_content_below_its_length_ends_the_connection(
    served: Served, client: Client, case: str, version: str
) -> None:
    client.send(served.request(case, "Connection: keep-alive", version=version))
    response = client.response()
    assert (response.headers.get("content-length"), response.body) == ("10", b"hello")
    assert not response.complete
    assert client.rest() == b""


# Failures.


@BOTH_VERSIONS
@pytest.mark.parametrize("case", ["crash", "fails-early"])
def test_a_failure_before_the_first_byte_is_a_500(
    served: Served, client: Client, case: str, version: str
) -> None:
    client.send(served.request(case, "Connection: close", version=version))
    response = client.response()
    assert (response.status, response.complete) == (500, True)
    assert b"as the test wants it" not in client.received
    assert client.rest() == b""


@BOTH_VERSIONS
@pytest.mark.parametrize("case", ["fails-late", "fails-late-sized"])
def test_a_failure_after_the_first_byte_cuts_the_connection(
    served: Served, client: Client, case: str, version: str
) -> None:
    client.send(served.request(case, "Connection: keep-alive", version=version))
    assert client.head().status == 200
    first = client.piece()
    served.marks.go.set()
    with pytest.raises(AssertionError, match="and the end"):
        raise_unless_complete(client)
    assert first == b"one"
    assert b"500" not in client.received


def raise_unless_complete(client: Client) -> None:
    """An answer that was cut has no further piece and nothing behind it."""
    assert client.piece() == b""
    client.head()


@pytest.mark.parametrize(
    "case", ["value-crlf", "value-lf", "value-cr", "value-nul", "value-crlfcrlf", "name-crlf"]
)
def test_line_ends_in_a_field_never_reach_the_wire(served: Served, client: Client, case: str) -> None:
    client.send(served.request(case, "Connection: close"))
    response = client.response()
    assert (response.status, response.complete) == (500, True)
    assert "injected" not in response.headers
    assert "x-a" not in response.headers
    assert client.rest() == b""
    assert b"Injected" not in client.received


# The log.


@pytest.mark.parametrize(
    ("case", "method", "status"),
    [
        ("hello", "GET", 200),
        ("hello", "HEAD", 200),
        ("pieces", "GET", 200),
        ("echo", "POST", 200),
        ("204", "GET", 204),
        ("crash", "GET", 500),
        ("fails-early", "GET", 500),
        ("shortage", "GET", 200),
        ("excess-pieces", "GET", 200),
    ],
)
def test_every_request_is_one_line_of_the_log(
    served: Served, client: Client, case: str, method: str, status: int
) -> None:
    target = f"{case}?{case}-{method}-once"
    client.send(served.request(target, "Connection: close", method=method))
    assert client.response(method).status == status
    assert client.rest() == b""
    line = f'"{method} {served.path(target)} HTTP/1.1" {status} '
    lines = [each for each in served.log if f"{target} " in each]
    assert len(lines) == 1
    assert line in lines[0]


def test_pipelined_requests_are_a_line_each(served: Served, client: Client) -> None:
    targets = [f"hello?pipelined-{number}" for number in range(5)]
    client.send(b"".join(map(served.request, targets[:-1])), served.request(targets[-1], "Connection: close"))
    for _ in targets:
        client.response()
    assert (
        client.rest() == b""
    )  # a line is made after its answer was written, but before the connection closes
    lines = [line for line in served.log if "?pipelined-" in line]
    assert [line.split('"')[1].split()[1] for line in lines] == [served.path(target) for target in targets]
