"""Conditional requests: is the answer that the client has, or expects, still the right one (RFC 9110 13)?

Pure functions over validators that the resource knows. A request without preconditions costs one look at
its fields. Entity-tags are text as they stand in an ETag field, quotes included: `"v1"` or `W/"v1"`.
What becomes of ranges is decided in `selection.py`.
"""

import re
from email.utils import parsedate_to_datetime
from typing import Final

from container.message.headers import Headers
from container.message.request import Request
from container.message.response import Response

_FIELDS: Final = frozenset({b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"})
# The fields that may lead to anything but the whole content.
CONDITIONS: Final = _FIELDS | {b"range", b"if-range"}
_SAFE: Final = ("GET", "HEAD")
# entity-tag (RFC 9110 8.8.3): the weakness flag is case-sensitive, spaces are no part of a tag.
_TAG: Final = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
# What describes the content that a 304 does not have (RFC 9110 15.4.5, 8.6).
_OF_CONTENT: Final = frozenset(
    {
        "accept-ranges",
        "content-type",
        "content-length",
        "content-encoding",
        "content-language",
        "content-range",
    }
)


def evaluate(request: Request, *, etag: str | None, last_modified: int | None) -> int | None:
    """The status that the preconditions of `request` call for, 304 or 412; None: answer as without them.

    Of a resource that exists, by its current validators; `last_modified` in seconds since 1970. Call it when
    the answer would otherwise be a success.
    """
    for name, _ in request.raw_headers:
        if name in _FIELDS:
            break
    else:
        return None
    fields: dict[bytes, list[bytes]] = {}
    for name, value in request.raw_headers:
        if name in _FIELDS:
            fields.setdefault(name, []).append(value)
    if not _unchanged(fields, etag, last_modified):
        return 412
    return _already_known(fields, request.method in _SAFE, etag, last_modified)


def holds_if_range(request: Request, *, etag: str | None, last_modified: int | None) -> bool:
    """Step 5 of RFC 9110 13.2.2: may a range be honoured? Without If-Range it may (RFC 9110 13.1.5)."""
    values = [value for name, value in request.raw_headers if name == b"if-range"]
    if not values:
        return True
    if len(values) > 1:
        return False
    if b'"' in values[0]:
        # Parts of two versions make no whole, so a weak tag proves nothing.
        own = _split(etag)
        return own is not None and not own[0] and _tags(values) == [own]
    since = parse_date(values)
    return since is not None and since == last_modified


def not_modified(headers: Headers) -> Response:
    """The 304 that stands for a 200 with `headers`: the same, without what describes its content."""
    return Response(b"", 304, [field for field in headers.items() if field[0].lower() not in _OF_CONTENT])


def _unchanged(fields: dict[bytes, list[bytes]], etag: str | None, last_modified: int | None) -> bool:
    """Steps 1 and 2 of RFC 9110 13.2.2: does the client speak of what is here now?"""
    tags = fields.get(b"if-match")
    if tags is not None:
        # An answer about the wrong version does harm, so a weak tag proves nothing (RFC 9110 13.1.1).
        own = _split(etag)
        return _is_any(tags) or (own is not None and not own[0] and own in _tags(tags))
    since = parse_date(fields.get(b"if-unmodified-since"))
    return since is None or last_modified is None or last_modified <= since


def _already_known(
    fields: dict[bytes, list[bytes]], safe: bool, etag: str | None, last_modified: int | None
) -> int | None:
    """Steps 3 and 4: does the client have what it would get? If-None-Match overrides If-Modified-Since."""
    tags = fields.get(b"if-none-match")
    if tags is not None:
        own = _split(etag)
        if _is_any(tags) or (own is not None and own[1] in [opaque for _, opaque in _tags(tags)]):
            return 304 if safe else 412
        return None
    since = parse_date(fields.get(b"if-modified-since")) if safe else None
    return 304 if since is not None and last_modified is not None and last_modified <= since else None


def _is_any(values: list[bytes]) -> bool:
    return len(values) == 1 and values[0].strip(b" \t") == b"*"


def _split(etag: str | None) -> tuple[bytes, bytes] | None:
    """Weakness and opaque part of our own tag."""
    if etag is None:
        return None
    raw = etag.encode("latin-1")
    return (b"W/", raw[2:]) if raw.startswith(b"W/") else (b"", raw)


def _tags(values: list[bytes]) -> list[tuple[bytes, bytes]]:
    """The members of a list of entity-tags; none of them when anything else is between."""
    joined = b",".join(values)
    if _TAG.sub(b"", joined).strip(b" \t,"):
        return []
    return _TAG.findall(joined)


def parse_date(values: list[bytes] | None) -> int | None:
    """An HTTP-date in any of its three formats (RFC 9110 5.6.7), as seconds since 1970; None unless valid."""
    # A second comma is a list of dates, and a list is to be ignored (RFC 9110 13.1.3).
    if values is None or len(values) > 1 or values[0].count(b",") > 1:
        return None
    try:
        return int(parsedate_to_datetime(values[0].decode("ascii")).timestamp())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
