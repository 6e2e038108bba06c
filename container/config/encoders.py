"""Encoders by name, `zstd,br:5,gzip`: those of this package and those of plug-ins (group `container.encoders`)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from container.config.importer import ImportProblem
from container.config.problems import ConfigProblem, nearest_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from container.message.encoding import Encoder

GROUP: Final = "container.encoders"
# Our own need no installed metadata.
_OWN: Final = {
    "gzip": "container.encoders.gzip:Gzip",
    "br": "container.encoders.brotli:Brotli",
    "zstd": "container.encoders.zstd:Zstd",
    "deflate": "container.encoders.deflate:Deflate",
}


def parse_encoders(text: str) -> tuple[Encoder, ...]:
    """Encoders in the order they were named, each `NAME` or `NAME:LEVEL`.

    ConfigProblem for what cannot be understood, ImportProblem for a library or plug-in that is missing.
    """
    found: dict[str, Encoder] = {}
    for spec in text.split(","):
        name, colon, level = spec.strip().lower().partition(":")
        if name in found:
            raise ConfigProblem(f"expected {name!r} once, got it twice in {text!r}")
        found[name] = _make(name, level if colon else None)
    return tuple(found.values())


def spell_encoders(encoders: Iterable[Encoder]) -> list[str]:
    """What `parse_encoders` makes encoders of, each of them; levels only where they are not the usual ones."""
    spelt = []
    for each in encoders:
        level = getattr(each, "level", None)
        usual = level is None or getattr(type(each)(), "level", None) == level
        spelt.append(each.name if usual else f"{each.name}:{level}")
    return spelt


def _plugins() -> dict[str, str]:
    from importlib.metadata import entry_points  # late: it is slow to import

    return {each.name: each.value for each in entry_points(group=GROUP)}


def _make(name: str, level: str | None) -> Encoder:
    known = _OWN if name in _OWN else _OWN | _plugins()
    if name not in known:
        hint = nearest_name(name, known)
        raise ConfigProblem(f"expected {', '.join(sorted(known))} as encoder, got {name!r}{hint}")
    if level is not None and not (level.isascii() and level.isdigit()):
        raise ConfigProblem(f'expected a level as in "{name}:4", got {level!r}')
    module, _, factory = known[name].partition(":")
    options = {} if level is None else {"level": int(level)}
    try:
        encoder: Encoder = getattr(import_module(module), factory)(**options)
    except ValueError as error:
        raise ConfigProblem(str(error)) from error
    except (
        RuntimeError,
        ImportError,
        AttributeError,
        TypeError,
    ) as error:  # a library is missing, or a plug-in odd
        raise ImportProblem(f"expected the encoder {name!r}, got none: {error}") from error
    return encoder
