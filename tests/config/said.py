"""A configuration as the command gathers it, without serving: from arguments to the application and its text."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from container.cli.options import read_further, read_line
from container.config.assemble import assemble
from container.config.describe import config_of
from container.config.gather import Gathered, gather
from container.config.importer import ensure_cwd_importable

if TYPE_CHECKING:
    from container.service.application import Application


def gathered(*arguments: str) -> Gathered:
    return gather(read_line(arguments)[1], read_further(os.environ))


def assembled(*arguments: str) -> tuple[Gathered, Application]:
    found = gathered(*arguments)
    ensure_cwd_importable()
    with ExitStack() as stack:
        return found, assemble(found, stack)


def printed(*arguments: str) -> str:
    """What `container print` prints."""
    found, application = assembled(*arguments)
    return config_of(application, found)
