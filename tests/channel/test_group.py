"""What the channels of a loop share: the clock, the fields made from it, the sweep, the drain."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from container.channel import group as module
from container.channel.group import ChannelGroup
from container.channel.h1 import H1Channel
from container.message.fields import DATE, NO_FIELDS, SERVER
from container.message.response import Response
from container.testing import MockTransport
from container.tree.site import Site
from tests.leaf import GET, Held, Leaf, request

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class Swept:
    """A channel that only notes what its group does with it."""

    def __init__(self) -> None:
        self.swept: list[float] = []
        self.aborted = 0

    def sweep(self, now: float) -> None:
        self.swept.append(now)

    def close_if_idle(self) -> None: ...

    def abort(self) -> None:
        self.aborted += 1


def run(test: Callable[[ChannelGroup, Held], Coroutine[Any, Any, None]]) -> None:
    """Run `test` with a group whose only resource is answered by hand."""

    async def main() -> None:
        held = Held()
        group = ChannelGroup(Site(held), asyncio.get_running_loop())
        await test(group, held)
        group.stop()

    asyncio.run(main())


def connect(group: ChannelGroup, *data: bytes) -> MockTransport:
    transport = MockTransport(H1Channel(group))
    for piece in data:
        transport.feed(piece)
    return transport


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


# The clock and the sweep.


def test_the_sweep_renews_clock_and_date_and_visits_every_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SWEEP_S", 0.001)

    async def test(group: ChannelGroup, _: Held) -> None:
        before = group.now
        channels = [Swept(), Swept()]
        for channel in channels:
            group.add(channel)
        group.start()
        async with asyncio.timeout(5):
            while not all(len(channel.swept) > 2 for channel in channels):
                await asyncio.sleep(0)
        assert before < channels[0].swept[0] < channels[0].swept[1] <= group.now
        group.stop()
        seen = len(channels[0].swept)
        await asyncio.sleep(0.005)
        assert len(channels[0].swept) == seen

    run(test)


@pytest.mark.parametrize(
    ("kinds", "date", "server"),
    [(0, True, True), (DATE, False, True), (SERVER, True, False), (DATE | SERVER, False, False)],
)
def test_default_fields_are_those_an_answer_lacks(kinds: int, date: bool, server: bool) -> None:
    async def test(group: ChannelGroup, _: Held) -> None:
        fields = group.default_fields_besides(kinds)
        assert (b"Date: " in fields, b"Server: container\r\n" in fields) == (date, server)

    run(test)


@pytest.mark.parametrize(("name", "field"), [("shop", b"Server: shop\r\n"), ("", b"")])
def test_the_name_of_the_server_can_be_changed_or_kept_quiet(name: str, field: bytes) -> None:
    async def main() -> None:
        group = ChannelGroup(Site(Held()), asyncio.get_running_loop(), server_name=name)
        assert group.default_fields == group.date_field + field

    asyncio.run(main())


# The drain.


def test_without_connections_the_drain_is_done() -> None:
    async def test(group: ChannelGroup, _: Held) -> None:
        assert await group.drain(0)
        assert group.draining

    run(test)


def test_what_is_in_flight_is_answered_and_announces_the_close() -> None:
    async def test(group: ChannelGroup, held: Held) -> None:
        transport = connect(group, GET)
        drain = asyncio.ensure_future(group.drain(10))
        await asyncio.sleep(0)
        assert not drain.done()
        held.last.respond(Response.text("done"))
        assert b"Connection: close\r\n" in transport.written
        transport.feed_eof()
        assert await drain

    run(test)


def test_requests_queued_before_the_drain_are_answered_too() -> None:
    async def test(group: ChannelGroup, held: Held) -> None:
        transport = connect(group, GET + GET)
        held.last.start(200, NO_FIELDS)
        held.last.write(b"begun before")
        drain = asyncio.ensure_future(group.drain(10))
        await asyncio.sleep(0)
        held.last.end()
        held.last.respond(Response.text("done"))
        assert len(held.exchanges) == 2
        assert transport.written.count(b"Connection: close\r\n") == 1
        transport.feed_eof()
        assert await drain

    run(test)


def test_a_stream_that_began_before_the_drain_closes_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_GRACE_S", 0)

    async def test(group: ChannelGroup, held: Held) -> None:
        transport = connect(group, GET)
        held.last.start(200, NO_FIELDS)
        held.last.write(b"begun before")
        drain = asyncio.ensure_future(group.drain(10))
        await turns()
        held.last.end()
        assert not transport.lost
        assert await drain
        assert transport.lost

    run(test)


def test_idle_connections_are_closed_after_a_moment() -> None:
    async def test(group: ChannelGroup, held: Held) -> None:
        fresh = connect(group)
        used = connect(group, GET)
        held.last.respond(Response(b""))
        busy = connect(group, GET)
        reading = connect(group, b"GET / HT")
        drain = asyncio.ensure_future(group.drain(10, idle_grace=0))
        await turns()
        assert (fresh.lost, used.lost, busy.lost, reading.lost) == (True, True, False, False)
        reading.feed(b"TP/1.1\r\nHost: a\r\n\r\n")
        for exchange in held.exchanges[-2:]:
            exchange.respond(Response(b""))
        assert b"Connection: close" in reading.written
        busy.feed_eof()
        reading.feed_eof()
        assert await drain

    run(test)


def test_a_request_on_its_way_when_the_drain_begins_is_answered() -> None:
    async def test(group: ChannelGroup, held: Held) -> None:
        transport = connect(group)
        drain = asyncio.ensure_future(group.drain(10))
        await asyncio.sleep(0)
        transport.feed(GET)
        held.last.respond(Response(b""))
        assert b"Connection: close" in transport.written
        transport.feed_eof()
        assert await drain

    run(test)


@pytest.mark.parametrize("fields", [(), ("Connection: close",)])
def test_what_is_not_done_at_the_deadline_is_cut(
    fields: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    errors: list[Exception | None] = []

    async def test(group: ChannelGroup, held: Held) -> None:
        transport = connect(group, request("/", *fields))
        held.last.on_close(errors.append)
        stuck = connect(group)
        stuck.hold()
        stuck.feed(GET)
        held.last.respond(Response(b"x" * 50_000, headers={"Connection": "close"}))
        stuck.feed_eof()
        assert not await group.drain(0)
        await turns()
        assert transport.lost
        assert stuck.lost
        assert not group.channels

    run(test)
    assert len(errors) == 1
    assert errors[0] is not None


def test_answers_closes_and_the_drain_do_not_depend_on_a_resource_of_one_kind() -> None:
    async def main() -> None:
        group = ChannelGroup(Site(Leaf(lambda _: Response.text("x"))), asyncio.get_running_loop())
        group.draining = True
        transport = connect(group, GET + GET)
        assert transport.written.count(b"HTTP/1.1 200 OK") == 1
        assert b"Connection: close" in transport.written
        await turns()

    asyncio.run(main())
