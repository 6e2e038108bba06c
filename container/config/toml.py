"""Values as TOML, for people to read and change. Reading TOML is tomllib's."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_WIDTH: Final = 100


def dump(table: Mapping[str, Any], name: str = "") -> str:
    """Values first, then tables, then arrays of tables."""
    return "\n".join(_lines(table, name)) + "\n"


def _lines(table: Mapping[str, Any], name: str) -> Iterator[str]:
    for key, value in table.items():
        if not (_is_table(value) or _is_array_of_tables(value)):
            yield f"{_key(key)} = {_value(value)}"
    for key, value in table.items():
        if _is_table(value):
            path = f"{name}.{_key(key)}" if name else _key(key)
            yield f"\n[{path}]"
            yield from _lines(value, path)
    for key, value in table.items():
        if _is_array_of_tables(value):
            path = f"{name}.{_key(key)}" if name else _key(key)
            for each in value:
                yield f"\n[[{path}]]"
                yield from _lines(each, path)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _is_array_of_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_table, value))


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        parts = [_value(each) for each in value]
        line = f"[{', '.join(parts)}]"
        return line if len(line) <= _WIDTH else "[\n" + "".join(f"    {part},\n" for part in parts) + "]"
    if isinstance(value, int | float):
        return repr(value)
    return _text(str(value))


def _text(text: str) -> str:
    """A basic string: JSON's escapes are among TOML's; DEL needs one, too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
