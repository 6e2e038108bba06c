"""One script as a request finds it: where it lies, what runs it, and what it is told (RFC 3875 4, 7.2)."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from container.message.remembered import Remembered, memo_for
from container.message.request import Request
from container.protocol.cgi import (
    Variables,
    client_variables,
    encode_variables,
    head_variables,
    query_arguments,
)
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

    def told(self, request: Request, gateway: "Gateway") -> tuple[int, bytes]:
        """How many arguments there are; directory, program, arguments and the names and values of the
        environment, separated by NUL.

        Raises HTTPError(400) where something holds a NUL itself.
        """
        memo = memo_for(request)
        key = gateway, self.path
        known = memo.get(key) if memo is not None else None
        if isinstance(known, Remembered) and known.is_of(request):
            count, octets = known.value
        else:
            arguments = self.arguments(request, gateway)
            variables = self._variables(request, gateway)
            texts = self.directory, self.program, *arguments, encode_variables(variables)
            count, octets = len(arguments), b"\0".join(texts)
            if memo is not None and variables.get("HTTP_HOST"):
                memo[key] = Remembered(request, (count, octets))
        client = client_variables(request)
        if gateway.session:
            client |= session_variables(request)
        return count, b"%b\0%b" % (octets, encode_variables(client))

    def _variables(self, request: Request, gateway: "Gateway") -> Variables:
        variables = head_variables(
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
        if self._interpreter is not None:
            variables["REDIRECT_STATUS"] = "200"  # php-cgi runs for nobody who does not say so
        return variables
