"""Noticing that source files change, for development. Needs watchfiles."""

from __future__ import annotations

import importlib.util
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class ReloadProblem(ValueError):
    """Files cannot be watched. The message is one line."""


def check_reload() -> None:
    """ReloadProblem, unless files can be watched."""
    if importlib.util.find_spec("watchfiles") is None:
        raise ReloadProblem(
            'expected watchfiles to be installed for --reload: pip install "container-server[reload]"'
        )


def watch_files(changed: Callable[[], object], directory: str | None = None) -> None:
    """Call `changed`, in a thread of its own, whenever a Python or configuration file below `directory`, or the
    one we are in, is another one than before."""
    import watchfiles

    place = directory or os.getcwd()

    def matters(change: object, path: str) -> bool:
        return _matters(os.path.relpath(path, place))

    def watch() -> None:
        for _ in watchfiles.watch(place, watch_filter=matters, debounce=100):
            changed()

    threading.Thread(target=watch, name="reload", daemon=True).start()


def _matters(path: str) -> bool:
    hidden = any(part.startswith(".") or part == "__pycache__" for part in path.split(os.sep))
    return not hidden and path.endswith((".py", ".tac", ".rpy", ".toml", ".env"))
