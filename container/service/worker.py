"""One of several processes that serve the same sockets, as gunicorn's arbiter starts and ends them.

`ServingWorker` is what `container.gunicorn.Worker` (under gunicorn's own command) and `container --workers`
(workers/) share: the loop, the heartbeat, the signals, recycling, the stop. Not here: what gunicorn's
settings mean (container/gunicorn.py), who is started when (workers/).

The heartbeat comes from the loop: a pool of threads that is busy does not make a worker dead, a loop that is
blocked does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self
from weakref import WeakSet

from gunicorn.workers.base import Worker

from container.channel.balance import Balance, shared_figures
from container.channel.endpoints import ListenError
from container.service.heartbeat import in_memory
from container.service.logs import complain, reopen_logs
from container.service.loop import (
    EXIT_ERROR,
    Life,
    choose_loop,
    leave_within,
    prepare_process,
    rights_of,
)
from container.service.metrics import Figures, memory_of_process, shared_words
from container.service.privileges import Privileges
from container.service.server import Server, as_endpoints, as_site
from container.service.signals import StopSignals
from container.tree.accesslog import BeforeLog
from container.tree.site import resources_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable
    from types import FrameType

    from container.message.exchange import Exchange
    from container.service.application import Application

log = logging.getLogger("container.worker")

# How often the loop says that it lives, unless the timeout asks for more.
BEAT_S: Final = 1.0
# Somebody else serves already: idle connections may wait so long for their last request.
REPLACED_IDLE_GRACE_S: Final = 5.0
# What threads and exit functions of the application get once all is stopped.
EXIT_S: Final = 5.0

# Places of workers in metrics; during a reload there are twice as many workers. Further ones would share the last.
PLACES: Final = 2048

# What a worker says of itself: the size of its heartbeat file.
BOOTING: Final = 0
SERVING: Final = 1
RETIRING: Final = 2


class ServingWorker(Worker):  # type: ignore[misc]  # gunicorn has no types
    """Runs an Application on the arbiter's sockets.

    Subclasses say what is served and how: `load_application`, `sockets_of`, and the attributes below.
    """

    application: Application
    signals: WorkerSignals
    server: Server

    loop_name = "auto"
    server_name = "container"
    graceful_timeout = 30.0
    drain_delay = 0.0
    max_lifetime: float | None = None
    max_rss: int | None = None
    connections_max: int | None = None
    _figures: memoryview | None = None
    # Of metrics: the memory, and all whose places may be taken.
    _counts: memoryview[float] | None = None
    _members: ClassVar[WeakSet[ServingWorker]] = WeakSet()
    _place = -1
    privileges: Privileges | None = None
    # The arbiter starts a successor first, when a worker says that it wants to retire.
    is_succeeded = False

    def load_application(self) -> Application:
        raise NotImplementedError

    def shared_sockets(self) -> Iterable[tuple[int, int, socket.socket]]:
        """The sockets, each with the number of its binding and of its endpoint there."""
        raise NotImplementedError

    def workers(self) -> int:
        """How many processes serve this."""
        return int(self.cfg.workers)

    # Called by gunicorn.

    def __init__(self, *arguments: Any) -> None:
        with in_memory():
            super().__init__(*arguments)
        if ServingWorker._figures is None:  # in the arbiter, before the first fork
            ServingWorker._figures = shared_figures()
        if ServingWorker._counts is None:
            ServingWorker._counts = shared_words(PLACES)
        self._place = self._take_place()
        self.counted = Figures(ServingWorker._counts, self._place)
        self.counted.begin()

    def _take_place(self) -> int:
        """In the arbiter: the first that no living worker has. Arbiters close the heartbeat of those that have ended,
        and forget those that could not be started."""
        taken = {each._place for each in ServingWorker._members if not each._has_ended()}
        ServingWorker._members.add(self)
        return next((place for place in range(PLACES) if place not in taken), PLACES - 1)

    def _has_ended(self) -> bool:
        try:
            self.tmp.fileno()
        except ValueError:  # closed
            return True
        return False

    def init_signals(self) -> None:
        super().init_signals()
        # Nobody reads the pipe that gunicorn has signals written to.
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def load_wsgi(self) -> None:
        self.application = self.load_application()

    def run(self) -> None:
        """Serve until told to end; ends the process."""
        prepare_process()
        self._born = time.monotonic()
        self._lifetime = self.max_lifetime and self.max_lifetime * random.uniform(0.9, 1.0)
        self._beat = min(BEAT_S, self.timeout / 2) if self.timeout else BEAT_S
        _, factory = choose_loop(self.loop_name)
        with asyncio.Runner(loop_factory=factory) as runner:
            try:
                self._prepare_server()
                self._give_heartbeat()
            except ListenError as error:
                complain(str(error))
                sys.exit(EXIT_ERROR)
            with WorkerSignals(runner.get_loop(), self) as self.signals:
                code = runner.run(self._live())
                leave_within(EXIT_S, code)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)  # all is stopped
        sys.exit(code)

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """The arbiter has waited for the heartbeat in vain: tell where the loop is stuck."""
        where = "".join(traceback.format_stack(frame))
        self.log.critical("the loop of worker %d was blocked here:\n%s", os.getpid(), where)
        self.cfg.worker_abort(self)
        os._exit(1)  # nothing that is stuck shall have another say

    # The life of the process.

    async def _live(self) -> int:
        loop = asyncio.get_running_loop()
        self._pulse(loop)
        if not self.alive:  # told to end while the application was being imported
            self.signals.end()
        life = self._begin_life()
        code = await life.live()
        if life.failure is not None and (other := self.stand_in(life.failure)) is not None:
            self.application = other
            self.privileges = None  # they have been given up
            self._prepare_server()
            code = await self._begin_life().live()
        return code

    def stand_in(self, failure: BaseException) -> Application | None:
        """What to serve instead of an application that has not started; None: nothing, this process ends."""
        return None

    def _begin_life(self) -> Life:
        return Life(
            self.application,
            self.server,
            self.signals,
            graceful_timeout=self.graceful_timeout,
            drain_delay=self.drain_delay,
            on_serving=self.serving,
            privileges=self.privileges,
        )

    def _prepare_server(self) -> None:
        self.server = Server(
            [(as_site(each.site), as_endpoints(each.endpoints)) for each in self.application.bindings],
            server_name=self.server_name,
            connections_max=self.connections_max,
            balance=self._balance(),
            figures=self.counted,
        )
        self._prepare_sites()
        self.server.adopt(self.shared_sockets())

    def _balance(self) -> Balance | None:
        if self.workers() == 1 or self._figures is None:
            return None
        return Balance(self._figures, self.age)

    def _prepare_sites(self) -> None:
        several = self.workers() > 1
        for resource in resources_of(self.server.sites):
            if several and (many_processes := getattr(resource, "many_processes", None)) is not None:
                many_processes()
            warning = getattr(resource, "worker_warning", None)
            text = warning(self.workers()) if warning is not None and self.age == 1 else None
            if text is not None:
                log.warning("%s", text)
        if self.max_requests < sys.maxsize:
            for site in self.server.sites:
                site.log = _Counter(self, site.log)

    def _give_heartbeat(self) -> None:
        """The file has to belong to whom the process will become, which could not set its time otherwise."""
        rights = rights_of(self.application, self.privileges)
        if os.geteuid() == 0 and rights.uid is not None:
            os.fchown(self.tmp.fileno(), rights.uid, -1)

    def serving(self) -> None:
        """It answers from now on, on sockets of its own: of those it was born with the port would accept, though
        nobody answers, until this process ends."""
        for _, _, sock in self.shared_sockets():
            sock.close()
        self._say()

    def _pulse(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(self._beat, self._pulse, loop)
        self.notify()
        if not self.signals.asked.is_set():
            if not self.alive or self.ppid != os.getppid():
                self.signals.end()
            elif self._is_old():
                self.retire()

    def _is_old(self) -> bool:
        if self._lifetime and time.monotonic() - self._born > self._lifetime:
            return True
        return self.max_rss is not None and memory_of_process() > self.max_rss

    def retire(self) -> None:
        """Recycling: have another worker take over. Once."""
        if self.is_succeeded:
            if not self._retiring:
                self._retiring = True
                self._say()
        else:
            self.signals.retire()

    _retiring = False

    def _say(self) -> None:
        """One more byte in the heartbeat file, and a nudge for the arbiter, which looks once a second anyway."""
        os.write(self.tmp.fileno(), b".")
        self.notify()
        try:
            os.kill(self.ppid, signal.SIGCHLD)
        except PermissionError:  # this process has given up its rights
            pass


class WorkerSignals(StopSignals):
    """TERM: end gracefully, however often it comes. QUIT: now. USR1: open the logs again.

    Under our own arbiter, USR2: another one has taken over, end gently; INT is for the arbiter alone. Under
    gunicorn's, INT is QUIT.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, worker: ServingWorker) -> None:
        super().__init__(loop)
        self._worker = worker

    @property
    def exit_code(self) -> int:
        return 0

    def __enter__(self) -> Self:
        ours = self._worker.is_succeeded
        meanings: dict[int, Callable[[], object]] = {
            signal.SIGTERM: self.end,
            signal.SIGQUIT: self.end_now,
            signal.SIGUSR1: self._worker_reopens,
            signal.SIGUSR2 if ours else signal.SIGINT: self.retire if ours else self.end_now,
        }
        for number, meaning in meanings.items():
            signal.signal(number, lambda *_, meaning=meaning: self._loop.call_soon_threadsafe(meaning))
        if ours:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        return self

    def __exit__(self, *_: object) -> None:
        """The worker goes on to ignore them."""

    def end(self) -> None:
        """Nobody takes over."""
        if self.asked.is_set():
            self._worker.server.close_idle()
        self.asked.set()

    def retire(self) -> None:
        """Somebody takes over."""
        if not self.asked.is_set():
            self.is_replaced = True
            self.idle_grace = REPLACED_IDLE_GRACE_S
            self.asked.set()

    def end_now(self) -> None:
        self._worker.alive = False
        self._worker.cfg.worker_int(self._worker)
        self.asked.set()
        self.forced.set()

    def _worker_reopens(self) -> None:
        self._worker.log.reopen_files()
        reopen_logs()


class _Counter(BeforeLog):
    """Counts what was answered, in front of the access log, until there was enough."""

    def __init__(self, worker: ServingWorker, inner: Any) -> None:
        super().__init__(inner)
        self._worker = worker
        self._left = worker.max_requests

    def __call__(self, exchange: Exchange) -> None:
        if self._inner is not None:
            self._inner(exchange)
        self._left -= 1
        if self._left == 0:
            self._worker.retire()
