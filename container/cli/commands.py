"""Commands that look at a configuration without serving it: check, print, routes, inspect, schema.

What they need is imported late: who serves does without.
"""

from __future__ import annotations

import asyncio
import os
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Final

from container.channel.endpoints import plain_endpoint
from container.config.problems import ConfigProblem
from container.service.logs import complain, say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from container.config.gather import Gathered
    from container.service.application import Application


def _tell(text: str, encoding: str | None = None) -> None:
    if isinstance(sys.stdout, TextIOWrapper):  # names of files need not be text
        sys.stdout.reconfigure(encoding=encoding, errors="backslashreplace")
    try:
        print(text)
    except BrokenPipeError:  # who reads it has read enough
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # the end of the process closes it


def _check(gathered: Gathered, application: Application, extra: Mapping[str, Any]) -> int:
    """All is loaded by now; the exit code is that of serving."""
    from container.cli.check import CheckFailed, check

    try:
        check(gathered, application, extra)
    except CheckFailed as failure:
        complain(str(failure))
        return failure.code
    say(f"container: {gathered.file or 'the configuration'} is fine")
    return 0


def _print(gathered: Gathered, application: Application, extra: Mapping[str, Any]) -> int:
    from container.config.describe import config_of

    text = config_of(application, gathered).removesuffix("\n")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        line = text[: error.end].rpartition("\n")[2] + text[error.end :].partition("\n")[0]
        raise ConfigProblem(f"expected what can be said in UTF-8, got {line!r}") from error
    _tell(text, "utf-8")  # as TOML is
    return 0


def _routes(gathered: Gathered, application: Application, extra: Mapping[str, Any]) -> int:
    from container.config.routes import routes

    _tell("\n".join(routes(application)))
    return 0


def _inspect(gathered: Gathered, application: Application, extra: Mapping[str, Any]) -> int:
    from container.config.explain import explain, split_url

    if not application.bindings:
        raise ConfigProblem("expected a site to ask, got none")
    headers = [_header(text) for text in extra["request_header"]]
    port = split_url(extra["url"]).port
    steps = explain(_asked(application, port), extra["url"], method=extra["method"], headers=headers)
    _tell("\n".join(asyncio.run(steps)))
    return 0


def _asked(application: Application, port: int | None) -> object:
    """The site that is served at a port; the first one when none is, or none is named."""
    for binding in application.bindings:
        if any(getattr(plain_endpoint(each), "port", None) == port for each in binding.endpoints):
            return binding.site
    return application.bindings[0].site


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ConfigProblem(f'expected "Name: value" for --request-header, got {text!r}')
    return name.strip(), value.strip()


def _schema(gathered: Gathered | None, application: Application | None, extra: Mapping[str, Any]) -> int:
    import json

    from container.config.schema import make_schema

    _tell(json.dumps(make_schema(), indent=2))
    return 0


LOOKING: Final[dict[str, Callable[..., int]]] = {
    "check": _check,
    "print": _print,
    "routes": _routes,
    "inspect": _inspect,
    "schema": _schema,
}
