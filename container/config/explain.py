"""Which resource answers a request, and why: the traversal that serves requests, watched step by step.

Nothing is rendered, and only who guards the way is started. The tree is spoilt for serving: its resources tell of
what is asked of them from then on.
"""

from __future__ import annotations

from collections.abc import Awaitable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, quote, urlsplit

from container.config.problems import ConfigProblem
from container.config.routes import label
from container.message.body import EMPTY
from container.message.connection import Connection
from container.message.errors import HTTPError
from container.message.request import Request
from container.resources.auth import Guard
from container.resources.vhostmonster import VHostMonster
from container.tree.resource import Resource
from container.tree.site import Site
from container.tree.traverse import Late, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_SAFE: Final = "/%?!$&'()*+,;=:@~-._[]"
_CLIENT: Final = ("127.0.0.1", 50000)
_PORTS: Final = {"http": 80, "https": 443}


async def explain(
    site: object, url: str, *, method: str = "GET", headers: Sequence[tuple[str, str]] = ()
) -> list[str]:
    """The steps in lines, and what it came to. `url` may be a path; ConfigProblem for what is no URL."""
    assert isinstance(site, Site), "bind_sites has made it one"
    request, exchange = _request(site, url, method, headers)
    watch = _Watch(request)
    guards = [each for each in site.resources() if isinstance(each, Guard)]
    lines = watch.lines
    lines.append(f"{request.method} {request.raw_target.decode('latin-1')} of {request.host}")
    try:
        for guard in guards:
            await guard.start()
        found = await _walk(site, request, watch)
        while isinstance(found, VHostMonster):
            lines.append(f"  {watch.here()}: {label(found)} names another host")
            found.render(request)
            if not exchange.is_restarted:
                break
            exchange.is_restarted = False
            lines.append(f"{request.method} {request.raw_path.decode('latin-1')} of {request.host}")
            request.consumed = request.base
            found = await _walk(site, request, watch)
    except HTTPError as error:
        lines.append(f"answered {error.status}" + (f": {error.detail}" if error.detail else ""))
        return lines
    finally:
        for guard in guards:
            await guard.stop()
    lines.append(f"answered by {label(found)}")
    lines.append(f"  script_name {request.script_name!r}, path_info {request.path_info!r}")
    if request.user is not None:
        lines.append(f"  user {request.user[0]!r} by {request.user[1]}")
    return lines


async def _walk(site: Site, request: Request, watch: _Watch) -> Resource:
    request.site = site
    watch.over(site.root)
    found = resolve(site.root, request)
    while isinstance(found, Late):
        found = await found.arrive(request)
    return found


class _Watch:
    """Has resources tell what is asked of them, by attributes of their own in front of their methods."""

    def __init__(self, request: Request) -> None:
        self.lines: list[str] = []
        self._request = request
        self._watched: set[int] = set()

    def here(self) -> str:
        """The part of the path that has been used up."""
        return self._request.raw_path[: self._request.consumed].decode("latin-1") or "/"

    def over(self, resource: Resource) -> None:
        """Tell what is asked of `resource` from now on."""
        if id(resource) in self._watched:
            return
        self._watched.add(id(resource))
        if resource._children is not None:
            resource._children = _Children(resource._children, self)
        own: Any = resource
        if resource.is_transparent:
            own.enter = self._entering(resource, resource.enter)
        own.child = self._asking(resource, resource.child)

    def _entering(self, resource: Resource, enter: Callable[[Request], Any]) -> Callable[[Request], Any]:
        def entered(request: Request) -> Any:
            before = request.raw_path, request.consumed
            found = enter(request)
            return self._waiting(found, lambda inner: self._through(resource, before, inner))

        return entered

    def _through(self, resource: Resource, before: tuple[bytes, int], inner: Resource | None) -> None:
        after = self._request.raw_path, self._request.consumed
        change = "" if after == before else f", the path is now {after[0].decode('latin-1')}"
        where = "" if inner is None or inner is getattr(resource, "inner", None) else f" to {label(inner)}"
        self.lines.append(f"  {self.here()}: through {label(resource)}{where}{change}")
        if inner is not None:
            self.over(inner)

    def _asking(
        self, resource: Resource, child: Callable[[str, Request], Any]
    ) -> Callable[[str, Request], Any]:
        def asked(name: str, request: Request) -> Any:
            return self._waiting(child(name, request), lambda found: self._asked(resource, name, found))

        return asked

    def _asked(self, resource: Resource, name: str, found: Resource | None) -> None:
        what = "has no child" if found is None else f"gives {label(found)} for"
        self.lines.append(f"  {self.here()}: {label(resource)} {what} {name!r}")
        if found is not None:
            self.over(found)

    def _waiting(self, found: Any, tell: Callable[[Resource | None], None]) -> Any:
        """`found` itself, told of now, or when it has been waited for."""
        if not isawaitable(found):
            tell(found)
            return found

        async def waited(coming: Awaitable[Resource | None]) -> Resource | None:
            resource = await coming
            tell(resource)
            return resource

        return waited(found)

    def mounted(self, name: str, child: Resource) -> None:
        self.lines.append(f"  {self.here().removesuffix('/')}/{name}: {label(child)} is mounted")
        self.over(child)


class _Children(dict[str, Resource]):
    """The mounts of a resource, which tell when one is found."""

    def __init__(self, children: dict[str, Resource], watch: _Watch) -> None:
        super().__init__(children)
        self._watch = watch

    def get(self, name: str, default: Any = None) -> Any:
        child = super().get(name, default)
        if child is not None:
            self._watch.mounted(name, child)
        return child


class _Exchange:
    """What a traversal may ask of an exchange; there will be no answer."""

    started = ended = disconnected = gone = False

    def __init__(self) -> None:
        self.is_restarted = False

    def before_head(self, hook: object) -> None: ...

    def encode_by(self, choice: object) -> None: ...

    def on_close(self, observer: object) -> None: ...

    def restart(self) -> None:
        self.is_restarted = True


def _halves(url: str) -> tuple[str, str]:
    path, _, query = url.partition("?")
    return path, query


def _request(
    site: Site, url: str, method: str, headers: Sequence[tuple[str, str]]
) -> tuple[Request, _Exchange]:
    # What begins with a slash is a path, whatever comes next.
    there = SplitResult("", "", *_halves(url), "") if url.startswith("/") else urlsplit(url)
    if there.scheme not in ("", *_PORTS) or bool(there.scheme) is not bool(there.netloc) or not url:
        raise ConfigProblem(f'expected "/path" or "http://host/path" as URL, got {url!r}')
    if not there.scheme and not url.startswith("/"):
        raise ConfigProblem(
            f'expected "/path" or "http://host/path" as URL, got {url!r} (did you mean "/{url}"?)'
        )
    path = quote(there.path or "/", safe=_SAFE).encode()
    query = quote(there.query, safe=_SAFE).encode()
    fields = [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers]
    if not any(name == b"host" for name, _ in fields):
        fields.insert(0, (b"host", (there.netloc or "localhost").encode("idna")))
    target = path + (b"?" + query if query else b"")
    request = Request(method.upper(), target, path, query, "1.1", fields, EMPTY)
    secure = there.scheme == "https"
    server = ("127.0.0.1", there.port or _PORTS[there.scheme or "http"])
    request.connection = Connection(_CLIENT, server, secure=secure)
    exchange: Any = _Exchange()
    exchange.request = request
    request.exchange = exchange
    return request, exchange
