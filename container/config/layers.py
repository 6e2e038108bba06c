"""What the user said, wherever it was said: the command line counts before the environment, that before a file, and
all of them before defaults.

Here: from texts and tables to values by option. Not here: what the values do (build.py and the command).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from container.config.options import OPTIONS, Option

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# What names addresses: the nearer of these layers that says any of them decides about all.
_ADDRESSES: Final = ("listen", "uds", "fd", "https", "personal")
_PLACES: Final = ("host", "port")


@dataclass(frozen=True, slots=True)
class Layer:
    """What one source says: values by field, and for each what the user calls it there. `origins`: what is put in
    front of what is wrong with it, the file and the line or the variable; nothing for the command line."""

    values: Mapping[str, Any]
    names: Mapping[str, str]
    origins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Configuration:
    """All of it: `values` by field, defaults included; `given` only what was said somewhere, and `names` and
    `origins`, by field, as in the layer that said it."""

    values: Mapping[str, Any]
    given: Mapping[str, Any]
    names: Mapping[str, str]
    origins: Mapping[str, str]


def merge(layers: Sequence[Layer]) -> Configuration:
    """One configuration of layers, of which the first counts most."""
    given: dict[str, Any] = {}
    names: dict[str, str] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        hidden = _hidden(given)
        for name, value in layer.values.items():
            if name not in given and name not in hidden:
                given[name] = value
                names[name] = layer.names[name]
                origins[name] = layer.origins.get(name, "")
    values = {name: option.default for name, option in OPTIONS.items()}
    for name, option in OPTIONS.items():
        if option.many and values[name] is None:
            values[name] = ()
    return Configuration(values | given, given, names, origins)


def _hidden(given: Mapping[str, Any]) -> set[str]:
    """What further layers have no say in any more: addresses are not added to those of a nearer layer."""
    if any(name in given for name in _ADDRESSES):
        return {*_ADDRESSES, *_PLACES}
    return set(_ADDRESSES) if any(name in given for name in _PLACES) else set()


def from_texts(texts: Mapping[str, Sequence[str]], *, name_of: Mapping[str, str] | None = None) -> Layer:
    """A layer of texts by field, those of the command line unless `name_of` says what they are called."""
    values: dict[str, Any] = {}
    names: dict[str, str] = {}
    for name, each in texts.items():
        option = OPTIONS[name]
        names[name] = option.long if name_of is None else name_of[name]
        values[name] = parsed(option, each, names[name])
    return Layer(values, names)


def parsed(option: Option, texts: Iterable[str], name: str) -> Any:
    """The value of an option for the texts that were given for it; the last one counts unless it takes many."""
    values = tuple(option.type.parse(text, name) for text in texts)
    return values if option.many else values[-1]
