"""WebSockets in memory: from the handshake to the end, as the application and as the client see it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from container.message.errors import ExchangeStateError
from container.message.response import Response
from container.message.websocket import WebSocketDisconnected, WebSocketOptions, WebSocketState
from container.resources.websocket import WebSocketResource
from container.testing import AsyncClient, Client
from container.testing.websocket import WebSocketDenied
from container.tree.site import Site
from tests.leaf import MemoryLog

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from container.message.websocket import WebSocket


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for message in socket:
        await socket.send(message)


def run(
    handler: Callable[[WebSocket], Coroutine[Any, Any, None]],
    test: Callable[[AsyncClient], Coroutine[Any, Any, None]],
    *,
    options: WebSocketOptions | None = None,
    log: MemoryLog | None = None,
) -> None:
    """Run `test` with a client of a site whose root is served by `handler`."""

    async def main() -> None:
        site = Site(WebSocketResource(handler, options=options), access_log=log)
        async with AsyncClient(site) as client:
            await test(client)

    asyncio.run(main())


class Ends:
    """A handler that serves an echo and notes how each WebSocket has ended."""

    def __init__(self) -> None:
        self.codes: list[tuple[int, str]] = []

    async def __call__(self, socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send(await socket.receive())
        except WebSocketDisconnected as over:
            self.codes.append((over.code, over.reason))


# Messages.


def test_messages_come_back_as_they_were_sent() -> None:
    """CH-20, AS-05: text stays text, bytes stay bytes, whatever their size."""
    messages = ["", "a", "ü€😀" * 500, b"", b"\0\xff", b"x" * 65536, "y" * 70000]
    with Client(Site(WebSocketResource(echo))) as client, client.websocket("/") as socket:
        for message in messages:
            socket.send(message)
            assert socket.receive() == message


@pytest.mark.parametrize("deflate", [False, True])
def test_an_iteration_ends_with_the_close_of_the_client(deflate: bool) -> None:  # noqa: FBT001
    async def test(client: AsyncClient) -> None:
        async with client.websocket("/", deflate=deflate) as socket:
            await socket.send("x" * 1000)
            assert await socket.receive() == "x" * 1000
        assert socket.close_code == 1000

    run(echo, test)
