"""Which answer a request gets for content that has a length and validators (RFC 9110 13, 14).

The one place where preconditions and ranges meet: files, data in memory, and what applications hand over as
files all come here. Preconditions alone are in `conditional.py`, the grammar of ranges in `ranges.py`.
"""

import os
import secrets
import time
from collections.abc import Sequence
from email.utils import formatdate
from os import PathLike
from typing import BinaryIO, Final

from container.message.conditional import CONDITIONS, evaluate, holds_if_range, not_modified, parse_date
from container.message.errors import HTTPError
from container.message.fields import Pair
from container.message.file_body import FileBody, PartsBody
from container.message.headers import Headers
from container.message.ranges import Range, content_range, multipart, parse_ranges
from container.message.request import Request
from container.message.response import Content, Response

# What every whole answer says that may be asked for in parts.
ACCEPT_RANGES: Final[Pair] = ("Accept-Ranges", "bytes")


def is_plain(request: Request) -> bool:
    """Does `request` want the content just so: without preconditions and ranges?"""
    for name, _ in request.raw_headers:  # noqa: SIM110  # a generator costs more than the loop
        if name in CONDITIONS:
            return False
    return True


def judge(
    request: Request, size: int, *, etag: str | None, last_modified: int | None
) -> list[Range] | int | None:
    """What `request` gets of content of `size` bytes with these validators.

    None: all of it, by 200. 304: nothing, it has it already. A list: these parts. Raises HTTPError(412) and
    HTTPError(416). The order is that of RFC 9110 13.2.2.
    """
    verdict = evaluate(request, etag=etag, last_modified=last_modified)
    if verdict == 304:
        return 304
    if verdict is not None:
        raise HTTPError(verdict)
    if request.method != "GET":  # no other method has ranges (RFC 9110 14.2)
        return None
    wanted = [value for name, value in request.raw_headers if name == b"range"]
    if len(wanted) != 1 or not holds_if_range(request, etag=etag, last_modified=last_modified):
        return None
    ranges = parse_ranges(wanted[0], size)
    if ranges is not None and not ranges:
        raise HTTPError(416, headers={"Content-Range": f"bytes */{size}"})
    return ranges


def select(
    request: Request,
    body: bytes | FileBody,
    fields: Sequence[Pair],
    *,
    etag: str | None,
    last_modified: int | None,
    status: int = 200,
) -> Response:
    """The answer to `request` out of `body`, whose 200 has `fields`; the validators are among them.

    Takes the body over, whatever comes of it. Raises HTTPError like `judge`.
    """
    size = len(body) if isinstance(body, bytes) else body.count
    try:
        verdict = judge(request, size, etag=etag, last_modified=last_modified)
        if verdict is None:
            return Response(body, status, fields)
        if isinstance(verdict, list):
            return partial(body, verdict, fields)
    except BaseException:
        _close(body)
        raise
    _close(body)
    return not_modified(Headers(fields))


def partial(body: bytes | FileBody, ranges: Sequence[Range], fields: Sequence[Pair]) -> Response:
    """The 206 with `ranges` of `body`, whose 200 has `fields`. Takes the body over."""
    size = len(body) if isinstance(body, bytes) else body.count
    headers = Headers(fields)
    headers.remove("Content-Length")
    content: Content
    if len(ranges) == 1:
        start, count = ranges[0]
        headers.add("Content-Range", content_range(start, count, size))
        if isinstance(body, bytes):
            content = body[start : start + count]
        else:
            body.narrow(start, count)
            content = body
        return Response(content, 206, headers)
    boundary = secrets.token_hex(16)  # nobody can put it into a file beforehand
    parts, tail = multipart(ranges, size, headers.get("Content-Type"), boundary)
    content = PartsBody(body, parts, tail)
    headers.set("Content-Type", f"multipart/byteranges; boundary={boundary}")
    headers.set("Content-Length", str(content.count))
    return Response(content, 206, headers)


def validators(status: os.stat_result, variant: str = "") -> tuple[str, int | None]:
    """Entity-tag and Last-Modified (seconds since 1970, or None) of a file, by what fstat said of it.

    `variant` tells apart what would otherwise have the same tag, such as content codings.
    """
    modified: int | None = int(status.st_mtime)
    if not 0 <= status.st_mtime <= time.time():
        # A date that is still to come is no validator (RFC 9110 8.8.2.1).
        modified = None
    return f'"{status.st_mtime_ns:x}-{status.st_size:x}{variant}"', modified


def validator_fields(etag: str, last_modified: int | None) -> list[Pair]:
    """The fields that tell the client its validators, and that ranges may be asked for."""
    fields = [("ETag", etag), ACCEPT_RANGES]
    if last_modified is not None:
        fields.append(("Last-Modified", formatdate(last_modified, usegmt=True)))
    return fields


def answer_file(
    request: Request,
    file: str | PathLike[str] | int | BinaryIO,
    fields: Sequence[Pair],
    *,
    status: int = 200,
    offset: int | None = None,
    count: int | None = None,
    validate: bool = True,
) -> Response:
    """The answer of an application that names a file instead of sending its content: ASGI's path send and
    zero copy send, `wsgi.file_wrapper`, X-Sendfile.

    `file`, `offset` and `count` as of `FileBody.of`, which may raise. `fields` are the application's. A 200
    gets ranges unless its fields deny them; validators that are among them count, and with `validate` those
    of the file fill in for them. Raises HTTPError like `judge`.
    """
    body = FileBody.of(file, offset=offset, count=count)
    headers = Headers(fields)
    headers.remove("Content-Length")
    headers.setdefault("Content-Type", "application/octet-stream")
    if status != 200 or request.method not in ("GET", "HEAD") or _has_no_parts(headers):
        return Response(body, status, headers)
    if validate:
        etag, modified = validators(os.fstat(body.fileno()))
        for name, value in validator_fields(etag, modified):
            headers.setdefault(name, value)
    else:
        headers.setdefault(*ACCEPT_RANGES)
    modified = http_date(headers.get("Last-Modified"))
    return select(request, body, headers.items(), etag=headers.get("ETag"), last_modified=modified)


def _has_no_parts(headers: Headers) -> bool:
    """Is it a part already, or content without parts?"""
    accepted = headers.get("Accept-Ranges")
    return "Content-Range" in headers or (accepted is not None and accepted.strip().lower() != "bytes")


def http_date(value: str | None) -> int | None:
    """An HTTP-date as seconds since 1970; None for none."""
    return None if value is None else parse_date([value.encode("latin-1", "replace")])


def _close(body: bytes | FileBody) -> None:
    if not isinstance(body, bytes):
        body.close()
