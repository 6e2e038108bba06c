"""Header fields as text: case-insensitive, multi-valued, in order (RFC 9110 5.2, 5.3).

`str` in the public API, as everywhere; values are latin-1 text. The wire form is made in `fields`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from container.message.errors import ExchangeStateError
from container.message.fields import FieldBlock, Pair, encode_fields

HeaderSource: TypeAlias = "Headers | Mapping[str, str] | Iterable[Pair] | None"


class Headers:
    """The fields of one message, as `(name, value)` pairs of text.

    Those of a request are read-only; those of a response are frozen when they are first sent.
    """

    __slots__ = ("_block", "_fields", "_frozen")

    def __init__(self, source: HeaderSource = None, *, frozen: bool = False) -> None:
        if source is None:
            self._fields: list[Pair] = []
        elif isinstance(source, (Mapping, Headers)):
            self._fields = list(source.items())
        else:
            self._fields = list(source)
        self._block: FieldBlock | None = None
        self._frozen = frozen

    def get(self, name: str, default: str | None = None) -> str | None:
        """The last value of `name`, or `default`."""
        name = name.lower()
        for candidate, value in reversed(self._fields):
            if candidate.lower() == name:
                return value
        return default

    def get_all(self, name: str) -> list[str]:
        """Every value of `name`, in order."""
        name = name.lower()
        return [value for candidate, value in self._fields if candidate.lower() == name]

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.lower() for name, _ in self._fields))

    def __len__(self) -> int:
        return len(self._fields)

    def items(self) -> list[Pair]:
        """All fields in order, repeated names included."""
        return list(self._fields)

    def set(self, name: str, value: str) -> None:
        """Make `value` the only one of `name`."""
        self.remove(name)
        self._fields.append((name, value))

    __setitem__ = set

    def add(self, name: str, value: str) -> None:
        """Add one more field line."""
        self._change()
        self._fields.append((name, value))

    def setdefault(self, name: str, value: str) -> None:
        """Set `name` unless it is there."""
        if name not in self:
            self.add(name, value)

    def remove(self, name: str) -> None:
        """Remove every value of `name`; it need not be there."""
        self._change()
        name = name.lower()
        self._fields[:] = [field for field in self._fields if field[0].lower() != name]

    __delitem__ = remove

    def vary(self, name: str) -> None:
        """Add `name` to the Vary field unless it is listed (RFC 9110 12.5.5)."""
        listed = [part.strip().lower() for value in self.get_all("Vary") for part in value.split(",")]
        if name.lower() not in listed and "*" not in listed:
            self.set("Vary", ", ".join([*self.get_all("Vary"), name]))

    def copy(self) -> "Headers":
        """An equal, changeable set of fields."""
        return Headers(self._fields)

    def freeze(self) -> FieldBlock:
        """The encoded block; from now on the fields cannot change. Raises ValueError on an illegal field."""
        if self._block is None:
            self._block = encode_fields(self._fields)
            self._frozen = True
        return self._block

    def _change(self) -> None:
        if self._frozen:
            raise ExchangeStateError("expected to change headers before they are sent: copy() the response")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._fields == other._fields

    __hash__ = None  # type: ignore[assignment]  # equal by content, and content changes

    def __repr__(self) -> str:
        return f"Headers({self._fields!r})"
