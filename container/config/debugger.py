"""`--debug`: werkzeug's debugger for whatever a tree holds, for the developer on this machine and nobody else.

Here: who may use it, and what it is shown for: errors of WSGI and ASGI applications and of resources alike. It shows
source and values, and its console runs what it is told in this process. So addresses that others can reach are
refused, and those who have not opened a URL that is written where the server runs get the page they would get without
it. The console wants a PIN besides, against scripts of the application's own pages; it is werkzeug's, and
WERKZEUG_DEBUG_PIN says another one.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from werkzeug.debug import DebuggedApplication
from werkzeug.debug.tbtools import DebugTraceback

from container.channel.endpoints import is_loopback
from container.config.importer import frames_of_others
from container.config.problems import ConfigProblem
from container.message.errors import HTTPError
from container.message.response import HTML, Response
from container.resources.asgi import ASGIResource
from container.resources.wsgi import WSGIResource
from container.service.logs import say
from container.service.visitors import Pass, is_from_here
from container.tree.resource import Resource
from container.tree.site import Site
from container.tree.wrapper import Wrapper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping

    from werkzeug.wrappers import Request as WSGIRequest
    from werkzeug.wrappers import Response as WSGIResponse

    from container.channel.endpoints import Endpoint
    from container.message.request import Request
    from container.service.application import Application
    from container.tree.site import ErrorRenderer

# In the environment, which those that take over from this process have, too: a browser that was let in stays in.
TOKEN: Final = "CONTAINER_DEBUG_TOKEN"
_TOKEN: Final = re.compile(r"[A-Za-z0-9_\-]{16,}")
# Settings of Flask and Quart that follow their debug mode when they are None.
_FLASK: Final = ("PROPAGATE_EXCEPTIONS", "TEMPLATES_AUTO_RELOAD")
_COMMAND: Final = b"__debugger__=yes"
# Requests of the page itself, and those of clients that are no browsers.
_OWN_SITES: Final = (None, "none", "same-origin")


def check_addresses(endpoints: Iterable[Endpoint]) -> None:
    """ConfigProblem unless only programs on this machine can reach them."""
    for each in endpoints:
        if not is_loopback(each):
            raise ConfigProblem(f"expected only addresses of the loopback with --debug, got {_spelt(each)}")


def _spelt(endpoint: Endpoint) -> str:
    host, port = getattr(endpoint, "host", ""), getattr(endpoint, "port", None)
    if port is None:
        return str(getattr(endpoint, "path", None) or type(endpoint).__name__)
    return f"port {port} of {host or 'every interface'}"


def set_token(environment: MutableMapping[str, str]) -> None:
    """Make a token, unless the user has said one: ConfigProblem when that is weak."""
    if _TOKEN.fullmatch(environment.setdefault(TOKEN, secrets.token_urlsafe(16))) is None:
        raise ConfigProblem(f"expected 16 letters, digits, - and _ or more in {TOKEN}, got something else")


def install_debugger(application: Application) -> None:
    """Show the errors of every site of `application` in the debugger. ConfigProblem for wrong addresses."""
    sites: dict[Site, None] = {}
    for binding in application.bindings:
        check_addresses(each for each in binding.endpoints if not isinstance(each, str | int))
        assert isinstance(binding.site, Site), "made by build"
        sites[binding.site] = None
    debugger = Debugger(Pass(os.environ[TOKEN]))
    for site in sites:
        debugger.attach(site)


class Debugger:
    """Keeps the frames of errors, and runs what is asked of them; for those who bring `entry`."""

    def __init__(self, entry: Pass) -> None:
        self._tool = _Tool()
        self._pass = entry

    def attach(self, site: Site) -> None:
        """To a site and everything in it."""
        for resource in [*site.all_resources()]:
            if isinstance(resource, WSGIResource | ASGIResource):
                _let_out(resource.app)
            if isinstance(resource, WSGIResource):
                resource.base["werkzeug.debug.preserve_context"] = _preserve
            elif isinstance(resource, ASGIResource):
                resource.app = partial(_hold_errors, resource.app)
        for each in _sites_of(site):
            each.error_pages[500] = partial(self._page, each, each.error_pages.get(500))
        site.root = _Front(site.root, self._tool, self._pass)

    def _page(
        self, site: Site, own: Response | ErrorRenderer | None, request: Request, error: Exception
    ) -> Response:
        if isinstance(error, HTTPError):
            return site.page_for(request, error, own)
        if not self._pass.is_shown(request):
            if is_from_here(request):
                say(f"container: a browser that has opened {self._pass.url(request)} shows such errors")
            return site.page_for(request, error, own)
        if "text/html" in (request.headers.get("accept") or ""):
            answer = Response(self._tool.show(request, error), 500, content_type=HTML)
        else:
            answer = Response.text("".join(traceback.format_exception(error)), 500)
        answer.headers.set("Cache-Control", "no-store")
        return answer


class _Tool(DebuggedApplication):
    """werkzeug's, without an application of its own: what it is told of has failed already."""

    def __init__(self) -> None:
        super().__init__(_nothing, evalex=True, console_path="")
        # It warns on its own when there is none.
        if self.pin is None:
            say("container: warning: WERKZEUG_DEBUG_PIN is off: whoever may see errors can run code here")

    def show(self, request: Request, error: Exception) -> str:
        shown = DebugTraceback(error, skip=frames_of_others(error))
        contexts = getattr(error, _CONTEXTS, [])
        for frame in shown.all_frames:
            self.frames[id(frame)] = frame
            self.frame_contexts[id(frame)] = contexts
        known = bool(self.check_pin_trust({"HTTP_COOKIE": request.headers.get("cookie") or ""}))
        return shown.render_debugger_html(evalex=True, secret=self.secret, evalex_trusted=known)

    def check_host_trust(self, environ: dict[str, Any]) -> bool:
        """Who asks was looked at before."""
        return True

    def log_pin_request(self, request: WSGIRequest) -> WSGIResponse:
        from werkzeug.wrappers import Response as WSGIResponse

        say(f"container: the debugger's PIN is {self.pin}")
        return WSGIResponse("")


def _nothing(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    start_response("404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", "0")])
    return []


class _Front(Wrapper):
    """In front of everything: takes the requests of the debugger's pages, and lets people in."""

    def __init__(self, inner: Resource, tool: _Tool, entry: Pass) -> None:
        super().__init__(inner)
        self._commands = WSGIResource(tool, threads=2)
        self._pass = entry

    def enter(self, request: Request) -> Resource:
        if (answer := self._pass.admit(request)) is not None:
            return _Given(answer)
        if (
            _COMMAND in request.raw_query
            and self._pass.is_shown(request)
            and request.headers.get("sec-fetch-site") in _OWN_SITES
        ):
            return self._commands
        return self.inner

    # Its commands are no part of the tree: the start line counts the threads of that.

    async def start(self) -> None:
        await self._commands.start()

    async def stop(self) -> None:
        await self._commands.stop()


class _Given(Resource):
    """An answer that is there already."""

    is_leaf = True

    def __init__(self, answer: Response) -> None:
        self._answer = answer

    def render(self, request: Request) -> Response:
        return self._answer


def _sites_of(site: Site) -> list[Site]:
    """It and those inside it."""
    found = [site]
    for each in found:
        found += [inner for inner in each.resources() if isinstance(inner, Site)]
    return found


# What of a request is kept for the console, by the exception that ended it.
_CONTEXTS: Final = "_container_contexts"


def _preserve(context: object) -> None:
    """Flask calls this on its way out with what `request` and `g` need; it matters only when an error is under way."""
    error = sys.exc_info()[1]
    if error is not None:
        vars(error).setdefault(_CONTEXTS, []).append(context)


def _let_out(app: object) -> None:
    """Have Flask and Quart raise what they would answer themselves, unless the user has said what they are to do.
    Not by their own debug modes: that of Quart shows everybody what has failed."""
    config = getattr(app, "config", None)
    if isinstance(config, dict):
        config |= {name: True for name in _FLASK if config.get(name, ...) is None}


async def _hold_errors(app: Any, scope: Any, receive: Any, send: Any) -> None:
    """Run an ASGI application; answers of 500 wait for its end. Starlette's, and FastAPI's, send one and raise the
    error then."""
    if scope["type"] != "http":
        await app(scope, receive, send)
        return
    held: list[Any] = []

    async def hold(message: Any) -> None:
        if held or (message["type"] == "http.response.start" and message["status"] == 500):
            held.append(message)
        else:
            await send(message)

    await app(scope, receive, hold)
    for message in held:
        await send(message)
