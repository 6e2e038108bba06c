"""Deadlines of what runs in a thread for a request: the client gets its answer at once, and the pool another thread.

Here: who is late, and what thread and loop have to agree upon. Not here: what a late call is (wsgi/, handler/).
"""

import asyncio
import logging
import sys
import threading
import traceback
from types import FrameType
from typing import Protocol

from container.message.errors import HTTPError
from container.message.exchange import Exchange
from container.resources.pool import ThreadPool
from container.tree.site import Site


class Deadline:
    """The deadline of one call, in the loop's time. `thread`: which one has begun it, 0 before that.

    A call that was given up before it began never begins; one that has ended is never given up.
    """

    __slots__ = ("_abandoned", "_guard", "_replaced", "at", "done", "thread")

    def __init__(self, at: float) -> None:
        self.at = at
        self.thread = 0
        self.done = False
        self._abandoned = self._replaced = False
        self._guard = threading.Lock()

    # In the call's thread.

    def begin(self) -> bool:
        """May it begin?"""
        with self._guard:
            if not self._abandoned:
                self.thread = threading.get_ident()
            return not self._abandoned

    def finish(self) -> bool:
        """It has ended: has its thread been replaced meanwhile?"""
        with self._guard:
            self.done = True
            return self._replaced

    # On the loop.

    def abandon(self) -> bool:
        """Wait for it no longer; False when it has ended already, so that its answer is on the way."""
        with self._guard:
            self._abandoned = not self.done
            return self._abandoned

    def replace_thread(self, pool: ThreadPool) -> None:
        """Give `pool` another thread in place of its own, which is stuck. Raises RuntimeError when the system has no
        more of them: then its own goes on when it comes back."""
        with self._guard:
            if not self.done:
                pool.add_thread()
                self._replaced = True


class TimedCall(Protocol):
    """A job of a pool that may have a deadline."""

    exchange: Exchange
    deadline: Deadline | None

    def give_up(self) -> None:
        """Nobody waits for it any more: let its thread find that out. On the loop."""


class Deadlines:
    """Those of one resource, whose calls run in `pool` and may each take `timeout` seconds: None for no limit.
    All of it on the loop."""

    def __init__(self, pool: ThreadPool, timeout: float | None, log: logging.Logger) -> None:
        self.timeout = timeout
        self.watched: set[TimedCall] = set()
        self._pool = pool
        self._log = log
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, call: TimedCall) -> None:
        """`call` has just come: no thread has it yet."""
        if self.timeout is not None:
            loop = asyncio.get_running_loop()
            call.deadline = Deadline(loop.time() + self.timeout)
            self.watched.add(call)
            if self._timer is None:
                self._timer = loop.call_later(min(self.timeout, 1.0), self.check)

    def forget(self, call: TimedCall) -> None:
        """It has come to its end, or nobody waits for more of it."""
        self.watched.discard(call)

    def check(self) -> None:
        """Answer for those that are late."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        due = [(call, call.deadline) for call in self.watched if call.deadline is not None]
        late = [(call, deadline) for call, deadline in due if deadline.at <= now]
        self.watched.difference_update([call for call, _ in late])
        # All of them are abandoned first, or the thread that replaces one would begin the next.
        for call, deadline in [each for each in late if each[1].abandon()]:
            self._give_up(call, deadline)
        self._timer = None
        if self.watched:
            soonest = min(deadline.at for call, deadline in due if call in self.watched)
            self._timer = loop.call_later(max(0.01, soonest - now), self.check)

    def _give_up(self, call: TimedCall, deadline: Deadline) -> None:
        exchange = call.exchange
        if deadline.thread:
            self._log.error(
                "%s took longer than %g s in thread %d:\n%s",
                exchange.request, self.timeout, deadline.thread, stack_of(deadline.thread),
            )  # fmt: skip
            try:
                deadline.replace_thread(self._pool)
            except RuntimeError as error:
                self._log.error("no other thread takes its place: %s", error)
        else:
            self._log.error("%s waited longer than %g s for a thread", exchange.request, self.timeout)
        call.give_up()
        site = exchange.request.site
        assert isinstance(site, Site), "a dispatched request has a site"
        site.fail(exchange, HTTPError(504, "The application took too long to answer."))

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def stack_of(thread: int) -> str:
    """The stack of a running thread, as a traceback shows it."""
    frame: FrameType | None = sys._current_frames().get(thread)
    return "".join(traceback.format_stack(frame)) if frame is not None else "(the thread has ended)"
