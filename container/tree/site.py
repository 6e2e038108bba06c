"""A Site: a tree, its limits and its log, and the only place that asks what `render` gave back.

Hot path. A Site is what channels serve (the Host of `message/exchange.py`), or it is mounted in the tree of
another one. Sockets are `channel/`'s; the walk down the tree is `traverse.py`'s.
"""

import logging
from asyncio import CancelledError, Task, get_running_loop
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Mapping
from contextvars import copy_context
from importlib import import_module
from inspect import isawaitable
from itertools import chain
from typing import Protocol

from container.message.body import SpoolQuota
from container.message.encoding import Encoder
from container.message.errors import ClientDisconnected, HTTPError, ProtocolError
from container.message.exchange import Exchange
from container.message.fields import encode_fields
from container.message.headers import Headers, HeaderSource
from container.message.limits import Limits, Timeouts
from container.message.notes import Notes, context_of, current
from container.message.request import Request
from container.message.response import Response
from container.tree.encoding import EncodingRules
from container.tree.forwarded import Forwarded
from container.tree.own_log import by_place
from container.tree.pages import error_page, traceback_page
from container.tree.policies import add_missing
from container.tree.resource import Answer, Resource
from container.tree.traverse import resolve

log = logging.getLogger("container.site")

_SLASH_CODE = 47

# Makes the page of one status: gets the request and the HTTPError (or the exception behind a 500).
ErrorRenderer = Callable[[Request, Exception], Response]


class Around(Protocol):
    """Something to put around the root of a tree."""

    def around(self, child: Resource) -> Resource:
        """The resource that stands for `child` from now on."""


class Site(Resource):
    """A tree of resources and what holds for all of it.

    `root`: the resource at `/`. `headers`: added to every response the site produces. `error_pages`: by
    status, a Response or a function that makes one. `display_tracebacks`: 500 pages show the traceback; for
    development only. `limits`, `timeouts`: of every connection that serves this site. `access_log`: told of
    every exchange. `encoders`: codings its answers may be sent in, such as `[Brotli(), Gzip()]`, in the order
    the server prefers; `Encoded` has more options.
    `sessions`: put around the root, such as `Sessions()`. `trusted_proxies`: addresses and networks of the
    proxies whose word on the client, the host and the scheme counts; `Forwarded` has more options.

    Mounted inside another tree, a Site keeps its headers and error pages, and answers requests for its
    mount point without trailing slash by a redirect.
    """

    is_transparent = True

    def __init__(
        self,
        root: Resource,
        *,
        headers: HeaderSource = None,
        error_pages: Mapping[int, Response | ErrorRenderer] | None = None,
        display_tracebacks: bool = False,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        access_log: Callable[[Exchange], None] | None = None,
        encoders: Iterable[Encoder] = (),
        sessions: "Around | None" = None,
        trusted_proxies: Iterable[str] | None = None,
    ) -> None:
        if not isinstance(root, Resource):
            raise TypeError(f"expected a Resource as root of a Site, got {root!r}")
        self.root = root if sessions is None else sessions.around(root)
        if trusted_proxies is not None:
            self.root = Forwarded(self.root, trusted_proxies)
        self.headers = Headers(headers)
        self._decorates = bool(encode_fields(self.headers.items()).fields)  # an illegal field is an error now
        self.error_pages = dict(error_pages or {})
        self.display_tracebacks = display_tracebacks
        self.limits = limits or Limits()
        self.timeouts = timeouts or Timeouts()
        self.quota = SpoolQuota(self.limits.spool_quota)
        self.log = access_log
        # Notes are taken of every request, even if the log does not ask for them: for log records that tell of it.
        self.takes_notes = getattr(access_log, "needs_notes", False)
        rules = EncodingRules(encoders)
        self.encoding = rules if rules.encoders else None
        self._context = copy_context()
        # The loop keeps only weak references to tasks.
        self._tasks: set[Task[None]] = set()

    # This tree under another server. The adapters lie above the tree, so they are imported when they are asked for.

    def as_asgi(self) -> Callable[..., Awaitable[None]]:
        """This site as an ASGI 3 application: `uvicorn module:asgi` with `asgi = site.as_asgi()`."""
        application: Callable[..., Awaitable[None]] = import_module("container.service.hosted").as_asgi(self)
        return application

    def as_wsgi(self) -> Callable[..., Iterable[bytes]]:
        """This site as a WSGI application, for mod_wsgi, gunicorn or waitress. RuntimeError without a2wsgi."""
        application: Callable[..., Iterable[bytes]] = import_module("container.service.hosted").as_wsgi(self)
        return application

    # The Host of channels.

    def dispatch(self, exchange: Exchange) -> None:
        """Answer the request of `exchange`, now or later. Never raises."""
        request = exchange.request
        if self.takes_notes and request.notes is None:
            self._take_notes(exchange)
            return
        request.site = self
        answer: object
        try:
            if self._decorates:
                exchange.before_head(self._add_headers)
            if self.encoding is not None:
                exchange.encode_by(self.encoding)
            if request.raw_path[0] != _SLASH_CODE:
                answer = self._answer_odd_target(exchange)
            else:
                answer = resolve(self.root, request).render(request)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  # resources are the application's code, SystemExit included
            self.fail(exchange, error)
            return
        if answer is exchange:
            return
        if answer.__class__ is Response:
            try:
                exchange.respond(answer)
            except Exception as error:  # noqa: BLE001  # a field of it may be illegal, a hook may raise
                self.fail(exchange, error)
        else:
            self._settle(exchange, answer)

    def refuse(self, error: ProtocolError) -> Response:
        """The answer to a request that could not be read."""
        response = error_page(error.status, error.message)
        for name, value in self.headers.items():
            response.headers.add(name, value)
        if error.status == 405:
            response.headers.add("Allow", "OPTIONS")
        return response

    def failed(self, exchange: Exchange, error: BaseException) -> None:
        """An answer broke while it was being streamed; before anything has left, an error page can take its place."""
        if not exchange.started and isinstance(error, Exception):
            self.fail(exchange, error)
            return
        log.error("%s broke off after %d bytes", exchange.request, exchange.bytes_sent, exc_info=error)

    def _take_notes(self, exchange: Exchange) -> None:
        """Dispatch as one of whom notes are taken."""
        request = exchange.request
        request.notes = Notes()
        token = current.set(request)
        try:
            self.dispatch(exchange)
        finally:
            current.reset(token)

    # A Site inside a tree, and at its top.

    def _put(self, name: str, child: Resource) -> Resource:
        return self.root._put(name, child)

    def _take(self, name: str) -> Resource:
        return self.root._take(name)

    @property
    def children(self) -> dict[str, Resource]:
        return self.root.children

    def enter(self, request: Request) -> Resource:
        """Take over from the outer site."""
        request.site = self
        if self._decorates:
            request.exchange.before_head(self._add_headers)
        if self.encoding is not None:
            request.exchange.encode_by(self.encoding)
        if request.consumed >= len(request.raw_path) and not request.raw_path.endswith(b"/"):
            return _SLASH
        return self.root

    async def start(self) -> None:
        """Start every resource of the tree, the root first; those started are stopped when one fails."""
        self.log = by_place(self.log, self.all_resources())
        self.takes_notes = self.takes_notes or getattr(self.log, "needs_notes", False)
        started: list[Resource] = []
        try:
            for resource in self.resources():
                await resource.start()
                started.append(resource)
        except BaseException:
            await _stop(started)
            raise

    def drain(self) -> None:
        """Tell every resource that the server begins to stop."""
        for resource in self.resources():
            try:
                resource.drain()
            except Exception:  # foreign code
                log.exception("%r did not drain cleanly", resource)

    async def stop(self) -> None:
        """Stop every resource, last first; one that fails does not keep the others from stopping."""
        await _stop(self.resources())

    def resources(self) -> list[Resource]:
        """Every resource of the tree, once, the root first; an inner Site looks after its own."""
        found: dict[Resource, None] = {}
        waiting = [self.root]
        while waiting:
            resource = waiting.pop()
            if resource not in found:
                found[resource] = None
                waiting.extend(reversed(resource.parts()))
        return list(found)

    def all_resources(self) -> Iterator[Resource]:
        """Those of inner sites, too, in place of the sites themselves."""
        for resource in self.resources():
            yield from resource.all_resources() if isinstance(resource, Site) else (resource,)

    def error_response(self, request: Request, status: int, detail: str = "") -> Response:
        """The page this site shows for `status`."""
        return self._error_page(request, HTTPError(status, detail))

    def parts(self) -> list[Resource]:
        return []  # it starts and stops them itself

    # What came back.

    def _settle(self, exchange: Exchange, answer: object) -> None:
        """Anything but a plain Response: make it one, now or when it has been awaited."""
        if isawaitable(answer):
            # Not in the context we are called in: that may be of the request before, which has just been answered.
            context = context_of(exchange.request, self._context)
            task: Task[None] = get_running_loop().create_task(
                self._await_answer(exchange, answer), context=context
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        try:
            self._respond(exchange, answer)
        except Exception as error:  # noqa: BLE001  # the answer is the application's
            self.fail(exchange, error)

    def _respond(self, exchange: Exchange, answer: object) -> None:
        # A request that has been answered already has another exchange than it came with.
        if answer is not exchange and answer is not exchange.request.exchange:
            exchange.respond(as_response(answer))

    async def _await_answer(self, exchange: Exchange, answer: Awaitable[object]) -> None:
        try:
            result = await answer
            self._respond(exchange, result)
        except ClientDisconnected as error:
            if not exchange.gone:  # some other client, of something this one uses
                self.fail(exchange, error)
        except ProtocolError as error:
            # The content was malformed or cut short: the channel has answered already, unless it is cut short.
            log.info("%s: %s", exchange.request, error)
            self.fail(exchange, error)
        except CancelledError:
            # Something it awaited was cancelled, or the loop is about to end.
            if not exchange.gone:
                self.fail(exchange, RuntimeError("the coroutine that answers was cancelled"))
            raise
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001  # resources are the application's code, SystemExit included
            self.fail(exchange, error)

    def fail(self, exchange: Exchange, error: BaseException) -> None:
        """Rendering raised `error`: answer with its page if nothing was sent, else cut the connection.

        Anything but an HTTPError is logged with its traceback; what is no Exception ends nothing but the request.
        """
        request = exchange.request
        if not isinstance(error, Exception):
            cause, error = error, RuntimeError(f"the application raised {type(error).__name__}")
            error.__cause__ = cause
        site = getattr(request, "site", self)
        if isinstance(error, ProtocolError):
            error = HTTPError(error.status, error.message)
        if not isinstance(error, HTTPError):
            log.error("%s failed", request, exc_info=error)
        if exchange.started:
            exchange.abort()
            return
        try:
            exchange.respond(site._error_page(request, error))
        except Exception as second:  # error pages may be the application's code
            log.error("the error page for %s failed", request, exc_info=second)
            self._give_up(exchange)

    def _give_up(self, exchange: Exchange) -> None:
        """Not even the error page could be sent: a plain one, or the end."""
        try:
            if not exchange.started:
                exchange.respond(error_page(500))
                return
        except Exception:  # one more hook of the tree
            log.exception("no error page could be sent for %s", exchange.request)
        exchange.abort()

    def _error_page(self, request: Request, error: Exception) -> Response:
        status = error.status if isinstance(error, HTTPError) else 500
        response = self.page_for(request, error, self.error_pages.get(status))
        if isinstance(error, HTTPError) and error.headers:
            response = response.copy()
            for name, value in error.headers.items():
                response.headers.set(name, value)
        return response

    def page_for(self, request: Request, error: Exception, own: Response | ErrorRenderer | None) -> Response:
        """What tells of `error`: the page that is set for its status, `own`, or the usual one."""
        if own is not None:
            return own if isinstance(own, Response) else own(request, error)
        if isinstance(error, HTTPError):
            # Whoever sees a page for an error of ours can tell which line of the log is about it.
            id = request.id if error.status >= 500 else ""
            return error_page(error.status, error.detail, request=request, id=id)
        if self.display_tracebacks:
            return traceback_page(error, request.id)
        return error_page(500, request=request, id=request.id)

    def _answer_odd_target(self, exchange: Exchange) -> "Answer | Awaitable[Answer]":
        """Targets that name no resource: `*` of OPTIONS is the server itself, CONNECT wants a proxy."""
        if self.root.is_proxy and exchange.request.raw_target != b"*":
            return self.root.render(exchange.request)
        if exchange.request.method == "OPTIONS":
            return Response()
        raise HTTPError(501, "this server is no proxy")

    def _add_headers(self, status: int, headers: Headers) -> None:
        add_missing(self.headers, headers)  # those of `refuse` have them already


async def _stop(resources: list[Resource]) -> None:
    for resource in reversed(resources):
        try:
            await resource.stop()
        except Exception:  # foreign code
            log.exception("%r did not stop cleanly", resource)


def as_response(answer: object) -> Response:
    """A Response from what a resource may give back. Raises TypeError without showing the value."""
    if isinstance(answer, Response):
        return answer
    if isinstance(answer, (str, bytes)):
        return Response(answer)
    if isinstance(answer, (AsyncIterable, Iterable)) and not isinstance(answer, (Mapping, list, tuple, set)):
        return Response(answer)
    raise TypeError(f"expected a Response, text, bytes or an iterator of bytes, got {type(answer).__name__}")


def resources_of(sites: Iterable[Site]) -> Iterator[Resource]:
    """Those of all their trees, and of sites in these."""
    return chain.from_iterable(site.all_resources() for site in sites)


class _SlashRedirect(Resource):
    """Sends the client from `/mount` to `/mount/`: relative, so that no target can lead elsewhere."""

    is_leaf = True

    def render(self, request: Request) -> Response:
        return slash_redirect(request)


_SLASH = _SlashRedirect()


def slash_redirect(request: Request, status: int = 301) -> Response:
    """From a path without to the same with a trailing slash, query kept.

    The Location is relative to the last segment, so `//evil.example/x` stays on this server.
    """
    path = request.raw_path
    last = path[path.rfind(b"/") + 1 :].decode("latin-1")
    query = f"?{request.query_string}" if request.raw_query else ""
    # "./" keeps a colon in the segment from being read as a scheme (RFC 3986 4.2).
    return Response.redirect(f"./{last}/{query}", 308 if request.method not in ("GET", "HEAD") else status)
