"""Configuration in a file: `container.toml`, or `[tool.container]` of a pyproject.toml.

Keys at the top are the long options of the command line; each `[[mount]]` is a place in the tree, with `path` and
perhaps `host`, one key that names its kind, and keys of that kind and of policies; each `[[site]]` is one of several
sites, with options and mounts of its own. Here: from the file to a layer
of values and to mounts, with the file and the line in front of everything that is said against them. Not here:
what keys of mounts mean (build.py).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from container.config.blame import blaming
from container.config.kinds.registry import KINDS, plugin_names
from container.config.layers import Layer
from container.config.lines import Lines
from container.config.mounts import Mount, Place, Said, parse_host, parse_place
from container.config.options import OF_SITES, OPTIONS
from container.config.problems import ConfigProblem, nearest_name
from container.config.values import mismatch, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from container.config.options import Option

FILE: Final = "container.toml"
PROJECT: Final = "pyproject.toml"
_TABLE: Final = ("tool", "container")
_MARK: Final = "\ufeff"
# A number that may be too long, and how a NUL is written.
_LONG: Final = re.compile(r"[0-9](?:_?[0-9]){999}")
_NUL: Final = re.compile(r"\\(?:u0000|U00000000)")
_MOUNT: Final = "mount"
_SITE: Final = "site"
# What a mount has besides its kind, keys and policies. `app`: the kind is found out; `object`: only Python has it.
_PLACE: Final = ("path", "host")
APP: Final = "app"
OBJECT: Final = "object"

BY_NAME: Final[dict[str, Option]] = {option.name: option for option in OPTIONS.values()}


@dataclass(frozen=True, slots=True)
class File:
    """What a file says: the values of options, mounts, and further sites, each with options and mounts of its own."""

    path: str
    layer: Layer
    mounts: list[Mount]
    sites: list[tuple[Layer, list[Mount]]]


def find_file() -> str | None:
    """The file that holds for this directory, if there is one."""
    if os.path.lexists(FILE):
        return FILE
    return PROJECT if os.path.isfile(PROJECT) and _speaks_of_us() else None


def _speaks_of_us() -> bool:
    """Does somebody else's file have our table? What is wrong with it is theirs to find unless it does."""
    try:
        with open(PROJECT, "rb") as file:
            text = file.read()
    except OSError as error:
        raise ConfigProblem(f"cannot read {PROJECT}: {(error.strerror or str(error)).lower()}") from error
    if b"tool.container" in text or b"container" not in text:
        return b"tool.container" in text
    import tomllib

    try:
        tool = tomllib.loads(text.decode()).get("tool")
    except (ValueError, RecursionError):
        return False
    return isinstance(tool, dict) and _TABLE[-1] in tool


def read_file(path: str) -> File:
    """Read it; ConfigProblem names the file and the line."""
    import tomllib  # late: most are started without a file

    try:
        with open(path, "rb") as file:
            text = file.read().decode()
        table = tomllib.loads(text)
    except OSError as error:
        raise ConfigProblem(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise ConfigProblem(f"{path}: expected UTF-8, got byte 0x{error.object[error.start]:02x}") from error
    except tomllib.TOMLDecodeError as error:
        what = str(error) if not text.startswith(_MARK) else "A byte order mark (at line 1)"
        raise ConfigProblem(_syntax(path, what, text)) from error
    except RecursionError as error:
        raise ConfigProblem(f"{path}: expected TOML, got lists or tables nested too deeply") from error
    except ValueError as error:  # of int(), see sys.set_int_max_str_digits()
        place = _place_of(_LONG, path, text)
        raise ConfigProblem(f"{place}expected TOML, got a number of too many digits") from error
    _refuse_nul(path, text, table)
    prefix = ""
    if os.path.basename(path) == PROJECT:
        prefix = ".".join(_TABLE)
        table = _inner(table, path)
    return _Reader(path, Lines(text), prefix).read(table)


def _inner(table: dict[str, Any], path: str) -> dict[str, Any]:
    for name in _TABLE:
        table = table.get(name, {})
        if not isinstance(table, dict):
            raise ConfigProblem(f"{path}: expected a table [{'.'.join(_TABLE)}], got {shown(table)}")
    return table


def _syntax(path: str, message: str, text: str) -> str:
    what, _, where = message.partition(" (at ")
    line = where.removeprefix("line ").partition(",")[0]
    if not line.isdigit():
        line = str(text.rstrip().count("\n") + 1)  # at the end of the document
    return f"{path}:{line}: expected TOML, got an error: {what[:1].lower()}{what[1:]}"


def _refuse_nul(path: str, text: str, table: dict[str, Any]) -> None:
    """No path, URL, field or variable can have one, and what gets one breaks in a way of its own."""
    values: list[object] = [table]
    while values:
        value = values.pop()
        if isinstance(value, dict):
            values += [*value, *value.values()]
        elif isinstance(value, list):
            values += value
        elif isinstance(value, str) and "\0" in value:
            raise ConfigProblem(f"{_place_of(_NUL, path, text)}expected text without NUL, got {value!r}")


def _place_of(pattern: re.Pattern[str], path: str, text: str) -> str:
    """The file, and the line of what first looks so."""
    match = pattern.search(text)
    line = f":{text.count(chr(10), 0, match.start()) + 1}" if match is not None else ""
    return f"{path}{line}: "


class _Reader:
    def __init__(self, path: str, lines: Lines, prefix: str) -> None:
        self._path = path
        self._lines = lines
        self._prefix = prefix

    def read(self, table: dict[str, Any]) -> File:
        layer, mounts = self._site(table, "")
        sites = []
        for number, each in enumerate(self._tables(table, _SITE, ""), 1):
            sites.append(self._site(each, f"{_SITE}[{number}]"))
        return File(self._path, layer, mounts, sites)

    def _site(self, table: dict[str, Any], name: str) -> tuple[Layer, list[Mount]]:
        """The options of a table, and its mounts; `name` is that of one site of several."""
        values: dict[str, Any] = {}
        names: dict[str, str] = {}
        origins: dict[str, str] = {}
        prefix = f"{name}." if name else ""
        for key, value in table.items():
            if key == _MOUNT or (key == _SITE and not name):
                continue
            origin = self._origin(name, key)
            option = BY_NAME.get(key)
            if option is None or option.only_here or option.table or (name and option.field not in OF_SITES):
                raise ConfigProblem(f"{origin}{_unknown(key, in_site=bool(name))}")
            with blaming(origin):
                values[option.field] = load_value(option, value, f"{prefix}{key}")
            names[option.field] = f"{origin}{prefix}{key}"
            origins[option.field] = origin
        tables = self._tables(table, _MOUNT, name)
        return Layer(values, names, origins), [
            self._mount(f"{prefix}{_MOUNT}[{number}]", each) for number, each in enumerate(tables, 1)
        ]

    def _tables(self, table: dict[str, Any], key: str, name: str) -> list[dict[str, Any]]:
        tables = table.get(key, [])
        if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
            raise ConfigProblem(
                f"{self._origin(name, key)}expected tables [[{key}]] for {key}, got {shown(tables)}"
            )
        return tables

    def _mount(self, name: str, table: dict[str, Any]) -> Mount:
        origin = self._origin(name)
        keys = [key for key in table if key not in _PLACE]
        kinds = [key for key in keys if key in KINDS or key in (APP, OBJECT)]
        if not kinds:
            plugins = plugin_names()
            kinds = [key for key in keys if key in plugins]
        if len(kinds) != 1:
            got = " and ".join(kinds) or "none"
            hint = "" if kinds else _kind_hint(table)
            raise ConfigProblem(
                f"{origin}expected one kind, such as wsgi or files, in {name}, got {got}{hint}"
            )
        (kind,) = kinds
        with blaming(origin):
            place = _place(table, name)
        if kind == OBJECT:
            raise ConfigProblem(
                f"{origin}expected what can be made of a file in {name}, got an object that only Python has"
            )
        argument = _argument(table[kind], kind)
        if argument is None:
            where = self._origin(name, kind)
            raise ConfigProblem(f"{where}{mismatch('text', f'{name}.{kind}', table[kind])}")
        said = {key: Said(table[key], f"{name}.{key}", is_text=False) for key in keys if key != kind}
        spec = argument if kind == APP else f"{kind}:{argument}"
        origins = {key: self._origin(name, key) for key in said}
        return Mount(place, spec, name, said, origin, origins)

    def _origin(self, table: str, key: str = "") -> str:
        inside = ".".join(each for each in (self._prefix, table) if each)
        line = self._lines.of(inside, key) if inside or key else None
        line = line or self._lines.of(inside)
        return f"{self._path}:{line}: " if line else f"{self._path}: "


def load_value(option: Option, value: object, name: str) -> Any:
    """The value of an option for what stands in TOML."""
    if not option.many:
        return option.type.load(value, name)
    if isinstance(value, dict) and option.type.pair_joint:
        value = [*_pairs(value, option.type.pair_joint, name)]
    if not isinstance(value, list):
        return (option.type.load(value, name),)
    return tuple(option.type.load(each, f"{name}[{number}]") for number, each in enumerate(value, 1))


def _pairs(table: dict[str, Any], joint: str, name: str) -> Iterator[str]:
    """A table as lines of text."""
    for key, values in table.items():
        if (mark := joint.strip()) in key:
            raise ConfigProblem(f"expected names without {mark!r} for {name}, got {key!r}")
        for each in values if isinstance(values, list) else [values]:
            if not isinstance(each, str):
                raise mismatch("text", f"{name}.{key}", each)
            yield f"{key}{joint}{each}"


def _place(table: Mapping[str, Any], name: str) -> Place:
    for key in _PLACE:
        if key in table and not isinstance(table[key], str):
            raise mismatch("text", f"{name}.{key}", table[key])
    path, host = table.get("path", "/" if "host" in table else None), table.get("host")
    if path is None:
        raise ConfigProblem(f'expected path = "/prefix" in {name}, got none')
    if not path.startswith("/") or path.startswith("//"):
        raise ConfigProblem(f'expected "/prefix" for {name}.path, got {path!r}')
    place = parse_place(path, path)
    return place if host is None else Place(parse_host(host, host), place.path)


def _argument(value: object, kind: str) -> str | None:
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return ",".join(value)
    return value if isinstance(value, str) else None


def _unknown(key: str, *, in_site: bool = False) -> str:
    dashed = key.replace("_", "-")
    if key not in BY_NAME and dashed in BY_NAME:
        return f'expected a known option, got "{key}" (did you mean "{dashed}"?)'
    if key == _SITE:
        return "expected an option of a site, got another [[site]] inside"
    if key in BY_NAME and in_site and BY_NAME[key].field not in OF_SITES:
        return f'expected an option of sites, got "{key}": it is of the process, and stands at the top'
    if key in BY_NAME and BY_NAME[key].table:
        return f'expected a known option, got "{key}": in a file that is {BY_NAME[key].table}'
    if key in BY_NAME:
        return f'expected an option of files, got "{key}": it is for the command line only'
    known = [name for name, option in BY_NAME.items() if not (option.only_here or option.table)]
    return f'expected a known option, got "{key}"{nearest_name(key, [*known, _MOUNT, _SITE])}'


def _kind_hint(table: Mapping[str, Any]) -> str:
    known = [*KINDS, *plugin_names(), APP]
    hints = (nearest_name(key, known) for key in table if key not in _PLACE)
    return next((hint for hint in hints if hint), "")
