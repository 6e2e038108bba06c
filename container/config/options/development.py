"""Development: what is shown of errors, and reloading."""

from __future__ import annotations

from typing import Final

from container.config.options.option import Section, option, switch
from container.config.values import Duration, Switch, Text
from container.service.reload import QUIET_S, WATCHED

DEVELOPMENT: Final = Section(
    "Development",
    (
        switch(
            "--debug",
            help="Show errors in werkzeug's debugger, to a browser that has opened the URL the terminal tells, and "
            "--reload where watchfiles is installed. On addresses of the loopback only.",
        ),
        option(
            "--reload", type=Switch(), negative="--no-reload",
            help="Load the application anew when a source file changes; clients wait meanwhile. Needs watchfiles.",
        ),
        option(
            "--reload-dir", "--reload-paths", type=Text("DIR"), many=True,
            help="Look at the files below this directory, instead of the one we are in. Repeatable.",
        ),
        option(
            "--reload-include", type=Text("GLOB"), many=True,
            help=f"Look at further files, such as *.html, besides {' '.join(WATCHED)}. Repeatable.",
        ),
        option("--reload-exclude", type=Text("GLOB"), many=True, help="Do not look at these files. Repeatable."),
        option(
            "--reload-extra-file", type=Text("FILE"), many=True,
            help="Look at this file, wherever it is. Repeatable.",
        ),
        option(
            "--reload-delay", type=Duration(), default=QUIET_S,
            help="Changes with no more than this between them are one.",
        ),
        switch("--display-tracebacks", help="Show the traceback of an error to the client."),
    ),
)  # fmt: skip
