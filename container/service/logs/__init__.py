"""What goes to standard error, to log files, to syslog and to the journal."""

from container.service.logs.destinations import (
    LogSettings,
    access_stream,
    configure_for_looking,
    configure_logging,
    reconfigure_logging,
)
from container.service.logs.files import LogFile, OutputPipe, give_logs, reopen_logs
from container.service.logs.problem import LogProblem
from container.service.logs.records import JSONRecordFormatter, TextFormatter, revive_loggers
from container.service.logs.syslog import FACILITIES, check_prefix, parse_address
from container.service.logs.terminal import complain, report_failure, say

LEVELS = ("debug", "info", "warning", "error", "critical")
LOG_FORMATS = ("text", "json")

__all__ = [
    "FACILITIES", "LEVELS", "LOG_FORMATS", "JSONRecordFormatter", "LogFile", "LogProblem", "LogSettings",
    "OutputPipe", "TextFormatter", "access_stream", "check_prefix", "complain", "configure_for_looking",
    "configure_logging", "give_logs", "parse_address", "reconfigure_logging", "reopen_logs", "report_failure",
    "revive_loggers", "say",
]  # fmt: skip
