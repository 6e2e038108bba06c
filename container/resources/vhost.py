"""Virtual hosts: which tree answers is decided by the name the client asked for (RFC 9110 7.2, 15.5.20).

Names are compared as `message/authority.py` spells them. Who may replace the name a proxy has changed is
decided in `tree/forwarded.py` and `resources/vhostmonster.py`.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from html import escape
from os import PathLike
from time import time
from typing import Final, TypeAlias

from container.message.authority import HostPattern, lookups, normal_name
from container.message.errors import HTTPError
from container.message.request import Request
from container.message.response import Response
from container.tree.resource import Resource
from container.tree.site import Site

log = logging.getLogger("container.site")

_REMEMBERED_MAX: Final = 1024
# A directory that has changed within this time may be changed again without a newer time stamp.
_SETTLED_S: Final = 2.0

Maker: TypeAlias = Callable[[str], Resource]


class VirtualHosts(Resource):
    """The resource of the host that was asked for, in this place: `VirtualHosts({"a.example": one}, default=two)`.

    A host is `"a.example"`, `"*.a.example"` for all names below it, `"a.example:8443"` for one port,
    `"[2001:db8::1]"`. A name before a wildcard, a longer wildcard before a shorter one, each with the port
    before without. Other hosts get `default`; without one they are answered 421. With `parents`, names below
    a registered one count as that one. With `listing`, a page that names the hosts takes the place of a
    default. Host names are public: whatever is secret belongs behind authentication.

    What is mounted here is mounted in the default. Put a Site around the resource of a host to give that host
    headers and error pages of its own.
    """

    is_transparent = True

    def __init__(
        self,
        hosts: Mapping[str, Resource] | None = None,
        *,
        default: Resource | None = None,
        parents: bool = False,
        listing: bool = False,
    ) -> None:
        self.default = default
        self.parents = parents
        self._elsewhere: Resource = _HostList(self) if listing else _NO_HOST
        self._hosts: dict[str, Resource] = {}
        # For a Host field as it was sent and whether the connection was secure: the resource, and its host.
        self._known: dict[tuple[bytes | None, bool], tuple[Resource, str]] = {}
        for name, resource in (hosts or {}).items():
            self.add_host(name, resource)

    # The table.

    @property
    def hosts(self) -> dict[str, Resource]:
        """What is registered, by host as in the constructor, in normal spelling: a copy."""
        return {_shown(key): resource for key, resource in self._hosts.items()}

    def add_host(self, host: str, resource: Resource) -> Resource:
        """Register `resource` for `host` and return it; replaces what was there. Works while serving, but
        starts nothing. Raises ValueError for what is no host."""
        if not isinstance(resource, Resource):
            raise TypeError(f"expected a Resource for {host!r}, got {resource!r}")
        self._hosts[HostPattern(host).key] = resource
        self._known.clear()
        return resource

    def remove_host(self, host: str) -> Resource:
        """Take away and return what is registered for `host`. Raises KeyError when nothing is."""
        found = self._hosts.pop(HostPattern(host).key)
        self._known.clear()
        return found

    def enter(self, request: Request) -> "Resource | Awaitable[Resource]":
        key = request.raw_header(b"host"), request.is_secure
        found = self._known.get(key)
        if found is None:
            found = self._look(request) or (self.default or self._elsewhere, "")
            if len(self._known) >= _REMEMBERED_MAX:
                self._known.clear()
            self._known[key] = found
        if request.notes is not None:
            request.notes.host = found[1]
        return found[0]

    def _look(self, request: Request) -> tuple[Resource, str] | None:
        if not request.raw_header(b"host"):
            return None
        name, port = request.hostname, request.port
        try:
            name = normal_name(name)
        except ValueError:
            return None
        for key in lookups(name, port):
            found = self._hosts.get(key)
            if found is not None:
                return found, _shown(key)
            if self.parents and key.startswith("*."):
                found = self._hosts.get(key.removeprefix("*."))
                if found is not None:
                    return found, _shown(key.removeprefix("*."))
        return None

    # The tree.

    def _put(self, name: str, child: Resource) -> Resource:
        return self._default_for(name)._put(name, child)

    def _take(self, name: str) -> Resource:
        return self._default_for(name)._take(name)

    def _default_for(self, name: str) -> Resource:
        if self.default is None:
            raise ValueError(f"expected VirtualHosts with a default to mount {name!r} in, got one without")
        return self.default

    @property
    def children(self) -> dict[str, Resource]:
        return self.default.children if self.default is not None else {}

    def parts(self) -> list[Resource]:
        return [*self._hosts.values(), *([self.default] if self.default is not None else [])]

    def walk(self, path: str = "") -> Iterator[tuple[str, Resource]]:
        """Those of a host have its name in front: `//a.example/path`."""
        if self.default is not None:
            yield from self.default.walk(path)
        for host, resource in self.hosts.items():
            yield f"//{host}{path}/", resource
            yield from resource.walk(f"//{host}{path}")


class HostDirectory(VirtualHosts):
    """A host for every entry of a directory: `HostDirectory("/var/vhosts", Files)`.

    `make` gets the path of a sub-directory, whose name is that of its host, and gives its resource. `makers`
    do the same for files by extension: with `{".rpy": ResourceScript}` the file `a.example.rpy` is the host
    a.example. Entries whose names are no hosts are left out. When `live`, entries that come and go are
    noticed with the next request; what is made is started before its first request, and stopped when the
    entry has gone.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        make: Maker,
        *,
        makers: Mapping[str, Maker] | None = None,
        default: Resource | None = None,
        live: bool = True,
        parents: bool = False,
        listing: bool = False,
    ) -> None:
        """Raises ValueError when there is no directory."""
        super().__init__(default=default, parents=parents, listing=listing)
        self.path = os.path.abspath(path)
        if not os.path.isdir(self.path):
            raise ValueError(f"expected a directory of hosts, got {os.fspath(path)!r}")
        self.live = live
        self.made_with: dict[str, object] = {
            "make": make, "default": default, "live": live, "parents": parents, "listing": listing
        }  # fmt: skip
        self._makers = dict(makers or {})
        self._make = make
        self._stamp = 0
        self._settled = False
        self._made: dict[str, Resource] = {}
        self._lives: dict[Resource, Site] = {}
        # Made and not yet started; gone and not yet stopped.
        self._waiting: set[Resource] = set()
        self._old: list[Resource] = []
        self._lock = asyncio.Lock()
        self._scan()

    def enter(self, request: Request) -> "Resource | Awaitable[Resource]":
        if self.live and self._has_changed():
            self._scan()
        found = super().enter(request)
        assert isinstance(found, Resource), "that of VirtualHosts waits for nobody"
        if self._old or found in self._waiting:
            return self._ready(found)
        return found

    def _has_changed(self) -> bool:
        try:
            return not self._settled or os.stat(self.path).st_mtime_ns != self._stamp
        except OSError:  # it has gone, for a while perhaps: what was found goes on
            return False

    def _scan(self) -> None:
        """Make what is new, forget what has gone."""
        try:
            status = os.stat(self.path)
            entries = sorted(os.scandir(self.path), key=lambda entry: entry.name)
        except OSError as error:
            log.error("the hosts of %s cannot be read: %s", self.path, error.strerror)
            return
        self._stamp = status.st_mtime_ns
        self._settled = time() - status.st_mtime > _SETTLED_S
        there: dict[str, None] = {}
        for entry in entries:
            host, make = self._maker_of(entry)
            if make is None:
                continue
            there[entry.name] = None
            if entry.name not in self._made:
                try:
                    made = make(entry.path)
                    self.add_host(host, made)
                except Exception:  # what makes it may be the application's
                    log.exception("no host is made of %s", entry.path)
                    continue
                self._made[entry.name] = made
                self._waiting.add(made)
        for name in [name for name in self._made if name not in there]:
            gone = self._made.pop(name)
            for host in [host for host, resource in self.hosts.items() if resource is gone]:
                self.remove_host(host)
            self._old.append(gone)

    def _maker_of(self, entry: "os.DirEntry[str]") -> tuple[str, Maker | None]:
        """The host an entry is for, and what makes its resource."""
        host, make = entry.name, None
        if entry.name.startswith("."):
            return host, None
        if entry.is_dir():
            make = self._make
        else:
            stem, extension = os.path.splitext(entry.name)
            host, make = stem, self._makers.get(extension)
        try:
            HostPattern(host)
        except ValueError:
            return host, None
        return host, make

    # The lives of what was made.

    def parts(self) -> list[Resource]:
        return [self.default] if self.default is not None else []

    async def start(self) -> None:
        """Start every host there is; one that does not start is an error now."""
        for resource in list(self._made.values()):
            await self._start(resource)

    async def _ready(self, found: Resource) -> Resource:
        async with self._lock:  # who comes second waits until the first has started it
            old, self._old = self._old, []
            for each in old:
                self._waiting.discard(each)
                life = self._lives.pop(each, None)
                if life is not None:
                    await life.stop()
            await self._start(found)
        return found

    async def _start(self, resource: Resource) -> None:
        if resource in self._waiting:
            life = Site(resource)
            await life.start()
            self._lives[resource] = life
            self._waiting.discard(resource)

    def drain(self) -> None:
        for life in self._lives.values():
            life.drain()

    async def stop(self) -> None:
        lives, self._lives = self._lives, {}
        for resource, life in reversed(lives.items()):
            await life.stop()
            self._waiting.add(resource)  # to be started again


class _NoHost(Resource):
    """Answers those who have asked for a host that is not here."""

    is_leaf = True

    def render(self, request: Request) -> Response:
        host = request.raw_header(b"host")
        if not host:
            raise HTTPError(421, "Expected the name of a host, got none.")
        raise HTTPError(421, f"The host {host.decode('latin-1')} is not served here.")


_NO_HOST: Final = _NoHost()


class _HostList(Resource):
    """Names the hosts that are here, with links."""

    is_leaf = True

    def __init__(self, hosts: VirtualHosts) -> None:
        self._hosts = hosts

    def render(self, request: Request) -> Response:
        port = request.port
        own = "" if port == (443 if request.is_secure else 80) else f":{port}"
        hosts = [host for host in sorted(self._hosts.hosts) if not host.startswith("*.")]
        links = "\n".join(
            f'<li><a href="//{host if host.rpartition(":")[2].isdecimal() else host + own}/">{host}</a>'
            for host in map(escape, hosts)
        )
        page = f"<!doctype html>\n<title>Hosts</title>\n<h1>Hosts</h1>\n<ul>\n{links}\n</ul>\n"
        return Response.html(page, 421 if request.raw_path != b"/" else 200)


def _shown(key: str) -> str:
    name, _, port = key.partition(" ")
    name = f"[{name}]" if ":" in name else name
    return f"{name}:{port}" if port else name
