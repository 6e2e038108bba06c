"""Answers that stream: iterables, by hand, at the pace of the client, closed whatever happens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from container.message.errors import ClientDisconnected, HTTPError
from container.message.fields import NO_FIELDS
from container.message.response import Response
from container.testing import AsyncClient, Client, NoResponse
from container.tree.site import Site
from tests.leaf import GET, Held, Leaf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from container.message.request import Request

PIECE = b"x" * 50_000


class Pieces:
    """An iterable of bytes that counts what was taken and how often it was closed."""

    def __init__(self, *pieces: Any, error: Exception | None = None, endless: bool = False) -> None:
        self.pieces = pieces
        self.error = error
        self.endless = endless
        self.taken = self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        while True:
            for piece in self.pieces:
                self.taken += 1
                yield piece
            if self.error is not None:
                raise self.error
            if not self.endless:
                return

    def close(self) -> None:
        self.closed += 1


class AsyncPieces(Pieces):
    def __aiter__(self) -> AsyncIterator[Any]:
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[Any]:
        for piece in iter(self):
            await asyncio.sleep(0)
            yield piece

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self.closed += 1

    close = None  # type: ignore[assignment]


KINDS = pytest.mark.parametrize("kind", [Pieces, AsyncPieces])


def serve(pieces: Pieces, **options: Any) -> Client:
    return Client(Leaf(lambda _: Response(pieces, content_type="text/plain")), **options)


# Answers that stream.


@KINDS
def test_an_iterable_is_sent_as_it_yields_and_closed(kind: type[Pieces]) -> None:
    pieces = kind(b"a", b"", b"bc")
    with serve(pieces) as client:
        answer = client.get("/")
        client.settle()
    assert (answer.body, answer.headers["transfer-encoding"]) == (b"abc", "chunked")
    assert (pieces.taken, pieces.closed) == (3, 1)


@KINDS
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_an_iterable_whose_content_is_not_sent_is_closed_unused(kind: type[Pieces], method: str) -> None:
    pieces = kind(b"a", endless=True)
    status = 200 if method == "HEAD" else 204
    with Client(Leaf(lambda _: Response(pieces, status))) as client:
        assert client.request(method, "/").body == b""
        client.settle()
    assert (pieces.taken, pieces.closed) == (0, 1)


@KINDS
def test_an_iterable_is_taken_no_faster_than_the_client_reads(kind: type[Pieces]) -> None:
    pieces = kind(PIECE, endless=True)
    with serve(pieces) as client, client.stream("GET", "/") as stream:
        client.settle()
        taken = pieces.taken
        assert taken * len(PIECE) < 400_000
        while pieces.taken == taken:
            next(stream)
        assert pieces.closed == 0
    assert pieces.closed == 1


@KINDS
def test_an_iterable_is_closed_when_the_client_leaves(kind: type[Pieces]) -> None:
    pieces = kind(b"x", endless=True)
    with serve(pieces) as client:
        connection = client.connect()
        connection.transport.feed(GET)
        connection.transport.reset()
        client.settle()
        assert pieces.closed == 1


@KINDS
def test_an_iterable_that_fails_before_its_first_piece_gets_an_error_page(
    kind: type[Pieces], caplog: pytest.LogCaptureFixture
) -> None:
    pieces = kind(error=ValueError("secret"))
    with serve(pieces) as client:
        answer = client.get("/")
        client.settle()
        assert (answer.status, answer.complete) == (500, True)
        assert b"secret" not in answer.body
        assert client.get("/").status == 500
    assert pieces.closed == 2
    assert "secret" in caplog.text


def test_an_iterable_can_decline_before_its_first_piece(caplog: pytest.LogCaptureFixture) -> None:
    with serve(Pieces(error=HTTPError(404))) as client:
        assert client.get("/").status == 404
    assert not caplog.records


@KINDS
@pytest.mark.parametrize("error", [ValueError("broken"), ClientDisconnected("another client")])
def test_an_iterable_that_fails_later_cuts_the_connection(
    kind: type[Pieces], error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    pieces = kind(b"begun", error=error)
    with serve(pieces) as client:
        answer = client.get("/")
        client.settle()
    assert (answer.status, answer.body, answer.complete) == (200, b"begun", False)
    assert pieces.closed == 1
    assert str(error) in caplog.text


@pytest.mark.parametrize("piece", ["text", 7, object()])
def test_a_piece_that_is_no_bytes_is_an_error(piece: object) -> None:
    with serve(Pieces(piece)) as client:
        assert client.get("/").status == 500
    with serve(Pieces(b"begun", piece, b"x")) as client:
        answer = client.get("/")
        assert (answer.body, answer.complete) == (b"begun", False)


def test_a_host_that_has_no_error_page_cuts_the_connection() -> None:
    class Terse(Site):
        def failed(self, exchange: object, error: BaseException) -> None:
            """Answer nothing."""

    with (
        Client(Terse(Leaf(lambda _: Response(Pieces(error=ValueError()))))) as client,
        pytest.raises(NoResponse),
    ):
        client.get("/")


@KINDS
def test_an_iterable_is_closed_when_its_head_cannot_be_sent(kind: type[Pieces]) -> None:
    pieces = kind(b"x")
    with Client(Leaf(lambda _: Response(pieces, headers={"X-A": "a\r\nb"}))) as client:
        assert client.get("/").status == 500
        client.settle()
    assert (pieces.taken, pieces.closed) == (0, 1)


def test_an_iterable_is_closed_when_the_client_has_left_already() -> None:
    pieces = Pieces(b"x")
    held = Held()

    async def run() -> None:
        async with AsyncClient(held) as client:
            connection = client.connect()
            await connection.send(GET)
            held.last.start(200, NO_FIELDS)
            connection.transport.reset()
            await client.settle()
            held.last.stream(pieces)
            await client.settle()

    asyncio.run(run())
    assert (pieces.taken, pieces.closed) == (0, 1)


def test_an_asynchronous_iterable_that_never_waits_leaves_time_for_others() -> None:
    made: list[int] = []

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(50_000):
            made.append(number)
            yield b"x"

    with Client(Leaf(lambda _: Response(pieces()))) as client:
        connection = client.connect()
        connection.transport.feed(GET)
        client.settle()
        connection.transport.reset()
        client.settle()
    assert len(made) < 10_000


# Driving by hand: back-pressure.


def drive(resource: Callable[[Request], Any], act: Callable[[AsyncClient, Any], Any]) -> None:
    """Send a GET to `resource` on a connection, then act on it."""

    async def run() -> None:
        async with AsyncClient(Leaf(resource)) as client:
            connection = client.connect()
            connection.transport.hold()
            await connection.send(GET)
            await act(client, connection)

    asyncio.run(run())


def test_drain_waits_until_the_client_takes_more_and_raises_when_it_leaves() -> None:
    log: list[object] = []

    async def write_and_drain(request_: Request) -> Any:
        exchange = request_.exchange
        exchange.start(200, NO_FIELDS)
        assert exchange.write(b"x")
        await exchange.drain()
        for _ in range(2):
            log.append(exchange.write(PIECE * 4))
            try:
                await exchange.drain()
            except ClientDisconnected:
                log.append("left")
            else:
                log.append("drained")
        try:
            await exchange.drain()
        except ClientDisconnected:
            log.append("left")
        return exchange

    async def act(client: AsyncClient, connection: Any) -> None:
        assert log == [False]
        connection.transport.release()
        assert len(connection.data) > 200_000
        connection.transport.hold()
        await client.settle()
        assert log == [False, "drained", False]
        connection.transport.reset()
        await client.settle()
        assert log == [False, "drained", False, "left", "left"]

    drive(write_and_drain, act)


def test_drain_after_the_end_returns() -> None:
    async def end_and_drain(request_: Request) -> Any:
        exchange = request_.exchange
        exchange.respond(Response(b""))
        await exchange.drain()
        return exchange

    with Client(Leaf(end_and_drain)) as client:
        assert client.get("/").status == 200


@pytest.mark.parametrize("is_reset", [False, True])
def test_all_who_wait_are_told(*, is_reset: bool) -> None:
    """As many tasks as there are may write to one answer, such as one that says now and then that it lives."""
    waiters: list[asyncio.Task[None]] = []

    async def write_together(request_: Request) -> Any:
        exchange = request_.exchange
        exchange.start(200, NO_FIELDS)
        exchange.write(PIECE * 4)
        waiters.extend(asyncio.ensure_future(exchange.drain()) for _ in range(3))
        await asyncio.wait(waiters)
        exchange.end()
        return exchange

    async def act(client: AsyncClient, connection: Any) -> None:
        if is_reset:
            connection.transport.reset()
        else:
            connection.transport.release()
            assert len(connection.data) > 200_000
        await client.wait_until(lambda: all(each.done() for each in waiters), "all to be told")
        errors = {type(each.exception()) for each in waiters}
        assert errors == {ClientDisconnected if is_reset else type(None)}

    drive(write_together, act)


def test_a_waiter_that_was_cancelled_is_left_alone() -> None:
    async def give_up(request_: Request) -> Any:
        exchange = request_.exchange
        exchange.start(200, NO_FIELDS)
        exchange.write(PIECE * 4)
        draining = asyncio.ensure_future(exchange.drain())
        await asyncio.sleep(0)
        draining.cancel()
        return exchange

    async def act(client: AsyncClient, connection: Any) -> None:
        connection.transport.release()
        assert len(connection.data) > 200_000

    drive(give_up, act)


def test_content_without_end_beyond_its_announced_length_ends_the_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    closed = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"123"
        finally:
            closed.append(True)

    answer = Response(endless(), headers={"Content-Length": "5"})
    with Client(Leaf(lambda _: answer)) as client:
        assert client.get("/").body == b"12312"
        client.settle()
    assert closed == [True]
    assert caplog.text.count("cut off") == 1
