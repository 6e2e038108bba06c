"""What is said to the person who wrote a configuration that cannot be: one line."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class ConfigProblem(ValueError):
    """Options that cannot be understood, or not together. The message is one line."""


def nearest_name(name: str, known: Iterable[str]) -> str:
    """The end of a message: the known name that may have been meant, or nothing."""
    close = difflib.get_close_matches(name, sorted(known), 1)
    return f' (did you mean "{close[0]}"?)' if close else ""
