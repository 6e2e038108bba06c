"""As-is files: a file that holds a whole response, status and fields included, such as Apache's mod_asis sends."""

import errno
import os
import stat
from os import PathLike
from typing import Final

from container.message.errors import HTTPError
from container.message.file_body import FileBody, open_file
from container.message.request import Request
from container.message.response import Response
from container.message.status import BODILESS
from container.protocol.answer import AnswerHead, BadAnswer, parse_head, split_head
from container.tree.resource import Resource

_BLOCK: Final = 64 * 1024
_MISSING: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL})


class AsIs(Resource):
    """The file at `path`, for GET and HEAD: a status line or a Status field, fields, an empty line, content.

    What is sent is well-formed whatever the file says: the length is that of the content which is there, and
    the connection, Date and Server are the server's own. A file that cannot be understood is a 500.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = os.path.abspath(path)

    def get(self, request: Request) -> Response:
        try:
            fd = open_file(self.path)
        except OSError as error:
            if error.errno in _MISSING:
                raise HTTPError(404) from error
            if error.errno in (errno.EACCES, errno.EPERM):
                raise HTTPError(403) from error
            raise
        content: FileBody | None = None
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
            content = FileBody(fd, at, status.st_size - at)
            return _answer(head, content, status.st_size - at)
        except BadAnswer as error:
            raise BadAnswer(f"{self.path}: {error}") from error
        finally:
            if content is None:
                os.close(fd)


def send_as_is(path: str, files: object = None) -> Resource:
    """For `Files(processors={".asis": send_as_is})`."""
    return AsIs(path)


def _checked(head: AnswerHead) -> AnswerHead:
    head.status = head.status or 200
    if head.status < 200:
        raise BadAnswer(f"expected a final status, got {head.status}")
    if head.chunked:
        raise BadAnswer("expected content without a transfer coding")
    return head


def _answer(head: AnswerHead, body: bytes | FileBody, size: int) -> Response:
    fields = head.fields
    if head.status not in BODILESS:
        fields = [*fields, ("Content-Length", str(size))]
    return Response(body, head.status, fields, reason=head.reason)
