"""How a worker tells the arbiter that it lives: the time and the size of a file that both have open.

gunicorn makes that file in a directory for temporary files; ours has no name, and needs no place on any disk.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gunicorn.workers import base
from gunicorn.workers.workertmp import WorkerTmp

if TYPE_CHECKING:
    from collections.abc import Iterator


class Heartbeat(WorkerTmp):  # type: ignore[misc]  # gunicorn has no types
    """A file in memory; it belongs to whoever made it."""

    def __init__(self, cfg: Any) -> None:
        if not hasattr(os, "memfd_create"):  # not Linux
            super().__init__(cfg)
            return
        file = os.memfd_create("heartbeat")
        if os.geteuid() == 0:  # the worker may run as somebody else
            os.fchown(file, cfg.uid, cfg.gid)
        self._tmp = os.fdopen(file, "w+b", 0)


@contextmanager
def in_memory() -> Iterator[None]:
    """Workers that are made in this block have a heartbeat of ours."""
    base.WorkerTmp = Heartbeat
    try:
        yield
    finally:
        base.WorkerTmp = WorkerTmp
