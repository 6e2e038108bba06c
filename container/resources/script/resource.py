"""Scripts as resources: one file, a directory of them, and what `Files` needs to run them.

Finding files is done here, running them in `runner.py`.
"""

import asyncio
import os
from inspect import isawaitable
from os import PathLike
from typing import Protocol

from container.message.errors import HTTPError, StartProblem
from container.message.request import Request
from container.message.response import Response
from container.resources.script.page import Page
from container.resources.script.registry import Registry
from container.resources.script.runner import Scripts, start_all, stop_all, to_be_started
from container.tree.resource import Answer, Resource
from container.tree.traverse import render_below

# The lives of what a script makes for one request end here; the loop keeps only weak references to tasks.
_ending: set[asyncio.Task[None]] = set()


class _Runs(Resource):
    """What runs scripts, by Scripts that were given, shared with others, or by its own."""

    def __init__(self, path: str | PathLike[str], scripts: Scripts | None = None) -> None:
        self.path = os.path.abspath(path)
        self.scripts = scripts if scripts is not None else Scripts()

    @property
    def registry(self) -> object:
        """What the scripts find under that name."""
        return self.scripts.registry

    async def start(self) -> None:
        await self.scripts.start()

    async def stop(self) -> None:
        await self.scripts.stop()


class ResourceScript(_Runs):
    """A file that binds `resource`, run for every request that reaches it; the rest of the path is looked up in
    what it has bound. An edited file counts from the next request on.

    The script finds `__file__`, `registry` and two functions: `cache()` ends the run when the file has not
    changed since its resource was kept, and keeps it otherwise; `recache()` keeps what this run makes.
    A resource that is not kept lives for one request: it is started before and stopped after it.
    """

    is_leaf = True

    async def render(self, request: Request) -> Answer:
        resource, kept = await self.scripts.resource(self.path, request.exchange)
        if not kept and to_be_started(resource):
            await start_all(resource)
            request.exchange.on_close(lambda error: _end(resource))
        if _is_root(resource, request):
            request.consumed = len(request.raw_path)
        answer = render_below(resource, request)
        if isawaitable(answer):
            answer = await answer
        return answer


class PageScript(_Runs):
    """A file that writes its answer: run for every request with `request`, `registry` and `__file__`.

    `request.write(text)` adds to the page, which leaves when the script has ended: with 500 instead of it
    when the script raised.
    """

    is_leaf = True

    async def render(self, request: Request) -> Response:
        if not request.body.complete:
            await request.exchange.complete()
        page = Page(request)
        await self.scripts.page(self.path, request.exchange, page)
        return page.answer()


class ScriptDirectory(_Runs):
    """Every file of a directory, and of those below it, is a resource script, whatever its extension.

    No listing, no index. Names that begin with a dot or end with `~`, and what Python keeps in
    `__pycache__`, are not found.
    """

    def child(self, name: str, request: Request) -> Resource | None:
        if (
            not name
            or "/" in name
            or "\0" in name
            or name[0] == "."
            or name[-1] == "~"
            or name == "__pycache__"
        ):
            return None
        path = os.path.join(self.path, name)
        try:
            if os.path.isdir(path):
                return ScriptDirectory(path, self.scripts)
            return ResourceScript(path, self.scripts) if os.path.isfile(path) else None
        except ValueError:  # a name that this file system cannot hold
            return None

    def render(self, request: Request) -> Answer:
        raise HTTPError(404)

    async def start(self) -> None:
        """Raises StartProblem when there is no directory."""
        if not os.path.isdir(self.path):
            raise StartProblem(f"expected a directory of scripts, got {self.path!r}")
        await super().start()


class Tree(Protocol):
    """What finds scripts among other files, `Files` for example. `registry`: what processed files share."""

    registry: dict[object, object]


class ScriptProcessor:
    """Makes the resources of scripts among files; the tree's registry is the scripts'. Stops what runs them."""

    def __init__(self, kind: type[ResourceScript | PageScript], request_timeout: float | None) -> None:
        self._kind = kind
        self._timeout = request_timeout
        self._made: list[Scripts] = []

    def __call__(self, path: str, files: Tree) -> Resource:
        scripts = files.registry.get(Scripts)
        if not isinstance(scripts, Scripts):
            scripts = Scripts(Registry(files.registry), request_timeout=self._timeout)
            files.registry[Scripts] = scripts
            self._made.append(scripts)
        return self._kind(path, scripts)

    async def start(self) -> None:
        """Scripts are run by what the first one makes."""

    async def stop(self) -> None:
        for scripts in self._made:
            await scripts.stop()


def script_processors(*, request_timeout: float | None = None) -> dict[str, ScriptProcessor]:
    """For `Files("public", processors=script_processors())`: what runs .rpy and .epy files. `request_timeout` as of
    Scripts."""
    return {
        ".rpy": ScriptProcessor(ResourceScript, request_timeout),
        ".epy": ScriptProcessor(PageScript, request_timeout),
    }


def _is_root(resource: Resource, request: Request) -> bool:
    """The script is the site, its `/` was asked for, and what it has bound knows of no children."""
    return (
        request.consumed == request.base
        and request.raw_path[request.base :] == b"/"
        and not resource.is_leaf
        and not resource.is_transparent
        and not resource.children
        and type(resource).child is Resource.child
    )


def _end(resource: Resource) -> None:
    task = asyncio.get_running_loop().create_task(stop_all(resource))
    _ending.add(task)
    task.add_done_callback(_ending.discard)
