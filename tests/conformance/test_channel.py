"""What the channel itself answers or adds, whatever the leaf: refusals, hosts, odd targets, default fields, deadlines.

| rows         | what                                                                                  |
|--------------|---------------------------------------------------------------------------------------|
| CH-01, CH-02 | start-lines and fields that are malformed or too long                                 |
| CH-03, CH-04 | ambiguous framings: refused, and nothing behind them runs                             |
| CH-08        | connections that stall                                                                |
| CH-10        | one valid Host; the absolute form                                                     |
| CH-12        | Date and Server, and a Content-Type where there is content                            |
| CH-14        | `*`                                                                                   |
| CH-17        | empty lines before a request, other line ends                                         |
| CH-18        | channel errors are complete answers, close, and are logged                            |
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest

from tests.conformance.board import Board
from tests.conformance.client import Client as RawClient
from tests.conformance.conftest import IMPATIENT, SERVERS, WORKERS, gunicorn, running, site_for
from tests.conformance.leaves import KINDS, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conformance.client import Client
    from tests.conformance.conftest import Served

CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"

# Fields, what follows the head, and the status.
AMBIGUOUS: list[tuple[list[str], bytes, int]] = [
    (["Content-Length: 5", CHUNKED], CHUNKS, 400),
    ([CHUNKED, "Content-Length: 5"], b"hello", 400),
    (["Content-Length: 5", "Content-Length: 6"], b"hello", 400),
    (["Content-Length: 5", "Content-Length: 5"], b"hello", 400),
    (["Content-Length: 5, 5"], b"hello", 400),
    (["Content-Length: +5"], b"hello", 400),
    (["Content-Length: -5"], b"hello", 400),
    (["Content-Length: 0x5"], b"hello", 400),
    (["Content-Length: 5 5"], b"hello", 400),
    (["Content-Length:"], b"hello", 400),
    (["Content-Length: 9999999999999999999"], b"hello", 413),
    (["Content-Length: 99999999999999999999"], b"hello", 400),
    (["Transfer-Encoding: xchunked"], CHUNKS, 400),
    (["Transfer-Encoding: chunked, chunked"], CHUNKS, 400),
    (["Transfer-Encoding: gzip, chunked"], CHUNKS, 501),
    (["Transfer-Encoding: identity"], b"hello", 400),
    (["Transfer-Encoding:"], CHUNKS, 400),
    (["Transfer-Encoding : chunked"], CHUNKS, 400),
    (["Content-Length : 5"], b"hello", 400),
    ([" Content-Length: 5"], b"hello", 400),
    (["X-A: b", " Content-Length: 5"], b"hello", 400),
    (["X-A: b\rContent-Length: 5"], b"hello", 400),
    (["X-A: b\nContent-Length: 5"], b"hello", 400),
    (["X-A: \0"], b"", 400),
    ([": x"], b"", 400),
    (["X-A"], b"", 400),
    (["X(A): b"], b"", 400),
    (["X-A: " + "b" * 70_000], b"", 431),
    ([f"X-{number}: b" for number in range(501)], b"", 431),
    ([CHUNKED], b"5;\n\r\nhello\r\n0\r\n\r\n", 400),
    ([CHUNKED], b"0x5\r\nhello\r\n0\r\n\r\n", 400),
    ([CHUNKED], b"+5\r\nhello\r\n0\r\n\r\n", 400),
    ([CHUNKED], b"5\nhello\n0\n\n", 400),
    ([CHUNKED], b"5\r\nhello!\r\n0\r\n\r\n", 400),
    ([CHUNKED], b"\r\n5\r\nhello\r\n0\r\n\r\n", 400),
    ([CHUNKED], b"0\r\nX\r\n\r\n", 400),
    ([CHUNKED], b"5;" + b"x" * 5000 + b"\r\nhello\r\n0\r\n\r\n", 400),
    ([CHUNKED], b"fffffffffffffff\r\n", 413),
    ([CHUNKED], b"1ffffffffffffffff\r\n", 400),
]


@pytest.mark.parametrize(("fields", "content", "status"), AMBIGUOUS)
def test_an_ambiguous_request_is_refused_and_nothing_behind_it_runs(
    served: Served, client: Client, fields: list[str], content: bytes, status: int
) -> None:
    client.send_as_taken(
        served.request("echo", *fields, method="POST") + content + served.request("smuggled")
    )
    response = client.response()
    assert (response.status, response.complete, response.headers["connection"]) == (status, True, "close")
    assert client.rest() == b""
    assert "GET smuggled" not in served.marks.calls
    assert served.marks.uploads == []


# Start-lines, answered whole and logged (CH-01, CH-18).

LINES: list[tuple[bytes, int]] = [
    (b"garbage", 400),
    (b"GET", 400),
    (b"GET /", 400),
    (b"GET  / HTTP/1.1", 400),
    (b"GET / HTTP/1.1 ", 400),
    (b"GET /a b HTTP/1.1", 400),
    (b"GET / HTTP/x", 400),
    (b"GET / ICE/1.0", 400),
    (b"GET / http/1.1", 400),
    (b"GET / HTTP/2.0", 505),
    (b"GET / HTTP/3.1", 505),
    (b"G\xc3\x89T / HTTP/1.1", 400),
    (b"GET relative HTTP/1.1", 400),
    (b"GET /#fragment HTTP/1.1", 400),
    (b"GET /\x00 HTTP/1.1", 400),
    (b"BREW / HTTP/1.1", 501),
    (b"GET /" + b"x" * 9000 + b" HTTP/1.1", 414),
    (b"CONNECT / HTTP/1.1", 400),
    (b"GET * HTTP/1.1", 405),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
]


@pytest.mark.parametrize(("line", "status"), LINES, ids=lambda value: repr(value)[:30])
def test_a_bad_start_line_gets_a_whole_answer_and_a_line_in_the_log(
    served: Served, client: Client, line: bytes, status: int
) -> None:
    client.send_as_taken(line + b"\r\nHost: h\r\n\r\n" + served.request("smuggled"))
    response = client.response()
    assert (response.status, response.complete, response.headers["connection"]) == (status, True, "close")
    assert response.headers["content-length"] == str(len(response.body))
    assert client.rest() == b""
    assert served.marks.calls == []
    assert len(served.log.refusals()) == 1
    assert f'"-" {status} ' in served.log.refusals()[0]


# Host and the absolute form (CH-10).


@pytest.mark.parametrize(
    ("fields", "version", "status"),
    [
        ([], "1.1", 400),
        ([], "1.0", 200),
        (["Host: a", "Host: a"], "1.1", 400),
        (["Host: a", "Host: b"], "1.0", 400),
        (["Host: a b"], "1.1", 400),
        (["Host: a/b"], "1.1", 400),
        (["Host: a@b"], "1.1", 400),
        (["Host: a, b"], "1.1", 400),
        (["Host: [::1"], "1.1", 400),
        (["Host: a:port"], "1.1", 400),
        (["Host: a:80"], "1.1", 200),
        (["Host: [::1]:80"], "1.1", 200),
        (["Host:"], "1.1", 200),
    ],
)
def test_a_request_has_one_valid_host(
    served: Served, client: Client, fields: list[str], version: str, status: int
) -> None:
    client.send(served.request("hello", *fields, version=version, host=None))
    assert client.response().status == status
    assert bool(served.marks.calls) == (status == 200)


def test_an_absolute_target_is_its_path(served: Served, client: Client) -> None:
    head = served.request("hello").replace(b"GET /", b"GET http://other.example:81/")
    client.send(head)
    assert client.response().body == b"hello"
    assert served.marks.calls == ["GET hello"]


# `*` (CH-14).


def test_the_asterisk_is_the_server_itself(served: Served, client: Client) -> None:
    client.send(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
    response = client.response()
    assert (response.status, response.headers["content-length"], response.body) == (200, "0", b"")
    client.send(b"GET * HTTP/1.1\r\nHost: h\r\n\r\n")
    refused = client.response()
    assert (refused.status, refused.headers["allow"]) == (405, "OPTIONS")
    assert served.marks.calls == []


# Default fields (CH-12).


@pytest.mark.parametrize("case", ["hello", "pieces", "204", "304", "crash", "refuses"])
def test_every_answer_says_when_and_from_whom(served: Served, client: Client, case: str) -> None:
    client.send(served.request(case))
    response = client.response()
    names = [name for name, _ in response.fields]
    assert (names.count("date"), names.count("server")) == (1, 1)
    assert abs(parsedate_to_datetime(response.headers["date"]).timestamp() - time.time()) < 10
    assert ("content-type" in names) or not response.body


# Line ends (CH-17).


def test_one_empty_line_before_a_request_is_skipped(served: Served, client: Client) -> None:
    for _ in range(2):
        client.send(b"\r\n" + served.request("hello"))
        assert client.response().body == b"hello"
    client.send(b"\r\n\r\n" + served.request("hello"))
    assert client.response().status == 400
    assert client.rest() == b""


def test_bare_line_feeds_are_answered_at_once(served: Served, client: Client) -> None:
    began = time.monotonic()
    client.send(served.request("hello").replace(b"\r\n", b"\n"))
    assert client.response().status == 400
    assert time.monotonic() - began < 1
    assert served.marks.calls == []


# Deadlines (CH-08): the only cases that have to wait, so they wait together.


@pytest.fixture(scope="module", params=SERVERS)
def impatient(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a server that waits for little."""
    if request.param in WORKERS:
        with gunicorn(request.param, Board({"native:": Stage()}), application="impatient()") as host:
            yield host.port
        return
    site = site_for(KINDS["native"].make(Stage()), "", timeouts=IMPATIENT)
    with running(request.param, {"": site}) as ports:
        yield ports[""]


def test_connections_that_stall_end_soon(impatient: int) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"
    stalls = {
        "silent": (b"", []),
        "half a head": (b"GET /hello HT", [408]),
        "half a content": (head + b"12345", [408]),
        "idle": (b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\n", [200]),
        "idle, then half a head": (b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\nGET", [200, 408]),
        "after the last answer": (b"GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", [200]),
    }
    began = time.monotonic()
    clients = {name: RawClient(impatient) for name in stalls}
    for name, client in clients.items():
        client.send(stalls[name][0])
    got = {}
    for name, client in clients.items():
        with client:
            got[name] = [client.response().status for _ in stalls[name][1]]
            assert client.rest() == b""
    assert got == {name: statuses for name, (_, statuses) in stalls.items()}
    assert 0.9 < time.monotonic() - began < 5
