"""What is written down."""

from __future__ import annotations

from typing import Final

from container.config.options.option import Section, option, switch
from container.config.values import Choice, Text
from container.service.logs import LEVELS

LOGS: Final = Section(
    "Logs",
    (
        switch("--access-log", default=True, help="Log every request to standard output."),
        option("--access-log-file", type=Text("FILE"), help="Log every request to this file; - is stdout."),
        option(
            "--access-log-format", type=Choice(("combined", "vhost", "json"), "FORMAT"), default="combined",
            help="combined, as of Apache and nginx, the same with the host in front, or json.",
        ),
        option(
            "--log-level", type=Choice(LEVELS, "LEVEL"), default="info",
            help=f"How much to log to standard error: {', '.join(LEVELS)}.",
        ),
    ),
)  # fmt: skip
