"""In which line of a TOML file a key stands: for messages only, so what cannot be found has no line."""

from __future__ import annotations

import re
from typing import Final

_HEADER: Final = re.compile(r"\s*\[(\[)?\s*([^\[\]]+?)\s*\]")
_KEY: Final = re.compile(r"\s*(\"[^\"]*\"|'[^']*'|[A-Za-z0-9_-]+)\s*[.=]")


class Lines:
    """Looks through a text once; tables are named as their headers are, arrays of tables with a number from 1."""

    def __init__(self, text: str) -> None:
        self._found: dict[tuple[str, str], int] = {}
        self._counts: dict[str, int] = {}
        # The last table of each array, as headers spell the array: "site.mount" may be "site[2].mount[1]".
        self._last: dict[str, str] = {}
        table = ""
        for number, line in enumerate(text.splitlines(), 1):
            if (header := _HEADER.match(line)) is not None:
                name = re.sub(r"[\"' ]", "", header[2])
                table = self._numbered(name) if header[1] else self._inside(name)
                self._found.setdefault((table, ""), number)
            elif (key := _KEY.match(line)) is not None:
                self._found.setdefault((table, key[1].strip("\"'")), number)

    def _inside(self, name: str) -> str:
        """The full name of a table, which may be inside the last one of an array."""
        outer = max((each for each in self._last if name.startswith(f"{each}.")), key=len, default="")
        return self._last[outer] + name.removeprefix(outer) if outer else name

    def _numbered(self, name: str) -> str:
        """That of one more table of an array."""
        full = self._inside(name)
        self._counts[full] = self._counts.get(full, 0) + 1
        self._last = {each: last for each, last in self._last.items() if not each.startswith(f"{name}.")}
        self._last[name] = f"{full}[{self._counts[full]}]"
        return self._last[name]

    def of(self, table: str, key: str = "") -> int | None:
        """The line of a key, or of the table itself; a key may be a table of its own."""
        own = f"{table}.{key}" if table and key else table or key
        line = (
            self._found.get((table, key)) or self._found.get((own, "")) or self._found.get((f"{own}[1]", ""))
        )
        below = (each for (name, _), each in self._found.items() if own and name.startswith(f"{own}."))
        return line or next(below, None)
