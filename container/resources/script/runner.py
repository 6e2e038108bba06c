"""Loading and running script files: compiled once a version of the file, run once a request, in a thread.

A thread, because a script is anybody's code and may block: it must not stall what the loop serves besides. A
script never runs beside itself, so what it keeps in the registry needs no lock; others run meanwhile. One that
takes too long is answered for, but not run again until it has come back.
"""

import asyncio
import errno
import logging
import os
from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any, Final

from container.message.errors import HTTPError
from container.message.exchange import Exchange
from container.resources.deadlines import Deadline, Deadlines
from container.resources.pool import Call, ThreadPool
from container.resources.script.registry import Registry
from container.tree.pages import ErrorPage
from container.tree.resource import Resource

log = logging.getLogger("container.script")

# A real module, so that a dataclass in a script finds its own.
MODULE_NAME: Final = "container.resources.script"
_MISSING: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL})
_RETRY: Final = {"Retry-After": "1"}


class ScriptProblem(Exception):
    """A script did not do what is expected of one; the message says what."""


class _AlreadyCached(BaseException):
    """Ends the run of a script whose resource is kept. No Exception, so that no script catches it."""


class _File:
    """A script file: its code as of `version`, and the resource it wants to keep."""

    __slots__ = ("cached", "code", "lock", "path", "version")

    def __init__(self, path: str) -> None:
        self.path = path
        self.lock = asyncio.Lock()
        self.version: tuple[int, ...] = ()
        self.code: CodeType | None = None
        self.cached: Resource | None = None

    def load(self) -> CodeType:
        """The code of what the file says now; what an older version kept is forgotten."""
        status = os.stat(self.path)
        version = (status.st_mtime_ns, status.st_ino, status.st_dev, status.st_size)
        if self.code is None or version != self.version:
            self.code = self.cached = None
            with open(self.path, "rb") as file:
                status = os.fstat(file.fileno())
                source = file.read()
            self.code = compile(source, self.path, "exec", dont_inherit=True)
            self.version = (status.st_mtime_ns, status.st_ino, status.st_dev, status.st_size)
        return self.code


class _Run(Call[Any]):
    """One run of a file for one exchange, which may have a deadline."""

    __slots__ = ("_deadlines", "deadline", "exchange")

    def __init__(
        self, scripts: "Scripts", exchange: Exchange, function: Callable[..., Any], *arguments: Any
    ) -> None:
        super().__init__(scripts.pool, asyncio.get_running_loop().create_future(), function, *arguments)
        self.exchange = exchange
        self.deadline: Deadline | None = None
        self._deadlines = scripts.deadlines
        self._deadlines.watch(self)

    def run(self) -> None:
        if self.deadline is None:
            super().run()
        elif self.deadline.begin():
            self.perform()
            self.replaced = self.deadline.finish()
            self._pool.deliver(self)

    def delivered(self) -> None:
        self._deadlines.forget(self)
        super().delivered()

    def give_up(self) -> None:
        """It has been answered for. One that runs is waited for: nobody else may run it meanwhile."""
        if self.deadline is not None and not self.deadline.thread and not self.future.done():
            self.future.set_exception(HTTPError(504))


class Scripts:
    """Runs the scripts of one tree and holds what they share.

    `threads`: how many scripts run at a time. The threads are made when the first script runs; `stop` ends
    them, and what scripts have kept. `request_timeout`: seconds that a run may take, waiting included, None for no
    limit; then the client gets a 504 at once, the stack of the stuck thread goes to the log and another thread
    takes its place.
    """

    def __init__(
        self, registry: Registry | None = None, *, threads: int = 4, request_timeout: float | None = None
    ) -> None:
        self.registry = registry if registry is not None else Registry()
        self.pool = ThreadPool(threads, name="script")
        self.deadlines = Deadlines(self.pool, request_timeout, log)
        self._started = False
        self._users = 0
        self._files: dict[str, _File] = {}
        self._stopping: set[asyncio.Task[None]] = set()

    async def resource(self, path: str, exchange: Exchange) -> tuple[Resource, bool]:
        """Run a resource script for `exchange`: what it bound to `resource`, and whether that is kept for later
        requests.

        Raises what the script raises, ScriptProblem when it bound no resource, HTTPError: 404 without a file.
        """
        file = self._file(path)
        run = _Run(self, exchange, _run_resource, file, self.registry)
        async with file.lock:
            before = file.cached
            try:
                found, kept = await self._perform(run, file)
            finally:
                if before is not None and before is not file.cached:
                    self._dispose(before)
            if kept and found is not before:
                try:
                    await start_all(found)
                except BaseException:
                    file.cached = None
                    raise
            return found, kept

    async def page(self, path: str, exchange: Exchange, request: object) -> None:
        """Run a page script for `exchange`, with `request`. Raises what the script raises, HTTPError: 404 without a
        file."""
        file = self._file(path)
        run = _Run(self, exchange, _run_page, file, self.registry, request)
        async with file.lock:
            await self._perform(run, file)

    async def start(self) -> None:
        self._users += 1

    async def stop(self) -> None:
        """When the last user stops, or one that came late: end the threads and what is kept."""
        self._users -= 1
        if self._users > 0 or not self._started:
            return
        self._started = False
        files, self._files = self._files, {}
        for file in files.values():
            if file.cached is not None:
                await stop_all(file.cached)
        if self._stopping:
            await asyncio.gather(*self._stopping)
        self.deadlines.stop()
        await self.pool.stop()
        await self.registry.close()

    def _file(self, path: str) -> _File:
        file = self._files.get(path)
        if file is None:
            file = self._files[path] = _File(path)
        return file

    async def _perform(self, run: _Run, file: _File) -> Any:
        if not self._started:
            self.pool.start()
            self.registry.open()
            self._started = True
        if not run.future.done() and not self.pool.submit(run):
            self.deadlines.forget(run)
            raise HTTPError(503, headers=_RETRY)
        try:
            return await run.future
        except OSError as error:
            if error.filename != file.path:  # the script's own
                raise
            self._files.pop(file.path, None)
            file.cached = None
            if error.errno in _MISSING:
                raise HTTPError(404) from error
            if error.errno in (errno.EACCES, errno.EPERM):
                raise HTTPError(403) from error
            raise

    def _dispose(self, resource: Resource) -> None:
        """Stop what a newer version has replaced, beside the requests that it still answers."""
        task = asyncio.get_running_loop().create_task(stop_all(resource))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)


# In a thread.


def _run_resource(file: _File, registry: Registry) -> tuple[Resource, bool]:
    code = file.load()
    keeps = False

    def recache() -> None:
        nonlocal keeps
        keeps = True

    def cache() -> None:
        if file.cached is not None:
            raise _AlreadyCached
        recache()

    unbound: Resource = ErrorPage(500)
    names: dict[str, Any] = {
        "__name__": MODULE_NAME,
        "__file__": file.path,
        "registry": registry,
        "cache": cache,
        "recache": recache,
        "resource": unbound,
    }
    try:
        exec(code, names)
    except _AlreadyCached:
        assert file.cached is not None, "only then it is raised"
        return file.cached, True
    found = names.get("resource")
    if found is unbound:
        raise ScriptProblem(
            f'expected {file.path} to bind "resource" as in resource = Hello(), got no such name'
        )
    if not isinstance(found, Resource):
        got = f'class {found.__name__!r} (add "()"?)' if isinstance(found, type) else type(found).__name__
        raise ScriptProblem(f'expected {file.path} to bind "resource" to a Resource, got {got}')
    if keeps:
        file.cached = found
    return found, keeps


def _run_page(file: _File, registry: Registry, request: object) -> None:
    code = file.load()
    exec(
        code,
        {"__name__": MODULE_NAME, "__file__": file.path, "registry": registry, "request": request},
    )


# The lives of what scripts make.


def to_be_started(resource: Resource) -> list[Resource]:
    """What of `resource` and all that is mounted below it has something to do before its first request."""
    every: Iterable[Resource] = dict.fromkeys([resource, *(below for _, below in resource.walk())])
    return [each for each in every if type(each).start is not Resource.start]


async def start_all(resource: Resource) -> None:
    """Start `resource` and all below it; those started are stopped when one fails."""
    started: list[Resource] = []
    try:
        for each in to_be_started(resource):
            await each.start()
            started.append(each)
    except BaseException:
        for each in reversed(started):
            await _stop(each)
        raise


async def stop_all(resource: Resource) -> None:
    """Stop what `start_all` has started."""
    for each in reversed(to_be_started(resource)):
        await _stop(each)


async def _stop(resource: Resource) -> None:
    try:
        await resource.stop()
    except Exception:  # foreign code
        log.exception("%r did not stop cleanly", resource)
