"""From what the user gave, names, directories, mounts, a `.tac` file, to an Application of sites.

Here: what the root is, and what is mounted in it. Not here: what a mount can name (kinds/), what can be around
it (policy.py), sites (sites.py), importing (importer.py, tac.py), the spelling of options (options/).
"""

from __future__ import annotations

from inspect import isclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from container.config.blame import blaming
from container.config.importer import ImportProblem, import_object
from container.config.kinds.registry import KINDS, files, is_directory, kind_of_spec, resource_of, script
from container.config.objects import as_resource
from container.config.policy import BY_NAME, POLICIES
from container.config.problems import ConfigProblem, nearest_name
from container.config.scripts import mount_of_bin, mounts_of_root
from container.config.sites import allow_larger_content, bind_sites
from container.config.tac import load_tac
from container.config.users import user_directories
from container.service.application import Application
from container.tree.resource import Resource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from container.channel.endpoints import Endpoint
    from container.config.mounts import Mount
    from container.config.settings import Settings, Source


def build(source: Source, settings: Settings, endpoints: Sequence[Endpoint] = ()) -> Application:
    """An application whose bindings are ready: each a Site and where it is served.

    `endpoints` replace those a `.tac` file names. ConfigProblem for what cannot be understood, ImportProblem
    for what cannot be loaded.
    """
    own = [mount for mount in source.mounts if not mount.place.host]
    hosts = [mount for mount in source.mounts if mount.place.host]
    name, value = _load(source, settings, own)
    if hosts:
        value = _with_hosts(hosts, name, value, settings)
    below = [("", path, resource) for path, resource in _scripts(source, settings)]
    below += [(mount.origin, mount.path, mounted(mount, settings)) for mount in own if mount.path]
    if isinstance(value, Application):
        application = value
    else:
        application = Application("container")
        application.serve(_welcome() if value is None else value)
    sites = bind_sites(application, name, settings, endpoints)
    if below and len(sites) != 1:
        raise ConfigProblem(f"expected one site to mount at, got {len(sites)} in {name}")
    for origin, path, resource in below:
        with blaming(origin):
            _put(sites[0], path, resource)
    for site in sites:
        allow_larger_content(site)
    return application


def _welcome() -> Resource:
    from container.config.welcome import (
        Welcome,  # late: whoever has something to serve needs no page about that
    )

    return Welcome()


# Mounts.


def mounted(mount: Mount, settings: Settings) -> Resource:
    """What a mount holds, with its policies around it."""
    with blaming(mount.origin):
        kind = kind_of_spec(mount.spec) if mount.keys else None
    keys = {key.name: key for key in kind.keys} if kind is not None else {}
    given: dict[str, Any] = {}
    for name, said in mount.keys.items():
        with blaming(mount.origins.get(name, mount.origin)):
            key = keys.get(name) or (BY_NAME[name].key if name in BY_NAME else None)
            if key is None:
                known = [*keys, *BY_NAME]
                what = f"a key of {kind.name}" if kind is not None else "a key of any mount"
                raise ConfigProblem(f"expected {what}, got {said.name}{nearest_name(name, known)}")
            read = key.type.parse if said.is_text else key.type.load
            given[name] = read(said.value, said.name)  # type: ignore[arg-type]  # text is text
    with blaming(mount.origin):
        resource = resource_of(mount.spec, settings, {name: given[name] for name in given if name in keys})
    for policy in POLICIES:
        name = policy.key.name
        if name in given and name not in keys:
            with blaming(mount.origins.get(name, mount.origin)):
                resource = policy.wrap(resource, given[name])
    return resource


def _put(above: Resource, path: str, resource: Resource) -> None:
    """Mount it; ConfigProblem where nothing can be mounted: in virtual hosts that have no default."""
    try:
        above.mount(path, resource)
    except ValueError as error:
        raise ConfigProblem(str(error)) from error


def _with_hosts(mounts: Sequence[Mount], name: str, value: object, settings: Settings) -> Resource:
    """Virtual hosts, and for all other hosts what else there is to serve."""
    from container.resources.vhost import VirtualHosts

    if isinstance(value, Application):
        raise ConfigProblem(f"expected virtual hosts inside {name}, got {mounts[0].text!r} besides it")
    hosts: dict[str, Resource] = {}
    for mount in mounts:
        resource = mounted(mount, settings)
        if mount.path:
            with blaming(mount.origin):
                _put(hosts.setdefault(mount.place.host, Resource()), mount.path, resource)
        else:
            hosts[mount.place.host] = resource
    default = None if value is None else as_resource(value, name, settings)
    return VirtualHosts(hosts, default=default)


def _scripts(source: Source, settings: Settings) -> list[tuple[str, Resource]]:
    """The directories of scripts that are named by options of their own."""
    scripts = settings.scripts
    below = [mount_of_bin(text, source.path or source.cgi, scripts) for text in source.cgi_bins]
    if source.cgi is not None and not below:
        below = mounts_of_root(source.cgi, scripts)
    return below


def _load(source: Source, settings: Settings, mounts: Sequence[Mount]) -> tuple[str, object]:
    """The root, None when there is nothing to serve, and its name in messages."""
    named = [(root, text) for root in ROOTS if (text := getattr(source, root.field)) is not None]
    options = [root.option for root, _ in named]
    at_root = next((mount for mount in mounts if not mount.path), None)
    if at_root is not None:
        options.append(f"{at_root.origin}mount /" if at_root.origin else "--mount /")
    if len(options) > 1:
        raise ConfigProblem(f"expected one root, got {' and '.join(options)}; use --mount for more")
    if source.factory and not (source.app or source.wsgi or source.asgi):
        raise ConfigProblem("expected APP, --wsgi or --asgi with --factory, got none of them")
    if named:
        root, text = named[0]
        with blaming(settings.origins.get(root.of_option, "")):
            return text, root.load(text, settings, source.factory)
    if at_root is not None:
        return at_root.spec, mounted(at_root, settings)
    return "the root", Resource() if mounts or source.cgi_bins else None


# The options that name a root.


def _app(name: str, settings: Settings, factory: bool) -> object:
    option = "-y" if name.endswith(".tac") else "--path" if is_directory(name) else ""
    if option:
        hint = f" (did you mean {option} {name}?)"
        raise ConfigProblem(f'expected APP as "module:name", got {name!r}{hint}')
    return import_object(name, factory=factory)


def _of_kind(kind: str) -> Callable[[str, Settings, bool], Resource]:
    def load(name: str, settings: Settings, factory: bool) -> Resource:
        called = f"{name}()" if factory and not name.endswith("()") else name
        return KINDS[kind].make(called, settings, KINDS[kind].arguments({}, settings))

    return load


def _class(name: str, settings: Settings, factory: bool) -> Resource:
    found = import_object(name)
    if not (isclass(found) and issubclass(found, Resource)):
        raise ImportProblem(
            f"expected a class of resources for --class, got {type(found).__name__} from {name!r}"
        )
    value = import_object(name, factory=True)
    assert isinstance(value, Resource), "its class is a Resource"
    return value


def _files(path: str, settings: Settings, factory: bool) -> Resource:
    return files(path, settings, listing=settings.listing)


def _tac(path: str, settings: Settings, factory: bool) -> object:
    return load_tac(path)


def _script(path: str, settings: Settings, factory: bool) -> Resource:
    return script(path, settings)


def _users(directory: str, settings: Settings, factory: bool) -> Resource:
    return user_directories(directory, settings)


class Root(NamedTuple):
    """An option that names a root: a field of Source, its name in messages, what loads the object; the field of the
    option where that is another."""

    field: str
    option: str
    load: Callable[[str, Settings, bool], object]
    said_as: str = ""

    @property
    def of_option(self) -> str:
        return self.said_as or self.field


ROOTS: Final = (
    Root("app", "APP", _app),
    Root("wsgi", "--wsgi", _of_kind("wsgi")),
    Root("asgi", "--asgi", _of_kind("asgi")),
    Root("class_", "--class", _class, "class"),
    Root("path", "--path", _files),
    Root("cgi", "--cgi", _files),
    Root("tac", "--python", _tac, "python"),
    Root("script", "--resource-script", _script, "resource_script"),
    Root("user_dirs", "--user-dirs", _users),
)
