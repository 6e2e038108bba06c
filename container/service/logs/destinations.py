"""Where the server's log goes: standard error unless said otherwise, a file, standard output, syslog, the journal."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from container.service.logs.configured import (
    ACCESS,
    LoggerStream,
    apply_config,
    forget_loggers,
    has_changed,
    is_access_logged,
)
from container.service.logs.files import LogFile, OutputPipe
from container.service.logs.journal import JournalHandler, leads_to_journal
from container.service.logs.problem import LogProblem
from container.service.logs.records import (
    OURS,
    JSONRecordFormatter,
    TextFormatter,
    revive_loggers,
    tell_requests,
)
from container.service.logs.rehearsal import rehearse
from container.service.logs.syslog import (
    DEFAULT_ADDRESS,
    DEFAULT_PREFIX,
    Syslog,
    SyslogHandler,
    SyslogStream,
    open_syslog,
)
from container.service.logs.terminal import follow_handlers, know_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from container.tree.accesslog import Writable

log = logging.getLogger("container.server")

# Whose records tell of the loop that we run.
_THEIRS: Final = ("asyncio",)


@dataclass(frozen=True, slots=True)
class LogSettings:
    """`format`: text or json. `file`: where the log goes instead of standard error, `-` is standard output.

    `syslog`: both logs go there, but for an access log with a file of its own; `address`, `facility` and `prefix` are
    syslog's. `journal`: the log goes to the journal of systemd with all its fields. `requests`: every record, the
    application's too, tells to which request it belongs. `config`: a file for logging.config, whose handlers count
    before all of this; `said` are the options that somebody has named, by field.
    """

    level: str = "info"
    format: str = "text"
    file: str | None = None
    config: str | None = None
    said: frozenset[str] = frozenset()
    syslog: bool = False
    address: str = DEFAULT_ADDRESS
    facility: str = "daemon"
    prefix: str = DEFAULT_PREFIX
    journal: bool = False
    requests: bool = False

    @property
    def follows_requests(self) -> bool:
        return self.requests or self.format == "json"


_syslogs: Final[dict[tuple[str, str, str], Syslog]] = {}


def configure_logging(settings: LogSettings | None = None) -> None:
    """Send our records where they belong. Call it before the application is imported: what the application
    configures for the logger `container` then replaces this. Raises LogProblem."""
    settings = settings or LogSettings()
    logger = logging.getLogger(OURS)
    if settings.follows_requests:
        tell_requests()
    if settings.config is not None:
        apply_config(settings.config)
        revive_loggers()
        if is_access_logged() and "access_log_file" in settings.said:
            raise LogProblem(
                f"expected --access-log-file or the logger {ACCESS} in {settings.config}, got both"
            )
    if settings.config is None or "log_level" in settings.said or not logger.level:
        logger.setLevel(settings.level.upper())
    if settings.config is not None and logger.hasHandlers():
        _refuse_both(settings, settings.config)
        if not logging.root.handlers:
            _take_theirs(logger.handlers)
        follow_handlers()
    elif not logger.handlers:
        _add_handler(logger, settings)


def configure_for_looking(settings: LogSettings) -> None:
    """`configure_logging` for a command that serves nothing: a file for logging.config is only tried out, and no log of
    the service has a record of that. Raises LogProblem."""
    if settings.config is not None:
        rehearse(partial(configure_logging, settings))
    configure_logging(replace(settings, config=None))


def reconfigure_logging(settings: LogSettings) -> None:
    """Configure logging anew if the file for logging.config has changed; for a process that runs no application. What
    is wrong with the file is logged, and all stays as it is."""
    if settings.config is None:
        return
    try:
        if has_changed(settings.config):
            rehearse(partial(_configure_anew, settings))
            _configure_anew(settings)
    except LogProblem as problem:
        log.error("logging stays as it is: %s", problem)


def _configure_anew(settings: LogSettings) -> None:
    forget_loggers()
    configure_logging(settings)


def _refuse_both(settings: LogSettings, config: str) -> None:
    """What the handlers of the file would make nothing of."""
    others = _places(settings)
    if "log_format" in settings.said:
        others.append("--log-format")
    if others:
        raise LogProblem(f"expected {' and '.join(others)} or the handlers of {config}, got both")


def _add_handler(logger: logging.Logger, settings: LogSettings) -> None:
    """Ours."""
    handler = _make_handler(settings)
    logger.addHandler(handler)
    # An application that configures the root logger too would show every record twice.
    logger.propagate = False
    _take_theirs(logger.handlers)
    is_elsewhere = bool(_places(settings))
    is_json = settings.format == "json"
    know_log(is_elsewhere=is_elsewhere, formatter=handler.formatter if is_json and not is_elsewhere else None)
    if is_elsewhere or is_json:
        logging.lastResort = _LastResort(handler)


def _take_theirs(handlers: Sequence[logging.Handler]) -> None:
    """Have them where our records are, unless somebody has said something else."""
    for name in _THEIRS:
        theirs = logging.getLogger(name)
        if not theirs.handlers:
            theirs.handlers[:] = handlers
            theirs.propagate = False


def _places(settings: LogSettings) -> list[str]:
    """The options that send the log away from standard error."""
    given = {
        "--log-file": settings.file is not None,
        "--syslog": settings.syslog,
        "--journal": settings.journal,
    }
    return [name for name, is_given in given.items() if is_given]


def _make_handler(settings: LogSettings) -> logging.Handler:
    if len(places := _places(settings)) > 1:
        raise LogProblem(f"expected one place for the log, got {' and '.join(places)}")
    handler = _open_handler(settings)
    if settings.format == "json":
        handler.setFormatter(JSONRecordFormatter())
    elif isinstance(handler, SyslogHandler):
        handler.setFormatter(TextFormatter(is_dated=False))
    elif not isinstance(handler, JournalHandler):
        marked = settings.file is None and leads_to_journal(os.environ)
        handler.setFormatter(TextFormatter(is_dated=not marked, is_leveled=marked))
    return handler


def _open_handler(settings: LogSettings) -> logging.Handler:
    try:
        if settings.syslog:
            return SyslogHandler(_syslog(settings))
        if settings.journal:
            return JournalHandler(settings.prefix)
        if settings.file == "-":
            return logging.StreamHandler(sys.stdout)
        if settings.file is not None:
            return _FileHandler(LogFile(settings.file))
    except OSError as error:
        raise _nobody(settings, error) from error
    return logging.StreamHandler()


def _nobody(settings: LogSettings, error: OSError) -> LogProblem:
    place = settings.file or (f"--syslog at {settings.address}" if settings.syslog else "--journal")
    what = "a file to write to for --log-file" if settings.file else "somebody who listens"
    return LogProblem(f"expected {what}, got {place!r}: {(error.strerror or str(error)).lower()}")


class _LastResort(logging.Handler):
    """Where warnings of an application go that has configured no logging: into the log, not beside it."""

    def __init__(self, handler: logging.Handler) -> None:
        super().__init__(logging.WARNING)
        self._handler = handler

    def emit(self, record: logging.LogRecord) -> None:
        self._handler.handle(record)


class _FileHandler(logging.StreamHandler):  # type: ignore[type-arg]  # generic in stubs only
    """Writes to a LogFile. What cannot be written, on a full disk, is lost without a word."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def access_stream(settings: LogSettings, name: str | None) -> Writable | None:
    """What the access log writes to: the file of that name, `-` or None for standard output, the logger of the file
    for logging.config, or syslog; None when there is no standard output. Raises LogProblem."""
    if settings.config is not None and is_access_logged():
        return LoggerStream()
    if name is None and settings.syslog:
        try:
            return SyslogStream(_syslog(settings))
        except OSError as error:
            raise _nobody(settings, error) from error
    if name is None or name == "-":
        if sys.stdout is None:  # started with it closed
            return None
        return OutputPipe(1) if OutputPipe.fits(1) and sys.stdout is sys.__stdout__ else sys.stdout
    try:
        return LogFile(name)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise LogProblem(
            f"expected a file to write to for --access-log-file, got {name!r}: {reason}"
        ) from error


def _syslog(settings: LogSettings) -> Syslog:
    """One connection for both logs."""
    key = settings.address, settings.facility, settings.prefix
    if key not in _syslogs:
        _syslogs[key] = open_syslog(*key)
    return _syslogs[key]
