"""One server for all cases on each event loop, with every kind of leaf at every depth, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from container.message.limits import Limits, Timeouts
from container.service.server import serving
from container.tree.resource import Resource
from container.tree.site import Site
from tests.conformance.client import Answer, Peer
from tests.conformance.probe import DEPTHS, KINDS, Stage
from tests.leaf import request as head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from container.message.exchange import Exchange

LOOPS = ["asyncio", *(["uvloop"] if importlib.util.find_spec("uvloop") else [])]


def _loop(name: str) -> asyncio.AbstractEventLoop:
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


@contextlib.contextmanager
def running(loop: str, sites: dict[Any, Site]) -> Iterator[dict[Any, int]]:
    """Serve `sites` from a thread of its own; their ports, by the same keys."""
    ports: dict[Any, int] = {}
    ready = threading.Event()
    stop: Callable[[], object] = bool

    async def serve() -> None:
        nonlocal stop
        stopping = asyncio.Event()
        stop = stopping.set
        async with contextlib.AsyncExitStack() as stack:
            for key, site in sites.items():
                server = await stack.enter_async_context(serving(site, "127.0.0.1:0", graceful_timeout=1.0))
                ports[key] = server.port
            ready.set()
            await stopping.wait()

    runner = asyncio.Runner(loop_factory=lambda: _loop(loop))
    with runner:
        thread = threading.Thread(target=lambda: runner.run(serve()), name=f"server-{loop}", daemon=True)
        thread.start()
        assert ready.wait(20), "expected the server to start"
        yield ports
        runner.get_loop().call_soon_threadsafe(lambda: stop())
        thread.join(20)
        assert not thread.is_alive(), "expected the server to stop"


def site_for(leaf: Resource, depth: str, **options: Any) -> Site:
    """A site with `leaf` at `depth`, which is "" for the root."""
    if not depth:
        return Site(leaf, **options)
    root = Resource()
    root.mount(depth, leaf)
    return Site(root, **options)


@dataclass
class Leaf:
    """A leaf of some kind at some depth, on a server that runs."""

    port: int
    depth: str
    stage: Stage
    logged: list[tuple[str, str, int]]
    loop: str

    def connect(self, **options: int) -> Peer:
        return Peer(self.port, **options)

    def head(self, path: str = "/hello", *fields: str, **options: Any) -> bytes:
        """The head of a request to a path below the leaf."""
        return head(self.depth + path, *fields, **options)

    def ask(self, path: str = "/hello", *fields: str, method: str = "GET", **options: Any) -> Answer:
        """One request on a connection of its own."""
        with self.connect() as peer:
            peer.send(self.head(path, *fields, method=method, **options))
            return peer.answer(method)

    def raw(self, data: bytes) -> Answer:
        """The first answer to bytes of your own."""
        with self.connect() as peer:
            peer.send(data)
            return peer.answer()

    def echo(self, answer: Answer) -> dict[str, Any]:
        """What an echoing leaf was told."""
        assert answer.status == 200
        told: dict[str, Any] = json.loads(answer.body)
        return told


@pytest.fixture(scope="session", params=LOOPS)
def server(request: pytest.FixtureRequest) -> Iterator[dict[Any, Leaf]]:
    """All leaves by kind and depth."""
    leaves: dict[Any, Leaf] = {}
    sites: dict[Any, Site] = {}
    for kind, make in KINDS.items():
        for depth in DEPTHS:
            stage = Stage()
            leaf = leaves[kind, depth] = Leaf(0, depth, stage, [], request.param)

            def log(exchange: Exchange, leaf: Leaf = leaf) -> None:
                each = exchange.request
                leaf.logged.append((each.method, each.raw_target.decode("latin-1"), exchange.status))

            limits = Limits(body=2_000_000)
            sites[kind, depth] = site_for(make(stage), depth, access_log=log, limits=limits, timeouts=Timeouts())
    with running(request.param, sites) as ports:
        for key, leaf in leaves.items():
            leaf.port = ports[key]
        yield leaves


@pytest.fixture(params=[(kind, depth) for kind in KINDS for depth in DEPTHS], ids=lambda key: f"{key[0]} at {key[1]}/")
def leaf(request: pytest.FixtureRequest, server: dict[Any, Leaf]) -> Iterator[Leaf]:
    """Each leaf in turn, with a fresh stage."""
    each = server[request.param]
    each.stage.reset()
    each.logged.clear()
    yield each
    each.stage.reset()
