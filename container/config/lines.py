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
        counts: dict[str, int] = {}
        table = ""
        for number, line in enumerate(text.splitlines(), 1):
            if (header := _HEADER.match(line)) is not None:
                table = header[2].replace('"', "").replace("'", "").replace(" ", "")
                if header[1]:
                    counts[table] = counts.get(table, 0) + 1
                    table = f"{table}[{counts[table]}]"
                else:
                    outer = next((each for each in counts if table.startswith(f"{each}.")), None)
                    if outer is not None:
                        table = f"{outer}[{counts[outer]}]{table.removeprefix(outer)}"
                self._found.setdefault((table, ""), number)
            elif (key := _KEY.match(line)) is not None:
                self._found.setdefault((table, key[1].strip("\"'")), number)

    def of(self, table: str, key: str = "") -> int | None:
        """The line of a key, or of the table itself; a key may be a table of its own."""
        own = f"{table}.{key}" if table and key else table or key
        return (
            self._found.get((table, key)) or self._found.get((own, "")) or self._found.get((f"{own}[1]", ""))
        )
