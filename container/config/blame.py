"""Where something was said, in front of what is wrong with it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from container.config.importer import ImportProblem
from container.config.problems import ConfigProblem

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def blaming(origin: str) -> Iterator[None]:
    """Put `origin`, the file and the line, in front of a problem."""
    try:
        yield
    except ConfigProblem as problem:
        raise ConfigProblem(f"{origin}{problem}") from problem
    except ImportProblem as problem:
        raise ImportProblem(f"{origin}{problem}", problem.cause) from problem
