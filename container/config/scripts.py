"""Scripts as the options name them: directories of CGI scripts, interpreters, variables, limits; and what is run
below `--path`.

Here: from options to one gateway that all of them share. Not here: what a gateway does (resources/cgi/).
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from container.config.problems import ConfigProblem
from container.tree.resource import Resource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from container.resources.cgi import Gateway
    from container.resources.static import Processor

# Where `python -m http.server --cgi` looked for scripts.
_BINS: Final = ("cgi-bin", "htbin")
_PHP: Final = "php-cgi"
# What tells a program which language and time it is; all else of the server's environment has to be asked for.
PASSED: Final = ("LANG", "LC_ALL", "LC_CTYPE", "TZ")


@dataclass(slots=True)
class Scripts:
    """How scripts are run. `interpreters`: `.ext=program`; `variables`: `NAME=value`, or `NAME` to pass one on;
    `user`: `user` or `user:group`; `among_files`: run what looks like a script below `--path`;
    `session`: tell them of the visitor's; `more`: what a Gateway takes beyond or instead of all that."""

    interpreters: Sequence[str] = ()
    variables: Sequence[str] = ()
    user: str | None = None
    timeout: float | None = 60.0
    processes: int = 32
    warm: bool = False
    among_files: bool = False
    session: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)
    _gateway: Gateway | None = field(default=None, init=False, repr=False)

    @property
    def gateway(self) -> Gateway:
        """The one gateway of all scripts that are named by options."""
        if self._gateway is None:
            from container.resources.cgi import Gateway

            user, _, group = (self.user or "").partition(":")
            try:
                self._gateway = Gateway(**self._options(user or None, group or None))
            except ValueError as error:
                raise ConfigProblem(str(error)) from error
        return self._gateway

    def _options(self, user: str | None, group: str | None) -> dict[str, Any]:
        options: dict[str, Any] = {
            "interpreters": self._known() | dict(map(_interpreter, self.interpreters)),
            "environment": _environment(self.variables),
            "user": user,
            "group": group,
            "timeout": self.timeout,
            "processes": self.processes,
            "warm": self.warm,
            "session": self.session,
        }
        # Of tables only the rows that are named are replaced.
        return options | {
            name: {**options[name], **value} if isinstance(options.get(name), dict) else value
            for name, value in self.more.items()
        }

    def _known(self) -> dict[str, str]:
        return {".php": _PHP} if self.among_files and shutil.which(_PHP) else {}


def scripts_at(path: str, scripts: Scripts, root: str | None = None) -> Resource:
    """The script in a file, or those of a directory, for `cgi:PATH`."""
    from container.resources.cgi import CGIDirectory, CGIScript

    if not os.path.exists(path):
        raise ConfigProblem(f"expected a script or a directory of scripts, got {path!r}: nothing is there")
    kind = CGIDirectory if os.path.isdir(path) else CGIScript
    return kind(path, root=root, gateway=scripts.gateway)


def processors_of(scripts: Scripts, request_timeout: float | None) -> dict[str, Processor]:
    """What runs or sends the scripts among files, by their extension; `request_timeout` of those in Python."""
    from container.resources.asis import send_as_is
    from container.resources.cgi import CGIProcessor
    from container.resources.script import script_processors

    run = CGIProcessor(scripts.gateway)
    return {
        # Also what nothing is installed for: a refusal is better than the source.
        **dict.fromkeys([".cgi", ".php", *scripts.gateway.interpreters], run),
        **script_processors(request_timeout=request_timeout),
        ".asis": send_as_is,
    }


def mounts_of_root(directory: str, scripts: Scripts) -> list[tuple[str, Resource]]:
    """What `--cgi DIR` runs scripts of: the directories in it that are for scripts by old custom."""
    found = [name for name in _BINS if os.path.isdir(os.path.join(directory, name))]
    if not found:
        hint = f"(did you mean --mount /cgi-bin=cgi:{directory}?)"
        raise ConfigProblem(f"expected cgi-bin or htbin in {directory!r}, got neither {hint}")
    return [(name, scripts_at(os.path.join(directory, name), scripts, directory)) for name in found]


def mount_of_bin(text: str, root: str | None, scripts: Scripts) -> tuple[str, Resource]:
    """What `--cgi-bin /prefix` or `--cgi-bin /prefix=DIR` asks for."""
    prefix, equals, directory = text.partition("=")
    path = prefix[1:].removesuffix("/")
    if not prefix.startswith("/") or not path or not all(path.split("/")) or (equals and not directory):
        raise ConfigProblem(f'expected "/prefix" or "/prefix=DIR" for --cgi-bin, got {text!r}')
    if not equals:
        if root is None:
            raise ConfigProblem(f"expected --path beside --cgi-bin {text}, got none (or say {text}=DIR)")
        directory = os.path.join(root, *path.split("/"))
    return path, scripts_at(directory, scripts, root)


def _interpreter(text: str) -> tuple[str, str]:
    extension, equals, program = text.partition("=")
    if not equals or not program:
        raise ConfigProblem(f'expected ".ext=program" for --cgi-interpreter, got {text!r}')
    return extension, program


def _environment(variables: Sequence[str]) -> dict[str, str]:
    environment = {name: os.environ[name] for name in PASSED if name in os.environ}
    for text in variables:
        name, equals, value = text.partition("=")
        if not name:
            raise ConfigProblem(f'expected "NAME" or "NAME=value" for --cgi-env, got {text!r}')
        if equals:
            environment[name] = value
        elif name in os.environ:
            environment[name] = os.environ[name]
        else:
            raise ConfigProblem(
                f"expected a variable of the environment for --cgi-env, got {name!r}: not set"
            )
    return environment
