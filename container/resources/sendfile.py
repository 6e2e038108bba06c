"""Files that an application names in place of its content: X-Sendfile and X-Accel-Redirect.

Whatever kind the application is: it answers to an exchange of its own, which looks at the fields of its answer.
The file and its ranges are the business of `message/selection.py`.
"""

import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from os import PathLike
from typing import Any, Final, cast
from urllib.parse import unquote_to_bytes

from container.message.errors import HTTPError, StartProblem
from container.message.exchange import Exchange
from container.message.fields import FieldBlock, Pair
from container.message.file_body import lies_inside, open_file
from container.message.headers import Headers
from container.message.request import Request
from container.message.response import Content, Response
from container.message.selection import answer_file
from container.tree.resource import Answer, Resource
from container.tree.site import as_response
from container.tree.traverse import render_below

log = logging.getLogger("container.sendfile")

_SENDFILE: Final = "x-sendfile"
_ACCEL: Final = "x-accel-redirect"
# What nginx lets an application say besides; none of it is for the client.
_PRIVATE: Final = (
    _SENDFILE,
    _ACCEL,
    "x-accel-buffering",
    "x-accel-charset",
    "x-accel-expires",
    "x-accel-limit-rate",
)


class SendfileFrom(Resource):
    """Lets what is below it answer with files of `directories` by X-Sendfile, and of those named by `internal`
    by X-Accel-Redirect.

    `internal`: directories by prefix of the paths that the application names, such as "/protected/". A file
    counts as lying where its links lead. What lies elsewhere, or is missing, is a 500 and a line in the log.
    """

    is_leaf = True

    def __init__(
        self,
        resource: Resource,
        *directories: str | PathLike[str],
        internal: Mapping[str, str | PathLike[str]] | None = None,
    ) -> None:
        if not isinstance(resource, Resource):
            raise TypeError(f"expected a Resource whose files to send, got {resource!r}")
        if not directories and not internal:
            raise ValueError("expected a directory to send files from, got none")
        for prefix in internal or {}:
            if not (prefix.startswith("/") and prefix.endswith("/")):
                raise ValueError(f'expected a prefix such as "/protected/", got {prefix!r}')
        self.resource = resource
        self._directories = [os.fsencode(os.path.abspath(each)) for each in directories]
        # The longest prefix that fits counts.
        self._internal = sorted(
            (
                (prefix.encode(), os.fsencode(os.path.abspath(each)))
                for prefix, each in (internal or {}).items()
            ),
            key=lambda pair: -len(pair[0]),
        )

    @property
    def children(self) -> dict[str, Resource]:
        """What is watched counts as one, so that it is started and stopped with the tree."""
        return super().children | {"": self.resource}

    def render(self, request: Request) -> "Answer | Awaitable[Answer]":
        exchange = request.exchange
        request.exchange = cast(Exchange, _Watched(exchange, self))
        return self._settled(render_below(self.resource, request), exchange)

    def _settled(
        self, answer: "Answer | Awaitable[Answer]", exchange: Exchange
    ) -> "Answer | Awaitable[Answer]":
        if isinstance(answer, Awaitable):
            return self._awaited(answer, exchange)
        if isinstance(answer, _Watched) or answer is exchange or answer is exchange.request.exchange:
            return exchange
        response = as_response(answer)
        return self.replaced(exchange.request, response.headers.items(), response.status) or response

    async def _awaited(self, answer: Awaitable[Answer], exchange: Exchange) -> Answer:
        settled = self._settled(await answer, exchange)
        assert not isinstance(settled, Awaitable), "it has been awaited"
        return settled

    def replaced(self, request: Request, fields: list[Pair], status: int) -> Response | None:
        """The answer with the file that `fields` name; None when they name none.

        Raises HTTPError: 412 and 416 for the client, 500 when there is no such file to be sent.
        """
        headers = Headers(fields)
        path, roots = self._named(headers)
        if path is None:
            return None
        for name in _PRIVATE:
            headers.remove(name)
        try:
            fd = open_file(path)
            try:
                if not lies_inside(fd, roots):
                    raise ValueError("it lies outside")
                return answer_file(request, fd, headers.items(), status=status)
            finally:
                os.close(fd)
        except (OSError, ValueError) as error:
            log.error("%s: expected a file that may be sent, got %r: %s", request, os.fsdecode(path), error)
            raise HTTPError(500) from error

    def _named(self, headers: Headers) -> tuple[bytes | None, list[bytes]]:
        """The path that is named, and the directories one of which it has to lie in."""
        path = headers.get(_SENDFILE)
        if path is not None:
            return path.encode("latin-1"), self._directories
        target = headers.get(_ACCEL)
        if target is None:
            return None, []
        name = unquote_to_bytes(target.partition("?")[0].encode("latin-1"))
        for prefix, directory in self._internal:
            if name.startswith(prefix):
                return directory + b"/" + name[len(prefix) :], [directory]
        log.error("expected a path below one of the internal prefixes, got %r", target)
        raise HTTPError(500)

    async def start(self) -> None:
        """Raises StartProblem when a directory is missing."""
        for directory in [*self._directories, *(each for _, each in self._internal)]:
            if not os.path.isdir(directory):
                raise StartProblem(f"expected a directory to send files from, got {os.fsdecode(directory)!r}")


class _Watched:
    """The exchange as the application sees it: when its answer names a file, the file is sent in its place,
    and what the application goes on to write goes nowhere."""

    __slots__ = ("_exchange", "_replaced", "_resource")

    def __init__(self, exchange: Exchange, resource: SendfileFrom) -> None:
        self._exchange = exchange
        self._resource = resource
        self._replaced = False

    # Everything else is as it was.
    def __getattr__(self, name: str) -> Any:
        return getattr(self._exchange, name)

    @property
    def gone(self) -> bool:
        return self._replaced or self._exchange.gone

    def respond(self, response: Response) -> None:
        if not self._instead(response.status, response.headers.items()):
            self._exchange.respond(response)

    def reply(self, status: int, block: FieldBlock, body: bytes = b"", reason: str = "") -> None:
        if not self._instead(status, list(block.fields)):
            self._exchange.reply(status, block, body, reason)

    def start(self, status: int, block: FieldBlock, reason: str = "") -> None:
        if not self._instead(status, list(block.fields)):
            self._exchange.start(status, block, reason)

    def _instead(self, status: int, fields: list[Pair]) -> bool:
        """Send the file that is named, if one is. Raises HTTPError before anything is sent."""
        response = self._resource.replaced(self._exchange.request, fields, status)
        if response is None:
            return False
        self._replaced = True
        self._exchange.respond(response)
        return True

    def write(self, data: bytes) -> bool:
        return True if self._replaced else self._exchange.write(data)

    def stream(self, body: Content) -> None:
        if self._replaced:
            close = getattr(body, "close", None)
            if close is not None:
                close()
        else:
            self._exchange.stream(body)

    async def drain(self) -> None:
        if not self._replaced:
            await self._exchange.drain()

    def when_writable(self, callback: Callable[[], None]) -> None:
        if self._replaced:
            callback()
        else:
            self._exchange.when_writable(callback)

    def end(self) -> None:
        if not self._replaced:
            self._exchange.end()

    def abort(self, error: Exception | None = None) -> None:
        if not self._replaced:
            self._exchange.abort(error)
