"""The process that does nothing but serve: its loop, its limits, its rights, its exit code.

`run` takes an Application through its life. Not here: sockets and sites (server.py), what asks for the end
(signals.py), what is written to standard error (logs/). A program that embeds a server wants none of this:
`serve` and `serving` do without.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import os
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from container import __version__
from container.channel.endpoints import ListenError
from container.message.errors import StartProblem
from container.service.application import Application
from container.service.fairness import FairSwitching
from container.service.logs import complain, give_logs, report_failure, say
from container.service.notify import Notifier
from container.service.pidfile import Pidfile, PidfileProblem
from container.service.pools import pools_of
from container.service.privileges import PrivilegeProblem, Privileges
from container.service.server import GRACEFUL_TIMEOUT_S, Server, as_endpoints, as_site
from container.service.signals import StopSignals
from container.service.temporary import find_temporary_place
from container.tree.health import Health
from container.tree.site import resources_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from container.service.application import Binding

LOOPS: Final = ("auto", "uvloop", "asyncio")
# After a second signal, what services and resources get to stop.
FORCED_STOP_S: Final = 5.0

EXIT_STOPPED: Final = 0
EXIT_ERROR: Final = 1
EXIT_USAGE: Final = 2
EXIT_START_FAILED: Final = 3
EXIT_NOT_LOADED: Final = 4


def run(
    application: Application | Iterable[Binding],
    *,
    loop: str = "auto",
    graceful_timeout: float = GRACEFUL_TIMEOUT_S,
    drain_delay: float = 0.0,
    server_name: str = "container",
    exit_timeout: float | None = None,
    privileges: Privileges | None = None,
    pidfile: Pidfile | None = None,
) -> int:
    """Serve until SIGINT or SIGTERM and return the exit code; in the main thread of a process of its own.

    In order: privileged start of the services, sockets, pidfile, rights given up, services, sites; the end in
    reverse. `privileges` go before those of the application.
    0: stopped as asked, after what was in flight. 1: a socket could not be opened, rights not given up. 3: a
    service or resource did not start. 128 + the signal: a second signal cut the stop short. Errors are lines
    on standard error; only a loop that does not exist is a LoopProblem. When all is stopped, the process has
    `exit_timeout` seconds to end by itself.
    """
    loop_name, factory = choose_loop(loop)
    prepare_process()
    find_temporary_place()
    if not isinstance(application, Application):
        bindings = list(application)
        application = Application("container")
        application.bindings = bindings
    server = Server(
        [(as_site(each.site), as_endpoints(each.endpoints)) for each in application.bindings],
        server_name=server_name,
    )
    with asyncio.Runner(loop_factory=factory) as runner, StopSignals(runner.get_loop()) as signals:
        life = Life(
            application,
            server,
            signals,
            graceful_timeout=graceful_timeout,
            drain_delay=drain_delay,
            on_serving=partial(announce, server, loop_name),
            privileges=privileges,
            pidfile=pidfile,
            notifier=Notifier(),
        )
        try:
            code = runner.run(life.live())
        finally:
            life.close()
        if exit_timeout is not None:
            leave_within(exit_timeout, code)
    return code


class Life:
    """An application from its privileged start to its end.

    `on_serving` is called when it answers. When asked to stop, the process says so to who asks for its health,
    and serves on for `drain_delay` seconds; then what is in flight has `graceful_timeout` seconds.
    A server that has adopted its sockets is not made to listen. Without a `notifier` systemd is told nothing.
    """

    def __init__(
        self,
        application: Application,
        server: Server,
        signals: StopSignals,
        *,
        graceful_timeout: float,
        drain_delay: float = 0.0,
        on_serving: Callable[[], object],
        privileges: Privileges | None = None,
        pidfile: Pidfile | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        self._application = application
        self._server = server
        self._signals = signals
        self._timeout = graceful_timeout
        self._drain_delay = drain_delay
        self._on_serving = on_serving
        self._privileges = privileges
        self._pidfile = pidfile
        self._notifier = notifier or Notifier({})
        # What a service or resource raised instead of starting.
        self.failure: BaseException | None = None

    def close(self) -> None:
        self._notifier.close()
        if self._pidfile is not None:
            self._pidfile.remove()

    async def live(self) -> int:
        try:
            self._open()
        except (ListenError, PrivilegeProblem, PidfileProblem) as error:
            complain(str(error))
            return EXIT_ERROR
        except Exception as error:  # noqa: BLE001  # a service's own code
            return self._failed(error)
        starting = await self._unless(self._signals.asked, self._start())
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting}, timeout=FORCED_STOP_S)
            if not starting.done() or starting.cancelled():
                self._take_back()
                return EXIT_STOPPED
        if (failure := starting.exception()) is not None:
            self._take_back()
            return self._failed(failure)
        freeze_memory()
        self._on_serving()
        fairness = FairSwitching(asyncio.get_running_loop())
        fairness.start()
        self._notifier.ready("serving on " + ", ".join(self._server.urls))
        self._notifier.start_watchdog(asyncio.get_running_loop())
        await self._signals.asked.wait()
        self._notifier.stopping()
        fairness.stop()
        stopping = await self._unless(self._signals.forced, self._stop())
        if stopping.done():
            return EXIT_STOPPED
        self._server.cut()
        await asyncio.wait({stopping}, timeout=FORCED_STOP_S)
        return self._signals.exit_code

    def _failed(self, error: BaseException) -> int:
        self.failure = error
        if isinstance(error, StartProblem):  # its line says it all
            complain(f"start failed: {error}")
        else:
            report_failure("start failed", error)
        return EXIT_START_FAILED

    def _open(self) -> None:
        """What needs the rights the process was started with; then they are given up."""
        application = self._application
        rights = rights_of(application, self._privileges)
        try:
            application.privileged_start()
            if not self._server.addresses:
                self._server.listen()
            if self._pidfile is not None:
                self._pidfile.write(rights.uid, rights.gid)
            give_logs(rights.uid, rights.gid)
            rights.drop()
        except BaseException:
            self._take_back()
            raise

    def _take_back(self) -> None:
        """Nobody will be served: what was opened is closed, and leaves nothing behind."""
        self._server.close_sockets()
        self._application.withdraw()

    async def _start(self) -> None:
        await self._application.start()
        try:
            await self._server.start()
        except BaseException:
            await self._application.stop()
            raise

    async def _stop(self) -> None:
        signals = self._signals
        if self._drain_delay and not signals.is_replaced:
            for resource in resources_of(self._server.sites):
                if isinstance(resource, Health):
                    resource.is_ready = False
            with suppress(TimeoutError):
                async with asyncio.timeout(self._drain_delay):
                    await signals.forced.wait()
        await self._server.stop(self._timeout, idle_grace=signals.idle_grace)
        await self._application.stop()

    async def _unless(
        self, event: asyncio.Event, phase: Coroutine[object, object, None]
    ) -> asyncio.Task[None]:
        """Do `phase` until it is done or the event comes; the task tells which."""
        task = asyncio.create_task(phase)
        waiting = asyncio.create_task(event.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        return task


def rights_of(application: Application, privileges: Privileges | None) -> Privileges:
    """What to give up: what the user says goes before what the application says."""
    rights = privileges or Privileges()
    return replace(
        rights,
        uid=application.uid if rights.uid is None else rights.uid,
        gid=application.gid if rights.gid is None else rights.gid,
    )


def announce(server: Server, loop_name: str) -> None:
    """The start-up lines, one an address; they do not depend on the log level."""
    facts = [loop_name]
    threads = sum(pool.threads for pool in pools_of(server.sites))
    if threads:
        facts.append(f"{threads} threads" if threads > 1 else "1 thread")
    say_serving(server.addresses, facts)


def say_serving(addresses: Sequence[str], facts: Iterable[str]) -> None:
    """Tell people where this process serves; whatever the log level."""
    facts = [f"pid {os.getpid()}", "Python {}.{}.{}".format(*sys.version_info), *facts]
    for address in addresses or ("no address",):
        say(f"container {__version__} serving on {address} ({', '.join(facts)}) - Ctrl-C stops")


class LoopProblem(ValueError):
    """A loop that cannot be had. The message is one line."""


def choose_loop(name: str) -> tuple[str, Callable[[], asyncio.AbstractEventLoop] | None]:
    """The loop's name for the start-up line, and what makes one; "auto" is uvloop where it is installed."""
    if name not in LOOPS:
        raise LoopProblem(f"expected one of {', '.join(LOOPS)} as loop, got {name!r}")
    if name == "asyncio" or (name == "auto" and importlib.util.find_spec("uvloop") is None):
        return "asyncio", None
    try:
        import uvloop
    except ImportError as error:
        raise LoopProblem(f"expected uvloop to be installed, got {error}") from error
    return "uvloop", uvloop.new_event_loop


def prepare_process() -> None:
    """Before anything is opened: every connection is an open file, and soft limits are often 1024.

    The soft limit becomes the hard one. An application that calls select() on more than 1024 files at a time
    breaks either way; poll() and selectors do not.
    """
    try:
        import resource  # late: POSIX only
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):  # macOS says "unlimited" and refuses it
            pass


def freeze_memory() -> None:
    """What start-up made stays: the collector need not look at it with every full collection."""
    gc.collect()
    gc.freeze()


def leave_within(seconds: float, code: int) -> None:
    """End the process after `seconds` whatever still runs: a thread of the application that never ends would
    keep the interpreter waiting for ever."""

    def leave() -> None:
        with suppress(OSError):  # whoever read it may be gone
            os.write(2, b"container: threads of the application did not end and are left behind\n")
        os._exit(code)

    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()
