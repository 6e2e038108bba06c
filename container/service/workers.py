"""Several processes for one application: gunicorn's arbiter, with the ends changed that lose requests.

`run_workers` is what the command does instead of `loop.run` for `--workers`, recycling and `--daemon`. Here:
the sockets, which belong to the arbiter; who starts and ends when. Not here: what a worker does (worker.py).

What differs from gunicorn's own:

* A worker is told to end only when its successor serves: at HUP as well as when it is recycled.
* A worker that does not start never ends a service that has been up: the old ones serve on, further ones are
  tried at growing intervals.
* Sockets are opened by our endpoints. At the end they are given up before the drain, or after the delay in which
  a load balancer learns of it.
* "Ready" is said when a worker serves, not when the arbiter runs. There is no control socket.
"""

from __future__ import annotations

import logging
import os
import pickle
import queue
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.errors import HaltServer
from gunicorn.pidfile import Pidfile

from container.channel.endpoints import Endpoint, ListenError, adopt_socket
from container.service.activation import provide_passed_sockets
from container.service.logs import complain, reopen_logs
from container.service.loop import (
    EXIT_ERROR,
    EXIT_START_FAILED,
    FORCED_STOP_S,
    prepare_process,
    say_serving,
)
from container.service.notify import Notifier, set_title
from container.service.pidfile import PidfileProblem
from container.service.privileges import Privileges
from container.service.server import GRACEFUL_TIMEOUT_S, SITE_STOP_S
from container.service.worker import RETIRING, SERVING, ServingWorker

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Sequence
    from types import FrameType

    from container.service.application import Application

log = logging.getLogger("container.workers")

HEARTBEAT_TIMEOUT_S: Final = 30
# Intervals between tries to start a worker that does not come up, each twice the last.
RETRY_MIN_S: Final = 1.0
RETRY_MAX_S: Final = 60.0
# What a worker needs beyond the time its requests and resources have.
MARGIN_S: Final = 2.0
# A signal that came while a worker was being forked is lost: it is said again.
REPEAT_S: Final = 1.0
# Shared memory: there even where nothing else can be written to, and never a disk.
SHARED_MEMORY: Final = "/dev/shm"

# How the next arbiter learns of the sockets (USR2), each as BINDING:ENDPOINT:FILE.
_INHERITED: Final = "CONTAINER_SOCKETS"
_PREDECESSOR: Final = "GUNICORN_PID"
# Of what was said to this process, the next arbiter is told nothing: whom systemd watches, its sockets.
_OURS_ALONE: Final = ("GUNICORN_FD", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")

# By binding of the application.
Endpoints: TypeAlias = "Sequence[Sequence[Endpoint]]"


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How many workers there are, when they are replaced, and how they end. Times are in seconds.

    `max_requests` and `max_requests_jitter`: a worker is replaced after so many answers, and up to so many
    more. `max_lifetime`, `max_rss`: after so long, at so many bytes of memory. `timeout`: a worker whose loop
    is blocked for so long is killed; 0: never. `privileges` are given up by every worker, once the application
    is loaded; the arbiter keeps the rights it was started with.
    """

    workers: int = 1
    max_requests: int = 0
    max_requests_jitter: int = 0
    max_lifetime: float | None = None
    max_rss: int | None = None
    timeout: int = HEARTBEAT_TIMEOUT_S
    graceful_timeout: float = GRACEFUL_TIMEOUT_S
    drain_delay: float = 0.0
    loop: str = "auto"
    server_name: str = "container"
    process_name: str = "container"
    pidfile: str | None = None
    daemon: bool = False
    reload: bool = False
    # Where the command was started, and is by USR2; None: where it is.
    directory: str | None = None
    privileges: Privileges = field(default_factory=Privileges)
    # Called in the arbiter and in every worker as soon as they serve.
    on_serving: Callable[[], None] = field(default=lambda: None)


def run_workers(
    load: Callable[[], Application], settings: WorkerSettings, endpoints: Endpoints | None = None
) -> int:
    """Serve what `load` gives until told to stop; the exit code is that of `loop.run`.

    `load` is called in every worker, after it was forked; it says by itself what is wrong, and raises
    SystemExit. Without `endpoints` it is called once more, in a process that tells where the application wants
    to be served. In a worker this function returns as well.
    """
    prepare_process()
    if endpoints is None:
        found = ask_for_endpoints(load)
        if isinstance(found, int):
            return found
        endpoints = found
    sockets = SharedSockets(endpoints)
    arbiter = _Arbiter(_Loader(load, settings, sockets))
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


class SharedSockets:
    """The listening sockets of the arbiter, in the order of bindings and endpoints.

    To be used as `with`: opened or inherited when entered.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints
        self.sockets: list[tuple[int, int, socket.socket]] = []

    def open(self) -> None:
        """Listen on all of them, or on none: ListenError."""
        provide_passed_sockets()
        try:
            for binding, endpoints in enumerate(self.endpoints):
                for number, endpoint in enumerate(endpoints):
                    self.sockets += [(binding, number, sock) for sock in endpoint.listen()]
        except BaseException:
            self.close(release=True)
            raise

    def inherit(self, text: str) -> None:
        """Take over those of a predecessor."""
        for entry in text.split():
            binding, number, file = map(int, entry.split(":"))
            self.sockets.append((binding, number, adopt_socket(file)))

    def bequeath(self) -> str:
        """Let them survive an exec."""
        for _, _, sock in self.sockets:
            sock.set_inheritable(True)
        return " ".join(f"{binding}:{number}:{sock.fileno()}" for binding, number, sock in self.sockets)

    def keep(self) -> None:
        """No other program gets them."""
        for _, _, sock in self.sockets:
            sock.set_inheritable(False)

    def close(self, *, release: bool) -> None:
        """Listen no more; `release` what they have left in the file system, unless a successor needs it."""
        for binding, number, sock in self.sockets:
            if release:
                try:
                    self.endpoints[binding][number].release(sock)
                except OSError as error:
                    log.warning("a socket was left behind: %s", error)
            sock.close()
        self.sockets.clear()

    @property
    def addresses(self) -> list[str]:
        return [self.endpoints[binding][number].describe(sock) for binding, number, sock in self.sockets]


class _Loader:
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
        "worker_class": _Worker,
        "logger_class": _ArbiterLog,
        "timeout": settings.timeout,
        "max_requests": settings.max_requests,
        "max_requests_jitter": settings.max_requests_jitter,
        "proc_name": settings.process_name,
        "pidfile": settings.pidfile,
        "daemon": settings.daemon,
        "control_socket_disable": True,
        "worker_tmp_dir": SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK | os.X_OK) else None,
    }
    for name, value in values.items():
        config.set(name, value)
    return config


class _Worker(ServingWorker):
    """A worker of `container --workers`."""

    is_succeeded = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        settings: WorkerSettings = self.app.settings
        self.loop_name = settings.loop
        self.server_name = settings.server_name
        self.graceful_timeout = settings.graceful_timeout
        self.drain_delay = settings.drain_delay
        self.max_lifetime = settings.max_lifetime
        self.max_rss = settings.max_rss
        self.privileges = settings.privileges
        # When to replace it, and whether that has begun: the arbiter's notes.
        self.is_outdated = False
        self.is_leaving = False
        # When it was told to end; it may not have heard.
        self.was_booting = False
        self.has_served = False

    @property
    def state(self) -> int:
        """What the process has said of itself, seen from the arbiter."""
        try:
            return os.fstat(self.tmp.fileno()).st_size
        except (OSError, ValueError):  # closed
            return RETIRING

    def load_application(self) -> Application:
        application: Application = self.app.wsgi()
        wanted = [tuple(each.endpoints) for each in application.bindings]
        if len(wanted) != len(self.app.sockets.endpoints) or any(
            len(new) != len(old) for new, old in zip(wanted, self.app.sockets.endpoints, strict=True)
        ):
            complain("expected the sites and addresses the service was started with, got others: restart it")
            raise SystemExit(EXIT_START_FAILED)
        if wanted != [tuple(each) for each in self.app.sockets.endpoints]:
            log.warning("addresses do not change before a restart")
        return application

    def shared_sockets(self) -> Iterable[tuple[int, int, socket.socket]]:
        sockets: list[tuple[int, int, socket.socket]] = self.app.sockets.sockets
        return sockets

    def serving(self) -> None:
        set_title(f"{self.app.settings.process_name}: worker")
        self.app.settings.on_serving()
        super().serving()


class _ArbiterLog:
    """gunicorn's words in our log, and only those that say what an operator does not know yet."""

    def __init__(self, cfg: Any) -> None:
        self.cfg = cfg
        self.debug = self.info = log.debug
        self.warning = log.warning
        self.error = log.error
        self.critical = log.critical
        self.exception = log.exception

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg

    def reopen_files(self) -> None:
        """Ours are reopened by `reopen_logs`."""

    def close_on_exec(self) -> None:
        """Python opens all files so."""


class _Arbiter(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    """The process that owns the sockets and looks after the workers.

    A worker is outdated once it shall be replaced, leaving once it was told to end, and fresh before.
    """

    def __init__(self, app: _Loader) -> None:
        said = os.environ.get("SERVER_SOFTWARE")
        super().__init__(app)
        if said is None:  # CGI scripts would think that gunicorn called them
            os.environ.pop("SERVER_SOFTWARE", None)
        else:
            os.environ["SERVER_SOFTWARE"] = said
        self.settings = app.settings
        self.sockets = app.sockets
        self.WORKERS: dict[int, _Worker] = {}
        self.reexec_pid = 0
        self._is_up = False
        # Has a worker served since the application was last changed, as far as we know?
        self._is_proven = False
        self._owner = os.getpid()
        self._forced_by = 0
        self._retry_s = RETRY_MIN_S
        self._not_before = 0.0
        self._repeat_at = 0.0
        self._notifier = Notifier()
        self._feed_at = 0.0
        if app.settings.directory is not None:
            self.START_CTX["cwd"] = app.settings.directory
        # As it was started, not as it looks inside: the directory of a package on sys.path hides others.
        self.START_CTX["args"] = [sys.executable, *sys.orig_argv[1:]]

    # Beginning.

    def start(self) -> None:
        """Open the sockets, or take those of the predecessor that executed this program (USR2)."""
        self.pid = os.getpid()
        self._stats["start_time"] = time.time()
        inherited = os.environ.pop(_INHERITED, None)
        os.environ.pop("GUNICORN_FD", None)
        if _PREDECESSOR in os.environ:
            self.master_pid = int(os.environ[_PREDECESSOR])
            self.proc_name += ".2"
            self.master_name = "Master.2"
        if self.cfg.pidfile is not None:
            self.pidfile = _create_pidfile(self.cfg.pidfile + (".2" if self.master_pid else ""), self.pid)
        try:
            if inherited:
                self.sockets.inherit(inherited)
            else:
                self.sockets.open()
        except BaseException:
            self._remove_pidfile()
            raise
        self.LISTENERS = [sock for _, _, sock in self.sockets.sockets]
        self.init_signals()
        if self.settings.reload:
            from container.service.reload import watch_files

            watch_files(lambda: self.SIG_QUEUE.put_nowait(signal.SIGHUP))

    def _up(self) -> None:
        """The first worker serves."""
        self._is_up = True
        workers = self.num_workers
        set_title(f"{self.proc_name}: arbiter")
        self.settings.on_serving()
        say_serving(self.sockets.addresses, [f"{workers} worker{'s' if workers > 1 else ''}"])
        if not self.master_pid:
            self._say_ready()

    def _say_ready(self) -> None:
        self._notifier.ready("serving on " + ", ".join(self.sockets.addresses))

    # Workers come and go. All of it runs in the main loop, after every signal and at least once a second.

    def manage_workers(self) -> None:
        """Let there be as many fresh workers as there shall be; end others as soon as those serve."""
        now = time.monotonic()
        self._feed_watchdog(now)
        self._look_around()
        fresh = [each for each in self._by_age() if not (each.is_outdated or each.is_leaving)]
        # Until one of them serves there is only that one: what is wrong with the application is said once.
        old = sum(each.has_served for each in fresh)
        wanted = self.num_workers if self._is_proven else min(self.num_workers, old + 1)
        while len(fresh) < wanted and now >= self._not_before:
            self.spawn_worker()
            fresh = [each for each in self._by_age() if not (each.is_outdated or each.is_leaving)]
        outdated = [each for each in self._by_age() if each.is_outdated and not each.is_leaving]
        serving = sum(each.has_served for each in fresh)
        for worker in outdated[: max(0, serving + len(outdated) - self.num_workers)]:
            self._dismiss(worker, signal.SIGUSR2)
        fresh.sort(key=lambda worker: (worker.has_served, worker.age))
        for worker in fresh[: max(0, len(fresh) - self.num_workers)]:
            self._dismiss(worker, signal.SIGUSR2 if worker.has_served else signal.SIGTERM)
        if now >= self._repeat_at:
            self._repeat_at = now + REPEAT_S
            self._repeat()

    def _feed_watchdog(self, now: float) -> None:
        """systemd watches the arbiter only, which watches the workers."""
        if self._notifier.watchdog_s is not None and not self.master_pid and now >= self._feed_at:
            self._feed_at = now + self._notifier.watchdog_s / 2
            self._notifier.feed()

    def _by_age(self) -> list[_Worker]:
        return sorted(self.WORKERS.values(), key=lambda worker: worker.age)

    def _look_around(self) -> None:
        """What have the workers said?"""
        for worker in self.WORKERS.values():
            state = worker.state
            if state >= SERVING and not worker.has_served:
                worker.has_served = True
                self._is_proven = True
                self._retry_s = RETRY_MIN_S
                self._not_before = 0.0
                if not self._is_up:
                    self._up()
            if state >= RETIRING:
                worker.is_outdated = True

    def _dismiss(self, worker: _Worker, number: int) -> None:
        worker.is_leaving = True
        worker.was_booting = worker.state < SERVING
        self.kill_worker(worker.pid, number)

    def _repeat(self) -> None:
        """A process that was just forked forgets signals, and may have come to serve since."""
        for worker in self._by_age():
            if worker.is_leaving and worker.was_booting:
                self.kill_worker(worker.pid, signal.SIGTERM)

    def reload(self) -> None:
        """HUP: replace all workers by others that import the application anew."""
        self._stats["reloads"] += 1
        self.num_workers = self.cfg.workers
        self._not_before = 0.0
        self._is_proven = False
        reopen_logs()
        for worker in self._by_age():
            worker.is_outdated = True
            if self.settings.reload or not worker.has_served:  # it may have imported what was before
                self._dismiss(worker, signal.SIGTERM)
        log.info("reloading")

    def reap_workers(self) -> None:
        """Take note of every process that has ended; as PID 1, of those whose parents have gone, too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid == self.reexec_pid:
                self.reexec_pid = 0
                log.error("the next version did not start, or has ended: this one serves on")
                continue
            worker = self.WORKERS.pop(pid, None)
            if worker is not None:
                self._ended(worker, os.waitstatus_to_exitcode(status))

    def _ended(self, worker: _Worker, code: int) -> None:
        if worker.state >= SERVING:
            worker.has_served = True
        worker.tmp.close()
        if worker.is_leaving or (worker.has_served and code == 0):
            log.debug("worker %s has ended", worker.pid)
            return
        reason = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        if worker.has_served:
            log.error("worker %s ended: %s%s", worker.pid, reason, " (out of memory?)" * (code == -9))
            return
        if not self._is_up and not self.settings.reload:
            if code <= 0:  # else it has said why
                complain(f"start failed: the first worker ended: {reason}")
            raise HaltServer(None, code if code > 0 else EXIT_START_FAILED)
        kept = [each for each in self._by_age() if each.is_outdated and not each.is_leaving]
        for each in kept:
            if each.state < RETIRING:
                each.is_outdated = False
        self._is_proven = False
        self._not_before = time.monotonic() + (RETRY_MAX_S if self.settings.reload else self._retry_s)
        self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)
        log.error("worker %s did not start: %s; %d serve on", worker.pid, reason, len(self._serving()))

    def _serving(self) -> list[_Worker]:
        return [each for each in self._by_age() if each.has_served and not each.is_leaving]

    # Signals.

    def handle_int(self) -> None:
        """Ctrl-C in a terminal: as gentle as TERM; a second one forces the end."""
        raise StopIteration

    def handle_quit(self) -> None:
        self._forced_by = signal.SIGQUIT
        raise StopIteration

    def handle_usr1(self) -> None:
        reopen_logs()
        self.kill_workers(signal.SIGUSR1)

    def handle_winch(self) -> None:
        """Without a terminal, whose windows change their size: let the workers go, but listen on."""
        if os.isatty(0):
            return
        self.num_workers = 0
        log.info("no more workers until SIGHUP or SIGTTIN")

    def kill_workers(self, sig: int) -> None:
        """To all that can hear it: a worker dies of USR1 and USR2 before it serves."""
        for worker in self._by_age():
            booting = worker.state < SERVING
            if booting and sig == signal.SIGUSR2:
                self.kill_worker(worker.pid, signal.SIGTERM)
            elif not (booting and sig == signal.SIGUSR1):
                self.kill_worker(worker.pid, sig)

    def reexec(self) -> None:
        """USR2: start the same command anew, with our sockets, beside this one."""
        self.cfg.env_orig[_INHERITED] = self.sockets.bequeath()
        for name in _OURS_ALONE:
            self.cfg.env_orig.pop(name, None)
        try:
            super().reexec()
        except OSError as error:
            log.error("the next version did not start: %s", error)
            if os.getpid() != self._owner:
                os._exit(1)
        finally:
            self.sockets.keep()

    def maybe_promote_master(self) -> None:
        was = self.master_pid
        super().maybe_promote_master()
        if was and not self.master_pid:
            self._say_ready()

    # The end.

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        """Stop the workers and end this process."""
        if not self.master_pid:
            self._notifier.stopping()
        self.stop()
        self._remove_pidfile()
        raise SystemExit(exit_status or (128 + self._forced_by if self._forced_by else 0))

    def stop(self, graceful: bool = True) -> None:
        """End all workers: by what they are doing, or at once after a signal to hurry; then by force."""
        now = time.monotonic()
        give_up_at = now + (self.settings.drain_delay if self._is_up else 0.0)
        limit = give_up_at + self.settings.graceful_timeout + SITE_STOP_S + MARGIN_S
        if self._forced_by or not graceful:
            give_up_at, limit = now, now + FORCED_STOP_S
        elif not self._is_up:
            limit = now + FORCED_STOP_S
        # After USR2 the next version has taken over.
        number = signal.SIGQUIT if self._forced_by else signal.SIGUSR2 if self.reexec_pid else signal.SIGTERM
        for worker in self._by_age():
            worker.is_leaving = True
            worker.was_booting = worker.was_booting or worker.state < SERVING
        self.kill_workers(number)
        repeat_at = now + REPEAT_S
        while self.WORKERS and now < limit:
            if now >= give_up_at:
                self._give_up_sockets()
            if now >= repeat_at and not self._forced_by:
                repeat_at = now + REPEAT_S
                self._repeat()
            try:
                came = self.SIG_QUEUE.get(timeout=0.1)
            except queue.Empty:
                came = 0
            if came in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT) and not self._forced_by:
                self._forced_by = came
                give_up_at, limit = now, now + FORCED_STOP_S + 1.0
                self.kill_workers(signal.SIGQUIT)
            self.reap_workers()
            now = time.monotonic()
        self._give_up_sockets()
        if self.WORKERS:
            log.warning("%d workers did not end and were killed", len(self.WORKERS))
        self.kill_workers(signal.SIGKILL)
        while self.WORKERS:
            self.reap_workers()
            time.sleep(0.01)

    def _give_up_sockets(self) -> None:
        self.LISTENERS = []
        self.sockets.close(release=self.reexec_pid == 0 and self.master_pid == 0)

    def _remove_pidfile(self) -> None:
        if self.pidfile is not None and os.getpid() == self._owner:
            self.pidfile.unlink()

    def signal(self, sig: int, frame: FrameType | None) -> None:
        """Queue it; in a worker that was just forked it is not for us."""
        if os.getpid() == self._owner:
            super().signal(sig, frame)
        elif sig in (signal.SIGTERM, signal.SIGQUIT):
            os._exit(0)


def _create_pidfile(path: str, pid: int) -> Pidfile:
    """gunicorn's, which can be renamed when another arbiter takes over (USR2); PidfileProblem."""
    file = Pidfile(path)
    try:
        file.create(pid)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise PidfileProblem(f"cannot write the pidfile {path!r}: {reason}") from error
    except RuntimeError as error:  # it names a process that runs, or its directory is missing
        raise PidfileProblem(str(error)) from error
    return file


def is_successor() -> bool:
    """Was this process started by another arbiter (USR2), in the background already?"""
    return _PREDECESSOR in os.environ
