"""As-is files: a file that holds a whole response, status and fields included, such as Apache's mod_asis sends."""

import errno
import os
import stat
from collections.abc import Iterator
from os import PathLike
from typing import Final

from container.message.errors import HTTPError
from container.message.request import Request
from container.message.response import Response
from container.message.status import BODILESS
from container.protocol.answer import AnswerHead, BadAnswer, parse_head, split_head
from container.tree.resource import Resource

_BLOCK: Final = 64 * 1024
_MISSING: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL})
# A fifo without writer must not stop the loop.
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class AsIs(Resource):
    """The file at `path`, for GET and HEAD: a status line or a Status field, fields, an empty line, content.

    What is sent is well-formed whatever the file says: the length is that of the content which is there, and
    the connection, Date and Server are the server's own. A file that cannot be understood is a 500.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = os.path.abspath(path)

    def get(self, request: Request) -> Response:
        try:
            fd = os.open(self.path, _FLAGS)
        except OSError as error:
            if error.errno in _MISSING:
                raise HTTPError(404) from error
            if error.errno in (errno.EACCES, errno.EPERM):
                raise HTTPError(403) from error
            raise
        content: _Content | None = None
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise HTTPError(404)
            beginning = os.pread(fd, _BLOCK, 0)
            parts = split_head(beginning)
            if parts is None:
                raise BadAnswer(f"expected a head of at most {_BLOCK} bytes and an empty line")
            head = _checked(parse_head(parts[0]))
            at = len(beginning) - len(parts[1])
            if request.method == "HEAD" or head.status in BODILESS:
                return _answer(head, b"", status.st_size - at)
            if status.st_size <= len(beginning):
                return _answer(head, parts[1], len(parts[1]))
            content = _Content(fd, at, status.st_size)
            return _answer(head, content, status.st_size - at)
        except BadAnswer as error:
            raise BadAnswer(f"{self.path}: {error}") from error
        finally:
            if content is None:
                os.close(fd)


def send_as_is(path: str, files: object = None) -> Resource:
    """For `Files(processors={".asis": send_as_is})`."""
    return AsIs(path)


class _Content:
    """A part of an open file in blocks. Owns `fd`."""

    __slots__ = ("_at", "_end", "_fd")

    def __init__(self, fd: int, at: int, end: int) -> None:
        self._fd = fd
        self._at = at
        self._end = end

    def __iter__(self) -> Iterator[bytes]:
        while self._at < self._end:
            data = os.pread(self._fd, min(_BLOCK, self._end - self._at), self._at)
            if not data:
                raise EOFError(f"expected {self._end} bytes in a file, got {self._at}: it has shrunk")
            self._at += len(data)
            yield data

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    # For answers that never reach a channel.
    __del__ = close


def _checked(head: AnswerHead) -> AnswerHead:
    head.status = head.status or 200
    if head.status < 200:
        raise BadAnswer(f"expected a final status, got {head.status}")
    if head.chunked:
        raise BadAnswer("expected content without a transfer coding")
    return head


def _answer(head: AnswerHead, body: "bytes | _Content", size: int) -> Response:
    fields = head.fields
    if head.status not in BODILESS:
        fields = [*fields, ("Content-Length", str(size))]
    return Response(body, head.status, fields, reason=head.reason)
