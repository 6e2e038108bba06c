"""What is written down."""

from __future__ import annotations

from typing import Final

from container.config.options.option import Section, option, switch
from container.config.values import Choice, Spelt, Text
from container.service.logs import LEVELS
from container.tree.accesslog import FORMATS, FormatProblem, make_formatter


def _format(text: str, name: str) -> str:
    try:
        make_formatter(text)
    except FormatProblem as error:
        raise ValueError(f"{name}: {error}") from error
    return text


LOGS: Final = Section(
    "Logs",
    (
        switch("--access-log", default=True, help="Log every request to standard output."),
        option(
            "--access-log-file", "--access-logfile", type=Text("FILE"),
            help="Log every request to this file; - is stdout.",
        ),
        option(
            "--access-log-format", "--access-logformat", type=Spelt("FORMAT", _format), default="combined",
            help=f"{', '.join(FORMATS)}, or a format of your own in the atoms of gunicorn or of Apache, such as "
            "'%h \"%r\" %>s %D'.",
        ),
        option(
            "--log-level", type=Choice(LEVELS, "LEVEL"), default="info",
            help=f"How much to log to standard error: {', '.join(LEVELS)}.",
        ),
    ),
)  # fmt: skip
