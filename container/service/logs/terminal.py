"""Lines for whoever started the process: on standard error whatever the level of the log, and in the log too where
that goes elsewhere."""

import logging
import sys
import traceback

log = logging.getLogger("container.server")


class _Log:
    """Where the log is: does it go where these lines do not? What would they look like in it?"""

    is_elsewhere = False
    formatter: logging.Formatter | None = None


def know_log(*, is_elsewhere: bool, formatter: logging.Formatter | None) -> None:
    """Have these lines in the log as well when it is not what the person sees; when it is, and programs read it,
    `formatter` has them look like the rest of it."""
    _Log.is_elsewhere = is_elsewhere
    _Log.formatter = formatter


def complain(message: str) -> None:
    """Tell what is wrong in one line."""
    text = " ".join(message.split())
    _print(f"container: {text}", logging.ERROR)
    if _Log.is_elsewhere:
        log.error("%s", text)


def say(line: str) -> None:
    """A line that does not depend on the level of the log."""
    _print(line, logging.INFO)
    if _Log.is_elsewhere:
        log.info("%s", line)


def report_failure(what: str, error: BaseException) -> None:
    """The traceback of what ends the process, and in a line what came of it."""
    text = str(error).partition("\n")[0]
    line = f"{what}: {type(error).__name__}" + (f": {text}" if text else "")
    text = "".join(traceback.format_exception(error))
    _print(f"{text}container: {line}", logging.CRITICAL)
    if _Log.is_elsewhere:
        log.critical("%s", line, exc_info=error)


def _print(line: str, level: int) -> None:
    if _Log.formatter is not None:
        line = _Log.formatter.format(logging.LogRecord(log.name, level, __file__, 0, line, None, None))
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):  # nobody reads it any more
        pass
