"""Directory listings: a page, or JSON for a client that prefers it. Only where they were asked for.

Read and made in a thread: a directory may hold a hundred thousand names.
"""

import asyncio
import json
import os
import stat
import time
from hashlib import blake2b
from html import escape
from typing import Final, NamedTuple
from urllib.parse import quote

from container.message.fields import Pair
from container.message.negotiation import preferred_type
from container.message.request import Request
from container.message.response import HTML, JSON, Response
from container.message.selection import select
from container.resources.static.rules import Rules

_SORTS: Final = ("name", "size", "modified")
_UNITS: Final = ("B", "KB", "MB", "GB", "TB")
_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; border-bottom: 1px solid #8886; }
th, td { padding: .25rem .5rem; }
td:first-child { overflow-wrap: anywhere; }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
tbody tr:hover { background: #8881; }
a { text-decoration: none; } a:hover { text-decoration: underline; }
"""


class Row(NamedTuple):
    """One name of a directory. `size` in bytes, None of a directory; `modified` in seconds since 1970."""

    name: str
    is_directory: bool
    size: int | None
    modified: int
    media_type: str


async def list_directory(
    request: Request, path: bytes, rules: Rules, *, dotfiles: bool, is_top: bool
) -> Response:
    """The listing of the directory at `path`. `is_top`: it has no parent to show.

    The query may ask for an order: `?sort=name|size|modified&order=asc|desc`.
    """
    sort = request.args.get("sort", "name")
    sort = sort if sort in _SORTS else "name"
    descending = request.args.get("order") == "desc"
    accept = ", ".join(request.headers.get_all("accept"))
    is_json = bool(accept) and preferred_type(accept, ("text/html", JSON)) == JSON
    title = request.path

    def make() -> bytes:
        rows = sort_rows(read_directory(path, rules, dotfiles=dotfiles), sort, descending=descending)
        return as_json(rows) if is_json else as_page(title, rows, sort, descending=descending, is_top=is_top)

    body = await asyncio.to_thread(make)
    etag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
    fields: list[Pair] = [
        ("Content-Type", JSON if is_json else HTML),
        ("Vary", "Accept"),
        ("ETag", etag),
        ("Cache-Control", "no-cache"),
    ]
    return select(request, body, fields, etag=etag, last_modified=None)


def read_directory(path: bytes, rules: Rules, *, dotfiles: bool) -> list[Row]:
    """What of a directory would be served: files and directories with names in UTF-8, no broken links."""
    rows = []
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                name = entry.name.decode("utf-8")
                status = entry.stat()
            except (UnicodeDecodeError, OSError):
                continue
            is_directory = stat.S_ISDIR(status.st_mode)
            if (name.startswith(".") and not dotfiles) or not (is_directory or stat.S_ISREG(status.st_mode)):
                continue
            media_type = "" if is_directory else rules.media_type(b"/" + entry.name)
            size = None if is_directory else status.st_size
            rows.append(Row(name, is_directory, size, int(status.st_mtime), media_type))
    return rows


def sort_rows(rows: list[Row], sort: str, *, descending: bool) -> list[Row]:
    """Directories first; by the column, then by name in the order of code points."""
    rows = sorted(rows, key=lambda row: row.name)
    if sort == "size":
        rows.sort(key=lambda row: row.size or 0, reverse=descending)
    elif sort == "modified":
        rows.sort(key=lambda row: row.modified, reverse=descending)
    elif descending:
        rows.reverse()
    rows.sort(key=lambda row: not row.is_directory)
    return rows


def as_json(rows: list[Row]) -> bytes:
    """An array of objects: name, type, and of files size, modified (RFC 3339) and media_type."""
    listed: list[dict[str, object]] = []
    for row in rows:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(row.modified))
        shown: dict[str, object] = {"name": row.name, "modified": when}
        if row.is_directory:
            shown["type"] = "directory"
        else:
            shown |= {"type": "file", "size": row.size, "media_type": row.media_type}
        listed.append(shown)
    return json.dumps(listed, ensure_ascii=False, separators=(",", ":")).encode()


def as_page(title: str, rows: list[Row], sort: str, *, descending: bool, is_top: bool) -> bytes:
    heads = "".join(_heading(each, is_current=each == sort, descending=descending) for each in _SORTS)
    lines = [] if is_top else ['<tr><td><a href="../">../</a><td><td>']
    for row in rows:
        name = row.name + ("/" if row.is_directory else "")
        # "./" keeps a colon in a name from being read as a scheme (RFC 3986 4.2).
        link = "./" + quote(name, safe="/!$&'()*+,;=:@-._~")
        size = "" if row.size is None else _size(row.size)
        when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(row.modified))
        lines.append(
            f'<tr><td><a href="{escape(link)}">{escape(name)}</a><td class="n">{size}<td class="n">{when}'
        )
    title = escape(title)
    page = (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n<h1>{title}</h1>\n"
        f"<table>\n<thead><tr>{heads}\n<tbody>\n" + "\n".join(lines) + "\n</table>\n</html>\n"
    )
    return page.encode("utf-8", "replace")


def _heading(column: str, *, is_current: bool, descending: bool) -> str:
    """A column's head, which links to the listing sorted by it, or the other way round."""
    order = "desc" if is_current and not descending else "asc"
    arrow = (" ▾" if descending else " ▴") if is_current else ""
    style = "" if column == "name" else ' class="n"'
    if is_current:
        style += f' aria-sort="{"descending" if descending else "ascending"}"'
    return (
        f'<th scope="col"{style}><a href="?sort={column}&amp;order={order}">{column.capitalize()}</a>{arrow}'
    )


def _size(size: int) -> str:
    """A size in the unit that shows two digits of it at least."""
    if size < 1000:
        return f"{size} B"
    amount, exponent = float(size), 0
    while amount >= 999.5 and exponent < len(_UNITS) - 1:
        amount, exponent = amount / 1000, exponent + 1
    return f"{amount:.0f} {_UNITS[exponent]}" if amount >= 9.95 else f"{amount:.1f} {_UNITS[exponent]}"
