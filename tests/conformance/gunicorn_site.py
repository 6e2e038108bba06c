"""The trees that gunicorn's workers serve to these suites; one site each, so each thing has a path of its own.

`CONFORMANCE_BOARD` is the port of the test's `Board`, `CONFORMANCE_BEHIND` those of servers for proxies to ask, by
name; `CONFORMANCE_SUITE` the module of a suite that brings its own tree, `CONFORMANCE_FOLDER` where files are.
"""

from __future__ import annotations

import json
import logging
import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from container.resources.data import Data
from container.resources.static import Files
from container.resources.wsgi import WSGIResource
from container.tree.resource import Resource
from container.tree.site import Site
from tests.conformance import test_websocket, test_wsgi_validator
from tests.conformance.board import Remote, RemoteStage
from tests.conformance.conftest import DEPTHS, IMPATIENT, PLACES, key_of, path_of, proxy_to
from tests.conformance.leaves import KINDS
from tests.leaf import log_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from container.message.exchange import Exchange
    from container.message.request import Request
    from container.message.response import Response
    from container.resources.proxy.reverse import ReverseProxy
    from tests.conformance.leaves import Stage


class Warnings(logging.Handler):
    """What a worker warns of is told to the test."""

    def __init__(self, remote: Remote) -> None:
        super().__init__(logging.WARNING)
        self._remote = remote

    def emit(self, record: logging.LogRecord) -> None:
        self._remote.ask("warn", f"{record.levelname}: {record.getMessage()}")


def board() -> Remote:
    """That of the test."""
    return Remote(int(os.environ["CONFORMANCE_BOARD"]))


def make() -> Site:
    """For all suites but the one of deadlines."""
    remote = board()
    behind: dict[str, int] = json.loads(os.environ["CONFORMANCE_BEHIND"])
    root = Resource()
    for name, depth in PLACES:
        kind, key = KINDS[name], key_of(name, depth)
        if not kind.is_behind:
            root.mount(path_of(name, depth), kind.make(RemoteStage(remote, key)))
        elif key in behind:
            root.mount(path_of(name, depth), proxy_to(behind[key]))
    for name in [*test_websocket.KINDS, *(["proxied"] if "ws" in behind else [])]:
        for depth in DEPTHS:
            root.mount(path_of(name, depth, "/ws"), test_websocket.leaf_of(name, behind.get("ws", 0)))
    for name, threads in test_wsgi_validator.THREADS.items():
        for depth in DEPTHS:
            application = test_wsgi_validator.validated()
            root.mount(path_of(name, depth, "/validator"), WSGIResource(application, threads=threads))
    root.mount("plain", Data("hello", "text/plain"))

    def log(exchange: Exchange) -> None:
        if not exchange.request.raw_path.startswith((b"/ws/", b"/validator/")):
            remote.ask("log", log_line(exchange))

    logging.getLogger("container").addHandler(Warnings(remote))
    remote.ask("ready")
    return Site(root, access_log=log)


def suite() -> Resource:
    """What a suite serves in memory too."""
    remote = board()
    make: Callable[[Stage], Resource] = import_module(os.environ["CONFORMANCE_SUITE"]).make_tree
    tree = make(RemoteStage(remote, "", Path(os.environ["CONFORMANCE_FOLDER"])))
    remote.ask("ready")
    return tree


def files() -> Site:
    """The files of CONFORMANCE_FOLDER, as `container --path` serves them."""
    site = Site(Files(Path(os.environ["CONFORMANCE_FOLDER"]), listing=False))
    board().ask("ready")
    return site


class Front(Resource):
    """A proxy before the server at the port that the file says."""

    is_leaf = True

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file
        self._proxies: dict[int, ReverseProxy] = {}

    async def render(self, request: Request) -> Exchange | Response:
        port = int(self._file.read_text())
        if port not in self._proxies:
            self._proxies[port] = proxy_to(port)
            await self._proxies[port].start()
        return self._proxies[port].render(request)

    async def stop(self) -> None:
        for proxy in self._proxies.values():
            await proxy.stop()


def proxy() -> Site:
    """Passes on to whoever is told in a file of CONFORMANCE_FOLDER."""
    site = Site(Front(Path(os.environ["CONFORMANCE_FOLDER"]) / "back"))
    board().ask("ready")
    return site


def impatient() -> Site:
    """Waits for little."""
    remote = board()
    remote.ask("ready")
    return Site(KINDS["native"].make(RemoteStage(remote, "native:")), timeouts=IMPATIENT)
