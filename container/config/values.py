"""What the value of an option can be: read from text, as the command line and the environment have it, or from
TOML; spelt again for people and for TOML.

Each class is one type of value. Every slip is a ConfigProblem in one line that says what was expected of which
option. Not here: which options there are (options/), where their values come from (layers.py).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from container.config.problems import ConfigProblem, nearest_name
from container.message.fields import CONTENT_LENGTH, Pair, encode_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
        return int(value) if value == int(value) else value

    def schema(self) -> Schema:
        words = "|off" if self._off else ""
        pattern = rf"^([0-9]{{1,9}}(\.[0-9]{{1,9}})?(ms|s|m|h|d)?{words})$"
        return {"type": ["number", "string"], "minimum": 0, "pattern": pattern}


class Choice(Text):
    """One of several words."""

    def __init__(self, names: Sequence[str], metavar: str = "MODE") -> None:
        super().__init__(metavar)
        self.names = tuple(names)

    def parse(self, text: str, name: str) -> str:
        if text.lower() in self.names:
            return text.lower()
        hint = nearest_name(text.lower(), self.names)
        raise ConfigProblem(f"expected {', '.join(self.names)} for {name}, got {text!r}{hint}")

    def schema(self) -> Schema:
        return {"enum": list(self.names)}


class Spelt(Text):
    """Text that `parse`, told the option's name too, makes a value of, and `spell` text of such a value; its
    ValueError is the message.

    `takes_list`: in TOML it may be a list of texts, which `joint` joins.
    """

    def __init__(
        self,
        metavar: str,
        parse: Callable[[str, str], Any],
        spell: Callable[[Any], Any] | None = None,
        *,
        joint: str = "",
        spaced: bool = False,
    ) -> None:
        super().__init__(metavar)
        self._parse = parse
        self._spell = spell
        self._joint = joint
        self._spaced = spaced
        self.toml = "text or a list of texts" if joint else "text"

    def parse(self, text: str, name: str) -> Any:
        try:
            return self._parse(text, name)
        except ConfigProblem:
            raise
        except ValueError as error:
            raise ConfigProblem(str(error)) from error

    def load(self, value: object, name: str) -> Any:
        if self._joint and isinstance(value, list) and all(isinstance(each, str) for each in value):
            return self.parse(self._joint.join(value), name)
        return super().load(value, name)

    def spell(self, value: Any) -> Any:
        return value if self._spell is None else self._spell(value)

    def split(self, text: str) -> list[str]:
        return text.split() if self._spaced else super().split(text)

    def schema(self) -> Schema:
        if self._joint:
            return {"type": ["string", "array"], "items": {"type": "string"}}
        return {"type": "string"}


class HeaderField(Text):
    """A field of answers, `Name: value`; in TOML either that or a table of all of them."""

    def __init__(self) -> None:
        super().__init__('"NAME: VALUE"', pair_joint=": ")

    def parse(self, text: str, name: str) -> Pair:
        field, colon, value = text.partition(":")
        pair = field.strip(), value.strip()
        if not colon or not pair[0]:
            raise ConfigProblem(f'expected "Name: value" for {name}, got {text!r}')
        try:
            block = encode_fields([pair])
        except ValueError as error:
            raise ConfigProblem(str(error)) from error
        if not block.lines or block.kinds & CONTENT_LENGTH:
            raise ConfigProblem(f"expected a field that is not the server's own for {name}, got {text!r}")
        return pair

    def spell(self, value: Pair) -> str:
        return f"{value[0]}: {value[1]}"


class Table(Text):
    """Names and values, in TOML a table; as text `NAME<joint>VALUE`, each a pair of its own."""

    toml = "a table"

    def __init__(self, metavar: str, joint: str = "=", *, value: Text | None = None) -> None:
        super().__init__(metavar)
        self._joint = joint
        self._value = value or Text("VALUE", may_be_empty=True)

    def parse(self, text: str, name: str) -> dict[str, Any]:
        """All of them: one a line."""
        pairs = {}
        for line in self.split(text):
            key, joint, value = line.partition(self._joint)
            if not joint or not key.strip():
                raise ConfigProblem(f"expected {self.metavar} for {name}, got {line!r}")
            pairs[key.strip()] = self._value.parse(value.strip(), name)
        return pairs

    def load(self, value: object, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise mismatch(self.toml, name, value)
        return {key: self._value.load(each, f"{name}.{key}") for key, each in value.items()}

    def spell(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return {key: self._value.spell(each) for key, each in value.items()}

    def show(self, value: Mapping[str, Any]) -> str:
        return "\n".join(f"{key}{self._joint}{self._value.show(each)}" for key, each in value.items())

    def schema(self) -> Schema:
        return {"type": "object", "additionalProperties": self._value.schema()}


class Either(Text):
    """A value of one type or of another: the first that takes it."""

    def __init__(self, *types: Text) -> None:
        super().__init__("|".join(each.metavar for each in types))
        self.types = types
        self.toml = " or ".join(each.toml for each in types)

    def parse(self, text: str, name: str) -> Any:
        return self._first(lambda each: each.parse(text, name))

    def load(self, value: object, name: str) -> Any:
        return self._first(lambda each: each.load(value, name))

    def _first(self, read: Callable[[Text], Any]) -> Any:
        *before, last = self.types
        for each in before:
            try:
                return read(each)
            except ConfigProblem:
                continue
        return read(last)

    def schema(self) -> Schema:
        return {"anyOf": [each.schema() for each in self.types]}


class Several(Text):
    """Several values of one type; as text with commas between. In TOML a list, or a single one as it is."""

    def __init__(self, each: Text) -> None:
        super().__init__(f"{each.metavar},...")
        self.each = each
        self.toml = f"a list of {each.metavar}"

    def parse(self, text: str, name: str) -> list[Any]:
        return [self.each.parse(part.strip(), name) for part in text.split(",") if part.strip()]

    def load(self, value: object, name: str) -> list[Any]:
        if not isinstance(value, list):
            return [self.each.load(value, name)]
        return [self.each.load(each, f"{name}[{number}]") for number, each in enumerate(value, 1)]

    def spell(self, value: Sequence[Any]) -> list[Any]:
        return [self.each.spell(each) for each in value]

    def show(self, value: Sequence[Any]) -> str:
        return ", ".join(self.each.show(each) for each in value)

    def schema(self) -> Schema:
        one = self.each.schema()
        return {"anyOf": [one, {"type": "array", "items": one}]}


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
