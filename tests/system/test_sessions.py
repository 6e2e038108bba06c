"""Sessions of several processes in one store (SE-07): nothing is lost, nobody sees what is another's.

A few clients here; a thousand of them in the drill.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.redis_server import own_redis, redis_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.redis_server import RedisServer
    from tests.system.conftest import Running

__all__ = ["own_redis", "redis_server"]

HERE = Path(__file__).resolve().parent
PATIENCE_S = 60.0
SIZES = [
    pytest.param(30, 10, id="few"),
    pytest.param(1000, 50, id="many", marks=pytest.mark.soak),
]


@dataclass
class Visitor:
    """A browser: a connection to each server, one jar."""

    ports: list[int]
    cookie: str = ""
    statuses: Counter[int] = field(default_factory=Counter)
    connections: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=dict)
    visits: int = 0

    async def get(self, target: str) -> tuple[int, str]:
        """Status and content, from the servers in turn."""
        port = self.ports[self.visits % len(self.ports)]
        self.visits += 1
        async with asyncio.timeout(PATIENCE_S):
            if port not in self.connections:
                self.connections[port] = await asyncio.open_connection("127.0.0.1", port)
            reader, writer = self.connections[port]
            cookie = f"Cookie: {self.cookie}\r\n" if self.cookie else ""
            writer.write(f"GET {target} HTTP/1.1\r\nHost: a\r\n{cookie}\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"(?i)content-length: (\d+)", head)
            assert length is not None
            content = await reader.readexactly(int(length[1]))
        status = int(head.split()[1])
        self.statuses[status] += 1
        sent = re.search(r"(?i)set-cookie: (session=[^;]+);", head)
        if sent is not None:
            self.cookie = sent[1]
        return status, content.decode()

    async def leave(self) -> None:
        for _, writer in self.connections.values():
            writer.close()
            await writer.wait_closed()


async def count_visits(ports: list[int], name: str, visits: int) -> str:
    """Visit again and again; the cookie at the end."""
    visitor = Visitor(ports)
    try:
        for number in range(visits):
            assert await visitor.get(f"/count?name={name}") == (200, f"{number + 1} {name}")
        return visitor.cookie
    finally:
        await visitor.leave()


async def add_up(ports: list[int], cookie: str, visits: int) -> list[int]:
    visitor = Visitor(ports, cookie)
    try:
        answers = [await visitor.get("/sum") for _ in range(visits)]
        assert visitor.statuses == {200: visits}
        return [int(text) for _, text in answers]
    finally:
        await visitor.leave()


@pytest.fixture(params=["sqlite", "redis"])
def spec(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:{tmp_path}/sessions.db"
    server: RedisServer = request.getfixturevalue("own_redis")
    return server.url


@pytest.fixture
def many_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, before[1]), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def two_servers(start: Callable[..., Running], spec: str) -> list[int]:
    servers = [
        start("visited:root", "--port=0", "--no-access-log", f"--sessions={spec}", cwd=HERE) for _ in range(2)
    ]
    return [int(each.url.rpartition(":")[2].rstrip("/")) for each in servers]


@pytest.mark.parametrize(("clients", "visits"), SIZES)
def test_two_processes_keep_the_sessions_of_many_clients(
    start: Callable[..., Running], spec: str, clients: int, visits: int, many_files: None
) -> None:
    """SE-01, SE-07: each client counts its own visits, whichever process answers; 20 of them on one session
    lose no increment."""
    ports = two_servers(start, spec)

    async def drill() -> None:
        names = [f"client{number}" for number in range(clients)]
        cookies = await asyncio.gather(*[count_visits(ports, name, visits) for name in names])
        assert len(set(cookies)) == clients
        shared = cookies[0]
        sums = await asyncio.gather(*[add_up(ports, shared, visits) for _ in range(20)])
        assert sorted(each for mine in sums for each in mine) == list(range(1, 20 * visits + 1))
        visitor = Visitor(ports, shared)
        status, text = await visitor.get("/read")
        assert (status, json.loads(text)) == (200, {"n": visits, "name": "client0", "sum": 20 * visits})
        await visitor.leave()

    asyncio.run(drill())


def test_a_redis_that_dies_is_a_503_until_it_is_back(
    start: Callable[..., Running], own_redis: RedisServer
) -> None:
    """Clear errors for those who need it, no hang, others do not notice; all is well as soon as it is back."""
    ports = two_servers(start, own_redis.url)

    async def visit(visitor: Visitor, over: asyncio.Event) -> None:
        while not over.is_set():
            await visitor.get("/sum")

    async def drill() -> None:
        visitors = [Visitor(ports) for _ in range(20)]
        over = asyncio.Event()
        visiting = [asyncio.ensure_future(visit(each, over)) for each in visitors]

        async def until(status: int) -> None:
            """All have seen one more answer with this status."""
            seen = [each.statuses[status] for each in visitors]
            async with asyncio.timeout(PATIENCE_S):
                while any(
                    each.statuses[status] <= before for each, before in zip(visitors, seen, strict=True)
                ):
                    assert not any(each.done() for each in visiting)
                    await asyncio.sleep(0.01)

        await until(200)
        own_redis.kill()
        await until(503)
        stranger = Visitor(ports)
        assert await stranger.get("/plain") == (200, "plain")
        assert (await stranger.get("/read"))[0] == 200, "nobody without a cookie needs the store"
        await stranger.leave()
        own_redis.start()
        await until(200)
        over.set()
        await asyncio.gather(*visiting)
        assert set().union(*(each.statuses for each in visitors)) == {200, 503}
        for each in visitors:
            await each.leave()

    asyncio.run(drill())


def test_a_store_that_cannot_be_understood_keeps_the_command_from_starting(
    finish: Callable[..., object],
) -> None:
    done = finish("visited:root", "--sessions=disk", cwd=HERE)
    assert done.returncode == 2  # type: ignore[attr-defined]
    assert "expected memory, sqlite:PATH or redis://" in done.stderr  # type: ignore[attr-defined]
