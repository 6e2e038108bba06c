"""What gunicorn's code says, in our log."""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger("container.workers")


class ArbiterLog:
    """gunicorn's words in our log, and only those that say what an operator does not know yet."""

    def __init__(self, cfg: Any) -> None:
        self.cfg = cfg
        self.debug = self.info = log.debug
        self.warning = log.warning
        self.error = log.error
        self.critical = log.critical
        self.exception = log.exception

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg

    def reopen_files(self) -> None:
        """Ours are reopened by `reopen_logs`."""

    def close_on_exec(self) -> None:
        """Python opens all files so."""
