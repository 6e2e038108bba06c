"""Files that an ASGI application names in place of sending their content: path send and zero copy send.

How they leave is the exchange's business, ranges and validators are those of `message/selection.py`.
"""

import os
from collections.abc import Sequence
from typing import BinaryIO, Final

from container.message.fields import Pair
from container.message.file_body import FileBody
from container.message.request import Request
from container.message.response import Response
from container.message.selection import answer_file
from container.resources.asgi.scope import Message

_PATH: Final = "http.response.pathsend"


def whole_file(request: Request, status: int, fields: Sequence[Pair], message: Message) -> Response:
    """The answer whose content `message` names. Raises HTTPError like `answer_file`, and for the application
    OSError, ValueError or TypeError when there is no such file."""
    file, offset, count = _named(message)
    # The validators of a file are not those of a part of it.
    validate = offset is None and count is None
    return answer_file(request, file, fields, status=status, offset=offset, count=count, validate=validate)


def part_of(message: Message) -> FileBody:
    """What `message` names, to be sent beside other content. Raises OSError, ValueError, TypeError."""
    file, offset, count = _named(message)
    return FileBody.of(file, offset=offset, count=count)


def _named(message: Message) -> tuple[str | int | BinaryIO, int | None, int | None]:
    """The file, where to begin, how much of it; None: where it stands, to its end."""
    if message["type"] == _PATH:
        path = os.fspath(message["path"])
        if not isinstance(path, str) or not os.path.isabs(path):
            raise ValueError(f"expected an absolute path to send, got {path!r}")
        return path, None, None
    file = message["file"]
    if not isinstance(file, int) and not hasattr(file, "fileno"):
        raise TypeError(f"expected an open file to send, got {type(file).__name__}")
    return file, message.get("offset"), message.get("count")
