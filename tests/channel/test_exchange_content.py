"""The content of requests: read as it comes, collected, asked for, malformed, cut short."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from container.message.errors import ClientDisconnected, ProtocolError
from container.message.limits import Limits
from container.message.response import Response
from container.testing import Client
from container.tree.site import Site
from tests.leaf import GET, Held, Leaf, request

if TYPE_CHECKING:
    from container.message.request import Request


def post(*fields: str, length: int | None = None) -> bytes:
    framing = f"Content-Length: {length}" if length is not None else "Transfer-Encoding: chunked"
    return request("/", framing, *fields, method="POST")


async def echo(request_: Request) -> Response:
    return Response(await request_.read())


def test_content_is_read_while_it_comes() -> None:
    seen: list[bytes] = []

    async def note(request_: Request) -> Response:
        async for piece in request_.stream():
            seen.append(piece)
        return Response.text("done")

    with Client(Leaf(note)) as client:
        connection = client.connect()
        connection.send(post(length=6) + b"ab")
        connection.send(b"cd")
        assert seen == [b"ab", b"cd"]
        connection.send(b"ef")
        assert connection.receive().text == "done"
    assert seen == [b"ab", b"cd", b"ef"]


def test_all_who_wait_for_content_are_told() -> None:
    """As frameworks do that look for the end of the client while they read."""

    async def read_together(request_: Request) -> Response:
        await asyncio.gather(*(request_.exchange.receive() for _ in range(3)))
        return Response(request_.body.take())

    with Client(Leaf(read_together)) as client:
        connection = client.connect()
        connection.send(post(length=3))
        connection.send(b"abc")
        assert connection.receive().body == b"abc"


def test_waiting_for_content_that_is_there_returns_at_once() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(post(length=10) + b"abc")
        asyncio.run(held.last.receive())
        held.last.request.body.take()
        called: list[int] = []
        held.last.when_readable(lambda: called.append(1))
        connection.send(b"d")
        assert called == [1]
        connection.send_eof()
        held.last.request.body.take()
        with pytest.raises(ProtocolError):
            asyncio.run(held.last.receive())


def test_waiting_for_content_of_a_client_that_left_is_an_error() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(post(length=10))
        held.last.respond(Response(b""))
        with pytest.raises(ClientDisconnected):
            asyncio.run(held.last.receive())


def test_a_client_that_expects_it_is_asked_when_the_content_is_read() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(post("Expect: 100-continue", length=2))
        assert connection.data == b""
        assert held.last.expects_continue
        held.last.when_readable(lambda: None)
        assert connection.data == b"HTTP/1.1 100 Continue\r\n\r\n"
        held.last.when_readable(lambda: None)
        assert connection.data.count(b"100 Continue") == 1
        assert not held.last.expects_continue


@pytest.mark.parametrize(
    "head",
    [
        post("Expect: 100-continue", length=2) + b"ab",
        request("/", "Expect: 100-continue", "Content-Length: 0", method="POST"),
        request("/", "Expect: 100-continue", method="POST"),
    ],
)
def test_a_client_whose_content_is_there_is_not_asked(head: bytes) -> None:
    with Client(Leaf(echo)) as client:
        answers = client.send_raw(head)
    assert [answer.status for answer in answers.responses] == [200]
    assert b"100 Continue" not in answers.data


def test_an_old_client_is_not_asked() -> None:
    head = request("/", "Expect: 100-continue", "Content-Length: 2", method="POST", version="1.0")
    with Client(Leaf(echo)) as client:
        connection = client.connect()
        connection.send(head)
        assert connection.data == b""
        connection.send(b"ab")
        assert connection.receive().body == b"ab"


def test_an_answer_may_come_before_the_content_was_asked_for() -> None:
    with Client(Leaf(lambda _: Response.text("no", 401))) as client:
        connection = client.connect()
        connection.send(post("Expect: 100-continue", length=2))
        answer = connection.receive()
        assert (answer.status, answer.headers["connection"], list(answer.interim)) == (401, "close", [])


@pytest.mark.parametrize(
    ("bad", "status"),
    [(b"zz\r\n", 400), (b"5;\n", 400), (b"0x5\r\n", 400), (b"fffffff\r\n", 413), (b"2\r\nabc", 400)],
)
def test_malformed_content_is_answered_and_wakes_its_reader(bad: bytes, status: int) -> None:
    woken: list[type[Exception]] = []

    async def read(request_: Request) -> Response:
        try:
            return await echo(request_)
        except Exception as error:
            woken.append(type(error))
            raise

    with Client(Site(Leaf(read), limits=Limits(body=1000))) as client:
        connection = client.connect()
        connection.send(post())
        connection.send(bad)
        answers = connection.receive_all()
        assert [answer.status for answer in answers.responses] == [status]
        assert answers.closed
    assert len(woken) == 1
    assert issubclass(woken[0], ProtocolError | ClientDisconnected)


def test_content_that_ends_early_is_answered_400() -> None:
    with Client(Leaf(echo)) as client:
        answers = client.send_raw(post(length=10) + b"abc", eof=True)
    assert [answer.status for answer in answers.responses] == [400]


def test_a_reader_learns_that_the_client_has_left() -> None:
    errors: list[Exception] = []

    async def read(request_: Request) -> Response:
        for _ in range(2):
            try:
                await request_.read()
            except ClientDisconnected as error:
                errors.append(error)
        return Response(b"")

    with Client(Leaf(read)) as client:
        connection = client.connect()
        connection.send(post(length=10) + b"abc")
        connection.transport.reset()
        client.settle()
    assert len(errors) == 2


def test_reading_after_the_answer_is_an_error_and_not_an_end() -> None:
    kept: list[Request] = []
    with Client(Leaf(lambda each: (kept.append(each), Response(b""))[1])) as client:
        connection = client.connect()
        connection.send(post(length=10) + b"abc")
        with pytest.raises(ClientDisconnected):
            asyncio.run(kept[0].read())


# Content that is collected first.


def collect(held: Held) -> list[bytes]:
    """Ask for the complete content; a list of it as soon as it is there."""
    got: list[bytes] = []
    exchange = held.last
    exchange.when_complete(lambda: got.append(exchange.request.body.file().read()))
    return got


@pytest.mark.parametrize("size", [10, 300_000])
def test_content_is_collected_in_memory_or_on_disk(size: int) -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(post(length=size) + b"x" * (size // 2))
        got = collect(held)
        connection.send(b"x" * (size - size // 2 - 1))
        assert got == []
        connection.send(b"x")
        assert got == [b"x" * size]
        assert collect(held) == [b"x" * size]
        held.last.respond(Response(b""))


def test_collected_content_is_not_throttled() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(post("Expect: 100-continue", length=1_000_000))
        got = collect(held)
        assert connection.data == b"HTTP/1.1 100 Continue\r\n\r\n"
        for _ in range(10):
            connection.send(b"x" * 100_000)
        assert [len(content) for content in got] == [1_000_000]
        assert client.site.quota.used == 1_000_000
        held.last.respond(Response(b""))
        assert client.site.quota.used == 0


def test_a_coroutine_can_wait_for_all_of_it() -> None:
    async def size(request_: Request) -> Response:
        await request_.exchange.complete()
        return Response.text(str(len(request_.body.file().read())))

    with Client(Leaf(size)) as client:
        connection = client.connect()
        connection.send(post("Expect: 100-continue", length=300_000))
        assert connection.data == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(b"x" * 100_000)
        connection.send(b"x" * 200_000)
        assert connection.receive().text == "300000"
        connection.send(post(length=2) + b"ab")
        assert connection.receive().text == "2"


@pytest.mark.parametrize("bad", [b"zz\r\n", None])
def test_a_coroutine_that_waits_for_all_of_it_learns_that_it_will_not_come(bad: bytes | None) -> None:
    errors: list[Exception] = []

    async def wait(request_: Request) -> Response:
        for _ in range(2):
            try:
                await request_.exchange.complete()
            except (ClientDisconnected, ProtocolError) as error:
                errors.append(error)
        return Response(b"")

    with Client(Leaf(wait)) as client:
        connection = client.connect()
        connection.send(post() + b"1\r\na\r\n")
        if bad is None:
            connection.transport.reset()
            client.settle()
        else:
            connection.send(bad)
    assert len(errors) == 2


@pytest.mark.parametrize("first", [0, 600])
def test_the_quota_of_all_content_answers_503(first: int) -> None:
    held = Held()
    with Client(Site(held, limits=Limits(spool_quota=500))) as client:
        connection = client.connect()
        connection.send(post(length=1000) + b"x" * first)
        collect(held)
        connection.send(b"x" * (600 - first))
        assert [answer.status for answer in connection.receive_all().responses] == [503]
        assert client.site.quota.used == 0


def test_content_that_broke_while_it_was_collected_is_answered() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(post())
        got = collect(held)
        connection.send(b"2\r\nabX\r\n")
        assert connection.receive_all().responses[0].status == 400
        assert got == []


def test_content_that_broke_is_answered_though_a_hook_fails(caplog: pytest.LogCaptureFixture) -> None:
    """The hook is told of an answer that nobody of the tree gives: what it raises has nobody else to go to."""

    def fail(status: int, headers: object) -> None:
        raise RuntimeError("a hook failed")

    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(post(length=10) + b"abc")
        held.last.before_head(fail)
        collect(held)
        client.clock.advance(40)
        assert connection.receive_all().responses[0].status == 500
    assert "a hook failed" in caplog.text


def test_an_observer_may_give_up_a_request_whose_content_was_cut_short() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(post(length=10) + b"abc")
        collect(held)
        exchange = held.last
        exchange.on_close(lambda _: exchange.abort())
        connection.send_eof()
        assert connection.transport.reset_seen
        assert connection.data == b""


def test_content_cut_short_while_it_was_collected_is_answered() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(post(length=10) + b"abc")
        got = collect(held)
        connection.send_eof()
        assert connection.receive_all().responses[0].status == 400
        assert got == []


def test_pipelined_content_cut_short_is_answered_at_once() -> None:
    """The client has closed its side before its request was looked at."""
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(GET + post(length=10) + b"abc")
        connection.send_eof()
        held.last.respond(Response(b"first"))
        assert len(held.exchanges) == 2
        got = collect(held)
        client.settle()
        assert [answer.status for answer in connection.receive_all().responses] == [200, 400]
        assert got == []


def test_content_cut_short_before_it_was_asked_for_is_answered() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(post(length=10) + b"abc")
        connection.send_eof()
        got = collect(held)
        assert [answer.status for answer in connection.receive_all().responses] == [400]
        assert got == []
