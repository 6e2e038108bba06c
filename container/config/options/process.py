"""The process: its rights, its directories, its loop, its end, and further ones beside it."""

from __future__ import annotations

import re
from typing import Final

from container.config.compound import Spelt
from container.config.options.option import Section, option, switch
from container.config.values import Choice, Count, Duration, Number, Size, Text
from container.service.loop import LOOPS
from container.service.server import GRACEFUL_TIMEOUT_S

_NAME: Final = Text("NAME")


def _umask(text: str, name: str) -> int:
    if not re.fullmatch(r"(?:0o?)?[0-7]{1,3}", text):
        raise ValueError(f"expected an octal number such as 027 for {name}, got {text!r}")
    return int(text, 8)


PROCESS: Final = Section(
    "Process",
    (
        option("--user", "-u", "--uid", type=_NAME, help="Whom to become, by name or number, once the ports are open."),
        option("--group", "-g", "--gid", type=_NAME, help="The group to become; the user's unless given."),
        option(
            "--umask", "-m", type=Spelt("OCTAL", _umask, "{:03o}".format),
            help="Which rights new files do not have, such as 027.",
        ),
        option("--chroot", type=Text("DIR"), help="Shut the process into a directory once everything is loaded."),
        option("--chdir", "--working-dir", type=Text("DIR"), help="Change to a directory before anything is loaded."),
        option(
            "--rundir", "-d", type=Text("DIR"),
            help="Change to a directory once everything is loaded, after --chroot.",
        ),
        option(
            "--pidfile", "-p", "--pid", "--pid-file", type=Text("FILE"),
            help="Write the process id here; removed at the end.",
        ),
        option(
            "--graceful-timeout", "--timeout-graceful-shutdown", "--shutdown-timeout", "--workers-kill-timeout",
            type=Duration(), default=GRACEFUL_TIMEOUT_S,
            help="How long requests in flight may take after the signal to stop.",
        ),
        option(
            "--drain-delay", type=Duration(), default=0.0,
            help="When told to stop, serve on for so long while --readyz answers 503.",
        ),
        option(
            "--loop", "--asgi-loop", type=Choice(LOOPS, "NAME"), default="auto",
            help=f"Event loop: {', '.join(LOOPS)}.",
        ),
        switch("-n", "--nodaemon", help="Accepted, no effect: the foreground is the default."),
        option(
            "--profile", type=Text("FILE"), only_here=True,
            help="Write what the time went to, as statistics of cProfile, to a file at the end. One process only.",
        ),
        switch("--notracebacks", hidden=True, help="Accepted, no effect: tracebacks are not shown."),
        switch("-o", "--no-save", help="Accepted, no effect."),
    ),
)  # fmt: skip

WORKERS: Final = Section(
    "Workers",
    (
        option(
            "--workers", "-w", type=Count(1, 1000), default=1, variables=("WEB_CONCURRENCY",),
            help="How many processes serve; auto: as many as there are processors.",
        ),
        option(
            "--max-requests", "--limit-max-requests", type=Number(0, 1_000_000_000), default=0,
            help="Replace a worker after so many requests; 0: never.",
        ),
        option(
            "--max-requests-jitter", "--limit-max-requests-jitter", type=Number(0, 1_000_000_000), default=0,
            help="Up to so many more, so that workers are not replaced at one time.",
        ),
        option(
            "--max-worker-lifetime", "--max-lifetime", "--workers-lifetime", type=Duration(off=True),
            help="Replace a worker after so long.",
        ),
        option(
            "--max-worker-rss", "--max-rss", type=Size(off=True),
            help="Replace a worker that uses so much memory.",
        ),
        option(
            "--timeout", "-t", "--worker-timeout", "--timeout-worker-healthcheck", type=Number(0, 86_400), default=30,
            help="Kill a worker whose event loop is blocked for so many seconds; 0: never. See --request-timeout.",
        ),
        switch("--daemon", "-D", help="Go into the background; the exit code tells whether it serves."),
        option(
            "--proc-name", "--name", "--process-name", type=_NAME, default="container",
            help="The name in lists of processes (needs setproctitle).",
        ),
    ),
)  # fmt: skip
