"""WebSockets in time: queues, back-pressure, pings, timeouts, and the end of the server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from container.channel.ws import WebSocketChannel
from container.message.websocket import WebSocketDisconnected, WebSocketOptions
from container.protocol.ws import Deflate
from tests.channel.test_ws import Ends, echo, run

if TYPE_CHECKING:
    from container.message.websocket import WebSocket
    from container.testing import AsyncClient


class Slow:
    """Receives as many messages as it is told to; answers nothing."""

    def __init__(self) -> None:
        self.got: list[str | bytes] = []
        self.more = asyncio.Semaphore(0)
        self.end: WebSocketDisconnected | None = None

    async def __call__(self, socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                await self.more.acquire()
                self.got.append(await socket.receive())
        except WebSocketDisconnected as over:
            self.end = over

    async def take(self, client: AsyncClient, count: int) -> None:
        for _ in range(count):
            self.more.release()
        await client.settle()


def masked(payload: bytes, head: int = 0x82) -> bytes:
    """A frame of less than 64 KiB."""
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2)
    return bytes([head]) + length + bytes(4) + payload


# Queues.


@pytest.mark.parametrize(
    ("options", "size", "count"),
    [(WebSocketOptions(queue_messages=4), 1, 10), (WebSocketOptions(queue_bytes=4000), 1000, 10)],
)
def test_reading_pauses_while_too_much_waits(options: WebSocketOptions, size: int, count: int) -> None:
    """AS-05: a client is as fast as the application."""
    handler = Slow()

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            for _ in range(4):
                await socket.send(b"x" * size)
            assert socket.transport.is_reading()
            await socket.send(b"x" * size)
            assert not socket.transport.is_reading()
            for _ in range(count - 5):
                await socket.send(b"x" * size)
            assert socket.transport.pending > 0
            await handler.take(client, 5)
            assert len(handler.got) == 5
            await handler.take(client, count - 5)
            assert handler.got == [b"x" * size] * count
            assert socket.transport.is_reading()

    run(handler, test, options=options)


def test_one_read_may_bring_more_than_fits() -> None:
    """What has come is parsed piece by piece, so a queue never holds much more than it should."""
    handler = Slow()
    frames = masked(b"y" * 1000) * 200

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            await socket.send_raw(frames)
            [channel] = client.group.channels
            assert isinstance(channel, WebSocketChannel)
            assert 32 < len(channel.messages) < 64
            await handler.take(client, 200)
            assert handler.got == [b"y" * 1000] * 200
            await socket.send_raw(frames)
            await socket.leave()  # behind messages that wait
            await handler.take(client, 201)
            assert handler.end is not None
            assert handler.end.code == 1006

    run(handler, test)


def test_a_close_of_ours_gets_through_a_full_queue() -> None:
    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        assert await socket.receive() == "go"
        await asyncio.sleep(0)
        await socket.close(4000)

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            await socket.send_raw(masked(b"go", 0x81) + masked(b"y" * 1000) * 200)
            assert await socket.wait_closed() == 4000

    run(handler, test, options=WebSocketOptions(queue_messages=2))


# Back-pressure.


def test_send_waits_while_the_client_does_not_read() -> None:
    """AS-05: what is not read is not piled up."""
    sent: list[int] = []

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        for number in range(20):
            await socket.send(b"x" * 32 * 1024)
            sent.append(number)

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            await client.settle()
            waiting = len(sent)
            assert 2 <= waiting < 12
            assert [len(await socket.receive()) for _ in range(20)] == [32 * 1024] * 20
            assert await socket.wait_closed() == 1000
        assert len(sent) == 20

    run(handler, test)


@pytest.mark.parametrize("end", ["reset", "close_if_idle"])
def test_a_send_that_waits_learns_of_the_end(end: str) -> None:
    ends: list[int] = []

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send(b"x" * 64 * 1024)
        except WebSocketDisconnected as over:
            ends.append(over.code)

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            await client.settle()
            [channel] = client.group.channels
            (socket.transport.reset if end == "reset" else channel.close_if_idle)()
            await client.settle()
            assert ends == [1006 if end == "reset" else 1012]

    run(handler, test)


def test_a_client_that_reads_nothing_for_a_minute_is_cut() -> None:
    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        while True:
            await socket.send(b"x" * 64 * 1024)

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            await client.settle()
            client.clock.advance(50)
            socket.transport.take()  # some progress
            await client.settle()
            client.clock.advance(50)
            assert not socket.transport.is_closing()
            client.clock.advance(61)
            assert socket.transport.is_closing()

    run(handler, test)


def test_a_client_that_pings_and_does_not_read_waits() -> None:
    handler = Ends()

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            socket.transport.hold()
            await socket.send_raw(masked(b"p" * 125, 0x89) * 2000)
            assert not socket.transport.is_reading()
            socket.transport.release()
            while socket.transport.take():
                pass
            assert socket.transport.is_reading()

    run(handler, test)


# Pings and timeouts.


def test_a_silent_client_is_pinged_and_its_pong_keeps_it() -> None:
    """AS-05: every 20 s of silence."""

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            for count in (1, 2, 3):
                client.clock.advance(22)
                await socket.ping(b"mine")  # takes what has come
                await client.settle()
                assert socket.close_code is None
                assert len(socket.pings) == count
            assert socket.pongs[0] == b"mine"

    run(echo, test)


def test_no_pong_is_1011() -> None:
    handler = Ends()

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            client.clock.advance(39)
            await client.settle()
            assert handler.ends == []
            client.clock.advance(3)
            await client.settle()
            assert handler.ends == [(1011, "no answer to a ping")]
            assert socket.transport.eof_seen
            client.clock.advance(7)
            assert socket.transport.is_closing()

    run(handler, test)


def test_a_client_we_do_not_read_from_is_not_blamed_for_silence() -> None:
    handler = Slow()

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            await socket.send("a")
            await socket.send("b")
            assert not socket.transport.is_reading()
            client.clock.advance(100)
            assert not socket.transport.is_closing()
            await handler.take(client, 2)
            assert handler.got == ["a", "b"]

    run(handler, test, options=WebSocketOptions(queue_messages=1))


@pytest.mark.parametrize("active", [True, False])
def test_without_messages_it_can_be_closed(*, active: bool) -> None:
    handler = Ends()

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            for _ in range(4 if active else 3):
                client.clock.advance(20)
                if active:
                    await socket.send("a")
                else:
                    await socket.ping()
            if not active:
                assert await socket.wait_closed() == 1000
        assert handler.ends == [(1000, "" if active else "idle")]

    run(handler, test, options=WebSocketOptions(idle_timeout=50))


def test_a_client_that_does_not_answer_a_close_is_cut() -> None:
    done: list[str] = []

    async def handler(socket: WebSocket) -> None:
        await socket.accept()
        await socket.receive()
        await socket.close()
        done.append("closed")

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            await socket.send("go")
            client.clock.advance(9)
            assert not socket.transport.is_closing()
            assert done == []
            client.clock.advance(2)
            await client.settle()
            assert socket.transport.is_closing()
            assert done == ["closed"]

    run(handler, test)


def test_a_compressor_is_given_back_when_nothing_is_sent() -> None:
    """A later message begins with a new one, and the client need not know."""

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/", deflate=True) as socket:
            [channel] = client.group.channels
            assert isinstance(channel, WebSocketChannel)
            [deflate] = channel.frames.extensions
            assert isinstance(deflate, Deflate)
            for _ in range(3):
                await socket.send("text " * 1000)
                assert await socket.receive() == "text " * 1000
                assert deflate.encoder is not None
                client.clock.advance(10)
                assert deflate.encoder is None

    run(echo, test)


# The end of the server.


def test_a_drain_closes_with_1012() -> None:
    """AS-05: the server says that it stops, and waits for the clients to agree."""
    handler = Ends()

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as one, client.websocket("/") as other:
            draining = asyncio.ensure_future(client.group.drain(5))
            assert [await one.wait_closed(), await other.wait_closed()] == [1012, 1012]
            assert await draining
        assert handler.ends == [(1012, "")] * 2

    run(handler, test)


def test_what_is_accepted_during_the_drain_is_closed_at_once() -> None:
    handler = Ends()

    async def test(client: AsyncClient) -> None:
        client.group.draining = True
        async with client.websocket("/") as socket:
            assert await socket.wait_closed() == 1012

    run(handler, test)


def test_a_client_that_does_not_agree_is_cut_at_the_end_of_the_grace() -> None:
    handler = Ends()

    async def test(client: AsyncClient) -> None:
        async with client.websocket("/") as socket:
            assert not await client.group.drain(0.2)
            await client.settle()
            assert socket.transport.is_closing()
            assert handler.ends == [(1006, "")]

    run(handler, test)


def test_options_must_make_sense() -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"max_message": 0}, "expected max_message above 0, got 0"),
        ({"ping_interval": -1}, "expected ping_interval above 0 or None, got -1"),
        ({"window_bits": 8}, "expected window_bits from 9 to 15, got 8"),
    ]
    for arguments, problem in wrong:
        with pytest.raises(ValueError, match=problem):
            WebSocketOptions(**arguments)
