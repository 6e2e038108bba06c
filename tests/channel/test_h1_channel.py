"""A connection: order, persistence, read-ahead, refusals, what is left of content, half-close, lingering."""

from __future__ import annotations

import asyncio

import pytest

from container.channel import h1
from container.message.response import Response
from container.testing import AsyncClient, Client
from container.tree.site import Site
from tests.leaf import GET, Held, Leaf, MemoryLog, request

BIG = b"x" * 1_000_000


def path(request_: object) -> Response:
    return Response.text(request_.path)  # type: ignore[attr-defined]


# Order.


def test_the_next_request_is_dispatched_when_the_last_is_answered() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(request("/1") + request("/2"))
        assert [exchange.request.path for exchange in held.exchanges] == ["/1"]
        held.last.respond(Response.text("one"))
        assert [exchange.request.path for exchange in held.exchanges] == ["/1", "/2"]
        assert connection.receive().text == "one"
        held.last.respond(Response.text("two"))
        assert connection.receive().text == "two"


def test_requests_that_come_in_pieces_are_answered_in_order() -> None:
    with Client(Leaf(path)) as client:
        connection = client.connect()
        for byte in request("/1") + request("/2", method="HEAD") + request("/3"):
            connection.send(bytes([byte]))
        answers = connection.receive_all().responses
    assert [answer.text for answer in answers] == ["/1", "", "/3"]


def test_a_burst_is_answered_in_order_and_lets_others_have_their_turn() -> None:
    order: list[str] = []

    def note(request_: object) -> Response:
        order.append(request_.path)  # type: ignore[attr-defined]
        return Response(b"")

    async def burst() -> bytes:
        async with AsyncClient(Leaf(note)) as client:
            many, one = client.connect(), client.connect()
            many.transport.feed(b"".join(request(f"/{number}") for number in range(200)))
            one.transport.feed(request("/other"))
            await client.settle()
            return many.data

    data = asyncio.run(burst())
    assert data.count(b"HTTP/1.1 200 OK\r\n") == 200
    assert order.index("/other") == h1.BURST
    order.remove("/other")
    assert order == [f"/{number}" for number in range(200)]


def test_what_is_left_of_a_burst_is_not_dispatched_after_the_client_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[object] = []

    async def burst() -> None:
        async with AsyncClient(Leaf(lambda each: (seen.append(each), Response(b""))[1])) as client:
            connection = client.connect()
            connection.transport.feed(GET * 500)
            connection.transport.reset()
            await client.settle()

    asyncio.run(burst())
    assert len(seen) <= 2 * h1.BURST
    assert not caplog.records


def test_what_is_left_of_a_burst_is_not_dispatched_after_the_last_answer() -> None:
    async def burst() -> bytes:
        async with AsyncClient(Leaf(path)) as client:
            connection = client.connect()
            connection.transport.feed(GET * h1.BURST + request("/", "Connection: close") + GET)
            connection.transport.feed(GET)
            await client.settle()
            return connection.data

    assert asyncio.run(burst()).count(b"HTTP/1.1 200 OK\r\n") == h1.BURST + 1


# Read-ahead and what is not read.


def test_reading_pauses_while_too_much_waits_behind_an_answer() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(GET)
        connection.send(request("/", "X: " + "x" * 8000) * 12)
        assert not connection.transport.is_reading()
        for dispatched in range(1, 13):
            assert len(held.exchanges) == dispatched
            held.last.respond(Response(b""))
            client.settle()
        assert connection.transport.is_reading()
        assert len(held.exchanges) == 13


def test_a_client_that_does_not_read_holds_one_answer_only() -> None:
    seen: list[object] = []
    with Client(Leaf(lambda each: (seen.append(each), Response(BIG))[1])) as client:
        connection = client.connect()
        connection.transport.hold()
        connection.send(GET * 20)
        assert len(seen) == 1
        connection.send(GET * 3000)
        assert not connection.transport.is_reading()
        assert connection.transport.get_write_buffer_size() < 1.1 * len(BIG)
        connection.transport.release()
        assert connection.receive().body == BIG
        assert connection.receive().body == BIG
        assert len(seen) <= 4


# Persistence (RFC 9112 9.3).

_PERSISTENCE = [
    ("1.1", [], None),
    ("1.1", ["Connection: keep-alive"], None),
    ("1.1", ["Connection: upgrade, x"], None),
    ("1.1", ["Connection: close"], "close"),
    ("1.1", ["Connection: Close"], "close"),
    ("1.1", ["Connection: keep-alive,close"], "close"),
    ("1.1", ["Connection: keep-alive", "Connection: x, close"], "close"),
    ("1.0", [], "close"),
    ("1.0", ["Connection: close"], "close"),
    ("1.0", ["Connection: Keep-Alive"], "keep-alive"),
    ("1.0", ["Connection: x, keep-alive"], "keep-alive"),
    ("1.0", ["Connection: keep-alive, close"], "close"),
]


@pytest.mark.parametrize(("version", "fields", "answered"), _PERSISTENCE)
def test_a_connection_persists_as_both_sides_say(
    version: str, fields: list[str], answered: str | None
) -> None:
    with Client(Leaf(path)) as client:
        connection = client.connect()
        connection.send(request("/1", *fields, version=version) + GET)
        answers = connection.receive_all()
    assert answers.responses[0].headers.get("connection") == answered
    assert answers.closed == (answered == "close")
    assert len(answers.responses) == (1 if answers.closed else 2)


def test_an_answer_can_close_the_connection() -> None:
    with Client(Leaf(lambda _: Response("x", headers={"Connection": "close"}))) as client:
        answers = client.send_raw(GET + GET)
    assert [answer.headers.get("connection") for answer in answers.responses] == ["close"]
    assert answers.closed


# Refusals.

_REFUSED = [
    (b"garbage\r\n\r\n", 400),
    (request(host=None), 400),
    (request(version="2.0"), 505),
    (request(method="BREW"), 501),
    (request("/" + "x" * 9000), 414),
    (request("/", "X: " + "x" * 70000), 431),
    (request("/", "Transfer-Encoding: gzip, chunked"), 501),
    (request("/", "Expect: rain"), 417),
    (request("/", "Content-Length: 99999999999"), 413),
    (request("*"), 405),
]


@pytest.mark.parametrize(("data", "status"), _REFUSED)
def test_a_refusal_is_a_complete_answer_that_closes_and_is_logged(data: bytes, status: int) -> None:
    log = MemoryLog()
    with Client(Site(Leaf(path), access_log=log)) as client:
        answers = client.send_raw(GET + data + GET)
    refusal = answers.responses[1]
    assert (refusal.status, refusal.complete, refusal.headers.get("connection")) == (status, True, "close")
    assert refusal.headers["content-length"] == str(len(refusal.body))
    assert answers.closed
    assert len(answers.responses) == 2
    assert f'"-" {status} ' in log.lines[1]


def test_malformed_content_is_refused_when_the_head_came_with_it() -> None:
    with Client(Leaf(path)) as client:
        answers = client.send_raw(request("/", "Transfer-Encoding: chunked", method="POST") + b"zz\r\n")
    assert [answer.status for answer in answers.responses] == [400]
    assert answers.closed


# Content that nobody reads.


def post(length: int, sent: bytes = b"", *fields: str) -> bytes:
    return request("/post", f"Content-Length: {length}", *fields, method="POST") + sent


def test_the_rest_of_short_content_is_skipped_and_the_connection_stays() -> None:
    with Client(Leaf(path)) as client:
        connection = client.connect()
        connection.send(post(100_000, b"x" * 10))
        assert connection.receive().headers.get("connection") is None
        connection.send(b"x" * 50_000)
        connection.send(b"x" * 49_990 + request("/next"))
        assert connection.receive().text == "/next"


def test_content_that_was_held_back_is_skipped_too() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(post(200_000))
        connection.send(b"x" * 70_000)
        connection.transport.feed(b"x" * 130_000 + request("/next"))
        assert not connection.transport.is_reading()
        held.last.respond(Response(b""))
        client.settle()
        assert held.last.request.path == "/next"


def test_the_end_of_a_client_is_seen_though_nobody_reads_its_content() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(post(100_000))
        connection.send(b"x" * 100_000)
        connection.transport.reset()
        client.settle()
        assert held.last.gone


def test_content_that_was_skipped_must_arrive_in_time() -> None:
    with Client(Leaf(path)) as client:
        connection = client.connect()
        connection.send(post(100, b"x" * 10))
        client.clock.advance(20)
        connection.send(b"x")
        client.clock.advance(9)
        assert not connection.closed
        client.clock.advance(2)
        assert connection.closed
        assert connection.data.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "head",
    [
        post(h1.DISCARD_MAX + 1),
        post(10, b"", "Expect: 100-continue"),
        request("/", "Transfer-Encoding: chunked", method="POST"),
    ],
)
def test_content_not_worth_waiting_for_ends_the_connection(head: bytes) -> None:
    with Client(Leaf(path)) as client:
        connection = client.connect()
        connection.send(head)
        assert connection.receive().headers["connection"] == "close"
        assert connection.closed


def test_a_client_that_ends_amid_skipped_content_is_let_go() -> None:
    with Client(Leaf(path)) as client:
        connection = client.connect()
        connection.send(post(100, b"x" * 10))
        connection.send_eof()
        assert connection.transport.lost


# Who is connected.


@pytest.mark.parametrize(
    ("peer", "server", "expected"),
    [
        (("10.1.2.3", 4), ("10.0.0.1", 80), (("10.1.2.3", 4), ("10.0.0.1", 80), None)),
        (("::ffff:10.1.2.3", 4), ("::ffff:10.0.0.1", 80), (("10.1.2.3", 4), ("10.0.0.1", 80), None)),
        (("2001:db8::1", 4), ("2001:db8::2", 80), (("2001:db8::1", 4), ("2001:db8::2", 80), None)),
        (("", 0), "/run/web.sock", (None, None, "/run/web.sock")),
    ],
)
def test_requests_know_both_ends(peer: tuple[str, int], server: object, expected: tuple[object, ...]) -> None:
    held = Held()
    with Client(held, client=peer, server=server) as client:  # type: ignore[arg-type]
        client.connect().send(GET)
        ends = held.last.request.connection
        held.last.respond(Response(b""))
    assert (ends.client, ends.server, ends.path) == expected
    assert not ends.secure
