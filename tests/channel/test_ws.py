"""WebSockets in memory: from the handshake to the end, as the application and as the client see it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from container.message.errors import ClientDisconnected, ExchangeStateError
from container.message.response import Response
from container.message.websocket import WebSocketDisconnected, WebSocketOptions, WebSocketState
from container.resources.websocket import WebSocketResource
from container.testing import AsyncClient, Client
from container.testing.websocket import WebSocketDenied
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import MemoryLog, request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from container.message.headers import Headers
    from container.message.request import Request
    from container.message.websocket import WebSocket

    Handler = Callable[[WebSocket], Coroutine[Any, Any, None]]

HANDSHAKE = request(
    "/", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)  # fmt: skip


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for message in socket:
        await socket.send(message)


class Ends:
    """An echo that notes how each WebSocket has ended."""

    def __init__(self) -> None:
        self.ends: list[tuple[int, str]] = []
        self.socket: WebSocket | None = None

    async def __call__(self, socket: WebSocket) -> None:
        self.socket = socket
        await socket.accept()
        try:
            while True:
                await socket.send(await socket.receive())
        except WebSocketDisconnected as over:
            self.ends.append((over.code, over.reason))


def run(
    handler: Handler,
    test: Callable[[AsyncClient], Coroutine[Any, Any, None]],
    *,
    options: WebSocketOptions | None = None,
    log: MemoryLog | None = None,
    secure: bool = False,
) -> None:
    """Run `test` with a client of a site whose root is served by `handler`."""

    async def main() -> None:
        site = Site(WebSocketResource(handler, options=options), access_log=log, headers={"X-Site": "yes"})
        async with AsyncClient(site, secure=secure) as client:
            await test(client)

    asyncio.run(main())


# Messages.


def test_messages_come_back_as_they_were_sent() -> None:
    """CH-20, AS-05: text stays text, bytes stay bytes, whatever their size."""
    messages = ["", "a", "ü€😀" * 500, b"", b"\0\xff", b"x" * 65536, "y" * 70000]
    with Client(Site(WebSocketResource(echo))) as client, client.websocket("/") as socket:
        for message in messages:
            socket.send(message)
            assert socket.receive() == message


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("secure", [False, True])
def test_an_iteration_ends_with_the_close_of_the_client(*, deflate: bool, secure: bool) -> None:
    async def test(client: AsyncClient) -> None:
        async with client.websocket("/", deflate=deflate) as socket:
            await socket.send("x" * 1000)
            assert await socket.receive() == "x" * 1000
        assert socket.close_code == 1000

    run(echo, test, secure=secure)


def test_a_frame_that_comes_with_the_handshake_is_not_lost() -> None:
    async def test(client: AsyncClient) -> None:
        connection = client.connect()
        await client.settle()
        connection.transport.feed(HANDSHAKE + bytes([0x81, 0x82, 0, 0, 0, 0]) + b"hi")
        await client.settle()
        head, _, frames = connection.transport.take().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head  # RFC 6455 1.3
        assert frames == b"\x81\x02hi"

    run(echo, test)


def test_only_one_task_may_receive() -> None:
    problems: list[str] = []

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        first = asyncio.ensure_future(socket.receive())
        await asyncio.sleep(0)
        try:
            await socket.receive()
        except ExchangeStateError as error:
            problems.append(str(error))
        await socket.send(await first)

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            await socket.send("one")
            assert await socket.receive() == "one"
        assert problems == ["expected one task at a time in receive()"]

    run(handler, test)


def test_a_receive_that_is_cancelled_loses_nothing() -> None:
    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.receive(), 0)
        waiting = asyncio.ensure_future(socket.receive())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await socket.send(await socket.receive())

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            await socket.send("kept")
            assert await socket.receive() == "kept"

    run(handler, test)


def test_what_is_no_message_is_refused() -> None:
    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        with pytest.raises(TypeError, match="expected str or bytes to send, got int"):
            await socket.send(1)  # type: ignore[arg-type]
        await socket.send(bytearray(b"a"))
        await socket.send(memoryview(b"b"))

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            assert [await socket.receive(), await socket.receive()] == [b"a", b"b"]

    run(handler, test)


# The opening handshake.


def test_a_handler_chooses_the_subprotocol_and_adds_fields() -> None:
    """AS-05: the fields of the site and the cookies of hooks are in a 101 as in every answer."""

    async def handler(socket: WebSocket) -> None:
        assert socket.state is WebSocketState.CONNECTING
        assert socket.subprotocols == ["one", "two"]
        await socket.accept("two", {"X-Own": "1", "Set-Cookie": "a=b"})
        assert socket.state is WebSocketState.OPEN
        assert socket.subprotocol == "two"

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/", subprotocols=["one", "two"]) as socket:
            assert socket.subprotocol == "two"
            fields = {name: socket.headers[name] for name in ("X-Own", "Set-Cookie", "X-Site", "Server")}
            assert fields == {"X-Own": "1", "Set-Cookie": "a=b", "X-Site": "yes", "Server": "container"}

    run(handler, test)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("three",), r"expected a subprotocol that was offered \(one, two\), got 'three'"),
        ((None, {"Sec-WebSocket-Accept": "x"}), "expected no sec-websocket-accept among the headers"),
        ((None, {"X": "a\nb"}), "expected no control characters in field 'X'"),
    ],
)
def test_an_accept_that_cannot_be_sent_is_an_error(arguments: tuple[Any, ...], problem: str) -> None:
    async def handler(socket: WebSocket) -> None:
        with pytest.raises(ValueError, match=problem):
            await socket.accept(*arguments)
        await socket.accept()

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/", subprotocols=["one", "two"]) as socket:
            assert socket.subprotocol is None

    run(handler, test)


def test_the_verbs_have_an_order() -> None:
    async def handler(socket: WebSocket) -> None:
        for verb in (socket.receive(), socket.send("a")):
            with pytest.raises(ExchangeStateError, match=r"expected accept\(\) first"):
                await verb
        await socket.accept()
        with pytest.raises(ExchangeStateError):
            await socket.accept()
        with pytest.raises(ExchangeStateError):
            socket.deny()

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            assert await socket.wait_closed() == 1000

    run(handler, test)


async def _deny(socket: WebSocket) -> None:
    socket.deny()


async def _deny_with_an_answer(socket: WebSocket) -> None:
    socket.deny(Response.text("no", 404))
    assert socket.state is WebSocketState.CLOSED
    socket.begin_close()
    with pytest.raises(ExchangeStateError):
        await socket.accept()


async def _close(socket: WebSocket) -> None:
    await socket.close(1008)


async def _return(socket: WebSocket) -> None: ...


@pytest.mark.parametrize(
    ("handler", "status"), [(_deny, 403), (_deny_with_an_answer, 404), (_close, 403), (_return, 403)]
)
def test_what_is_not_accepted_is_denied(handler: Handler, status: int) -> None:
    """AS-05: 403 unless the handler says otherwise; the connection serves on."""
    log = MemoryLog()

    async def test(client: AsyncClient) -> None:
        with pytest.raises(WebSocketDenied) as denied:
            async with client.websocket("/"):
                pytest.fail("expected a denial")
        assert denied.value.status == status
        assert denied.value.headers.get_all("X-Site") == ["yes"]
        assert denied.value.body

    run(handler, test, log=log)
    assert [f'" {status} ' in line for line in log.lines] == [True]


def test_an_error_before_accept_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(socket: WebSocket) -> None:
        raise LookupError("broken")

    async def test(client: AsyncClient) -> None:
        with pytest.raises(WebSocketDenied, match="got 500"):
            async with client.websocket("/"):
                pytest.fail("expected a denial")

    run(handler, test)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [LookupError]


def test_a_client_that_leaves_before_accept_is_reported() -> None:
    go = asyncio.Event()
    told: list[int] = []

    async def handler(socket: WebSocket) -> None:
        await go.wait()
        assert socket.state is WebSocketState.CLOSED
        for verb in (socket.accept(), socket.send("x"), socket.receive()):
            with pytest.raises(WebSocketDisconnected) as over:
                await verb
            told.append(over.value.code)

    async def test(client: AsyncClient) -> None:
        connection = client.connect()
        await connection.send(HANDSHAKE)
        await connection.leave()
        go.set()
        await client.settle()
        assert told == [1006] * 3

    run(handler, test)


def test_origins_can_be_limited() -> None:
    """RFC 6455 10.2: pages of other sites may not connect in their visitor's name."""
    site = Site(WebSocketResource(echo, origins=["https://Example.org"]))
    with Client(site) as client:
        with client.websocket("/", headers={"Origin": "https://example.org"}) as socket:
            socket.send("a")
            assert socket.receive() == "a"
        for fields in ({"Origin": "https://evil.example"}, {}):
            with pytest.raises(WebSocketDenied, match="got 403"), client.websocket("/", headers=fields):
                pytest.fail("expected a denial")


# The end.


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "away"), (3456, "ü"), (4999, "x" * 123)])
def test_the_code_of_the_client_is_told_and_echoed(code: int, reason: str) -> None:
    """AS-05: close codes in both directions."""
    handler = Ends()

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            await socket.close(code, reason)
            assert (socket.close_code, socket.close_reason) == (code, reason)
        assert handler.ends == [(code, reason)]
        assert handler.socket is not None
        assert handler.socket.state is WebSocketState.CLOSED
        with pytest.raises(ClientDisconnected):
            await handler.socket.send("late")
        with pytest.raises(OSError, match=str(code)):
            await handler.socket.receive()
        await handler.socket.close()

    run(handler, test)


def test_a_close_without_a_code_is_1005() -> None:
    handler = Ends()

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            await socket.send_raw(bytes([0x88, 0x80, 0, 0, 0, 0]))
            assert await socket.wait_closed() == 1005
        assert handler.ends == [(1005, "")]

    run(handler, test)


@pytest.mark.parametrize("how", ["leave", "feed_eof", "reset"])
def test_a_client_without_a_close_is_1006(how: str) -> None:
    handler = Ends()

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            getattr(socket.transport, how)()
            await client.settle()
            assert handler.ends == [(1006, "")]
            assert socket.transport.is_closing()
        assert not client.group.channels

    run(handler, test)


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1013, "busy"), (4000, "mine")])
def test_an_application_closes_with_its_own_code(code: int, reason: str) -> None:
    after: list[WebSocketState] = []

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        socket.begin_close(code, reason)
        after.append(socket.state)
        with pytest.raises(WebSocketDisconnected):
            await socket.send("late")
        await socket.close()
        after.append(socket.state)

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            assert await socket.wait_closed() == code
            assert socket.close_reason == reason
        await client.settle()
        assert after == [WebSocketState.CLOSING, WebSocketState.CLOSED]

    run(handler, test)


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1004, ""), (1005, ""), (1006, ""), (1015, ""), (2999, ""), (5000, ""), (1000, "x" * 124)],
)
def test_a_close_that_cannot_be_sent_is_an_error(code: int, reason: str) -> None:
    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        with pytest.raises(ValueError, match="expected a "):
            await socket.close(code, reason)

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            assert await socket.wait_closed() == 1000

    run(handler, test)


def test_a_handler_that_raises_is_1011_and_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        raise LookupError("broken")

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            assert await socket.wait_closed() == 1011

    run(handler, test)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [LookupError]


def test_a_handler_that_does_not_care_for_the_end_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            await socket.leave()

    with caplog.at_level(logging.INFO):
        run(echo, test)
    assert [record for record in caplog.records if record.name != "asyncio"] == []


def test_the_access_log_has_a_line_when_it_is_over() -> None:
    """CH-20: status 101 and what was sent in frames: a Close and 5 bytes in one frame."""
    log = MemoryLog()

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/x") as socket:
            await socket.send("hello")
            assert await socket.receive() == "hello"
            assert log.lines == []
        assert len(log.lines) == 1
        assert '"GET /x HTTP/1.1" 101 11 ' in log.lines[0]

    run(echo, test, log=log)


def test_messages_before_the_end_are_still_received() -> None:
    got: list[str | bytes] = []
    go = asyncio.Event()

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        await go.wait()
        async for message in socket:
            got.append(message)

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            await socket.send("a")
            await socket.send("b")
        go.set()
        await client.settle()
        assert got == ["a", "b"]

    run(handler, test)


def test_after_the_close_bytes_are_read_and_forgotten() -> None:
    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            await socket.send_raw(bytes([0x88, 0x80, 0, 0, 0, 0]))
            assert socket.transport.eof_seen
            await socket.send_raw(b"x" * 1000)
            assert not socket.transport.is_closing()
            await socket.send_raw(b"x" * (1 << 20))
            assert socket.transport.is_closing()

    run(echo, test)


def test_a_client_that_does_not_close_its_side_is_cut() -> None:
    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            await socket.send_raw(bytes([0x88, 0x80, 0, 0, 0, 0]))
            client.clock.advance(4)
            assert not socket.transport.is_closing()
            client.clock.advance(3)
            assert socket.transport.is_closing()

    run(echo, test)


@pytest.mark.parametrize("waits", [False, True])
def test_hooks_change_the_head_of_the_handshake_waited_for_or_not(waits: bool) -> None:
    async def later(headers: Headers) -> None:
        await asyncio.sleep(0)
        headers.set("X-Late", "1")

    def hook(status: int, headers: Headers) -> Awaitable[None] | None:
        assert status == 101
        if waits:
            return later(headers)
        headers.set("X-Late", "1")
        return None

    class Hooked(Resource):
        is_transparent = True

        def enter(self, request: Request) -> Resource:
            request.exchange.before_head(hook)
            return WebSocketResource(echo)

    with Client(Hooked()) as client:
        connection = client.connect()
        connection.send(HANDSHAKE)
        assert connection.data.startswith(b"HTTP/1.1 101 ")
        assert b"\r\nX-Late: 1\r\n" in connection.data
