"""Scripts in the tree: one of them, or a directory of them (RFC 3875 3.3).

A path is cut into names by the rules of `tree/traverse.py`, each name decoded by itself; what a directory
holds is looked at anew for every request.
"""

import os
import stat
from collections.abc import Sequence
from os import PathLike
from typing import Final, Protocol, Unpack
from urllib.parse import unquote_to_bytes

from container.message.errors import HTTPError, StartProblem
from container.message.exchange import Exchange
from container.message.request import Request
from container.message.response import Response
from container.protocol.cgi import script_url
from container.resources.cgi.call import CGICall, fail
from container.resources.cgi.gateway import Gateway, GatewayOptions
from container.resources.cgi.script import Interpreter, Script
from container.tree.resource import Resource
from container.tree.site import slash_redirect

_EXECUTABLE: Final = 0o111
_PYTHON: Final = b"python"
_KNOWN_MAX: Final = 256


class _Scripts(Resource):
    """What runs scripts by a gateway: one that was given, shared with others, or one of its own."""

    is_leaf = True
    _is_among_files = True  # and has its name from them, not from its place in the tree

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        root: str | PathLike[str] | None,
        gateway: Gateway | None,
        options: GatewayOptions,
    ) -> None:
        if gateway is not None and options:
            raise TypeError(f"expected a gateway or its options, got both: {', '.join(options)}")
        self.path = os.path.abspath(path)
        self.gateway = gateway or Gateway(**options)
        self._raw = os.fsencode(self.path)
        self._root = os.fsencode(os.path.abspath(root)) if root is not None else b""
        # Which files are Python's, by path: what a file was when it was looked at, and the verdict.
        self._pythons: dict[bytes, tuple[int, int, bool]] = {}

    def _run(
        self,
        request: Request,
        path: bytes,
        status: os.stat_result,
        end: int,
        interpreter: Interpreter | None = None,
    ) -> Exchange:
        """Run the script at `path`, which the raw path names up to `end`. Raises HTTPError."""
        if interpreter is None:
            interpreter = self.gateway.interpreters.get(os.fsdecode(os.path.splitext(path)[1]).lower())
        if interpreter is None and not status.st_mode & _EXECUTABLE:
            raise HTTPError(403, "This file is no script that can be run.")
        request.consumed = end
        script = Script(
            path,
            script_url(request.raw_path[:end], path) if self._is_among_files else request.raw_path[:end],
            request.raw_path[end:],
            root=self._root,
            interpreter=interpreter,
            is_warm=self.gateway.is_warm and interpreter is None and self._is_python(path, status),
        )
        exchange = request.exchange
        call = CGICall(self.gateway, script, exchange)
        body = request.body
        if body.complete or (body.length is not None and not body.is_kept):
            self.gateway.submit(call)
        else:
            exchange.when_complete(lambda: self._submit_late(call))
        return exchange

    def _submit_late(self, call: CGICall) -> None:
        """The content has come, and its length is known: there is no caller any more to answer for an error."""
        try:
            self.gateway.submit(call)
        except Exception as error:  # noqa: BLE001  # whatever it is, the client gets an answer
            fail(call.exchange, error)

    def _is_python(self, path: bytes, status: os.stat_result) -> bool:
        """Does the file's first line name a Python? Remembered as long as the file stays what it is."""
        known = self._pythons.get(path)
        if known is not None and known[:2] == (status.st_mtime_ns, status.st_ino):
            return known[2]
        try:
            with open(path, "rb") as file:
                line = file.readline(256)
        except OSError:
            line = b""
        verdict = line.startswith(b"#!") and _PYTHON in line
        if len(self._pythons) >= _KNOWN_MAX:
            self._pythons.clear()
        self._pythons[path] = status.st_mtime_ns, status.st_ino, verdict
        return verdict

    async def start(self) -> None:
        if not os.path.exists(self.path):
            raise StartProblem(f"expected scripts at {self.path!r}: nothing is there")
        self.gateway.start()

    async def stop(self) -> None:
        await self.gateway.stop()


class CGIScript(_Scripts):
    """One script; the rest of the path is its PATH_INFO.

    `interpreter`: what runs it, a program or the first words of its command line. `root`: the directory that
    PATH_TRANSLATED is below. `gateway`, or the options of one: what holds for the run.
    """

    _is_among_files = False

    def __init__(
        self,
        path: str | PathLike[str],
        interpreter: str | Sequence[str] | None = None,
        *,
        root: str | PathLike[str] | None = None,
        gateway: Gateway | None = None,
        **options: Unpack[GatewayOptions],
    ) -> None:
        super().__init__(path, root=root, gateway=gateway, options=options)
        self._interpreter = self.gateway.interpreter(interpreter) if interpreter is not None else None

    def render(self, request: Request) -> Exchange:
        status = _stat(self._raw)
        if status is None or not stat.S_ISREG(status.st_mode):
            raise HTTPError(404)
        return self._run(request, self._raw, status, request.consumed, self._interpreter)


class CGIDirectory(_Scripts):
    """The scripts of a directory and of those below it; what follows a script's name is its PATH_INFO.

    Every file is taken for a script, nothing is ever listed, and names that begin with a dot are not there.
    `index`: names tried in order where the path names a directory. `root` and `gateway` as of CGIScript;
    without a `root` it is this directory.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        index: Sequence[str] = ("index.cgi",),
        root: str | PathLike[str] | None = None,
        gateway: Gateway | None = None,
        **options: Unpack[GatewayOptions],
    ) -> None:
        if isinstance(index, str) or any("/" in name or not name for name in index):
            raise ValueError(f"expected a list of file names as index, got {index!r}")
        super().__init__(path, root=path if root is None else root, gateway=gateway, options=options)
        self._index = [os.fsencode(name) for name in index]

    def render(self, request: Request) -> Exchange | Response:
        raw = request.raw_path
        path, at = self._raw, request.consumed
        while at < len(raw):
            end = raw.find(b"/", at + 1)
            if end < 0:
                end = len(raw)
            name = unquote_to_bytes(raw[at + 1 : end])
            if not name and end == len(raw):
                return self._run_index(request, path, at)
            if not is_name(name):
                raise HTTPError(404)
            path = path + b"/" + name
            status = _stat(path)
            if status is None:
                raise HTTPError(404)
            if stat.S_ISREG(status.st_mode):
                return self._run(request, path, status, end)
            if not stat.S_ISDIR(status.st_mode):
                raise HTTPError(404)
            at = end
        if raw.endswith(b"/"):
            return self._run_index(request, path, len(raw) - 1)
        if self._find_index(path) is None:
            raise HTTPError(404)
        return slash_redirect(request)

    def _run_index(self, request: Request, directory: bytes, end: int) -> Exchange:
        """The script of a directory, which the path names with its trailing slash."""
        found = self._find_index(directory)
        if found is None:
            raise HTTPError(404)
        return self._run(request, *found, end + 1)

    def _find_index(self, directory: bytes) -> tuple[bytes, os.stat_result] | None:
        for name in self._index:
            path = directory + b"/" + name
            status = _stat(path)
            if status is not None and stat.S_ISREG(status.st_mode):
                return path, status
        return None


class _FoundScript(CGIScript):
    """A script that was found among files."""

    _is_among_files = True


class Tree(Protocol):
    """What finds scripts among other files, `Files` for example; `path` is where they are."""

    path: str


class CGIProcessor:
    """For `Files(processors={".cgi": CGIProcessor()})`: files of an extension are scripts, wherever they are.

    `gateway`, or the options of one, as of CGIScript.
    """

    def __init__(self, gateway: Gateway | None = None, **options: Unpack[GatewayOptions]) -> None:
        self.gateway = gateway or Gateway(**options)

    def __call__(self, path: str, files: "Tree | None" = None) -> Resource:
        return _FoundScript(path, root=files.path if files is not None else None, gateway=self.gateway)

    async def start(self) -> None:
        self.gateway.start()

    async def stop(self) -> None:
        await self.gateway.stop()


def is_name(name: bytes) -> bool:
    """Can a decoded segment of a path be the name of a file that is shown?"""
    return bool(name) and not name.startswith(b".") and b"/" not in name and b"\0" not in name


def _stat(path: bytes) -> os.stat_result | None:
    try:
        return os.stat(path)
    except PermissionError as error:
        raise HTTPError(403) from error
    except (OSError, ValueError):
        return None
