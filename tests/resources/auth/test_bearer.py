"""Tokens that are looked at beside the loop, many at a time (AU-01). What a token says: test_guards.py."""

from __future__ import annotations

import asyncio

from container.resources.auth import BearerAuth, SlowDown
from container.testing import Client, FakeClock
from tests.leaf import Leaf, request

MANY = 12


def test_requests_that_come_at_a_time_are_no_failures_of_each_other() -> None:
    """A page asks for more than five things at a time; wrong tokens count all the same."""
    inside: list[str] = []
    gate = asyncio.Event()

    async def verify(token: str) -> str | None:
        inside.append(token)
        if len(inside) == MANY:
            gate.set()
        await gate.wait()
        return "robot" if token == "good" else None

    guard = BearerAuth(Leaf(lambda request: "in"), verify=verify, slow_down=SlowDown(clock=FakeClock()))
    with Client(guard) as client:
        connections = [client.connect() for _ in range(MANY)]
        for each in connections:
            each.send(request("/", "Authorization: Bearer good"))
        assert [each.receive().status for each in connections] == [200] * MANY
        wrong = {"Authorization": "Bearer bad"}
        assert [client.get("/", headers=wrong).status for _ in range(6)] == [401] * 5 + [429]
        assert client.get("/", headers={"Authorization": "Bearer good"}).status == 429
