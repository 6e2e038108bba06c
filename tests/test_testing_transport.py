"""The reader of responses and the transport in memory that the clients for tests stand on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from container.message.response import Response
from container.testing import (
    AsyncClient,
    BadResponse,
    MockTransport,
)
from container.testing.reader import ResponseReader
from tests.leaf import Leaf

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def on_loop(test: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    """Make a test of a coroutine."""
    return lambda: asyncio.run(test())


class Channel(asyncio.Protocol):
    """Writes down what a transport does to its protocol."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def data_received(self, data: bytes) -> None:
        self.calls.append(data)

    def eof_received(self) -> None:
        self.calls.append("eof")

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self.calls.append(type(error).__name__ if error else "lost")


# Reader and transport.

BAD_RESPONSES = [
    b"HTTP/1.0 200 OK\r\n\r\n",
    b"HTTP/1.1 200\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX y: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000000001",
    b"x" * 70_000,
]


@pytest.mark.parametrize("data", BAD_RESPONSES)
def test_what_is_not_http_is_refused(data: bytes) -> None:
    reader = ResponseReader()
    reader.feed(data)
    with pytest.raises(BadResponse, match="expected"):
        reader.head("GET") and reader.piece()


def test_responses_are_read_byte_by_byte() -> None:
    reader = ResponseReader()
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n"
    data += b"0\r\nX-T: 1\r\n\r\n"
    head, content = None, b""
    for at in range(len(data)):
        assert at == 0 or not (head and reader.done)
        reader.feed(data[at : at + 1])
        head = head or reader.head("GET")
        content += reader.piece() if head else b""
    assert (content, reader.complete, reader.trailers) == (b"abc0123456789", True, [("X-T", "1")])


@on_loop
async def test_stray_bytes_between_answers_are_refused() -> None:
    async with AsyncClient(Leaf(lambda request: Response.text("hello"))) as client:
        await client.get("/")
        client._wires[0].transport.write(b"stray")
        with pytest.raises(BadResponse, match="got b'stray'"):
            await client.get("/")


@on_loop
async def test_the_transport_keeps_what_its_protocol_does_not_read() -> None:
    channel = Channel()
    transport = MockTransport(channel, high_water=10)
    transport.feed(b"a")
    transport.pause_reading()
    transport.feed(b"b")
    transport.feed_eof()
    assert (channel.calls, transport.pending) == ([b"a"], 1)
    transport.resume_reading()
    assert channel.calls == [b"a"]
    await asyncio.sleep(0)
    assert channel.calls == [b"a", b"b", "eof"]
    with pytest.raises(RuntimeError, match="its end was sent"):
        transport.feed(b"c")
    await asyncio.sleep(0)
    assert channel.calls[3:] == ["lost"]


@on_loop
async def test_the_transport_controls_the_flow_of_writes() -> None:
    channel = Channel()
    transport = MockTransport(channel, high_water=10)
    transport.hold()
    transport.write(b"0123456789")
    assert channel.calls == []
    transport.write(b"x")
    transport.close()
    assert (channel.calls, transport.get_write_buffer_size(), transport.take()) == (["pause"], 11, b"")
    await asyncio.sleep(0)
    assert not transport.eof_seen
    transport.release()
    assert transport.take() == b"0123456789x"
    await asyncio.sleep(0)
    assert channel.calls == ["pause", "resume", "lost"]
    assert (transport.written, transport.writes) == (b"0123456789x", [b"0123456789", b"x"])
    with pytest.raises(RuntimeError, match="after connection_lost"):
        transport.write(b"late")


@on_loop
async def test_a_paused_reader_learns_of_a_reset_when_it_writes() -> None:
    channel = Channel()
    transport = MockTransport(channel, secure=True)
    transport.pause_reading()
    transport.reset()
    await asyncio.sleep(0)
    assert channel.calls == []
    assert not transport.can_write_eof()
    transport.write(b"x")
    await asyncio.sleep(0)
    assert channel.calls == ["BrokenPipeError"]


@on_loop
async def test_aborting_loses_what_was_not_sent() -> None:
    channel = Channel()
    transport = MockTransport(channel, window=3)
    transport.write(b"abcdef")
    transport.abort()
    await asyncio.sleep(0)
    assert (channel.calls, transport.take(), transport.reset_seen) == (["lost"], b"abc", True)
