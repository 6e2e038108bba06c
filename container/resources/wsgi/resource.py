"""WSGIResource: a WSGI application mounted in the tree.

Decides when an application may run: after its content is complete, so that a slow client holds no thread;
not when too many wait already; no longer than its deadline. Everything here runs on the loop.
"""

import io
import logging
import os
from time import perf_counter
from typing import Any, BinaryIO, Final, cast

from container.message.errors import HTTPError
from container.message.exchange import Exchange
from container.message.request import Request
from container.resources.deadlines import Deadlines
from container.resources.pool import ThreadPool
from container.resources.wsgi.call import WSGIApplication, WSGICall
from container.resources.wsgi.inline import InlineCall
from container.resources.wsgi.streams import ErrorStream, FileWrapper, LazyInput
from container.tree.resource import Resource
from container.tree.site import Site

log = logging.getLogger("container.wsgi")

_RETRY_AFTER: Final = "1"


class WSGIResource(Resource):
    """A WSGI application. A leaf; resources may be mounted in front of it.

    `threads`: how many requests run at a time, on a pool of its own; 0 runs them on the loop, for
    applications known never to block. `pool`: one to share instead. `queue_limit`: how many requests may
    wait for a thread; more are answered 503. `request_timeout`: seconds from dispatch to the head of the
    answer and to its end, None for no limit; then the client gets a 504 at once, the stack of the stuck
    thread goes to the log and another thread takes its place.
    """

    is_leaf = True

    def __init__(
        self,
        app: WSGIApplication,
        *,
        threads: int = 8,
        pool: ThreadPool | None = None,
        queue_limit: int = 1000,
        request_timeout: float | None = None,
    ) -> None:
        if not callable(app):
            raise TypeError(f"expected a WSGI callable, got {app!r}")
        if threads < 0:
            raise ValueError(f"expected a number of threads from 0 up, got {threads}")
        self.app = app
        self.inline = threads == 0 and pool is None
        self.pool = pool or ThreadPool(max(1, threads), queue_limit=queue_limit)
        self.deadlines = Deadlines(self.pool, request_timeout, log)
        self.base: dict[str, Any] = {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": ErrorStream(),
            "wsgi.multithread": self.pool.threads > 1,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": FileWrapper,
            "wsgi.input_terminated": True,
            "SERVER_SOFTWARE": "container",
        }
        # Requests whose content is read by the application itself may hold this share of the threads.
        self._lazy_limit = max(1, self.pool.threads // 4)
        self._lazy = 0

    @property
    def threads(self) -> int:
        """How many requests run at a time; 0 on the loop."""
        return 0 if self.inline else self.pool.threads

    @property
    def request_timeout(self) -> float | None:
        """How long the application may take, in seconds."""
        return self.deadlines.timeout

    def many_processes(self) -> None:
        """Other processes serve the same application: it is told so."""
        self.base["wsgi.multiprocess"] = True

    def render(self, request: Request) -> Exchange:
        exchange = request.exchange
        if request.attached_session is not None:
            request.attached_session.open(exchange)
        if not (request.body.complete or self._may_be_lazy(exchange)):
            exchange.when_complete(lambda: self._render_late(request))
        elif self.inline:
            InlineCall(self, exchange).run()
        else:
            call = WSGICall(self, exchange)
            if request.notes is not None:
                request.notes.queued = perf_counter()
            if not self.pool.submit(call):
                raise HTTPError(503, headers={"Retry-After": _RETRY_AFTER})
            if self.deadlines.timeout is not None:
                self.deadlines.watch(call)
        return exchange

    def _render_late(self, request: Request) -> None:
        """The content has come: there is no caller any more that could answer for an error."""
        try:
            self.render(request)
        except HTTPError as error:
            self.fail(request.exchange, error)

    def _may_be_lazy(self, exchange: Exchange) -> bool:
        """May the application run before its content has come? If so, one more does until the exchange is over."""
        if self.inline or not exchange.expects_continue or self._lazy >= self._lazy_limit:
            return False
        self._lazy += 1
        exchange.on_close(self._lazy_ended)
        return True

    def _lazy_ended(self, error: Exception | None) -> None:
        self._lazy -= 1

    def input_for(self, call: WSGICall) -> BinaryIO:
        """`wsgi.input` of a call. Called in its thread."""
        body = call.exchange.request.body
        if body.complete:
            file = body.file()
            if self.inline or isinstance(file, io.BytesIO):
                return file
            # The exchange closes its file when the client leaves; the application may go on reading.
            return os.fdopen(os.dup(file.fileno()), "rb")
        assert self.pool.loop is not None, "the pool was not started"
        return cast(
            BinaryIO, io.BufferedReader(LazyInput(call.exchange, self.pool.loop.call_soon_threadsafe))
        )

    def fail(self, exchange: Exchange, error: BaseException) -> None:
        """The application raised: let its site log it and answer."""
        site = exchange.request.site
        assert isinstance(site, Site), "a dispatched request has a site"
        site.fail(exchange, error)

    def log_late(self, exchange: Exchange, error: BaseException) -> None:
        """The application raised after its answer was complete, or its client gone."""
        log.error("%s failed after its answer", exchange.request, exc_info=error)

    # The life of the process.

    async def start(self) -> None:
        if not self.inline:
            self.pool.start()

    async def stop(self) -> None:
        self.deadlines.stop()
        if not self.inline:
            await self.pool.stop()
