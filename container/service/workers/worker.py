"""A worker of `container --workers`: what the settings mean to it, and how it is seen from the arbiter."""

from __future__ import annotations

import logging
import os
import signal
import time
import traceback
from typing import TYPE_CHECKING, Any

from container.service.logs import complain, say
from container.service.loop import EXIT_START_FAILED, EXIT_USAGE
from container.service.notify import set_title
from container.service.reload import SETTLED_S, NotLoaded, stand_in
from container.service.worker import RETIRING, ServingWorker

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from container.service.application import Application
    from container.service.workers.settings import WorkerSettings

log = logging.getLogger("container.workers")


class ArbitratedWorker(ServingWorker):
    """Made in the arbiter, which keeps its notes in it; run in a process of its own."""

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
        # Does it write to files that have been put away?
        self.has_old_logs = False
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
        """Who is told to end meanwhile ends at once: nobody has asked it for anything."""
        before = signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        try:
            return self._load_or_stand_in()
        finally:
            signal.signal(signal.SIGTERM, before)

    def _load_or_stand_in(self) -> Application:
        try:
            return self._load()
        except NotLoaded as problem:
            if self.app.settings.watch is None or (problem.code == EXIT_USAGE and self.age == 1):
                raise  # nothing has been served yet, and the command line is not watched
            return self._instead(problem.text)

    def _load(self) -> Application:
        application: Application = self.app.wsgi()
        known = self.app.sockets.endpoints
        wanted = [tuple(each.endpoints) for each in application.bindings]
        if list(map(len, wanted)) != list(map(len, known)):
            text = "expected the sites and addresses the service was started with, got others: restart it"
            complain(text)
            raise NotLoaded(EXIT_START_FAILED, text)
        if wanted != [tuple(each) for each in known]:
            log.warning("addresses do not change before a restart")
        return application

    # For development: what is wrong is shown until it is mended.

    def stand_in(self, failure: BaseException) -> Application | None:
        if self.app.settings.watch is None:
            return None
        return self._instead("".join(traceback.format_exception(failure)))

    def _instead(self, text: str) -> Application:
        # A file may have been read while it was being written: then another change comes at once.
        until = time.monotonic() + SETTLED_S
        while time.monotonic() < until:
            if not self.alive:
                raise SystemExit(0)
            time.sleep(0.01)
        say("container: waiting for a change")
        return stand_in(text, self.app.sockets.endpoints)

    def shared_sockets(self) -> Iterable[tuple[int, int, socket.socket]]:
        sockets: list[tuple[int, int, socket.socket]] = self.app.sockets.sockets
        return sockets

    def serving(self) -> None:
        set_title(f"{self.app.settings.process_name}: worker")
        self.app.settings.on_serving()
        super().serving()
