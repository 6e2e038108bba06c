"""Files, and directories of hosts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from container.config.compound import Either, Several, Table
from container.config.gateways import host_directory
from container.config.importer import check_callable, import_object
from container.config.kinds.kind import Key, Kind, construct
from container.config.names import name_of
from container.config.objects import as_resource
from container.config.problems import ConfigProblem
from container.config.scripts import processors_of
from container.config.tac import load_tac
from container.config.values import Choice, Size, Switch, Text
from container.service.application import Application

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from container.config.settings import Settings
    from container.tree.resource import Resource

_NAME: Final = Text("NAME")


def _files(path: str, settings: Settings, arguments: dict[str, Any]) -> Resource:
    if not os.path.exists(path):
        raise ConfigProblem(f"expected a directory, got {path!r}: nothing is there")
    if not os.access(path, os.R_OK):
        raise ConfigProblem(f"expected a directory that can be read, got {path!r}")
    from container.resources.static import Files

    named = arguments.pop("processors", {})
    runs_scripts = arguments.pop("scripts", settings.scripts.among_files)
    processors = processors_of(settings.scripts, settings.request_timeout) if runs_scripts else {}
    processors |= {extension: _processor(extension, name) for extension, name in named.items()}
    return construct(Files, path, processors=processors, **arguments)


def _processor(extension: str, name: str) -> Any:
    """What makes resources of files: a class or a function that is called with a path and the Files."""
    if not extension.startswith("."):
        raise ConfigProblem(f'expected an extension such as ".md" for processors, got {extension!r}')
    return check_callable(import_object(name), name, "a class or function that makes a resource of a file")


def files(path: str, settings: Settings, *, listing: bool = False) -> Resource:
    """The files of a directory, all else as the settings have it."""
    return _files(path, settings, {**FILES.arguments({}, settings), "listing": listing})


def _runs_scripts(resource: Any) -> bool:
    return ".rpy" in resource.made_with["processors"]


def _named(resource: Any) -> dict[str, str | None]:
    """The names of its processors but for those of scripts."""
    made: Mapping[str, Any] = resource.made_with["processors"]
    runs = _runs_scripts(resource)
    return {
        extension: name_of(each)
        for extension, each in made.items()
        if not (runs and getattr(each, "__module__", "").startswith("container.resources."))
    }


def _is_ours(make: Any) -> bool:
    """Is what makes resources of hosts that of the kind below?"""
    return getattr(make, "__module__", "") == __name__


def _hosts(path: str, settings: Settings, arguments: dict[str, Any]) -> Resource:
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


FILES: Final = Kind(
    name="files", aliases=("path", "static"), metavar="DIR", help="The files of a directory, or a single file.",
    make=_files, home="container.resources.static:Files",
    subject=lambda resource: os.path.relpath(resource.path) if len(resource.paths) == 1 else None,
    keys=(
        Key("index", Several(_NAME), "What to answer for a directory, the first that is there.", inherits="index"),
        Key("listing", Switch(), "Show directories that have no index."),
        Key("scripts", Switch(), "Run the scripts among them, and send .asis files as they are.",
            attribute=_runs_scripts),
        Key("processors", Table(".EXT=NAME"), "What makes resources of the files of an extension: a class or function.",
            attribute=_named, inherits="processors"),
        Key("types", Table(".EXT=TYPE"), "Media types by extension, over the built-in table."),
        Key("default-type", Text("TYPE"), "The media type of all other files.",
            inherits="default_type"),
        Key("ignore-ext", Several(Text("EXT")), "Extensions a URL may leave out, in order; * any.",
            inherits="ignore_ext"),
        Key("precompressed", Switch(), "Send style.css.br, .zst or .gz for style.css."),
        Key("cache-control", Either(Text("VALUE"), Table("PATTERN=VALUE")),
            "The field's value for all files, or by shell pattern."),
        Key("immutable", Either(Switch(), Text("REGEX")),
            "Files named by a hash of their content may be kept for ever."),
        Key("fallback", Text("FILE"), "What is answered for missing names without extension."),
        Key("dotfiles", Switch(), "Also serve names that begin with a dot."),
        Key("links", Choice(("follow", "inside", "refuse")), "What becomes of symbolic links."),
        Key("cache-bytes", Size(), "How much of small files is kept in memory."),
    ),
)  # fmt: skip
HOSTS: Final = Kind(
    name="vhosts", metavar="DIR", help="A host for every sub-directory, .rpy and .tac file of a directory.",
    make=_hosts, home="container.resources.vhost:HostDirectory",
    subject=lambda resource: os.path.relpath(resource.path) if _is_ours(resource.made_with["make"]) else None,
)  # fmt: skip
