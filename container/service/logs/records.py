"""Records of the server's log: how they are written, and which request they belong to.

The log is what the logger `container` and those below it record; the application's loggers are its own business,
but for this: where it is asked for, every record has `request_id`, `method`, `target` and `client`.
"""

from __future__ import annotations

import json
import logging
import traceback
from time import gmtime, strftime
from typing import TYPE_CHECKING, Any, Final

from container.message.notes import current
from container.message.request import Request
from container.tree.accesslog import request_line

if TYPE_CHECKING:
    from collections.abc import Callable

OURS: Final = "container"
# Of every request that a record belongs to.
REQUEST_FIELDS: Final = ("request_id", "method", "target", "client")
_STANDARD: Final = frozenset(
    {*vars(logging.makeLogRecord({})), "message", "asctime", "color_message", *REQUEST_FIELDS}
)
# What `<N>` in front of a line means to the journal and to syslog (RFC 5424 6.2.1).
_SEVERITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG: Final = 7


def severity_of(record: logging.LogRecord) -> int:
    """The severity of RFC 5424."""
    return next((severity for level, severity in _SEVERITIES if record.levelno >= level), _DEBUG)


def request_of(record: logging.LogRecord) -> Request | None:
    """The request that a record speaks of, or that was being answered where it was made."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    return next((each for each in arguments if isinstance(each, Request)), None) or current.get()


def fields_of(request: Request) -> dict[str, str]:
    """REQUEST_FIELDS of a request; text of clients is latin-1."""
    known = request.method != "-"
    return {
        "request_id": request.id,
        "method": request.method,
        "target": request.raw_target.decode("latin-1") if known else "-",
        "client": request.connection.client_host or "-",
    }


_NO_FIELDS: Final = dict.fromkeys(REQUEST_FIELDS, "-")


def tell_requests() -> None:
    """Give every record that is made from now on REQUEST_FIELDS, `-` where there is no request."""
    make = logging.getLogRecordFactory()
    if isinstance(make, _Factory):
        return
    logging.setLogRecordFactory(_Factory(make))


class _Factory:
    """Makes records as `make` does, with REQUEST_FIELDS."""

    def __init__(self, make: Callable[..., logging.LogRecord]) -> None:
        self.make = make

    def __call__(self, *arguments: Any, **more: Any) -> logging.LogRecord:
        record = self.make(*arguments, **more)
        request = request_of(record)
        vars(record).update(_NO_FIELDS if request is None else fields_of(request))
        return record


class TextFormatter(logging.Formatter):
    """A line for people. `is_dated`: the time and the level come first; else whoever takes it knows both.

    A record that belongs to a request tells of it: the client and the id, which the page for an error shows too.
    """

    def __init__(self, *, is_dated: bool = True, is_leveled: bool = False) -> None:
        form = "%(asctime)s %(levelname)s %(name)s: %(message)s" if is_dated else "%(name)s: %(message)s"
        super().__init__(form, "%Y-%m-%d %H:%M:%S")
        self._is_leveled = is_leveled

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        text = super().formatMessage(record)
        request = request_of(record)
        if request is None:
            return text
        fields = fields_of(request)
        line = request_line(request).rpartition(" ")[0] or "-"
        about = f"client {fields['client']}, request {fields['request_id']}"
        return f"{text} [{about}]" if line in text else f"{text} [{line}, {about}]"

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if self._is_leveled:  # sd-daemon(3): each line by itself
            mark = f"<{severity_of(record)}>"
            text = mark + text.replace("\n", f"\n{mark}")
        return text


class JSONRecordFormatter(logging.Formatter):
    """One JSON object a line. What was given as `extra=` is in it under its name."""

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, Any] = {
            "time": f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
        }
        request = request_of(record)
        if request is not None:
            facts.update(fields_of(request))
        facts.update(
            {name: value for name, value in vars(record).items() if name not in _STANDARD | facts.keys()}
        )
        error = record.exc_info
        if error and error[0] is not None:
            facts["error"] = error[0].__name__
            facts["traceback"] = "".join(traceback.format_exception(*error))
        if record.stack_info:
            facts["stack"] = record.stack_info
        return json.dumps(facts, separators=(",", ":"), default=repr)


def revive_loggers() -> None:
    """Call it after the application was imported: `logging.config` switches off every logger it is not told
    about, and the errors of requests would vanish."""
    for name, logger in logging.root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and (name == OURS or name.startswith(f"{OURS}.")):
            logger.disabled = False
