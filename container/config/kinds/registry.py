"""Which kinds of things a mount can name: those of this package and those of plug-ins.

A new kind of ours is an entry in KINDS; one of a plug-in is an entry point of the group `container.kinds` that
leads to a Kind, or to a function that makes a resource of an argument and Settings.
"""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Any, Final

from container.config.importer import ImportProblem, import_object
from container.config.kinds.applications import ASGI, HANDLER, WSGI
from container.config.kinds.files import FILES, HOSTS, files
from container.config.kinds.gateways import FASTCGI, MONSTER, PROXY, REDIRECT, SCGI, UWSGI
from container.config.kinds.kind import Key, Kind
from container.config.kinds.scripts import ASIS, CGI, CGI_SCRIPT, SCRIPT, SCRIPT_DIRECTORY, USERS, script
from container.config.objects import as_resource, kind_of
from container.config.problems import ConfigProblem, nearest_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.metadata import EntryPoint

    from container.config.settings import Settings
    from container.tree.resource import Resource

GROUP: Final = "container.kinds"
# Our own need no installed metadata.
_ALL: Final = (
    WSGI, ASGI, FILES, REDIRECT, PROXY, CGI, SCRIPT, ASIS, HANDLER, FASTCGI, SCGI, UWSGI, HOSTS, MONSTER, USERS,
)  # fmt: skip
KINDS: Final[dict[str, Kind]] = {name: kind for kind in _ALL for name in (*kind.aliases, kind.name)}
# Told by the same name, made by another class.
TWINS: Final = (CGI_SCRIPT, SCRIPT_DIRECTORY)

__all__ = [
    "GROUP",
    "KINDS",
    "TWINS",
    "Key",
    "Kind",
    "files",
    "find_kind",
    "resource_of",
    "script",
    "unique_kinds",
]


def unique_kinds() -> Iterator[Kind]:
    """Each of ours once."""
    yield from _ALL


def find_kind(name: str) -> Kind | None:
    """The kind of that name, of this package or of a plug-in."""
    if name in KINDS:
        return KINDS[name]
    plugin = _plugins().get(name)
    return None if plugin is None else _loaded(plugin)


def resource_of(spec: str, settings: Settings, given: Mapping[str, Any] | None = None) -> Resource:
    """The resource for `KIND:ARG`, or for the object a bare `module:name` leads to, with the keys that were given."""
    name, colon, argument = spec.partition(":")
    kind = find_kind(name) if colon else None
    if kind is not None:
        if not argument:
            raise ConfigProblem(f'expected something after "{name}:", got nothing')
        return kind.make(argument, settings, kind.arguments(given or {}, settings))
    return as_resource(imported(spec), spec, settings, given)


def kind_of_spec(spec: str) -> Kind | None:
    """The kind a spec is of; None for a resource ready made."""
    name, colon, _ = spec.partition(":")
    kind = find_kind(name) if colon else None
    return kind if kind is not None else kind_of(imported(spec), spec)


def imported(spec: str) -> object:
    """The object a bare `module:name` leads to; what looks like a kind that there is not is told so."""
    name = spec.partition(":")[0]
    if is_directory(spec) or not _is_module(name.partition(".")[0]):
        known = [*KINDS, *(each for each in _plugins() if each not in KINDS)]
        hint = f' (did you mean "path:{spec}"?)' if os.path.exists(spec) else nearest_name(name, known)
        raise ConfigProblem(f'expected {", ".join(known)} or "module:name" to mount, got {spec!r}{hint}')
    return import_object(spec)


def is_directory(name: str) -> bool:
    """A directory that is no package: only the import system takes it for a module."""
    return os.path.isdir(name) and not os.path.exists(os.path.join(name, "__init__.py"))


def plugin_names() -> list[str]:
    return list(_plugins())


def _plugins() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points  # late: it is slow to import

    return {each.name: each for each in entry_points(group=GROUP)}


def _loaded(plugin: EntryPoint) -> Kind:
    try:
        found = plugin.load()
    except (ImportError, AttributeError) as error:
        raise ImportProblem(f"expected the kind {plugin.name!r}, got none: {error}") from error
    if isinstance(found, Kind):
        return found

    def make(argument: str, settings: Settings, arguments: dict[str, Any]) -> Resource:
        made: Resource = found(argument, settings)
        return made

    return Kind(name=plugin.name, metavar="ARG", help="A plug-in's.", make=make)


def _is_module(name: str) -> bool:
    try:
        return name.isidentifier() and importlib.util.find_spec(name) is not None
    except (ValueError, ImportError):
        return False
