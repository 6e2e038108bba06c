"""From what the user gave, names, directories, mounts, a `.tac` file, to an Application of sites.

Here: which kinds of things a mount can name, what a Python object found under a name can be, how settings
reach a site. A new kind is an entry in KINDS. Not here: importing (importer.py, tac.py), the spelling of
options (cli/).
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass, field, replace
from inspect import isclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from container.config.detect import check_asgi, check_wsgi, interface_of
from container.config.importer import ImportProblem, check_callable, import_object, nearest_name
from container.config.mounts import ConfigProblem, Mount, Welcome, parse_mounts
from container.config.scripts import (
    Scripts,
    mount_of_bin,
    mounts_of_root,
    processors_of,
    scripts_at,
)
from container.config.tac import load_tac
from container.service.application import Application, Binding
from container.service.server import as_endpoints
from container.tree.encoding import EncodingRules
from container.tree.resource import Resource
from container.tree.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from container.channel.endpoints import Endpoint
    from container.message.encoding import Encoder
    from container.message.exchange import Exchange
    from container.message.fields import Pair
    from container.resources.asgi.lifespan import LifespanMode


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for all that is built.

    `threads`, `queue_limit`: of each WSGI application that is named; `lifespan`: of each ASGI application;
    `request_timeout`: of both. Resources that a `.tac` file has made have their own. All others hold for
    every site: `headers` are added, `limits` and `timeouts` replace single values by name, `encoders` replace
    those a site has. `index` is of every directory that is named, `listing` of a root that is one.
    `access_log` is for sites that have none; with `override_log` for all of them.
    `sessions` is the store of sessions around every site, as `make_store` takes it.
    """

    threads: int = 8
    queue_limit: int = 1000
    lifespan: LifespanMode = "auto"
    request_timeout: float | None = None
    index: tuple[str, ...] = ("index.html",)
    listing: bool = True
    headers: tuple[Pair, ...] = ()
    encoders: tuple[Encoder, ...] = ()
    display_tracebacks: bool = False
    limits: Mapping[str, int | None] = field(default_factory=dict)
    timeouts: Mapping[str, float] = field(default_factory=dict)
    access_log: Callable[[Exchange], None] | None = None
    override_log: bool = False
    sessions: str | None = None
    scripts: Scripts = field(default_factory=Scripts)


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be served, as the user spelt it: at most one of the first six, and mounts before it."""

    app: str | None = None
    wsgi: str | None = None
    asgi: str | None = None
    path: str | None = None
    tac: str | None = None
    cgi: str | None = None
    script: str | None = None
    factory: bool = False
    mounts: Sequence[str] = ()
    cgi_bins: Sequence[str] = ()


Kind: TypeAlias = "Callable[[str, Settings], Resource]"


def build(source: Source, settings: Settings, endpoints: Sequence[Endpoint] = ()) -> Application:
    """An application whose bindings are ready: each a Site and where it is served.

    `endpoints` replace those a `.tac` file names. ConfigProblem for what cannot be understood, ImportProblem
    for what cannot be loaded.
    """
    mounts = parse_mounts(source.mounts)
    name, value = _load(source, settings, mounts)
    below = _scripts(source, settings)
    below += [(mount, resource_of(mount.spec, settings)) for mount in mounts if mount.path]
    if isinstance(value, Application):
        application = value
    else:
        application = Application("container")
        application.serve(value)
    sites = _bind(application, name, settings, endpoints)
    if below and len(sites) != 1:
        raise ConfigProblem(f"expected one site to mount at, got {len(sites)} in {name}")
    for mount, resource in below:
        sites[0].mount(mount.path, resource)
    return application


def _scripts(source: Source, settings: Settings) -> list[tuple[Mount, Resource]]:
    """The directories of scripts that are named by options of their own."""
    scripts = settings.scripts
    below = [mount_of_bin(text, source.path or source.cgi, scripts) for text in source.cgi_bins]
    if source.cgi is not None and not below:
        below = mounts_of_root(source.cgi, scripts)
    return below


def _load(source: Source, settings: Settings, mounts: Sequence[Mount]) -> tuple[str, object]:
    """The root and its name in messages."""
    root = next((mount.spec for mount in mounts if not mount.path), None)
    given = {
        "APP": source.app,
        "--wsgi": source.wsgi,
        "--asgi": source.asgi,
        "--path": source.path,
        "--cgi": source.cgi,
        "--python": source.tac,
        "--resource-script": source.script,
        "--mount /": root,
    }
    roots = [option for option, text in given.items() if text is not None]
    if len(roots) > 1:
        raise ConfigProblem(f"expected one root, got {' and '.join(roots)}; use --mount for more")
    if source.factory and not (source.app or source.wsgi or source.asgi):
        raise ConfigProblem("expected APP, --wsgi or --asgi with --factory, got none of them")
    if source.app is not None:
        option = "-y" if source.app.endswith(".tac") else "--path" if _is_directory(source.app) else ""
        if option:
            hint = f" (did you mean {option} {source.app}?)"
            raise ConfigProblem(f'expected APP as "module:name", got {source.app!r}{hint}')
        return source.app, import_object(source.app, factory=source.factory)
    if source.wsgi is not None:
        return source.wsgi, _wsgi(source.wsgi, settings, factory=source.factory)
    if source.asgi is not None:
        return source.asgi, _asgi(source.asgi, settings, factory=source.factory)
    if source.path is not None:
        return source.path, _files(source.path, settings, listing=settings.listing)
    if source.cgi is not None:
        return source.cgi, _files(source.cgi, settings, listing=settings.listing)
    if source.tac is not None:
        return source.tac, load_tac(source.tac)
    if source.script is not None:
        return source.script, _script(source.script, settings)
    if root is not None:
        return root, resource_of(root, settings)
    return "the root", Resource() if mounts or source.cgi_bins else Welcome()


def _bind(
    application: Application, name: str, settings: Settings, endpoints: Sequence[Endpoint]
) -> list[Site]:
    """Give every binding a site with these settings, and its endpoints; return the sites."""
    sites: dict[int, Site] = {}
    bindings = application.bindings
    for binding in bindings:
        if binding.options:
            unknown = ", ".join(binding.options)
            raise ImportProblem(f"expected only a site and addresses in serve(), got {unknown} in {name}")
        if id(binding.site) not in sites:
            sites[id(binding.site)] = site_of(binding.site, name, settings)
    if not bindings and not application.services:
        raise ImportProblem(f"expected {name} to serve a site or to have a service, got neither")
    if endpoints and len(sites) != 1:
        raise ConfigProblem(f"expected one site to serve at the given address, got {len(sites)} in {name}")
    if endpoints:
        bindings = [replace(bindings[0], endpoints=tuple(endpoints))]
    application.bindings = [
        Binding(sites[id(each.site)], as_endpoints(each.endpoints), {}) for each in bindings
    ]
    return list(sites.values())


def site_of(value: object, name: str, settings: Settings) -> Site:
    """A site that serves `value`, with the settings that hold for sites.

    A site that is ready made keeps the headers it has: further ones come from a second site around it.
    """
    resource = as_resource(value, name, settings)
    site = resource if isinstance(resource, Site) else Site(resource, headers=settings.headers)
    if settings.display_tracebacks:
        site.display_tracebacks = True
    if site is resource and settings.headers:
        outer = Site(site, headers=settings.headers, error_pages=site.error_pages, access_log=site.log)
        outer.limits, outer.timeouts = site.limits, site.timeouts
        outer.display_tracebacks = site.display_tracebacks
        site = outer
    site.limits = replace(site.limits, **settings.limits)  # type: ignore[arg-type]  # None only where it may be
    site.timeouts = replace(site.timeouts, **settings.timeouts)
    if settings.encoders:
        site.encoding = EncodingRules(settings.encoders)
    if settings.override_log or site.log is None:
        site.log = settings.access_log
    if settings.sessions is not None:
        site.root = _with_sessions(site.root, settings.sessions)
    return site


def _with_sessions(root: Resource, spec: str) -> Resource:
    from container.sessions import Sessions
    from container.sessions.registry import make_store

    try:
        return Sessions(root, store=make_store(spec))
    except ValueError as error:
        raise ConfigProblem(str(error)) from error


def as_resource(value: object, name: str, settings: Settings) -> Resource:
    """A Site or Resource itself, or what runs a WSGI or ASGI application or the handlers of a class; `name` is
    how the user spelt it."""
    if isinstance(value, Resource):
        return value
    if isinstance(value, Application):
        raise ImportProblem(f"expected something to mount, got an Application from {name!r}")
    if isclass(value) and issubclass(value, Resource | Application):
        raise ImportProblem(f'expected an instance, got class {value.__name__!r} from {name!r} (add "()"?)')
    if _is_handler(value):
        return _handler_resource(value, settings)
    if interface_of(check_callable(value, name)) == "wsgi":
        return _wsgi_resource(value, name, settings)
    return _asgi_resource(value, name, settings)


def _wsgi_resource(value: object, name: str, settings: Settings) -> Resource:
    from container.resources.wsgi import WSGIResource  # late: a tree of files needs no threads

    return WSGIResource(
        check_wsgi(value, name),
        threads=settings.threads,
        queue_limit=settings.queue_limit,
        request_timeout=settings.request_timeout,
    )


def _is_handler(value: object) -> bool:
    """A class that was written for http.server."""
    return isclass(value) and any(base.__module__ == "http.server" for base in value.__mro__)


def _handler_resource(value: Any, settings: Settings) -> Resource:
    from container.resources.handler import HandlerResource

    # Handlers know of no loop: where applications run inline, they have a thread.
    return HandlerResource(value, threads=max(1, settings.threads), queue_limit=settings.queue_limit)


def _asgi_resource(value: object, name: str, settings: Settings, *, told: bool = False) -> Resource:
    from container.resources.asgi import ASGIResource

    return ASGIResource(
        check_asgi(value, name, told=told),
        lifespan=settings.lifespan,
        request_timeout=settings.request_timeout,
    )


# Kinds of mounts.


def resource_of(spec: str, settings: Settings) -> Resource:
    """The resource for `KIND:ARG`, or for the object a bare `module:name` leads to."""
    kind, colon, argument = spec.partition(":")
    if colon and kind in KINDS:
        if not argument:
            raise ConfigProblem(f'expected something after "{kind}:", got nothing')
        return KINDS[kind](argument, settings)
    if _is_directory(spec) or not _is_module(kind.partition(".")[0]):
        hint = f' (did you mean "path:{spec}"?)' if os.path.exists(spec) else nearest_name(kind, KINDS)
        raise ConfigProblem(f'expected {", ".join(KINDS)} or "module:name" to mount, got {spec!r}{hint}')
    return as_resource(import_object(spec), spec, settings)


def _is_module(name: str) -> bool:
    try:
        return name.isidentifier() and importlib.util.find_spec(name) is not None
    except (ValueError, ImportError):
        return False


def _is_directory(name: str) -> bool:
    """A directory that is no package: only the import system takes it for a module."""
    return os.path.isdir(name) and not os.path.exists(os.path.join(name, "__init__.py"))


def _wsgi(name: str, settings: Settings, *, factory: bool = False) -> Resource:
    return _wsgi_resource(_application(name, "wsgi", factory), name, settings)


def _asgi(name: str, settings: Settings, *, factory: bool = False) -> Resource:
    return _asgi_resource(_application(name, "asgi", factory), name, settings, told=True)


def _application(name: str, kind: str, factory: bool) -> object:
    """What a name leads to that was said to be an application of `kind`."""
    value = import_object(name, factory=factory)
    if isinstance(value, Resource | Application):
        article = "an" if kind == "asgi" else "a"
        got = type(value).__name__
        raise ImportProblem(
            f"expected {article} {kind.upper()} application, got {got} from {name!r} (give it without {kind})"
        )
    return value


def _files(path: str, settings: Settings, *, listing: bool = False) -> Resource:
    if not os.path.exists(path):
        raise ConfigProblem(f"expected a directory, got {path!r}: nothing is there")
    if not os.access(path, os.R_OK):
        raise ConfigProblem(f"expected a directory that can be read, got {path!r}")
    from container.resources.static import Files

    try:
        return Files(path, index=settings.index, listing=listing, processors=processors_of(settings.scripts))
    except ValueError as error:
        raise ConfigProblem(str(error)) from error


def _cgi(path: str, settings: Settings) -> Resource:
    return scripts_at(path, settings.scripts)


def _script(path: str, settings: Settings) -> Resource:
    """The scripts of a directory, or one."""
    from container.resources.script import ResourceScript, ScriptDirectory

    if not os.path.exists(path):
        raise ConfigProblem(f"expected a script, got {path!r}: nothing is there")
    return ScriptDirectory(path) if os.path.isdir(path) else ResourceScript(path)


def _handler(name: str, settings: Settings) -> Resource:
    return _handler_resource(check_callable(import_object(name), name), settings)


def _as_is(path: str, settings: Settings) -> Resource:
    from container.resources.asis import AsIs

    if not os.path.isfile(path):
        raise ConfigProblem(f"expected a file to send as it is, got {path!r}: no file is there")
    return AsIs(path)


def _fastcgi(address: str, settings: Settings) -> Resource:
    """`ADDRESS`, or `ADDRESS=SCRIPT` for the script that answers everything."""
    from container.resources.responder import FastCGIResource

    place, _, script = address.partition("=")
    return _responder(FastCGIResource, place, script=script or None)


def _scgi(address: str, settings: Settings) -> Resource:
    from container.resources.responder import SCGIResource

    return _responder(SCGIResource, address)


def _uwsgi(address: str, settings: Settings) -> Resource:
    from container.resources.responder import UWSGIResource

    return _responder(UWSGIResource, address)


def _responder(kind: Callable[..., Resource], address: str, **options: Any) -> Resource:
    try:
        return kind(address, **options)
    except ValueError as error:
        raise ConfigProblem(str(error)) from error


def _redirect(url: str, settings: Settings) -> Resource:
    from container.resources.redirect import Redirect

    return Redirect(url)


KINDS: Final[dict[str, Kind]] = {
    "wsgi": _wsgi,
    "asgi": _asgi,
    "path": _files,
    "static": _files,
    "files": _files,
    "redirect": _redirect,
    "cgi": _cgi,
    "script": _script,
    "asis": _as_is,
    "handler": _handler,
    "fastcgi": _fastcgi,
    "scgi": _scgi,
    "uwsgi": _uwsgi,
}
