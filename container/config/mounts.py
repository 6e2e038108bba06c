"""Mounts as the command line spells them, `/prefix=KIND:ARG`.

Here: the grammar. Not here: which kinds there are, what their arguments mean, mounting (build.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from container.config.problems import ConfigProblem

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Mount:
    """A place in the tree, without slashes at its ends, and what it shall hold: KIND:ARG or module:name.

    The empty path is the root itself.
    """

    path: str
    spec: str
    text: str


def parse_mounts(texts: Iterable[str]) -> list[Mount]:
    """The mounts, those nearer to the root first; two at one place are a problem."""
    mounts: dict[str, Mount] = {}
    for text in texts:
        mount = _parse(text)
        if mount.path in mounts:
            first = mounts[mount.path].text
            raise ConfigProblem(f"expected one mount at /{mount.path}, got {first!r} and {text!r}")
        mounts[mount.path] = mount
    # A mount replaces what is at its place, and with it what was mounted below that.
    return sorted(mounts.values(), key=lambda mount: mount.path.count("/"))


def _parse(text: str) -> Mount:
    prefix, equals, spec = text.partition("=")
    if not prefix.startswith("/") or not equals or not spec:
        hint = f' (did you mean "/{text}"?)' if equals and prefix and spec and prefix[0].isalnum() else ""
        raise ConfigProblem(f'expected a mount as "/prefix=KIND:ARG", got {text!r}{hint}')
    path = prefix[1:].removesuffix("/")
    if path and not all(path.split("/")):
        raise ConfigProblem(f"expected a prefix without empty segments, got {prefix!r} in {text!r}")
    return Mount(path, spec, text)
