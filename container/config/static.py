"""Directories of static files by options of their own: `--static /prefix=DIR`, and granian's `--static-path-…`.

Both are mounts of files; what they cannot say, `--mount-option` can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from container.config.mounts import Mount, Place, Said, parse_place
from container.config.problems import ConfigProblem

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_ROUTE: Final = "/static"
_MOUNT: Final = "--static-path-mount"
_ROUTE: Final = "--static-path-route"
# What is said of all pairs.
_OF_PAIRS: Final = ("static_path_route", "static_path_dir_to_file", "static_path_expires")


def parse_static(values: Mapping[str, Any], given: Mapping[str, Any]) -> list[Mount]:
    """The mounts that the values of these options are; `given` are those that were said somewhere. ConfigProblem for
    what is no prefix, and for pairs with one half missing."""
    return [*map(_parse, values["static"]), *_pairs(values, given)]


def _parse(text: str) -> Mount:
    prefix, equals, directory = text.partition("=")
    if not prefix.startswith("/") or not equals or not directory:
        raise ConfigProblem(f'expected "/PREFIX=DIR" for --static, got {text!r}')
    return Mount(parse_place(prefix, text), f"files:{directory}", text)


def _pairs(values: Mapping[str, Any], given: Mapping[str, Any]) -> list[Mount]:
    directories, routes = values["static_path_mount"], values["static_path_route"]
    if not directories:
        alone = next((name for name in _OF_PAIRS if name in given), None)
        if alone is not None:
            raise ConfigProblem(f"expected {_MOUNT} with --{alone.replace('_', '-')}, got none")
        return []
    if len(directories) == 1 and not routes:
        routes = (DEFAULT_ROUTE,)
    if len(directories) != len(routes):
        raise ConfigProblem(
            f"expected a {_ROUTE} for each {_MOUNT}, got {len(routes)} for {len(directories)}"
        )
    keys = {}
    if (index := values["static_path_dir_to_file"]) is not None:
        keys["index"] = Said([index], "--static-path-dir-to-file", is_text=False)
    if (seconds := values["static_path_expires"]) is not None:
        keys["cache-control"] = Said(f"max-age={seconds:.0f}", "--static-path-expires")
    return [
        Mount(_route(route), f"files:{directory}", f"{_MOUNT} {directory}", keys)
        for route, directory in zip(routes, directories, strict=True)
    ]


def _route(route: str) -> Place:
    if not route.startswith("/"):
        raise ConfigProblem(f'expected "/PREFIX" for {_ROUTE}, got {route!r}')
    return parse_place(route, route)
