"""`run_workers`: from settings to an arbiter that runs, and what gunicorn wants to know of both."""

from __future__ import annotations

import os
import pickle
import sys
import threading
from typing import TYPE_CHECKING, Any

from gunicorn.config import Config

from container.channel.endpoints import ListenError
from container.service.logs import complain, say
from container.service.loop import EXIT_ERROR, EXIT_NOT_LOADED, EXIT_START_FAILED, prepare_process
from container.service.pidfile import PidfileProblem
from container.service.temporary import find_temporary_place
from container.service.workers.arbiter import WorkersArbiter
from container.service.workers.log import ArbiterLog
from container.service.workers.sockets import SharedSockets
from container.service.workers.worker import ArbitratedWorker

if TYPE_CHECKING:
    from collections.abc import Callable

    from container.service.application import Application
    from container.service.reload import Watch
    from container.service.workers.settings import WorkerSettings
    from container.service.workers.sockets import Endpoints


def run_workers(
    load: Callable[[], Application], settings: WorkerSettings, endpoints: Endpoints | None = None
) -> int:
    """Serve what `load` gives until told to stop; the exit code is that of `loop.run`.

    `load` is called in every worker, after it was forked; it says by itself what is wrong, and raises
    SystemExit. Without `endpoints` it is called once more, in a process that tells where the application wants
    to be served. In a worker this function returns as well.
    """
    prepare_process()
    find_temporary_place()
    if endpoints is None:
        found = ask_for_endpoints(load) if settings.watch is None else ask_again(load, settings.watch)
        if isinstance(found, int):
            return found
        endpoints = found
    sockets = SharedSockets(endpoints)
    arbiter = WorkersArbiter(Loader(load, settings, sockets))
    try:
        arbiter.run()
    except (ListenError, PidfileProblem) as error:
        complain(str(error))
        return EXIT_ERROR
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def ask_for_endpoints(load: Callable[[], Application]) -> Endpoints | int:
    """Where the application wants to be served, asked in a process of its own, which then ends; or the exit
    code of that process. The arbiter itself never imports the application, or HUP could not import it anew."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = EXIT_START_FAILED
        try:
            application = load()
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump([tuple(each.endpoints) for each in application.bindings], pipe)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        finally:
            sys.stdout.flush()
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        return code if code > 0 else EXIT_START_FAILED
    endpoints: Endpoints = pickle.loads(said)
    return endpoints


def ask_again(load: Callable[[], Application], watch: Watch) -> Endpoints | int:
    """The same, after every change until the application can be loaded."""
    changed = threading.Event()
    watching = watch.start(changed.set)
    try:
        while (found := ask_for_endpoints(load)) == EXIT_NOT_LOADED:
            say("container: waiting for a change")
            changed.wait()
            changed.clear()
        return found
    finally:
        watching.stop()


class Loader:
    """What gunicorn takes for an application: it has settings, and it can be loaded."""

    def __init__(
        self, load: Callable[[], Application], settings: WorkerSettings, sockets: SharedSockets
    ) -> None:
        self.wsgi = load
        self.settings = settings
        self.sockets = sockets
        self.cfg = gunicorn_config(settings)

    def reload(self) -> None:
        """The options are those the process was started with."""


def gunicorn_config(settings: WorkerSettings) -> Any:
    """The settings that gunicorn's own code looks at."""
    config = Config()
    values = {
        "workers": settings.workers,
        "worker_class": ArbitratedWorker,
        "logger_class": ArbiterLog,
        "timeout": settings.timeout,
        "max_requests": settings.max_requests,
        "max_requests_jitter": settings.max_requests_jitter,
        "proc_name": settings.process_name,
        "pidfile": settings.pidfile,
        "daemon": settings.daemon,
        "control_socket_disable": True,
        "pre_exec": WorkersArbiter.will_execute,
    }
    for name, value in values.items():
        config.set(name, value)
    return config
