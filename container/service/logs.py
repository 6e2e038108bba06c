"""What goes to standard error: the server's own log, and lines for whoever started it.

The log is what the logger `container` and those below it record; the application's loggers are its own
business. The access log is `tree/accesslog.py`.
"""

import logging
import sys
from typing import Final

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


def complain(message: str) -> None:
    """Tell what is wrong in one line, for the person who started the process."""
    say(f"container: {' '.join(message.split())}")


def say(line: str) -> None:
    """A line that does not depend on the level of the log."""
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):  # nobody reads it any more
        pass
