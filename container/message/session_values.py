"""The values of a session: a mapping that remembers what was changed, and what of it JSON can say.

What a session is beside its values is in `session.py`.
"""

import json
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any


class SessionValues(MutableMapping[str, Any]):
    """Values by name, and which of them were changed since they came from the store.

    Unless `keeps_objects`, values are JSON-like and the store has their text: it is decoded when a value is
    asked for, and a list or dict that was changed in place is found by its text.
    """

    __slots__ = ("_dirty", "_removed", "_stored", "_values", "keeps_objects")

    def __init__(self, *, keeps_objects: bool) -> None:
        self.keeps_objects = keeps_objects
        self._stored: dict[str, str] = {}
        self._values: dict[str, Any] = {}
        self._dirty: set[str] = set()
        self._removed: set[str] = set()

    def fill(self, stored: Mapping[str, Any]) -> None:
        """Begin with what the store has."""
        if self.keeps_objects:
            self._values = dict(stored)
        else:
            self._stored = dict(stored)

    def __getitem__(self, name: str) -> Any:
        self._look()
        values = self._values
        if name not in values:
            values[name] = json.loads(self._stored[name])
        return values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        check_name(name)
        if not self.keeps_objects:
            encode_value(name, value)
        self._change()
        self._values[name] = value
        self._removed.discard(name)
        self._dirty.add(name)
        self._changed()

    def __delitem__(self, name: str) -> None:
        self._look()
        if name not in self:
            raise KeyError(name)
        self._change()
        self._values.pop(name, None)
        self._stored.pop(name, None)
        self._dirty.discard(name)
        self._removed.add(name)
        self._changed()

    def __contains__(self, name: object) -> bool:
        self._look()
        return name in self._values or name in self._stored

    def __iter__(self) -> Iterator[str]:
        self._look()
        return iter({**self._stored, **self._values})

    def __len__(self) -> int:
        self._look()
        return len({**self._stored, **self._values})

    def learn(self, name: str, value: Any) -> None:
        """The store has `value` under `name` now."""
        self._values[name] = value
        self._dirty.discard(name)
        if not self.keeps_objects:
            self._stored[name] = encode_value(name, value)

    def forget(self) -> None:
        """Drop all values and changes: they belonged to a session that has ended."""
        self._stored, self._values = {}, {}
        self._dirty.clear()
        self._removed.clear()

    @property
    def has_changes(self) -> bool:
        if not self.keeps_objects:
            for name, value in list(self._values.items()):
                if isinstance(value, list | dict) and self._stored.get(name) != encode_value(name, value):
                    self._dirty.add(name)
        return bool(self._dirty or self._removed)

    def take_changes(self) -> tuple[dict[str, Any], list[str]]:
        """What to set, ready for the store, and what to remove; from now on neither counts as changed.

        A thread may go on changing meanwhile: what it changes is in this or in the next take.
        """
        sets: dict[str, Any] = {}
        removed: list[str] = []
        if self.has_changes:
            while self._dirty:
                name = self._dirty.pop()
                if name in self._values:
                    value = self._values[name]
                    sets[name] = value if self.keeps_objects else encode_value(name, value)
            while self._removed:
                removed.append(self._removed.pop())
            if not self.keeps_objects:
                self._stored.update(sets)
        return sets, removed

    @property
    def stored_size(self) -> int:
        """Characters of names and values as the store has them; 0 when it keeps objects."""
        return sum(len(name) + len(text) for name, text in self._stored.items())

    def _look(self) -> None:
        """Called before values are read."""

    def _change(self) -> None:
        """Called before values are changed. May raise."""

    def _changed(self) -> None:
        """Called after."""


def encode_value(name: str, value: object) -> str:
    """`value` as JSON, the same text for equal values. Raises TypeError or ValueError for what JSON cannot say."""
    try:
        _check(name, value)
        return json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False)
    except RecursionError:
        raise ValueError(f"expected a value without so many levels in session[{name!r}]") from None
    except ValueError as error:
        raise ValueError(f"expected finite numbers in session[{name!r}]: {error}") from None


def check_name(name: object) -> None:
    if not isinstance(name, str):
        raise TypeError(f"expected text as name in a session, got {name!r}")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"expected text without surrogates as name in a session, got {name!r}") from None


def _check(name: str, value: object) -> None:
    """JSON has no other types, and `json` would quietly change tuples and keys that are no text."""
    if value is None or isinstance(value, str | int | float):
        return
    if isinstance(value, list):
        for each in value:
            _check(name, each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str):
                raise TypeError(f"expected text as keys of dicts in session[{name!r}], got {key!r}")
            _check(name, each)
    else:
        hint = " (did you mean a list?)" if isinstance(value, tuple | set) else ""
        raise TypeError(
            f"expected JSON-like values (None, bool, int, float, str, list, dict) in session[{name!r}], "
            f"got {type(value).__name__}{hint}; only a memory store keeps other objects"
        )
