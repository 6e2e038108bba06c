"""Development: noticing that source files change, and what stands in for an application that is broken meanwhile.

Needs watchfiles. Not here: who is started and ended when a file has changed (workers.py).
"""

from __future__ import annotations

import asyncio
import fnmatch
import importlib.util
import logging
import os
import threading
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from container.channel.endpoints import is_loopback
from container.message.negotiation import preferred_type
from container.message.response import HTML, Response
from container.service.application import Application
from container.service.visitors import is_from_here
from container.tree.pages import page
from container.tree.resource import Resource
from container.tree.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from container.channel.endpoints import Endpoint
    from container.message.request import Request

log = logging.getLogger("container.reload")

WATCHED: Final = ("*.py", "*.tac", "*.rpy", "*.epy", "*.toml", "*.env")
# Directories that change without anybody having written in them.
PASSED_OVER: Final = ("__pycache__", "site-packages", "node_modules")
# Files that change at one time are one change.
QUIET_S: Final = 0.05
BUSY_MS: Final = 1_600
# By then a change that belongs to the last one has come to its worker, too.
SETTLED_S: Final = 0.3
# So many files are named in the log when many have changed.
NAMED_MAX: Final = 3
# To look at all the directories once.
READY_S: Final = 10.0


class ReloadProblem(ValueError):
    """Files cannot be watched. The message is one line."""


class NotLoaded(SystemExit):
    """There is no application, and why has been said; `text` is that again, for a page."""

    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(code)
        self.text = text


def can_watch() -> bool:
    return importlib.util.find_spec("watchfiles") is not None


def check_reload() -> None:
    """ReloadProblem, unless files can be watched."""
    if not can_watch():
        raise ReloadProblem(
            'expected watchfiles to be installed for --reload: pip install "container-server[reload]"'
        )


@dataclass(frozen=True, slots=True)
class Watch:
    """Which files matter: those below `directories` that match one of WATCHED or `include`, none of `exclude`.

    Patterns are those of a shell, for the name of a file or its path below the directory; one without wildcards
    that names a directory means all below it. Nothing in hidden directories and those that are PASSED_OVER
    matters, unless `include` says so. `quiet` seconds without a further change end a change.
    """

    directories: Sequence[str] = (".",)
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    files: Sequence[str] = ()
    quiet: float = QUIET_S

    def check(self) -> None:
        """ReloadProblem for what is not there."""
        for name in self.directories:
            if not os.path.isdir(name):
                raise ReloadProblem(f"expected a directory for --reload-dir, got {name!r}")
        for name in self.files:
            if not os.path.isfile(name):
                raise ReloadProblem(f"expected a file for --reload-extra-file, got {name!r}")

    def matters(self, path: str) -> bool:
        """Is a change of the file at `path`, which is absolute, one of the application?"""
        if path in map(os.path.abspath, self.files) or path in map(os.path.realpath, self.files):
            return True
        # Some systems tell of files by the paths they were asked for, some without symbolic links.
        places = {spell(each) for each in self.directories for spell in (os.path.abspath, os.path.realpath)}
        below = [os.path.relpath(path, each) for each in places]
        names = [each for each in below if not each.startswith(os.pardir + os.sep)]
        if not names or _matches(names, self.exclude):
            return False
        if _matches(names, self.include):
            return True
        parts = min(names, key=len).split(os.sep)
        hidden = any(each.startswith(".") or each in PASSED_OVER for each in parts if each != ".env")
        return not hidden and _matches(names, WATCHED)

    def start(self, changed: Callable[[], object]) -> Watching:
        """Call `changed`, in a thread of its own, whenever something has changed from now on."""
        watching = Watching()
        threading.Thread(target=self._watch, args=(changed, watching), name="reload", daemon=True).start()
        watching.ready.wait(READY_S)
        return watching

    def _watch(self, changed: Callable[[], object], watching: Watching) -> None:
        import watchfiles

        places = {os.path.abspath(each) for each in self.directories}
        places |= {os.path.dirname(os.path.abspath(each)) for each in self.files}
        try:
            for changes in watchfiles.watch(
                *sorted(places),
                watch_filter=lambda _, path: self.matters(path),
                step=round(self.quiet * 1000),
                debounce=max(BUSY_MS, round(self.quiet * 2000)),
                stop_event=watching,
                ignore_permission_denied=True,
            ):
                log.info("changed: %s", _listed({path for _, path in changes}))
                changed()
        except OSError as error:  # too many directories for the system, most often
            log.error("files are not watched any more: %s", error)
        finally:
            watching.ready.set()


class Watching:
    """What watchfiles asks whether to go on, for the first time when all directories are watched."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self._is_over = False

    def is_set(self) -> bool:
        self.ready.set()
        return self._is_over

    def stop(self) -> None:
        self._is_over = True


def _listed(paths: set[str]) -> str:
    names = sorted(map(os.path.relpath, paths))
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return ", ".join(names[:NAMED_MAX]) + more


def _matches(names: Sequence[str], patterns: Sequence[str]) -> bool:
    for pattern in patterns:
        pattern = os.path.normpath(pattern)
        for name in names:
            if fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(os.path.basename(name), pattern):
                return True
            if name.startswith(pattern + os.sep):
                return True
    return False


# Standing in.

_EVENTS: Final = "text/event-stream"
# The stream of events ends with this process: then another one answers.
_SCRIPT: Final = "new EventSource(location.href).onerror = () => location.reload()"


def stand_in(text: str, endpoints: Sequence[Sequence[Endpoint]]) -> Application:
    """An application that answers everything, wherever the other one would be, by what is wrong with that.

    Only those on this machine see `text`.
    """
    application = Application("broken")
    for each in endpoints:
        application.serve(Site(Broken(text if all(map(is_loopback, each)) else "")), *each)
    return application


class Broken(Resource):
    """503, with what is wrong for who is here; in a browser, until something has changed."""

    is_leaf = True

    def __init__(self, text: str) -> None:
        self._text = text
        self._over = asyncio.Event()

    def render(self, request: Request) -> Response:
        accept = request.headers.get("accept") or ""
        if accept == _EVENTS:
            return Response(self._wait(), content_type=_EVENTS)
        why = (self._text if is_from_here(request) else "") or "The log says why.\n"
        if "text/html" in accept and preferred_type(accept, ("text/html", "text/plain")) == "text/html":
            extra = f"<pre>{escape(why)}</pre>\n<script>{_SCRIPT}</script>\n"
            text = page(503, "The application does not start", "This page waits for a change.", extra=extra)
            response = Response(text, 503, content_type=HTML)
        else:
            response = Response(f"The application does not start.\n\n{why}", 503, content_type="text/plain")
        response.headers.set("Cache-Control", "no-store")
        return response

    async def _wait(self) -> AsyncIterator[bytes]:
        yield b": waiting\n\n"
        await self._over.wait()

    def drain(self) -> None:
        self._over.set()
