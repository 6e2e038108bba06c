"""Trying out a configuration of logging where it does no harm: in a process of its own, which ends at once."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from container.service.logs.problem import LogProblem

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import TextIOWrapper


def rehearse(configure: Callable[[], object]) -> None:
    """LogProblem for what `configure` stumbles over. Log files are neither made nor emptied for it. Where there is no
    fork(2), nothing is tried."""
    if not hasattr(os, "fork"):
        return
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        _try(configure, writing)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8", errors="surrogateescape") as told:
        problem = told.read()
    os.waitpid(pid, 0)
    if problem:
        raise LogProblem(problem)


def _try(configure: Callable[[], object], told: int) -> None:
    """In that process; does not return."""
    try:
        logging.FileHandler._open = _look_at  # type: ignore[assignment, method-assign]  # a method
        configure()
    except LogProblem as problem:
        os.write(told, str(problem).encode(errors="surrogateescape"))
    finally:
        os._exit(0)


def _look_at(handler: logging.FileHandler) -> TextIOWrapper:
    """What a handler writes to when nobody is to notice; OSError where it could not."""
    path, flags = handler.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        made = os.open(path, flags, 0o600)
    except FileExistsError:
        return open(path, "a", encoding=handler.encoding, errors=handler.errors)
    os.unlink(path)
    return os.fdopen(made, "a", encoding=handler.encoding, errors=handler.errors)
