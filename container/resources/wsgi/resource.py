"""WSGIResource: a WSGI application mounted in the tree.

Decides when an application may run: after its content is complete, so that a slow client holds no thread;
not when too many wait already; no longer than its deadline. Everything here runs on the loop.
"""

import asyncio
import io
import logging
import os
import sys
import traceback
from types import FrameType
from typing import Any, BinaryIO, Final, cast

from container.message.errors import HTTPError
from container.message.exchange import Exchange
from container.message.request import Request
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
        self.request_timeout = request_timeout
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
        self._watched: set[WSGICall] = set()
        self._watch: asyncio.TimerHandle | None = None

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
            if not self.pool.submit(call):
                raise HTTPError(503, headers={"Retry-After": _RETRY_AFTER})
            if self.request_timeout is not None:
                self._watch_over(call, self.request_timeout)
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
        if not isinstance(error, Exception):
            wrapped = RuntimeError(f"the application raised {type(error).__name__}")
            wrapped.__cause__ = error
            error = wrapped
        site.fail(exchange, error)

    def log_late(self, exchange: Exchange, error: BaseException) -> None:
        """The application raised after its answer was complete, or its client gone."""
        log.error("%s failed after its answer", exchange.request, exc_info=error)

    # Deadlines.

    def _watch_over(self, call: WSGICall, timeout: float) -> None:
        loop = asyncio.get_running_loop()
        call.limit(loop.time() + timeout)
        self._watched.add(call)
        if self._watch is None:
            self._watch = loop.call_later(min(timeout, 1.0), self._check_deadlines)

    def finished(self, call: WSGICall) -> None:
        """`call` has delivered something; forget it when nobody waits for more, or no more will come."""
        if self._watched and (call.exchange.ended or call.done):
            self._watched.discard(call)

    def _check_deadlines(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = [call for call in self._watched if call.deadline <= now]
        self._watched.difference_update(late)
        # All of them are abandoned first, or the thread that replaces one would begin the next.
        for call in [call for call in late if call.guard is not None and call.abandon(call.guard)]:
            self._give_up(call)
        self._watch = None
        if self._watched:
            soonest = min(call.deadline for call in self._watched)
            self._watch = loop.call_later(max(0.01, soonest - now), self._check_deadlines)

    def _give_up(self, call: WSGICall) -> None:
        """Answer for an application that takes too long; its thread ends whenever it comes back."""
        exchange = call.exchange
        if call.started:
            self.pool.add_thread()
            log.error(
                "%s took longer than %g s in thread %d:\n%s",
                exchange.request, self.request_timeout, call.thread, stack_of(call.thread),
            )  # fmt: skip
        else:
            log.error("%s waited longer than %g s for a thread", exchange.request, self.request_timeout)
        if exchange.started:
            exchange.abort()
        else:
            self.fail(exchange, HTTPError(504, "The application took too long to answer."))

    # The life of the process.

    async def start(self) -> None:
        if not self.inline:
            self.pool.start()

    async def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if not self.inline:
            await self.pool.stop()


def stack_of(thread: int) -> str:
    """The stack of a running thread, as a traceback shows it."""
    frame: FrameType | None = sys._current_frames().get(thread)
    return "".join(traceback.format_stack(frame)) if frame is not None else "(the thread has ended)"
