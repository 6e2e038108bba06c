"""Files: a directory tree, or one file, of the disk (RFC 9110 8.8, 13).

What a name may be is decided in `_below`, once: everything after works on bytes that are safe. The file is
opened first and asked afterwards, so what is served is what was looked at. Types are in `media_types.py`,
preconditions in `message/conditional.py`.
"""

import errno
import os
import stat
import time
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from email.utils import formatdate
from os import PathLike
from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

from container.message.conditional import evaluate, not_modified
from container.message.errors import HTTPError
from container.message.fields import Pair
from container.message.headers import Headers
from container.message.request import Request
from container.message.response import Response
from container.resources.media_types import content_type, media_types
from container.tree.resource import Answer, Resource
from container.tree.site import slash_redirect

# Files up to this size are read at once and leave in one write; larger ones in blocks of this size.
BLOCK: Final = 64 * 1024

# A fifo without writer must not stop the loop, a terminal must not become ours.
_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
# On the way to a file it is enough to pass through a directory: the right to list it is not needed.
_DIRECTORY: Final = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)

# Names that lead nowhere, names that this file system cannot hold, sockets and dead devices.
_MISSING: Final = frozenset({
    errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EILSEQ,
    errno.ENXIO, errno.ENODEV, errno.ESTALE,
})  # fmt: skip
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM})
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_RETRY: Final = {"Retry-After": "1"}

# Descriptor, what it is, and the path below the root that led there.
Opened: TypeAlias = tuple[int, os.stat_result, bytes]


class FileContent:
    """The content of an open file in blocks, as long as it was when it was opened. Owns `fd`.

    A file that has grown is cut at `size`; one that has shrunk raises EOFError, so that the client does not
    take it for complete.
    """

    __slots__ = ("_fd", "size")

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self.size = size

    def __iter__(self) -> Iterator[bytes]:
        at = 0
        while at < self.size:
            data = os.pread(self._fd, min(BLOCK, self.size - at), at)
            if not data:
                raise EOFError(f"expected {self.size} bytes in a file, got {at}: it has shrunk")
            at += len(data)
            yield data

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    # For the answers that never reach a channel: the client left, or a hook failed, before they were begun.
    __del__ = close


class Files(Resource):
    """The files below `path`, for GET and HEAD. A leaf; resources may be mounted in front of it.

    `index`: names tried in order for a directory; there are no listings: without an index it is 404.
    `types`: media types by extension, over the built-in table. `default_type`: of all other files; sent so
    that no browser guesses a better one. `not_found`: answers in place of the site's 404 page.
    `dotfiles`: also serve names that begin with a dot; `.well-known` always is (RFC 8615).
    `follow_symlinks`: symbolic links are followed, wherever they lead; False: none below `path` is.
    """

    is_leaf = True

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        index: Sequence[str] = ("index.html",),
        default_type: str = "application/octet-stream",
        types: Mapping[str, str] | None = None,
        not_found: Resource | Response | None = None,
        dotfiles: bool = False,
        follow_symlinks: bool = True,
    ) -> None:
        if isinstance(index, str) or any("/" in name or "\0" in name or not name for name in index):
            raise ValueError(f"expected a list of file names as index, got {index!r}")
        self.path = os.path.abspath(path)
        # Without the slash of "/" itself: every path below begins with one.
        self._root = os.fsencode(self.path).rstrip(b"/")
        self._index = [os.fsencode(name) for name in index]
        self._types = media_types(types)
        self._default_type = content_type(default_type)
        self._not_found = not_found
        self._dotfiles = dotfiles
        self._follow = follow_symlinks

    def get(self, request: Request) -> "Answer | Awaitable[Answer]":
        below = self._below(request)
        if below is None:
            return self._missing(request)
        try:
            opened = self._open_index(below) if below.endswith(b"/") else self._open(below)
        except OSError as error:
            return self._declined(request, below, error)
        if opened is None:
            return self._missing(request)
        fd, status, path = opened
        if stat.S_ISREG(status.st_mode):
            return self._send(request, FileContent(fd, status.st_size), status, path)
        os.close(fd)
        return slash_redirect(request) if stat.S_ISDIR(status.st_mode) else self._missing(request)

    # From a path to a file.

    def _below(self, request: Request) -> bytes | None:
        """The rest of the path as a path of the file system, or None for one that no file can have.

        Empty, or begins with a slash. Segments are decoded here, once, after they were split: what they
        then contain is part of a name.
        """
        here = request.raw_path[: request.consumed]
        rest = request.raw_path[request.consumed :]
        if not rest:
            return b"/" if here.endswith(b"/") else b""
        *above, last = rest[1:].split(b"/")
        names = [unquote_to_bytes(segment) for segment in (*above, last)]
        if not all(map(self._is_name, names if last else names[:-1])):
            return None
        return b"/" + b"/".join(names)

    def _is_name(self, name: bytes) -> bool:
        if not name or b"/" in name or b"\0" in name or name in (b".", b".."):
            return False
        if name[0] == 0x2E and not self._dotfiles and name != b".well-known":
            return False
        try:
            name.decode("utf-8")
        except UnicodeDecodeError:
            return False
        return True

    def _open_index(self, below: bytes) -> Opened | None:
        """The first index of the directory `below` that is a file."""
        for name in self._index:
            try:
                opened = self._open(below + name)
            except OSError as error:
                if error.errno not in _MISSING:
                    raise
                continue
            if stat.S_ISREG(opened[1].st_mode):
                return opened
            os.close(opened[0])
        return None

    def _open(self, below: bytes) -> Opened:
        if self._follow or not below:
            fd = os.open(self._root + below or b"/", _FILE)
        else:
            fd = self._open_confined(below)
        return fd, os.fstat(fd), below

    def _open_confined(self, below: bytes) -> int:
        """Open segment by segment, so that no link is followed even while somebody changes the tree."""
        *parents, name = below[1:].split(b"/")
        here = os.open(self._root or b"/", _DIRECTORY)
        try:
            for parent in parents:
                inner = os.open(parent, _DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
                os.close(here)
                here = inner
            return os.open(name, _FILE | os.O_NOFOLLOW, dir_fd=here)
        finally:
            os.close(here)

    # From a file to an answer.

    def _send(self, request: Request, content: FileContent, status: os.stat_result, path: bytes) -> Response:
        modified: int | None = int(status.st_mtime)
        if not 0 <= status.st_mtime <= time.time():
            # A date that is still to come is no validator (RFC 9110 8.8.2.1).
            modified = None
        etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        fields = self._fields(self._root + path, etag, modified)
        try:
            verdict = evaluate(request, etag=etag, last_modified=modified)
            if verdict == 304:
                return not_modified(Headers(fields))
            if verdict is not None:
                raise HTTPError(verdict)
            size = content.size
            if request.method == "HEAD":
                return Response(b"", 200, [*fields, ("Content-Length", str(size))])
            if size <= BLOCK:
                return Response(b"".join(content), 200, fields)
            answer = Response(content, 200, [*fields, ("Content-Length", str(size))])
        except BaseException:
            content.close()
            raise
        return answer

    def _fields(self, path: bytes, etag: str, modified: int | None) -> list[Pair]:
        extension = os.fsdecode(os.path.splitext(path)[1]).lower()
        known = self._types.get(extension)
        fields = [("Content-Type", known or self._default_type), ("ETag", etag)]
        if known is None:
            fields.append(("X-Content-Type-Options", "nosniff"))
        if modified is not None:
            fields.append(("Last-Modified", formatdate(modified, usegmt=True)))
        return fields

    # From anything else to an answer.

    def _missing(self, request: Request) -> "Answer | Awaitable[Answer]":
        if self._not_found is None:
            raise HTTPError(404)
        if isinstance(self._not_found, Response):
            return self._not_found
        return self._not_found.render(request)

    def _declined(self, request: Request, below: bytes, error: OSError) -> "Answer | Awaitable[Answer]":
        if error.errno in _MISSING:
            return self._missing(request)
        if error.errno in _FORBIDDEN:
            if not below.endswith(b"/") and os.path.isdir(self._root + below):
                return slash_redirect(request)  # it may not be listed, but what is in it may be readable
            raise HTTPError(403) from error
        if error.errno in _EXHAUSTED:
            raise HTTPError(503, headers=_RETRY) from error
        raise error

    # The life of the process.

    async def start(self) -> None:
        """Raises ValueError when there is nothing at `path`, or nothing that can be served."""
        try:
            mode = os.stat(self.path).st_mode
        except OSError as error:
            raise ValueError(f"expected a directory to serve, got {self.path!r}: {error.strerror}") from error
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            raise ValueError(f"expected a directory or a file to serve, got the special file {self.path!r}")
        if isinstance(self._not_found, Resource):
            await self._not_found.start()

    async def stop(self) -> None:
        if isinstance(self._not_found, Resource):
            await self._not_found.stop()
