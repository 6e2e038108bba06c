"""All options, each once: the one table that every spelling is made from.

A new option is an entry in the file of its topic; `configuration.values` then has it under its field.
"""

from __future__ import annotations

from typing import Final

from container.config.options.addresses import ADDRESSES, TLS
from container.config.options.answers import ANSWERS
from container.config.options.applications import APPLICATIONS
from container.config.options.content import CONTENT, FILES, SCRIPTS
from container.config.options.development import DEVELOPMENT
from container.config.options.logs import LOGS
from container.config.options.option import Option, Section
from container.config.options.process import PROCESS, WORKERS
from container.config.options.requests import REQUESTS
from container.config.options.sources import CONFIGURATION

SECTIONS: Final = (
    CONTENT, CONFIGURATION, FILES, SCRIPTS, ADDRESSES, TLS, APPLICATIONS, REQUESTS, ANSWERS, LOGS, PROCESS, WORKERS,
    DEVELOPMENT,
)  # fmt: skip
# By the name of the value.
OPTIONS: Final[dict[str, Option]] = {each.field: each for section in SECTIONS for each in section.options}

# Those that may be said of one site of several.
OF_SITES: Final = frozenset(
    each.field
    for section in (CONTENT, FILES, SCRIPTS, ADDRESSES, TLS, APPLICATIONS, REQUESTS, ANSWERS)
    for each in section.options
    if each.name not in ("env", "app-dir", "metrics", "server-header")
)

__all__ = ["OF_SITES", "OPTIONS", "SECTIONS", "Option", "Section"]
