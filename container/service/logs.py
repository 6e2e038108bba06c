"""What goes to standard error: the server's own log, and lines for whoever started it.

The log is what the logger `container` and those below it record; the application's loggers are its own
business. The access log is `tree/accesslog.py`.
"""

import io
import logging
import os
import sys
from typing import Final
from weakref import WeakSet

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_OURS: Final = "container"


def configure_logging(level: str = "info") -> None:
    """Send our records to standard error. Call it before the application is imported: what the application
    configures for the logger `container` then replaces this."""
    logger = logging.getLogger(_OURS)
    logger.setLevel(level.upper())
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(_FORMAT, "%Y-%m-%d %H:%M:%S"))
        logger.addHandler(handler)
        # An application that configures the root logger too would show every record twice.
        logger.propagate = False


def revive_loggers() -> None:
    """Call it after the application was imported: `logging.config` switches off every logger it is not told
    about, and the errors of requests would vanish."""
    for name, logger in logging.root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and (name == _OURS or name.startswith(f"{_OURS}.")):
            logger.disabled = False


class LogFile(io.TextIOBase):
    """A file that lines are appended to, and that `reopen_logs` opens anew after it was renamed. OSError."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = os.path.abspath(path)  # found again wherever the process goes
        self._file = self._open()
        _files.add(self)

    def write(self, text: str) -> int:
        return self._file.write(text)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        super().close()  # flushes
        self._file.close()

    def reopen(self) -> None:
        """The old file stays in use when there cannot be a new one."""
        old = self._file
        self._file = self._open()
        old.close()

    def _open(self) -> io.TextIOWrapper:
        return open(self._path, "a", encoding="utf-8", errors="backslashreplace")


_files: WeakSet[LogFile] = WeakSet()


def reopen_logs() -> None:
    """Open all log files again by their names: what rotates logs has renamed them. On the loop."""
    for file in list(_files):
        try:
            file.reopen()
        except OSError as error:
            logging.getLogger("container.server").error("the log stays where it was: %s", error)
    for handler in _handlers():
        handler.acquire()
        try:
            handler.close()  # the next record opens it again
        finally:
            handler.release()


def _handlers() -> list[logging.FileHandler]:
    """Those of the application, too."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = [each for logger in loggers if isinstance(logger, logging.Logger) for each in logger.handlers]
    return [each for each in dict.fromkeys(handlers) if isinstance(each, logging.FileHandler)]


def complain(message: str) -> None:
    """Tell what is wrong in one line, for the person who started the process."""
    say(f"container: {' '.join(message.split())}")


def say(line: str) -> None:
    """A line that does not depend on the level of the log."""
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):  # nobody reads it any more
        pass
