"""The configuration itself: where it comes from, and commands that only look at it."""

from __future__ import annotations

from typing import Final

from container.config.options.option import Section, option, switch
from container.config.values import Text

CONFIGURATION: Final = Section(
    "Configuration",
    (
        option(
            "--config", "-c", type=Text("FILE"), variables=("CONTAINER_CONFIG",), only_here=True,
            help="Read options and mounts from a file; container.toml or [tool.container] of pyproject.toml where we "
            "are is read when no root is named here.",
        ),
        option(
            "--env-file", "--env-files", type=Text("FILE"), many=True, only_here=True,
            help="Set the variables of a file of NAME=value lines, unless they are set. Repeatable.",
        ),
        switch(
            "--check-config", only_here=True,
            help="Load everything, listen nowhere, and say what is wrong, if anything.",
        ),
        switch(
            "--print-config", only_here=True, help="Print what is configured, however it was said, as a container.toml."
        ),
        switch("--print-schema", only_here=True, help="Print the JSON Schema of container.toml, for editors."),
    ),
)  # fmt: skip
