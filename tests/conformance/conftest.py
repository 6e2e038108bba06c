"""Servers on loopback, one for each event loop, with every kind of leaf at every depth."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest

from container.resources.proxy import ReverseProxy
from container.service.server import serving
from container.tree.accesslog import CombinedFormatter, Entry
from container.tree.resource import Resource
from container.tree.site import Site
from tests.conformance.client import PATIENCE_S, Client
from tests.conformance.leaves import KINDS, Kind, Marks, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container.message.exchange import Exchange

LOOPS: Final = ["asyncio", *(["uvloop"] if importlib.util.find_spec("uvloop") else [])]
DEPTHS: Final = ["", "/m/n"]
PLACES: Final = [(name, depth) for name in KINDS for depth in DEPTHS]


def _loop(name: str) -> asyncio.AbstractEventLoop:
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


@contextlib.contextmanager
def running(loop: str, sites: dict[Any, Site], at: str = "127.0.0.1:0") -> Iterator[dict[Any, int]]:
    """Serve `sites` from a thread of its own; their ports, by the same keys, 0 for one at a UNIX socket."""
    ports: dict[Any, int] = {}
    ready = threading.Event()
    stopping: asyncio.Event | None = None

    async def serve() -> None:
        nonlocal stopping
        stopping = asyncio.Event()
        async with contextlib.AsyncExitStack() as stack:
            for key, site in sites.items():
                server = await stack.enter_async_context(serving(site, at, graceful_timeout=1.0))
                ports[key] = 0 if at.startswith("unix:") else server.port
            ready.set()
            await stopping.wait()

    with asyncio.Runner(loop_factory=lambda: _loop(loop)) as runner:
        thread = threading.Thread(target=lambda: runner.run(serve()), name=f"server-{loop}", daemon=True)
        thread.start()
        assert ready.wait(PATIENCE_S), "expected the server to start"
        assert stopping is not None
        yield ports
        runner.get_loop().call_soon_threadsafe(stopping.set)
        thread.join(2 * PATIENCE_S)
        assert not thread.is_alive(), "expected the server to stop"


def site_for(leaf: Resource, depth: str, **options: Any) -> Site:
    """A site with `leaf` at `depth`, which is "" for the root."""
    if not depth:
        return Site(leaf, **options)
    root = Resource()
    root.mount(depth, leaf)
    return Site(root, **options)


@dataclass
class Served:
    """A leaf of some kind at some depth, on a server that runs; `log` are the lines of its access log."""

    kind: Kind
    depth: str
    stage: Stage = field(default_factory=Stage)
    log: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def marks(self) -> Marks:
        return self.stage.marks

    def path(self, target: str) -> str:
        return f"{self.depth}/{target}"

    def request(
        self, target: str, *fields: str, method: str = "GET", version: str = "1.1", host: str | None = "h"
    ) -> bytes:
        """The head of a request for a case, with its empty line."""
        names = [f"Host: {host}"] if host is not None else []
        lines = [f"{method} {self.path(target)} HTTP/{version}", *names, *fields, "", ""]
        return "\r\n".join(lines).encode("latin-1")

    def post(self, target: str, content: bytes, *fields: str) -> bytes:
        """A whole request with content."""
        return self.request(target, f"Content-Length: {len(content)}", *fields, method="POST") + content

    def client(self, *, window_bytes: int = 0) -> Client:
        return Client(self.port, window_bytes=window_bytes)


@pytest.fixture(scope="session", params=LOOPS)
def server(request: pytest.FixtureRequest) -> Iterator[dict[Any, Served]]:
    """All leaves by kind and depth."""
    formatter = CombinedFormatter()
    leaves: dict[Any, Served] = {}
    sites: dict[Any, Site] = {}
    with contextlib.ExitStack() as until_closed:
        for name, depth in PLACES:
            kind = KINDS[name]
            served = leaves[name, depth] = Served(kind, depth)
            leaf = kind.make(served.stage)
            if kind.is_behind:
                ports = until_closed.enter_context(running(request.param, {"": Site(leaf)}))
                leaf = ReverseProxy(f"http://127.0.0.1:{ports['']}")

            def log(exchange: Exchange, served: Served = served) -> None:
                served.log.append(
                    formatter(Entry(exchange.request, exchange.status, exchange.bytes_sent, 1_000_000.0))
                )

            sites[name, depth] = site_for(leaf, depth, access_log=log)
        ports = until_closed.enter_context(running(request.param, sites))
        for key, served in leaves.items():
            served.port = ports[key]
        yield leaves


@pytest.fixture(params=PLACES, ids=lambda key: f"{key[0]}:{key[1]}/")
def served(request: pytest.FixtureRequest, server: dict[Any, Served]) -> Iterator[Served]:
    """Each leaf in turn, with fresh marks."""
    each = server[request.param]
    each.stage.marks = Marks()
    each.log.clear()
    yield each
    each.marks.go.set()  # whoever still waits shall go on


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    """A connection to the leaf."""
    with served.client() as client:
        yield client
