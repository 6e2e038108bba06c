"""From what the user gave, names, directories, mounts, a `.tac` file, to an Application of sites.

Here: what the root is, and how settings reach a site. Not here: what a mount can name (kinds.py), what Python
objects can be (objects.py), importing (importer.py, tac.py), the spelling of options (cli/).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from container.channel.endpoints import UnixEndpoint
from container.config.gateways import behind_proxies, hosts_before, parse_hosts
from container.config.importer import ImportProblem, import_object
from container.config.kinds import files, is_directory, resource_of, script
from container.config.mounts import Mount, parse_mounts
from container.config.objects import as_resource, asgi, wsgi
from container.config.problems import ConfigProblem
from container.config.scripts import mount_of_bin, mounts_of_root
from container.config.tac import load_tac
from container.config.users import user_directories, with_forward_auth, with_passwords
from container.config.welcome import Welcome
from container.service.application import Application, Binding
from container.service.server import as_endpoints
from container.tree.encoding import EncodingRules
from container.tree.health import Health
from container.tree.request_ids import RequestIds
from container.tree.resource import Resource
from container.tree.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from container.channel.endpoints import Endpoint
    from container.config.settings import Settings, Source


def build(source: Source, settings: Settings, endpoints: Sequence[Endpoint] = ()) -> Application:
    """An application whose bindings are ready: each a Site and where it is served.

    `endpoints` replace those a `.tac` file names. ConfigProblem for what cannot be understood, ImportProblem
    for what cannot be loaded.
    """
    mounts = parse_mounts(source.mounts)
    name, value = _load(source, settings, mounts)
    if source.vhosts:
        value = _with_hosts(source.vhosts, name, value, settings)
    below = _scripts(source, settings)
    below += [(mount, resource_of(mount.spec, settings)) for mount in mounts if mount.path]
    if isinstance(value, Application):
        application = value
    else:
        application = Application("container")
        application.serve(value)
    sites = bind_sites(application, name, settings, endpoints)
    if below and len(sites) != 1:
        raise ConfigProblem(f"expected one site to mount at, got {len(sites)} in {name}")
    for mount, resource in below:
        sites[0].mount(mount.path, resource)
    return application


def _with_hosts(texts: Sequence[str], name: str, value: object, settings: Settings) -> Resource:
    """Virtual hosts, and for all other hosts what else there is to serve."""
    if isinstance(value, Application):
        raise ConfigProblem(f"expected virtual hosts inside {name}, got --vhost besides it")
    default = None if isinstance(value, Welcome) else as_resource(value, name, settings)
    return hosts_before(default, parse_hosts(texts), lambda spec: resource_of(spec, settings))


def _scripts(source: Source, settings: Settings) -> list[tuple[Mount, Resource]]:
    """The directories of scripts that are named by options of their own."""
    scripts = settings.scripts
    below = [mount_of_bin(text, source.path or source.cgi, scripts) for text in source.cgi_bins]
    if source.cgi is not None and not below:
        below = mounts_of_root(source.cgi, scripts)
    return below


def _load(source: Source, settings: Settings, mounts: Sequence[Mount]) -> tuple[str, object]:
    """The root and its name in messages."""
    named = [(root, text) for root in ROOTS if (text := getattr(source, root.field)) is not None]
    options = [root.option for root, _ in named]
    mounted = next((mount.spec for mount in mounts if not mount.path), None)
    if mounted is not None:
        options.append("--mount /")
    if len(options) > 1:
        raise ConfigProblem(f"expected one root, got {' and '.join(options)}; use --mount for more")
    if source.factory and not (source.app or source.wsgi or source.asgi):
        raise ConfigProblem("expected APP, --wsgi or --asgi with --factory, got none of them")
    if named:
        root, text = named[0]
        return text, root.load(text, settings, source.factory)
    if mounted is not None:
        return mounted, resource_of(mounted, settings)
    return "the root", Resource() if mounts or source.cgi_bins else Welcome()


# The options that name a root.


def _app(name: str, settings: Settings, factory: bool) -> object:
    option = "-y" if name.endswith(".tac") else "--path" if is_directory(name) else ""
    if option:
        hint = f" (did you mean {option} {name}?)"
        raise ConfigProblem(f'expected APP as "module:name", got {name!r}{hint}')
    return import_object(name, factory=factory)


def _wsgi(name: str, settings: Settings, factory: bool) -> Resource:
    return wsgi(name, settings, factory=factory)


def _asgi(name: str, settings: Settings, factory: bool) -> Resource:
    return asgi(name, settings, factory=factory)


def _files(path: str, settings: Settings, factory: bool) -> Resource:
    return files(path, settings, listing=settings.listing)


def _tac(path: str, settings: Settings, factory: bool) -> object:
    return load_tac(path)


def _script(path: str, settings: Settings, factory: bool) -> Resource:
    return script(path, settings)


def _users(directory: str, settings: Settings, factory: bool) -> Resource:
    return user_directories(directory, settings)


class Root(NamedTuple):
    """An option that names a root: a field of Source, its name in messages, what loads the object."""

    field: str
    option: str
    load: Callable[[str, Settings, bool], object]


ROOTS: Final = (
    Root("app", "APP", _app),
    Root("wsgi", "--wsgi", _wsgi),
    Root("asgi", "--asgi", _asgi),
    Root("path", "--path", _files),
    Root("cgi", "--cgi", _files),
    Root("tac", "--python", _tac),
    Root("script", "--resource-script", _script),
    Root("user_dirs", "--user-dirs", _users),
)


# Bindings and their sites.


def bind_sites(
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
    for site in sites.values():
        if settings.request_id != "off":
            accept = settings.request_id == "accept"
            site.root = RequestIds(site.root, accept=accept, send=settings.send_request_id)
        places = [place for each in application.bindings if each.site is site for place in each.endpoints]
        unix = any(isinstance(place, UnixEndpoint) for place in places)
        site.root = behind_proxies(site.root, settings.trusted_proxies, unix=unix)
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
    site.takes_notes = site.takes_notes or settings.takes_notes
    if settings.htpasswd is not None:
        site.root = with_passwords(site.root, settings.htpasswd)
    if settings.forward_auth is not None:
        site.root = with_forward_auth(site.root, settings.forward_auth)
    if settings.sessions is not None:
        site.root = _with_sessions(site.root, settings.sessions)
    if settings.healthz is not None or settings.readyz is not None:
        site.root = Health(site.root, healthz=settings.healthz, readyz=settings.readyz)
    return site


def _with_sessions(root: Resource, spec: str) -> Resource:
    from container.sessions import Sessions
    from container.sessions.registry import make_store

    try:
        return Sessions(root, store=make_store(spec))
    except ValueError as error:
        raise ConfigProblem(str(error)) from error
