"""Mounts: a place in a tree, what it shall hold, and the keys that are said of it.

Here: their grammar on the command line, `/prefix=KIND:ARG`, `//host/prefix=KIND:ARG`, `PLACE:KEY=VALUE`.
Not here: files (file.py), which kinds and keys there are (kinds/, policy.py), mounting (build.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from container.config.problems import ConfigProblem
from container.message.authority import HostPattern
from container.message.request import decode_segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_ESCAPE: Final = re.compile("%(?=[0-9A-Fa-f]{2})")
_KEY: Final = re.compile(r"(/.*?):([a-z][a-z0-9-]*)=(.*)", re.DOTALL)


class Said(NamedTuple):
    """The value of a key as the user wrote it: text, or with `is_text` False a value of TOML. `name` is what it is
    called in messages."""

    value: object
    name: str
    is_text: bool = True


class Place(NamedTuple):
    """Where something is mounted: below a host, "" for the tree of all others, at a path without slashes at its
    ends, "" for the root."""

    host: str
    path: str

    def __str__(self) -> str:
        return f"//{self.host}/{self.path}" if self.host else f"/{self.path}"


@dataclass(frozen=True, slots=True)
class Mount:
    """A place in the tree and what it shall hold: KIND:ARG or module:name, and keys. `text` is how the user said
    it; `origin` is put in front of what is said of it, the file and the line; `origins` those of its keys."""

    place: Place
    spec: str
    text: str
    keys: Mapping[str, Said] = field(default_factory=dict)
    origin: str = ""
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return self.place.path


def parse_mounts(texts: Iterable[str], hosts: Iterable[str] = (), keys: Iterable[str] = ()) -> list[Mount]:
    """The mounts of the command line: those of --mount, --vhost and --mount-option; two at one place are a problem."""
    return collect([*map(_parse, texts), *map(_parse_host, hosts)], keys)


def collect(mounts: Iterable[Mount], keys: Iterable[str] = ()) -> list[Mount]:
    """Each place once, those nearer to the root first, with further keys as texts."""
    found: dict[Place, Mount] = {}
    for mount in mounts:
        if mount.place in found:
            first = found[mount.place].text
            if mount.place.host and not mount.path:
                raise ConfigProblem(f"expected one virtual host {mount.place.host}, got two")
            raise ConfigProblem(f"expected one mount at {mount.place}, got {first!r} and {mount.text!r}")
        found[mount.place] = mount
    for text in keys:
        place, name, value = parse_key(text)
        if place not in found:
            raise ConfigProblem(f"expected --mount {place}=KIND:ARG besides --mount-option {text}, got none")
        said = Said(value, f"{place}:{name}")
        found[place] = replace(found[place], keys={**found[place].keys, name: said})
    # A mount replaces what is at its place, and with it what was mounted below that.
    return sorted(found.values(), key=lambda mount: (bool(mount.path), mount.path.count("/")))


def overlay(nearer: Sequence[Mount], further: Sequence[Mount]) -> list[Mount]:
    """The mounts of two layers: where both have one, that of the nearer counts."""
    places = {mount.place for mount in nearer}
    return collect([*nearer, *(mount for mount in further if mount.place not in places)])


def parse_key(text: str) -> tuple[Place, str, str]:
    """`PLACE:KEY=VALUE`."""
    match = _KEY.fullmatch(text)
    if match is None:
        raise ConfigProblem(f'expected "/prefix:KEY=VALUE" for --mount-option, got {text!r}')
    return parse_place(match[1], text), match[2], match[3]


def parse_place(prefix: str, text: str) -> Place:
    """`/prefix`, or `//host/prefix`."""
    if prefix.startswith("//"):
        host, _, rest = prefix[2:].partition("/")
        return Place(parse_host(host, text), _path(f"/{rest}", text))
    return Place("", _path(prefix, text))


def parse_host(host: str, text: str) -> str:
    """The host in its normal spelling."""
    try:
        return HostPattern(host).spelling
    except ValueError as error:
        raise ConfigProblem(f"{error} in {text!r}") from error


def _path(prefix: str, text: str) -> str:
    path = prefix[1:].removesuffix("/")
    if path and not all(path.split("/")):
        raise ConfigProblem(f"expected a prefix without empty segments, got {prefix!r} in {text!r}")
    names = [decode_segment(each.encode("utf-8", "surrogateescape")) for each in path.split("/")]
    if any(
        name in (".", "..") or "/" in name for name in names
    ):  # no client sends them, or they are no names
        raise ConfigProblem(f"expected a prefix without dot segments and %2F, got {prefix!r} in {text!r}")
    return "/".join(names)


def spell_path(path: str) -> str:
    """The prefix that stands for a path without slashes at its ends."""
    return "/" + _ESCAPE.sub("%25", path)


def _parse(text: str) -> Mount:
    prefix, equals, spec = text.partition("=")
    if not prefix.startswith("/") or not equals or not spec:
        hint = f' (did you mean "/{text}"?)' if equals and prefix and spec and prefix[0].isalnum() else ""
        raise ConfigProblem(f'expected a mount as "/prefix=KIND:ARG", got {text!r}{hint}')
    return Mount(parse_place(prefix, text), spec, text)


def _parse_host(text: str) -> Mount:
    host, equals, spec = text.partition("=")
    if not equals or not spec:
        raise ConfigProblem(f'expected a virtual host as "NAME=KIND:ARG", got {text!r}')
    return Mount(Place(parse_host(host, text), ""), spec, text)
