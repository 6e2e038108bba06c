"""What the value of an option can be: read from text, as the command line and the environment have it, or from
TOML; spelt again for people and for TOML.

Each class is one type of value. Every slip is a ConfigProblem in one line that says what was expected of which
option. Not here: values that are put together of others (compound.py), which options there are (options/), where
their values come from (layers.py).
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

from container.config.problems import ConfigProblem, nearest_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Schema = dict[str, Any]

_NUMBER: Final = re.compile(r"[0-9]{1,10}")
_SIZE: Final = re.compile(r"([0-9]{1,15})([kmgt]?)(?:i?b)?", re.IGNORECASE)
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)?")
_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SECONDS: Final = {None: 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_OFF: Final = ("0", "off")
_BOOLEANS: Final = {
    "1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False,
}  # fmt: skip


class Text:
    """Any text that is not empty, and the base of all types."""

    metavar = "TEXT"
    # What a TOML value has to be, in words.
    toml = "text"
    # How no value at all is spelt, where that can be said.
    none = ""
    # Where several values may be a table in TOML: what joins its keys and values.
    pair_joint = ""

    def __init__(self, metavar: str = "TEXT", *, may_be_empty: bool = False, pair_joint: str = "") -> None:
        self.metavar = metavar
        self.pair_joint = pair_joint
        self._may_be_empty = may_be_empty

    def parse(self, text: str, name: str) -> Any:
        """The value for `text`; `name` is what the user calls the option."""
        if not text and not self._may_be_empty:
            raise ConfigProblem(f"expected {self.metavar} for {name}, got ''")
        return text

    def load(self, value: object, name: str) -> Any:
        """The value for what stands in TOML."""
        if not isinstance(value, str):
            raise mismatch(self.toml, name, value)
        return self.parse(value, name)

    def spell(self, value: Any) -> Any:
        """What `load` makes `value` of."""
        return value

    def show(self, value: Any) -> str:
        """The text `parse` makes `value` of."""
        spelt = self.spell(value)
        return ",".join(spelt) if isinstance(spelt, list | tuple) else str(spelt)

    def split(self, text: str) -> list[str]:
        """The values of a variable of the environment: one a line."""
        return [line for each in text.splitlines() if (line := each.strip())]

    def schema(self) -> Schema:
        return {"type": "string"}


class Secret(Text):
    """Text that no message shows."""

    def load(self, value: object, name: str) -> Any:
        if not isinstance(value, str):
            raise ConfigProblem(f"expected {self.toml} for {name}, got something else")
        return self.parse(value, name)


class Switch(Text):
    """Yes or no."""

    metavar = "yes|no"
    toml = "true or false"

    def __init__(self) -> None:
        super().__init__("yes|no")

    def parse(self, text: str, name: str) -> bool:
        value = _BOOLEANS.get(text.lower())
        if value is None:
            raise ConfigProblem(f"expected yes or no for {name}, got {text!r}")
        return value

    def load(self, value: object, name: str) -> bool:
        if not isinstance(value, bool):
            raise mismatch(self.toml, name, value)
        return value

    def show(self, value: bool) -> str:
        return "yes" if value else "no"

    def schema(self) -> Schema:
        return {"type": "boolean"}


class Number(Text):
    """A whole number from `lowest` to `highest`."""

    toml = "a number"

    def __init__(self, lowest: int, highest: int) -> None:
        super().__init__("N")
        self.lowest = lowest
        self.highest = highest

    def parse(self, text: str, name: str) -> int:
        if _NUMBER.fullmatch(text) and self.lowest <= int(text) <= self.highest:
            return int(text)
        raise self._problem(name, text)

    def load(self, value: object, name: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not self.lowest <= value <= self.highest:
            raise self._problem(name, value)
        return value

    def _problem(self, name: str, value: object) -> ConfigProblem:
        return ConfigProblem(
            f"expected a number from {self.lowest} to {self.highest} for {name}, got {shown(value)}"
        )

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.lowest, "maximum": self.highest}


class Count(Number):
    """A number, or `auto` for as many as there are processors for this process."""

    def __init__(self, lowest: int, highest: int) -> None:
        super().__init__(lowest, highest)
        self.metavar = "N|auto"

    def parse(self, text: str, name: str) -> int:
        return processors() if text == "auto" else super().parse(text, name)

    def load(self, value: object, name: str) -> int:
        return processors() if value == "auto" else super().load(value, name)

    def schema(self) -> Schema:
        return {"anyOf": [super().schema(), {"const": "auto"}]}


def processors() -> int:
    """How many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


class Size(Text):
    """Bytes; K, M, G and T are powers of 1024. With `off`, None stands for no limit."""

    toml = "a size such as 10M"

    def __init__(self, lowest: int = 0, highest: int | None = None, *, off: bool = False) -> None:
        super().__init__("SIZE")
        self.lowest = lowest
        self.highest = highest
        self._off = off
        self.none = "off" if off else ""

    def parse(self, text: str, name: str) -> int | None:
        if self._off and text in _OFF:
            return None
        match = _SIZE.fullmatch(text)
        if match is None:
            raise ConfigProblem(f"expected a size such as 10M for {name}, got {text!r}")
        size = int(match[1]) * _UNITS[match[2].lower()]
        if size < self.lowest or (self.highest is not None and size > self.highest):
            bounds = f"from {spell_size(self.lowest)} to {spell_size(self.highest)}"
            raise ConfigProblem(f"expected a size {bounds} for {name}, got {text!r}")
        return size

    def load(self, value: object, name: str) -> int | None:
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return self.parse(str(value), name)
        return super().load(value, name)  # type: ignore[no-any-return]  # what parse gives

    def spell(self, value: int | None) -> str:
        return spell_size(value)

    def schema(self) -> Schema:
        words = "|off" if self._off else ""
        return {
            "type": ["integer", "string"],
            "minimum": 0 if self._off else self.lowest,
            "pattern": rf"^([0-9]{{1,15}}[kmgtKMGT]?([iI]?[bB])?{words})$",
        }


class Duration(Text):
    """Seconds, or with one of the units ms, s, m, h, d. With `off`, None stands for no limit."""

    toml = "a duration such as 30, 500ms or 5m"

    def __init__(self, *, off: bool = False) -> None:
        super().__init__("SECONDS")
        self._off = off
        self.none = "off" if off else ""

    def parse(self, text: str, name: str) -> float | None:
        if self._off and text in _OFF:
            return None
        match = _DURATION.fullmatch(text)
        if match is None:
            raise ConfigProblem(f"expected {self.toml} for {name}, got {text!r}")
        seconds = float(match[1]) * _SECONDS[match[2]]
        return seconds or None if self._off else seconds

    def load(self, value: object, name: str) -> float | None:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self.parse(f"{value:.9f}" if isinstance(value, float) else str(value), name)
        return super().load(value, name)  # type: ignore[no-any-return]  # what parse gives

    def spell(self, value: float | None) -> Any:
        if value is None:
            return self.none
        return int(value) if float(value).is_integer() else value

    def schema(self) -> Schema:
        words = "|off" if self._off else ""
        pattern = rf"^([0-9]{{1,9}}(\.[0-9]{{1,9}})?(ms|s|m|h|d)?{words})$"
        return {"type": ["number", "string"], "minimum": 0, "pattern": pattern}


class Choice(Text):
    """One of several words. `also`: what others call them, for those who know it from elsewhere."""

    def __init__(
        self, names: Sequence[str], metavar: str = "MODE", *, also: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(metavar)
        self.names = tuple(names)
        self._also = also or {}

    def parse(self, text: str, name: str) -> str:
        word = self._also.get(text.lower(), text.lower())
        if word in self.names:
            return word
        hint = nearest_name(word, self.names)
        raise ConfigProblem(f"expected {', '.join(self.names)} for {name}, got {text!r}{hint}")

    def schema(self) -> Schema:
        return {"enum": [*self.names, *self._also]}


def spell_size(size: int | None) -> str:
    """The shortest spelling that a Size reads."""
    if size is None:
        return "off"
    unit = next((unit for unit in "tgmk" if size and not size % _UNITS[unit]), "")
    return f"{size // _UNITS[unit]}{unit.upper()}"


def mismatch(expected: str, name: str, value: object) -> ConfigProblem:
    return ConfigProblem(f"expected {expected} for {name}, got {shown(value)}")


def shown(value: object) -> str:
    """A value of TOML as a message shows it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    return "a list" if isinstance(value, list) else repr(value)
