"""Lines for whoever started the process: on standard error whatever the level of the log, and in the log too where
that goes elsewhere."""

import logging
import sys
import traceback
from contextlib import suppress

log = logging.getLogger("container.server")


class _Log:
    """Where the log is: does it go where these lines do not? What would they look like in it? Or have its handlers to
    be asked?"""

    is_elsewhere = False
    formatter: logging.Formatter | None = None
    has_own_handlers = False


def know_log(*, is_elsewhere: bool, formatter: logging.Formatter | None) -> None:
    """Have these lines in the log as well when it is not what the person sees; when it is, and programs read it,
    `formatter` has them look like the rest of it."""
    _Log.is_elsewhere = is_elsewhere
    _Log.formatter = formatter
    _Log.has_own_handlers = False


def follow_handlers() -> None:
    """Somebody has configured where the log goes: have these lines there, and on standard error once, in the format
    that it has there."""
    know_log(is_elsewhere=True, formatter=None)
    _Log.has_own_handlers = True


def complain(message: str) -> None:
    """Tell what is wrong in one line."""
    text = " ".join(message.split())
    _tell(f"container: {text}", text, logging.ERROR)


def say(line: str) -> None:
    """A line that does not depend on the level of the log."""
    _tell(line, line, logging.INFO)


def report_failure(what: str, error: BaseException) -> None:
    """The traceback of what ends the process, and in a line what came of it."""
    text = str(error).partition("\n")[0]
    line = f"{what}: {type(error).__name__}" + (f": {text}" if text else "")
    trace = "".join(traceback.format_exception(error))
    _tell(f"{trace}container: {line}", line, logging.CRITICAL, error)


def _tell(printed: str, logged: str, level: int, error: BaseException | None = None) -> None:
    shown = _handler_here() if _Log.has_own_handlers else None
    if shown is None:
        _print(printed, level, _Log.formatter)
    elif level < shown.level or not log.isEnabledFor(level):
        _print(printed, level, shown.formatter)
    if _Log.is_elsewhere:
        log.log(level, "%s", logged, exc_info=error)


def _handler_here() -> logging.Handler | None:
    """What writes records to standard error."""
    logger: logging.Logger | None = log
    while logger is not None:
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stderr, sys.__stderr__):
                return handler
        logger = logger.parent if logger.propagate else None
    return None


def _print(line: str, level: int, formatter: logging.Formatter | None) -> None:
    if formatter is not None:
        with suppress(Exception):  # it may be of any make
            line = formatter.format(log.makeRecord(log.name, level, __file__, 0, line, (), None))
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):  # nobody reads it any more
        pass
