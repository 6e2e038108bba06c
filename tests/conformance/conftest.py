"""Servers on loopback, with every kind of leaf at every depth: in this process, one for each event loop, and
gunicorn with our worker class, with one worker and with three (`make soak`).

All of this folder runs under gunicorn, but for tests of its own tables, and one:
* a head that never ends (test_asgi_table.py) wants a clock that can be turned; test_channel.py waits for short ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest

import container.testing
from container.message.limits import Limits, Timeouts
from container.resources.proxy import ReverseProxy
from container.service.server import serving
from container.tree.resource import Resource
from container.tree.site import Site
from tests.conformance.board import Board, Lines
from tests.conformance.client import PATIENCE_S, Client
from tests.conformance.hosts import START_S, WORKERS, Host, gunicorn_command, start_command
from tests.conformance.leaves import KINDS, Kind, Marks, Stage
from tests.conformance.relay import client_of
from tests.leaf import log_line
from tests.scripts import children_of, script_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container.message.exchange import Exchange

LOOPS: Final = ["asyncio", *(["uvloop"] if importlib.util.find_spec("uvloop") else [])]
DEPTHS: Final = ["", "/m/n"]
PLACES: Final = [(name, depth) for name in KINDS for depth in DEPTHS]
# What else may serve.
DRILLS: Final = [pytest.param(name, marks=pytest.mark.soak) for name in WORKERS]
SERVERS: Final = [*LOOPS, *DRILLS]
# Where each kind is in the one tree of gunicorn's, in place of the root and in place of a deep path.
PATHS: Final = {"": "/at/{kind}", "/m/n": "/m/n/{kind}"}
# A deadline is kept by the clock of the sweep, which is up to a second late: it passes one second after it was set,
# or two.
IMPATIENT: Final = Timeouts(head=1.5, body=1.5, keep_alive=1.5, write=1.5, linger=1.0)


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


def path_of(kind: str, depth: str, area: str = "") -> str:
    """Where gunicorn serves it: `area` is of the suite that asks."""
    return area + PATHS[depth].format(kind=kind)


def key_of(kind: str, depth: str) -> str:
    return f"{kind}:{depth}"


def proxy_to(port: int) -> ReverseProxy:
    return ReverseProxy(f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def gunicorn(
    name: str,
    board: Board,
    behind: dict[str, int] | None = None,
    application: str = "make()",
    **variables: str,
) -> Iterator[Host]:
    """Serve what `gunicorn_site` makes, of servers `behind` it with these ports."""
    command = gunicorn_command(name, f"tests.conformance.gunicorn_site:{application}")
    host = start_command(name, board, *command, CONFORMANCE_BEHIND=json.dumps(behind or {}), **variables)
    try:
        assert board.await_workers(WORKERS[name], START_S), host.lines
        yield host
    finally:
        code = host.end()
    assert code == 0, host.lines


@dataclass(frozen=True)
class Place:
    """Where something is served."""

    port: int
    path: str


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
    log: Lines = field(default_factory=Lines)
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


@pytest.fixture(scope="session", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[dict[Any, Served]]:
    """All leaves by kind and depth."""
    serve = _in_workers if request.param in WORKERS else _in_this_process
    with serve(request.param) as leaves:
        yield leaves


@contextlib.contextmanager
def _in_this_process(loop: str) -> Iterator[dict[Any, Served]]:
    leaves = {(name, depth): Served(KINDS[name], depth) for name, depth in PLACES}
    sites: dict[Any, Site] = {}
    with _behind(loop, leaves) as behind:
        for key, served in leaves.items():

            def log(exchange: Exchange, served: Served = served) -> None:
                served.log.append(log_line(exchange))

            is_behind = served.kind.is_behind
            leaf = proxy_to(behind[key]) if is_behind else served.kind.make(served.stage)
            sites[key] = site_for(leaf, served.depth, access_log=log)
        with running(loop, sites) as ports:
            for key, served in leaves.items():
                served.port = ports[key]
            yield leaves


@contextlib.contextmanager
def _in_workers(name: str) -> Iterator[dict[Any, Served]]:
    leaves = {(kind, depth): Served(KINDS[kind], path_of(kind, depth)) for kind, depth in PLACES}
    board = Board({key_of(*key): served.stage for key, served in leaves.items()})
    with _behind(LOOPS[0], leaves) as behind:
        with gunicorn(name, board, {key_of(*key): port for key, port in behind.items()}) as host:
            for served in leaves.values():
                served.port = host.port
                served.log = board.log  # that of all
            yield leaves


@contextlib.contextmanager
def _behind(loop: str, leaves: dict[Any, Served]) -> Iterator[dict[Any, int]]:
    """Servers of this process, for kinds that a proxy asks: their ports."""
    room = Limits(fields=600)  # for what the proxy adds
    sites = {
        key: Site(each.kind.make(each.stage), limits=room)
        for key, each in leaves.items()
        if each.kind.is_behind
    }
    with running(loop, sites) as ports:
        yield ports


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


@dataclass(frozen=True)
class Tree:
    """The tree of a suite, which the suite's `make_tree` makes of `stage`; in memory where there is no `host`.

    Its tests are the same wherever it runs: they ask by `client`, and what they want to know of the inside is
    written on the marks of the stage.
    """

    client: container.testing.Client
    stage: Stage
    host: Host | None = None

    @property
    def processes(self) -> list[int]:
        """Those that serve it."""
        return [os.getpid()] if self.host is None else children_of(self.host.process.pid)


@pytest.fixture(scope="module", params=["memory", *DRILLS])
def tree(request: pytest.FixtureRequest) -> Iterator[Tree]:
    """The tree of the module that asks, in memory and in gunicorn's workers."""
    module, name = request.module, request.param
    with script_directory() as folder:
        stage = Stage(folder.path)
        if name not in WORKERS:
            with container.testing.Client(module.make_tree(stage)) as client:
                yield Tree(client, stage)
            return
        variables = {"CONFORMANCE_SUITE": module.__name__, "CONFORMANCE_FOLDER": str(folder.path)}
        server = gunicorn(name, Board({"": stage}), application="suite()", **variables)
        with server as host, client_of(host.port) as client:
            yield Tree(client, stage, host)


@pytest.fixture
def marks(tree: Tree) -> Iterator[Marks]:
    """Fresh ones."""
    tree.stage.marks = Marks()
    yield tree.stage.marks
    tree.stage.marks.go.set()  # whoever still waits shall go on
