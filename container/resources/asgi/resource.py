"""ASGIResource: an ASGI application mounted in the tree.

Decides when the application runs, starts and stops it, and ends what runs too long. One task a request, all
on the loop: an application that blocks it stalls everybody.
"""

import asyncio
import logging
from collections.abc import Awaitable
from contextvars import copy_context
from typing import Any, Final

from container.message.errors import ClientDisconnected, HTTPError
from container.message.exchange import Exchange
from container.message.notes import context_of
from container.message.request import Request
from container.message.websocket import DEFAULT_OPTIONS, WebSocketOptions, wants_websocket
from container.resources.asgi.http import HTTPCall
from container.resources.asgi.lifespan import MODES, Lifespan, LifespanError, LifespanMode
from container.resources.asgi.scope import ASGIApplication, http_scope
from container.resources.asgi.websocket import WebSocketTasks, websocket_scope
from container.sessions.apps import session_scope
from container.tree.resource import Resource
from container.tree.site import Site

log = logging.getLogger("container.asgi")

# What tasks get to end after they were cancelled, in seconds.
_CANCEL_S: Final = 2.0


class ASGIResource(Resource):
    """An ASGI 3 application. A leaf; resources may be mounted in front of it.

    `lifespan`: "auto" serves an application that does not know the lifespan protocol without it, "on" takes
    that for an error, "off" does not ask. `required`: when its start-up fails the server does not start;
    otherwise it is answered for with 503. `root_path`: what a proxy in front has cut off the path.
    `request_timeout`: seconds from dispatch to the head of the answer, None for no limit; then the client
    gets a 504 and the task is cancelled. `websocket`: the bounds of its WebSockets.
    The `state` of every application is its own.
    """

    is_leaf = True

    def __init__(
        self,
        app: ASGIApplication,
        *,
        lifespan: LifespanMode = "auto",
        required: bool = True,
        root_path: str = "",
        request_timeout: float | None = None,
        websocket: WebSocketOptions | None = None,
    ) -> None:
        if not callable(app):
            raise TypeError(f"expected an ASGI callable, got {app!r}")
        if lifespan not in MODES:
            raise ValueError(f"expected lifespan as one of {', '.join(MODES)}, got {lifespan!r}")
        if root_path and (not root_path.startswith("/") or root_path.endswith("/")):
            raise ValueError(f'expected a root_path such as "/prefix", got {root_path!r}')
        self.app = app
        self.required = required
        self.root_path = root_path
        self.request_timeout = request_timeout
        self.lifespan = lifespan
        self.draining = False
        self._lifespan = Lifespan(app, _name_of(app), lifespan)
        self._available = True
        self._context = copy_context()
        # The loop keeps only weak references to tasks.
        self._calls: set[HTTPCall] = set()
        self.websocket = websocket or DEFAULT_OPTIONS
        self._sockets = WebSocketTasks()

    @property
    def state(self) -> dict[str, Any] | None:
        """What the application's lifespan has put into its state; None without lifespan."""
        return self._lifespan.state

    def render(self, request: Request) -> Exchange | Awaitable[Exchange]:
        if not self._available:
            raise HTTPError(503, "This application did not start.")
        exchange = request.exchange
        scope = http_scope(request, self.root_path, self._lifespan.state, self)
        if request.attached_session is not None:
            scope["session"] = session_scope(request)
        # A head that asks for an upgrade is never remembered, so those that are need no look.
        if request.memo is None and wants_websocket(request):
            return self._sockets.serve(self.app, websocket_scope(scope), exchange, self.websocket)
        call = HTTPCall(self, exchange, scope)
        loop = asyncio.get_running_loop()
        self._calls.add(call)
        # Not in the context we are called in: that may be of the request before, which has just been answered.
        call.task = loop.create_task(call.run(), context=context_of(request, self._context))
        if self.request_timeout is not None:
            call.deadline = loop.call_later(self.request_timeout, call.time_out)
        return exchange

    def ended(self, call: HTTPCall) -> None:
        """The task of `call` is at its end."""
        self._calls.discard(call)
        if call.deadline is not None:
            call.deadline.cancel()

    def fail(self, exchange: Exchange, error: BaseException) -> None:
        """The application failed: let its site log it and answer."""
        site = exchange.request.site
        assert isinstance(site, Site), "a dispatched request has a site"
        site.fail(exchange, error)

    def log_late(self, exchange: Exchange, error: BaseException) -> None:
        """The application raised after its answer was complete."""
        log.error("%s failed after its answer", exchange.request, exc_info=error)

    def log_left(self, exchange: Exchange, error: BaseException) -> None:
        """The application raised after it was told that nobody waits for more of its answer."""
        if not isinstance(error, ClientDisconnected):
            what = "its client had left" if exchange.disconnected else "nobody waited for more of its answer"
            log.info("%s ended when %s: %r", exchange.request, what, error)

    def log_timeout(self, exchange: Exchange) -> None:
        log.error("%s took longer than %g s to answer", exchange.request, self.request_timeout)

    # The life of the process.

    async def start(self) -> None:
        self.draining = False
        try:
            await self._lifespan.startup()
        except LifespanError as error:
            if self.required:
                raise
            log.error("%s; it is answered for with 503", error)
            self._available = False
        else:
            self._available = True

    def drain(self) -> None:
        self.draining = True
        for call in list(self._calls):
            call.drain()

    async def stop(self) -> None:
        await self._cancel_calls()
        if left := await self._sockets.finish(_CANCEL_S):
            log.warning("%d WebSockets of %s did not end, left behind", left, _name_of(self.app))
        await self._lifespan.shutdown()

    async def _cancel_calls(self) -> None:
        """End what is still running: its connections are gone."""
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        if calls:
            _, running = await asyncio.wait({call.task for call in calls}, timeout=_CANCEL_S)
            if running:
                log.warning("%d tasks of %s did not end, left behind", len(running), _name_of(self.app))
        for call in calls:  # one that was cancelled before its first step has not answered
            if call in self._calls and not call.exchange.gone:
                call.exchange.abort()
        self._calls.clear()


def _name_of(app: object) -> str:
    """How messages call an application."""
    named = app if hasattr(app, "__qualname__") else type(app)
    return f"{getattr(named, '__module__', '?')}.{getattr(named, '__qualname__', '?')}"
