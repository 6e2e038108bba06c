"""The access log: one line an exchange, in a format with a name or of one's own."""

from container.tree.accesslog.before import BeforeLog
from container.tree.accesslog.custom import CustomFormatter, FormatProblem
from container.tree.accesslog.entry import Entry, Formatter
from container.tree.accesslog.formats import (
    CombinedFormatter,
    CommonFormatter,
    VirtualHostFormatter,
    quoted,
    request_line,
)
from container.tree.accesslog.jsonlines import JSONFormatter
from container.tree.accesslog.log import AccessLog, Flushable, Writable
from container.tree.accesslog.named import FORMATS, make_formatter

__all__ = [
    "FORMATS", "AccessLog", "BeforeLog", "CombinedFormatter", "CommonFormatter", "CustomFormatter", "Entry",
    "Flushable", "FormatProblem", "Formatter", "JSONFormatter", "VirtualHostFormatter", "Writable", "make_formatter",
    "quoted", "request_line",
]  # fmt: skip
