"""One script as a request finds it: where it lies, what runs it, and what it is told (RFC 3875 4, 7.2)."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from container.message.request import Request
from container.protocol.cgi import Variables, make_variables, query_arguments
from container.sessions.apps import session_variables

if TYPE_CHECKING:
    from container.resources.cgi.gateway import Gateway

_PHP: Final = "php-cgi"


class Interpreter:
    """A program that runs scripts, with its first arguments. `php-cgi` is told of its script by variables alone."""

    __slots__ = ("arguments", "by_variables")

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = [os.fsencode(argument) for argument in arguments]
        self.by_variables = os.path.basename(arguments[0]).startswith(_PHP)


class Script:
    """`path` of the script; `script_name` and `path_info` are the parts of the raw path before and after it.

    `root`: the directory that PATH_TRANSLATED is below.
    """

    __slots__ = ("_interpreter", "is_warm", "path", "path_info", "root", "script_name")

    def __init__(
        self,
        path: bytes,
        script_name: bytes,
        path_info: bytes,
        *,
        root: bytes = b"",
        interpreter: Interpreter | None = None,
        is_warm: bool = False,
    ) -> None:
        self.path = path
        self.script_name = script_name
        self.path_info = path_info
        self.root = root
        self.is_warm = is_warm
        self._interpreter = interpreter

    @property
    def name(self) -> str:
        """For the log."""
        return ascii(os.fsdecode(self.path))[1:-1]

    @property
    def directory(self) -> bytes:
        return os.path.dirname(self.path)

    @property
    def program(self) -> bytes:
        return self._interpreter.arguments[0] if self._interpreter is not None else self.path

    @property
    def speaks_http(self) -> bool:
        return os.path.basename(self.path).startswith(b"nph-")

    def arguments(self, request: Request, gateway: "Gateway") -> list[bytes]:
        """argv, its program first. The query becomes arguments only where that was asked for."""
        interpreter = self._interpreter
        if interpreter is not None and interpreter.by_variables:
            return interpreter.arguments
        arguments = [*interpreter.arguments, self.path] if interpreter is not None else [self.path]
        if gateway.query_arguments and interpreter is None and request.raw_query:
            arguments += query_arguments(request.raw_query)
        return arguments

    def variables(self, request: Request, gateway: "Gateway") -> Variables:
        variables = make_variables(
            request,
            gateway.base,
            self.script_name,
            self.path_info,
            root=self.root,
            authorization=gateway.authorization,
        )
        variables["SCRIPT_FILENAME"] = self.path.decode("latin-1")
        if self.root:
            variables["DOCUMENT_ROOT"] = self.root.decode("latin-1")
        if gateway.session:
            variables |= session_variables(request)
        if self._interpreter is not None:
            variables["REDIRECT_STATUS"] = "200"  # php-cgi runs for nobody who does not say so
        return variables
