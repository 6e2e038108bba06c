"""The page of a server that was given nothing to serve: what it is, and how to give it something."""

from __future__ import annotations

import asyncio
import os
import sys
from base64 import b64encode
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING, Final

from container import __version__
from container.config.survey import survey
from container.message.errors import HTTPError
from container.message.response import HTML, Response
from container.service.visitors import is_from_here
from container.tree.pages import STYLE
from container.tree.resource import Resource

if TYPE_CHECKING:
    from container.config.survey import Finding
    from container.message.request import Request

_EXAMPLES: Final = (
    ("A WSGI or ASGI application: the name <b>app</b> in app.py", "container app:app"),
    ("The same while you work on it: reloads, shows errors", "container --debug app:app"),
    ("The files of a directory", "container --path public"),
    ("Both side by side", "container app:app --mount /static=path:public"),
    ("Whatever a Python file puts together", "container -y site.tac"),
    ("Every option there is", "container --help"),
)
_STYLE: Final = (
    STYLE
    + """
body { margin-top: 9vh; max-width: 46rem; }
header { display: flex; gap: 1rem; align-items: center; }
header svg { width: 3.25rem; height: 3.25rem; flex: none; }
header h1, header p { margin: 0; }
header p, footer { opacity: .7; }
h2 { font-size: 1.05rem; margin: 2.25rem 0 .5rem; }
ul { list-style: none; margin: 0; padding: 0; border: 1px solid #8884; border-radius: .75rem; overflow: hidden; }
li { padding: .7rem 1rem .8rem; }
li + li { border-top: 1px solid #8883; }
li span { display: block; font-size: .925rem; }
code { font: .9rem ui-monospace, monospace; overflow-wrap: anywhere; }
li code { display: block; margin-top: .15rem; color: #1a56c4; user-select: all; }
li code::before { content: "$ "; opacity: .5; user-select: none; }
footer { margin-top: 2.5rem; font-size: .85rem; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { li code { color: #8ab4ff; } }
"""
)
_LOGO: Final = (
    '<svg viewBox="0 0 32 32" aria-hidden="true"><rect x="2" y="5" width="28" height="22" rx="3" fill="#1a56c4"/>'
    '<path d="M8 10v12M13 10v12M18 10v12M23 10v12" stroke="#fff" stroke-width="2" stroke-linecap="round"/></svg>'
)
_ICON: Final = "data:image/svg+xml;base64," + b64encode(
    _LOGO.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ').encode()
).decode("ascii")
_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>container is running</title>
<link rel="icon" href="{icon}">
<style>{style}</style>
<header>{logo}<div>
<h1>container is running</h1>
<p>It was started without anything to serve.</p>
</div></header>
<main>
{found}<h2>{more}</h2>
<ul>
{examples}</ul>
</main>
<footer>container {version}{facts}</footer>
</html>
"""
# Nothing from elsewhere, no script.
_POLICY: Final = (
    "default-src 'none'; img-src data:; style-src 'sha256-"
    + b64encode(sha256(_STYLE.encode()).digest()).decode("ascii")
    + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Welcome(Resource):
    """The root of a server that was given nothing to serve. What is in the directory it was started in is for those
    on this machine only."""

    is_leaf = True

    def __init__(self, directory: str | None = None) -> None:
        self._directory = directory or os.getcwd()

    async def get(self, request: Request) -> Response:
        if request.raw_path[request.base :] != b"/":
            raise HTTPError(404, "container was started without anything to serve.")
        is_here = is_from_here(request)
        found = await asyncio.to_thread(survey, self._directory) if is_here else []
        if "text/html" in (request.headers.get("accept") or ""):
            answer = Response(self._page(found, is_here=is_here), content_type=HTML)
            answer.headers.set("Content-Security-Policy", _POLICY)
        else:
            answer = Response(_text(found), content_type="text/plain; charset=utf-8")
        answer.headers.set("Cache-Control", "no-store")
        answer.headers.set("Vary", "Accept")
        return answer

    def _page(self, found: list[Finding], *, is_here: bool) -> str:
        version = "{}.{}.{}".format(*sys.version_info)
        where = escape(self._directory)
        facts = f" · Python {version} · process {os.getpid()} · {where}" if is_here else ""
        items = "".join(
            _item(f"<b>{escape(each.place)}</b> <small>{escape(each.what)}</small>", each.command)
            for each in found
        )
        listed = f"<h2>Found where it was started</h2>\n<ul>\n{items}</ul>\n" if found else ""
        return _PAGE.format(
            icon=_ICON,
            style=_STYLE,
            logo=_LOGO,
            found=listed,
            more="More to start with" if found else "Stop it with Ctrl-C, and start it with something",
            examples="".join(_item(what, command) for what, command in _EXAMPLES),
            version=__version__,
            facts=facts,
        )


def _item(what: str, command: str) -> str:
    return f"<li><span>{what}</span><code>{escape(command)}</code></li>\n"


def _text(found: list[Finding]) -> str:
    commands = [each.command for each in found] or [command for _, command in _EXAMPLES]
    lines = [f"container {__version__} is running, without anything to serve. Start it with something:", ""]
    return "\n".join([*lines, *(f"  {each}" for each in commands), ""])
