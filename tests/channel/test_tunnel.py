"""A connection that was given away to a tunnel: how long it lasts when the server stops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from container.channel.h1 import H1Channel
from container.message.fields import NO_FIELDS
from container.message.tunnel import TunnelEnd, join
from container.testing import FakeClock, MockTransport
from container.testing.clock import SweptGroup
from container.tree.site import Site
from tests.leaf import Held, request

if TYPE_CHECKING:
    from collections.abc import Callable


class Far(asyncio.Protocol):
    """The upstream's side."""

    def connection_made(self, transport: Any) -> None:
        self.end = TunnelEnd(transport)

    def data_received(self, data: bytes) -> None:
        self.end.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.end.connection_lost(exc)


class Tunnel:
    """Both connections, and the group of the client's."""

    def __init__(self, group: SweptGroup, client: MockTransport, upstream: MockTransport) -> None:
        self.group = group
        self.client = client
        self.upstream = upstream

    @property
    def is_open(self) -> bool:
        return not (self.client.is_closing() or self.upstream.is_closing())

    def begin_drain(self) -> None:
        self.group.draining = True
        self.group.close_idle()


def run(test: Callable[[Tunnel, FakeClock], Any], *, draining: bool = False) -> None:
    async def main() -> None:
        clock = FakeClock()
        held = Held()
        group = SweptGroup(Site(held), asyncio.get_running_loop(), clock)
        group.start()
        client = MockTransport(H1Channel(group))
        client.feed(request("/", "Connection: Upgrade", "Upgrade: x"))
        group.draining = draining
        near = await held.last.tunnel(101, NO_FIELDS, protocol="x")
        far = Far()
        upstream = MockTransport(far)
        join(near, far.end)
        test(Tunnel(group, client, upstream), clock)
        group.stop()

    asyncio.run(main())


def test_one_in_which_nothing_has_moved_is_closed_with_the_idle() -> None:
    def test(tunnel: Tunnel, clock: FakeClock) -> None:
        clock.advance(7)
        assert tunnel.is_open
        tunnel.begin_drain()
        assert not tunnel.is_open

    run(test)


@pytest.mark.parametrize("side", ["client", "upstream"])
def test_one_in_which_something_moves_goes_on(side: str) -> None:
    def test(tunnel: Tunnel, clock: FakeClock) -> None:
        clock.advance(7)
        sender, receiver = tunnel.client, tunnel.upstream
        if side == "upstream":
            sender, receiver = receiver, sender
        receiver.take()
        for _ in range(10):
            sender.feed(b"x")
            tunnel.begin_drain()  # also when nobody has looked since it moved
            clock.advance(4)
            assert tunnel.is_open
        assert receiver.take() == b"x" * 10
        clock.advance(2)
        assert not tunnel.is_open

    run(test)


def test_one_that_is_made_while_the_server_stops_may_begin() -> None:
    def test(tunnel: Tunnel, clock: FakeClock) -> None:
        clock.advance(3)
        assert tunnel.is_open
        clock.advance(5)
        assert not tunnel.is_open

    run(test, draining=True)


def test_one_that_goes_on_is_cut_at_the_deadline() -> None:
    async def main() -> None:
        held = Held()
        group = SweptGroup(Site(held), asyncio.get_running_loop(), FakeClock())
        client = MockTransport(H1Channel(group))
        client.feed(request("/", "Connection: Upgrade", "Upgrade: x"))
        await held.last.tunnel(101, NO_FIELDS, protocol="x")
        assert not await group.drain(0)
        assert client.is_closing()

    asyncio.run(main())
