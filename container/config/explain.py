"""Which resource answers a request, and why: the traversal that serves requests, watched step by step.

Nothing is rendered, and only who guards the way is started. The tree is spoilt for serving: its resources tell of
what is asked of them from then on.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, quote, urlsplit

from container.config.problems import ConfigProblem
from container.config.routes import label
from container.message.authority import HOST, normal_name, parse_authority
from container.message.body import EMPTY
from container.message.connection import Connection
from container.message.errors import HTTPError
from container.message.fields import TOKEN, encode_fields
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
    return await found.arrive(request) if isinstance(found, Late) else found


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


def split_url(url: str) -> SplitResult:
    """Its parts, the authority as a Host field has it. ConfigProblem for what is no URL of ours."""
    if url.startswith("/"):  # a path, whatever comes next
        path, _, query = url.partition("?")
        return SplitResult("", "", path, query, "")
    expected = f'expected "/path" or "http://host/path" as URL, got {url!r}'
    try:
        there = urlsplit(url)
        if there.scheme in _PORTS and there.netloc:
            return there._replace(netloc=_ascii(there.netloc))
    except ValueError as error:  # of urlsplit, or of a host
        raise ConfigProblem(f"{expected}: {error}") from error
    hint = f' (did you mean "/{url}"?)' if url and not there.scheme and not there.netloc else ""
    raise ConfigProblem(f"{expected}{hint}")


def _ascii(authority: str) -> str:
    """ValueError for what names no host."""
    if not authority.isascii():
        host, colon, port = authority.partition(":")
        authority = f"{normal_name(host)}{colon}{port}"
    parse_authority(authority)
    return authority


def _fields(headers: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """ConfigProblem for what no request can have."""
    try:
        encode_fields([(name, os.fsencode(value).decode("latin-1")) for name, value in headers])
    except ValueError as error:
        raise ConfigProblem(str(error)) from error
    fields = [(name.lower().encode("ascii"), os.fsencode(value)) for name, value in headers]
    hosts = [value for name, value in fields if name == b"host"]
    if len(hosts) > 1 or any(HOST.fullmatch(value) is None for value in hosts):
        got = ", ".join(repr(os.fsdecode(value)) for value in hosts)
        raise ConfigProblem(f'expected one Host such as "name" or "name:port", got {got}')
    return fields


def _request(
    site: Site, url: str, method: str, headers: Sequence[tuple[str, str]]
) -> tuple[Request, _Exchange]:
    there = split_url(url)
    if not method.isascii() or TOKEN.fullmatch(method.encode("ascii")) is None:
        raise ConfigProblem(f"expected a method such as GET, got {method!r}")
    path = quote(os.fsencode(there.path or "/"), safe=_SAFE).encode()
    query = quote(os.fsencode(there.query), safe=_SAFE).encode()
    fields = _fields(headers)
    if not any(name == b"host" for name, _ in fields):
        fields.insert(0, (b"host", (there.netloc or "localhost").encode("ascii")))
    target = path + (b"?" + query if query else b"")
    request = Request(method.upper(), target, path, query, "1.1", fields, EMPTY)
    secure = there.scheme == "https"
    server = ("127.0.0.1", there.port or _PORTS[there.scheme or "http"])
    request.connection = Connection(_CLIENT, server, secure=secure)
    exchange: Any = _Exchange()
    exchange.request = request
    request.exchange = exchange
    return request, exchange
