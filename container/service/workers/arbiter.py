"""The process that owns the sockets and looks after the workers: gunicorn's Arbiter, with other ends.

Here: the life of that process, its signals, its children. Not here: who is started and who goes when
(succession.py); what goes to the next version (upgrade.py).
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

from container.service.logs import complain, reconfigure_logging, reopen_logs
from container.service.loop import EXIT_ERROR, EXIT_START_FAILED, FORCED_STOP_S, say_serving
from container.service.notify import Notifier, set_title
from container.service.server import SITE_STOP_S
from container.service.terminal import Terminal
from container.service.worker import SERVING
from container.service.workers.succession import Succession
from container.service.workers.upgrade import bequeath, create_pidfile, predecessor, take_over

if TYPE_CHECKING:
    from types import FrameType

    from container.service.workers.run import Loader
    from container.service.workers.worker import ArbitratedWorker

log = logging.getLogger("container.workers")

# What a worker needs beyond the time its requests and resources have.
MARGIN_S: Final = 2.0
# A signal that came while a worker was being forked is lost: it is said again.
REPEAT_S: Final = 1.0


class WorkersArbiter(Arbiter):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's main loop calls the methods below after every signal, and once a second."""

    def __init__(self, app: Loader) -> None:
        said = os.environ.get("SERVER_SOFTWARE")
        super().__init__(app)
        if said is None:  # CGI scripts would think that gunicorn called them
            os.environ.pop("SERVER_SOFTWARE", None)
        else:
            os.environ["SERVER_SOFTWARE"] = said
        self.settings = app.settings
        self.sockets = app.sockets
        self.WORKERS: dict[int, ArbitratedWorker] = {}
        self.succession = Succession(self.WORKERS, is_hasty=app.settings.watch is not None)
        self.reexec_pid = 0
        self._is_up = False
        self._owner = os.getpid()
        self._forced_by = 0
        self._repeat_at = 0.0
        self._notifier = Notifier()
        self._terminal = Terminal()
        self._is_hung_up = False
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
        self.master_pid = predecessor()
        if self.master_pid:
            self.proc_name += ".2"
            self.master_name = "Master.2"
        if self.cfg.pidfile is not None:
            self.pidfile = create_pidfile(self.cfg.pidfile + (".2" if self.master_pid else ""), self.pid)
        try:
            if not take_over(self.sockets):
                self.sockets.open()
        except BaseException:
            self._remove_pidfile()
            raise
        self.LISTENERS = [sock for _, _, sock in self.sockets.sockets]
        self.init_signals()
        if self.settings.watch is not None:
            self.settings.watch.start(lambda: self.SIG_QUEUE.put_nowait(signal.SIGHUP))

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

    def _feed_watchdog(self, now: float) -> None:
        """systemd watches the arbiter only, which watches the workers; from READY on."""
        is_watched = self._notifier.watchdog_s is not None and self._is_up and not self.master_pid
        if is_watched and now >= self._feed_at:
            self._feed_at = now + (self._notifier.watchdog_s or 0.0) / 2
            self._notifier.feed()

    # Workers come and go.

    def manage_workers(self) -> None:
        """Let there be as many fresh workers as there shall be; end others as soon as those serve."""
        now = time.monotonic()
        self._terminal.look()
        self.succession.look_around()
        if not self._is_up and self.succession.serving():
            self._up()
        self._feed_watchdog(now)
        while self.succession.lacks_one(self.num_workers, now):
            try:
                self.spawn_worker()
            except OSError as error:  # no more files or processes
                self._cannot_start(error, now)
        for worker in self.succession.serving():
            if worker.has_old_logs:  # it was being started when they were opened again
                worker.has_old_logs = False
                self.kill_worker(worker.pid, signal.SIGUSR1)
        for worker in self.succession.dispensable(self.num_workers):
            self._dismiss(worker, signal.SIGUSR2 if worker.has_served else signal.SIGTERM)
        if now >= self._repeat_at:
            self._repeat_at = now + REPEAT_S
            self._repeat()

    def _cannot_start(self, error: OSError, now: float) -> None:
        """Those that serve are not to pay for it: try again later."""
        if not self._is_up:
            complain(f"start failed: no worker could be started: {error.strerror}")
            raise HaltServer(None, EXIT_ERROR)
        log.error(
            "a worker could not be started: %s; %d serve on", error.strerror, len(self.succession.serving())
        )
        self.succession.put_off(now)

    def _dismiss(self, worker: ArbitratedWorker, number: int) -> None:
        worker.is_leaving = True
        worker.was_booting = worker.state < SERVING
        self.kill_worker(worker.pid, number)

    def _repeat(self) -> None:
        """A process that was just forked forgets signals, and may have come to serve since."""
        for worker in self.succession.by_age():
            if worker.is_leaving and worker.was_booting:
                self.kill_worker(worker.pid, signal.SIGTERM)

    def reload(self) -> None:
        """HUP: replace all workers by others that import the application anew."""
        self._stats["reloads"] += 1
        self.num_workers = self.cfg.workers
        reconfigure_logging(self.settings.logs)
        reopen_logs()
        for worker in self.succession.outdate():
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

    def _ended(self, worker: ArbitratedWorker, code: int) -> None:
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
        if not self._is_up:
            if code <= 0:  # else it has said why
                complain(f"start failed: the first worker ended: {reason}")
            raise HaltServer(None, code if code > 0 else EXIT_START_FAILED)
        self.succession.fail(time.monotonic())
        serving = len(self.succession.serving())
        log.error("worker %s did not start: %s; %d serve on", worker.pid, reason, serving)

    # Signals.

    def signal(self, sig: int, frame: FrameType | None) -> None:
        """Queue it; in a worker that was just forked it is not for us. The service ends with its terminal."""
        if os.getpid() == self._owner:
            if sig == signal.SIGHUP and not self._is_hung_up and self._terminal.has_hung_up():
                self._is_hung_up = True  # a terminal may tell more than once
                sig = signal.SIGTERM
            super().signal(sig, frame)
        elif sig in (signal.SIGTERM, signal.SIGQUIT):
            os._exit(0)

    def handle_int(self) -> None:
        """Ctrl-C in a terminal: as gentle as TERM; a second one forces the end."""
        raise StopIteration

    def handle_quit(self) -> None:
        self._forced_by = signal.SIGQUIT
        raise StopIteration

    def handle_usr1(self) -> None:
        reopen_logs()
        for worker in self.succession.by_age():
            worker.has_old_logs = worker.state < SERVING
        self.kill_workers(signal.SIGUSR1)

    def handle_winch(self) -> None:
        """Without a terminal, whose windows change their size: let the workers go, but listen on."""
        if os.isatty(0):
            return
        self.num_workers = 0
        log.info("no more workers until SIGHUP or SIGTTIN")

    def kill_workers(self, sig: int) -> None:
        """To all that can hear it: a worker dies of USR1 and USR2 before it serves."""
        for worker in self.succession.by_age():
            booting = worker.state < SERVING
            if booting and sig == signal.SIGUSR2:
                self.kill_worker(worker.pid, signal.SIGTERM)
            elif not (booting and sig == signal.SIGUSR1):
                self.kill_worker(worker.pid, sig)

    def reexec(self) -> None:
        """USR2: start the same command anew, with our sockets, beside this one."""
        bequeath(self.sockets, self.cfg.env_orig)
        try:
            super().reexec()
        except OSError as error:
            log.error("the next version did not start: %s", error)
            if os.getpid() != self._owner:
                os._exit(1)
        finally:
            self.sockets.keep()

    def will_execute(self) -> None:
        """In the process that becomes the next version: what it would not find as this one did."""
        if self._terminal.is_outlived:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def maybe_promote_master(self) -> None:
        was = self.master_pid
        super().maybe_promote_master()
        if was and not self.master_pid:
            set_title(f"{self.proc_name}: arbiter")
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
        for worker in self.succession.by_age():
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
