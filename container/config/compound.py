"""Values of options that are put together of others, or read by somebody else's grammar.

Not here: numbers, sizes, durations and what else is one word (values.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from container.config.problems import ConfigProblem
from container.config.values import Schema, Text, mismatch
from container.message.fields import CONTENT_LENGTH, Pair, encode_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


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


class Variable(Text):
    """A variable of the environment, `NAME=value`."""

    def __init__(self) -> None:
        super().__init__("NAME=VALUE", pair_joint="=")

    def parse(self, text: str, name: str) -> str:
        variable, equals, value = text.partition("=")
        if not equals:
            raise ConfigProblem(f"expected {self.metavar} for {name}, got {text!r}")
        check_variable(variable, value, name)
        return text


def check_variable(variable: str, value: str, name: str) -> None:
    """ConfigProblem for what no environment can hold; `name` is where it was said."""
    if not variable or "=" in variable or "\0" in variable + value:
        raise ConfigProblem(f"expected a name without '=', and no NUL, for {name}, got {variable!r}")


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
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
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
