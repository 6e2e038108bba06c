"""How a connection ends: a client that sends no more, the last answer, and what is read after it."""

from __future__ import annotations

import asyncio

import pytest

from container.channel import h1
from container.message.errors import ClientDisconnected
from container.message.response import Response
from container.testing import AsyncClient, Client
from tests.leaf import GET, Held, Leaf, request

BIG = b"x" * 1_000_000


def path(request_: object) -> Response:
    return Response.text(request_.path)  # type: ignore[attr-defined]


# Half-close: the client sends no more, but reads.


def test_a_request_in_flight_is_answered_and_its_observers_are_told_of_the_end() -> None:
    held = Held()
    seen: list[Exception | None] = []
    with Client(held) as client:
        connection = client.connect()
        connection.send(GET)
        held.last.on_close(seen.append)
        connection.send_eof()
        assert [type(error) for error in seen] == [ClientDisconnected]
        assert held.last.disconnected
        assert not held.last.gone
        held.last.respond(Response.text("late"))
        answer = connection.receive()
        client.settle()
        assert (answer.text, answer.headers["connection"]) == ("late", "close")
        assert connection.transport.lost


def test_all_complete_requests_are_answered_before_the_end() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(request("/1") + request("/2") + b"GET /3 HT")
        connection.send_eof()
        held.last.respond(Response.text("one"))
        held.last.respond(Response.text("two"))
        client.settle()
        assert [connection.receive().text for _ in range(2)] == ["one", "two"]
        assert len(held.exchanges) == 2
        assert connection.transport.lost


def test_a_burst_before_the_end_is_answered_completely() -> None:
    async def burst() -> bytes:
        async with AsyncClient(Leaf(path)) as client:
            connection = client.connect()
            connection.transport.feed(GET * 300)
            connection.transport.feed_eof()
            await client.settle()
            assert connection.transport.lost
            return connection.data

    assert asyncio.run(burst()).count(b"HTTP/1.1 200 OK\r\n") == 300


def test_what_is_on_its_way_when_the_client_ends_still_reaches_it() -> None:
    with Client(Leaf(lambda _: Response(BIG))) as client:
        connection = client.connect()
        connection.transport.hold()
        connection.send(GET)
        connection.send_eof()
        assert not connection.transport.lost
        connection.transport.release()
        assert connection.receive().body == BIG
        client.settle()
        assert connection.transport.lost


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"\r\n"])
def test_without_a_complete_request_the_end_is_the_end(sent: bytes) -> None:
    with Client(Leaf(path)) as client:
        connection = client.connect()
        connection.send(sent)
        connection.send_eof()
        assert connection.transport.lost
        assert connection.data == b""


# The end of a connection.


def test_after_the_last_answer_the_channel_reads_on_so_that_it_is_not_lost() -> None:
    with Client(Leaf(path)) as client:
        connection = client.connect()
        connection.send(request("/", "Connection: close"))
        assert connection.transport.eof_seen
        assert not connection.transport.lost
        connection.send(b"x" * 200_000)
        assert connection.transport.pending == 0
        connection.send_eof()
        assert connection.transport.lost
        assert not connection.transport.reset_seen


def test_a_client_that_goes_on_sending_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h1, "LINGER_MAX", 1000)
    with Client(Leaf(path)) as client:
        connection = client.connect()
        connection.send(request("/", "Connection: close"))
        connection.send(b"x" * 1001)
        assert connection.transport.reset_seen


def test_a_transport_without_half_close_is_closed_at_once() -> None:
    with Client(Leaf(path), secure=True) as client:
        connection = client.connect()
        connection.send(request("/", "Connection: close"))
        assert connection.transport.lost
        assert connection.receive().status == 200
