"""HandlerResource: a class that was written for `http.server`, mounted in the tree."""

import logging
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from container.message.errors import HTTPError
from container.message.exchange import Exchange
from container.message.request import Request
from container.message.response import Response
from container.resources.deadlines import Deadlines
from container.resources.handler.call import HandlerCall
from container.resources.pool import ThreadPool
from container.tree.resource import Resource
from container.tree.site import Site, slash_redirect

log = logging.getLogger("container.handler")

Handler: TypeAlias = Callable[[socket.socket, tuple[str, int], Any], object]

_RETRY: Final = {"Retry-After": "1"}


class HandlerServer:
    """What handlers find as `self.server`. One a resource: they may keep attributes of their own in it."""

    server_address: tuple[str, int] = ("", 0)
    server_name = ""
    server_port = 0

    def handle_error(self, request: object, client_address: object) -> None:
        """Show the exception being handled, as `socketserver` does."""
        sys.stderr.write(f"{client_address}:\n{traceback.format_exc()}")


class HandlerResource(Resource):
    """A subclass of `http.server.BaseHTTPRequestHandler`, or whatever makes one from (socket, address, server),
    such as `functools.partial(SimpleHTTPRequestHandler, directory="public")`. A leaf.

    Each request gets a handler, a thread and a socket of its own, and its `path` begins below the place where
    the resource is mounted; a Location that begins with a slash is made to. Its content is complete before
    the handler is made. Connections, framing and limits are the server's: a handler never sees a second
    request. When the client has left, writing raises BrokenPipeError.

    `server`: what handlers find under that name, in place of a HandlerServer. `threads`, `pool`, `queue_limit` and
    `request_timeout` are those of a WSGIResource; a handler that took too long finds a broken pipe besides.
    """

    is_leaf = True

    def __init__(
        self,
        handler: Handler,
        *,
        server: object | None = None,
        threads: int = 8,
        pool: ThreadPool | None = None,
        queue_limit: int = 1000,
        request_timeout: float | None = None,
    ) -> None:
        if not callable(handler):
            raise TypeError(f"expected a class of handlers, got {handler!r}")
        self.handler = handler
        self.server = server if server is not None else HandlerServer()
        self.pool = pool or ThreadPool(threads, queue_limit=queue_limit, name="handler")
        self.deadlines = Deadlines(self.pool, request_timeout, log)

    def render(self, request: Request) -> "Response | Exchange":
        exchange = request.exchange
        at_mount = request.consumed >= len(request.raw_path) and not request.raw_path.endswith(b"/")
        if at_mount and request.method in ("GET", "HEAD"):  # its relative links must lead below it
            return slash_redirect(request)
        if request.body.complete:
            self._submit(exchange)
        else:
            exchange.when_complete(lambda: self._submit_late(exchange))
        return exchange

    def _submit(self, exchange: Exchange) -> None:
        self._introduce(exchange.request)
        call = HandlerCall(self, exchange)
        if not self.pool.submit(call):
            raise HTTPError(503, headers=_RETRY)
        self.deadlines.watch(call)

    def _submit_late(self, exchange: Exchange) -> None:
        """The content has come: there is no caller any more that could answer for an error."""
        try:
            self._submit(exchange)
        except Exception as error:  # noqa: BLE001  # no room
            self.fail(exchange, error)

    def _introduce(self, request: Request) -> None:
        """Tell handlers where they are served, once that is known."""
        server, address = self.server, request.connection.server
        if isinstance(server, HandlerServer) and not server.server_name:
            server.server_name, server.server_port = request.hostname, request.port
            server.server_address = address if address is not None else (request.hostname, request.port)

    def fail(self, exchange: Exchange, error: Exception) -> None:
        """Let the site of the request log and answer."""
        site = exchange.request.site
        assert isinstance(site, Site), "a dispatched request has a site"
        site.fail(exchange, error)

    # The life of the process.

    async def start(self) -> None:
        self.pool.start()

    async def stop(self) -> None:
        self.deadlines.stop()
        await self.pool.stop()
