"""Which kinds of things a mount can name, `KIND:ARG`: those of this package and those of plug-ins.

A new kind of ours is an entry in KINDS; one of a plug-in is an entry point of the group `container.kinds` that
leads to a Kind. Not here: the grammar of mounts (mounts.py), what Python objects can be (objects.py).
"""

from __future__ import annotations

import importlib.util
import os
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from container.config.gateways import host_directory
from container.config.importer import ImportProblem, check_callable, import_object
from container.config.objects import as_resource, asgi, handler_resource, wsgi
from container.config.problems import ConfigProblem, nearest_name
from container.config.scripts import processors_of, scripts_at
from container.config.tac import load_tac
from container.config.users import user_directories
from container.service.application import Application

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.metadata import EntryPoint

    from container.config.settings import Settings
    from container.tree.resource import Resource

# Makes a resource of what stands after the colon. Raises ConfigProblem or ImportProblem for what it cannot.
Kind: TypeAlias = "Callable[[str, Settings], Resource]"

GROUP: Final = "container.kinds"


def resource_of(spec: str, settings: Settings) -> Resource:
    """The resource for `KIND:ARG`, or for the object a bare `module:name` leads to."""
    kind, colon, argument = spec.partition(":")
    if colon and kind in KINDS:
        return _make(kind, KINDS[kind], argument, settings)
    plugins = {each.name: each for each in entry_points(group=GROUP)}
    if colon and kind in plugins:
        return _make(kind, _loaded(plugins[kind]), argument, settings)
    if is_directory(spec) or not _is_module(kind.partition(".")[0]):
        known = [*KINDS, *(name for name in plugins if name not in KINDS)]
        hint = f' (did you mean "path:{spec}"?)' if os.path.exists(spec) else nearest_name(kind, known)
        raise ConfigProblem(f'expected {", ".join(known)} or "module:name" to mount, got {spec!r}{hint}')
    return as_resource(import_object(spec), spec, settings)


def _make(name: str, kind: Kind, argument: str, settings: Settings) -> Resource:
    if not argument:
        raise ConfigProblem(f'expected something after "{name}:", got nothing')
    return kind(argument, settings)


def _loaded(plugin: EntryPoint) -> Kind:
    try:
        kind: Kind = plugin.load()
    except (ImportError, AttributeError) as error:
        raise ImportProblem(f"expected the kind {plugin.name!r}, got none: {error}") from error
    return kind


def _is_module(name: str) -> bool:
    try:
        return name.isidentifier() and importlib.util.find_spec(name) is not None
    except (ValueError, ImportError):
        return False


def is_directory(name: str) -> bool:
    """A directory that is no package: only the import system takes it for a module."""
    return os.path.isdir(name) and not os.path.exists(os.path.join(name, "__init__.py"))


def files(path: str, settings: Settings, *, listing: bool = False) -> Resource:
    """The files of a directory."""
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


def script(path: str, settings: Settings) -> Resource:
    """The scripts of a directory, or one."""
    from container.resources.script import ResourceScript, ScriptDirectory

    if not os.path.exists(path):
        raise ConfigProblem(f"expected a script, got {path!r}: nothing is there")
    return ScriptDirectory(path) if os.path.isdir(path) else ResourceScript(path)


def _handler(name: str, settings: Settings) -> Resource:
    return handler_resource(check_callable(import_object(name), name), settings)


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


def _hosts(path: str, settings: Settings) -> Resource:
    """A host for every sub-directory, `.rpy` and `.tac` file of a directory."""
    from container.resources.script import ResourceScript

    makers: dict[str, Callable[[str], Resource]] = {
        "": lambda each: files(each, settings, listing=settings.listing),
        ".rpy": ResourceScript,
        ".tac": lambda each: _root_of_tac(each, settings),
    }
    return host_directory(path, makers)


def _root_of_tac(path: str, settings: Settings) -> Resource:
    """The one site of a `.tac` file; its addresses do not count."""
    value = load_tac(path)
    if not isinstance(value, Application):
        return as_resource(value, path, settings)
    if len(value.bindings) != 1 or value.services:
        raise ConfigProblem(f"expected one site and no services in {path} to make a host of it")
    return as_resource(value.bindings[0].site, path, settings)


def _monster(networks: str, settings: Settings) -> Resource:
    from container.resources.vhostmonster import VHostMonster

    try:
        return VHostMonster(networks.split(","))
    except ValueError as error:
        raise ConfigProblem(str(error)) from error


def _proxy(urls: str, settings: Settings) -> Resource:
    """A gateway to one server, or to several whose URLs are separated by commas."""
    from container.resources.proxy import ReverseProxy

    try:
        return ReverseProxy(*urls.split(","))
    except ValueError as error:
        raise ConfigProblem(str(error)) from error


# Our own need no installed metadata.
KINDS: Final[dict[str, Kind]] = {
    "wsgi": wsgi,
    "asgi": asgi,
    "path": files,
    "static": files,
    "files": files,
    "redirect": _redirect,
    "proxy": _proxy,
    "cgi": _cgi,
    "script": script,
    "asis": _as_is,
    "handler": _handler,
    "fastcgi": _fastcgi,
    "scgi": _scgi,
    "uwsgi": _uwsgi,
    "vhosts": _hosts,
    "vhostmonster": _monster,
    "users": user_directories,
}
