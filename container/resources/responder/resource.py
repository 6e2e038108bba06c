"""Resources whose requests are answered by a responder: what it is told, and how many are asked at a time."""

import asyncio
import os
from collections.abc import Mapping
from os import PathLike
from typing import Any, Protocol

from container.client.stream import Address, StreamPool
from container.message.exchange import Exchange
from container.message.request import Request
from container.protocol.cgi import make_variables, script_url
from container.resources.responder.call import answer
from container.resources.responder.frames import FastCGIFrame, Frame, scgi_frame, uwsgi_frame
from container.sessions.apps import session_variables
from container.tree.resource import Resource


class Tree(Protocol):
    """What finds scripts among other files, `Files` for example; `path` is where they are."""

    path: str


class _Responder(Resource):
    """Everything below its place in the tree is answered by the program at `address`. A leaf.

    `address`: `unix:/path` or `host:port`. `variables`: further ones for every request; `session`: those of
    `session_variables` too, once there is a session. `connections`: how many requests are asked at a time;
    `queue_limit`: how many may wait, more are answered 503. `timeout`: seconds that the program may be silent,
    else 504; `connect_timeout`: until there is a connection.

    SCRIPT_NAME is the place in the tree, PATH_INFO the rest of the path.
    """

    is_leaf = True

    def __init__(
        self,
        address: str,
        *,
        variables: Mapping[str, str] | None = None,
        session: bool = False,
        connections: int = 32,
        queue_limit: int = 1000,
        timeout: float = 60.0,
        connect_timeout: float = 5.0,
    ) -> None:
        if connections < 1:
            raise ValueError(f"expected at least one connection, got {connections}")
        self.base = dict(variables or {})
        self.session = session
        self.timeout = timeout
        self.pool = StreamPool(
            Address.parse(address), size=connections, queue_limit=queue_limit, connect_timeout=connect_timeout
        )

    def frame(self) -> Frame:
        """A new request in the words of the protocol."""
        raise NotImplementedError

    async def render(self, request: Request) -> Exchange:
        return await self.ask(request, self.base)

    async def ask(self, request: Request, base: Mapping[str, str], file: bytes = b"") -> Exchange:
        """Have the program answer `request`, told of `base` besides; by the script `file`, if it was found."""
        exchange = request.exchange
        if not request.body.complete:
            await exchange.complete()
        if self.session:
            base = {**base, **session_variables(request)}
        path, at = request.raw_path, request.consumed
        if file:
            name, rest = script_url(path[:at], file), path[at:]
        else:
            # Whoever is mounted at the root, or at a slash, is called by no name.
            name = path[:at].removesuffix(b"/")
            rest = path[len(name) :]
        root = base.get("DOCUMENT_ROOT", "").encode("latin-1")
        variables = make_variables(request, base, name, rest, root=root, authorization=True)
        await answer(exchange, self.pool, self.frame, variables, self.timeout)
        return exchange

    async def stop(self) -> None:
        self.pool.close()
        await asyncio.sleep(0)  # transports close in the next turn


class FastCGIResource(_Responder):
    """A FastCGI responder such as php-fpm. Connections are kept; what it writes to its standard error is logged.

    `script`: the file that answers everything below (SCRIPT_FILENAME), a front controller; see
    FastCGIProcessor for files that are found by their names.
    """

    def __init__(
        self,
        address: str,
        *,
        script: str | PathLike[str] | None = None,
        variables: Mapping[str, str] | None = None,
        session: bool = False,
        connections: int = 32,
        queue_limit: int = 1000,
        timeout: float = 60.0,
        connect_timeout: float = 5.0,
    ) -> None:
        super().__init__(
            address,
            variables=variables,
            session=session,
            connections=connections,
            queue_limit=queue_limit,
            timeout=timeout,
            connect_timeout=connect_timeout,
        )
        if script is not None:
            self.base = script_variables(script, os.path.dirname(os.path.abspath(script))) | self.base

    def frame(self) -> Frame:
        return FastCGIFrame()


class FastCGIProcessor:
    """For `Files(processors={".php": FastCGIProcessor("unix:/run/php.sock")})`: files of an extension are scripts of
    a responder, wherever they are; what follows one in the path is its PATH_INFO. Options as of FastCGIResource."""

    def __init__(self, address: str, **options: Any) -> None:
        self.responder = FastCGIResource(address, **options)

    def __call__(self, path: str, files: Tree) -> Resource:
        return _Script(self.responder, os.fsencode(path), script_variables(path, files.path))

    async def start(self) -> None:
        """Connections are made by the first requests."""

    async def stop(self) -> None:
        await self.responder.stop()


class _Script(Resource):
    """One script of a responder; what follows it in the path is its PATH_INFO."""

    is_leaf = True

    def __init__(self, responder: FastCGIResource, path: bytes, variables: Mapping[str, str]) -> None:
        self._responder = responder
        self._path = path
        self._variables = variables

    async def render(self, request: Request) -> Exchange:
        variables = {**self._variables, **self._responder.base}
        return await self._responder.ask(request, variables, self._path)


class SCGIResource(_Responder):
    """A program that speaks SCGI."""

    def frame(self) -> Frame:
        return scgi_frame()


class UWSGIResource(_Responder):
    """An application server that speaks the protocol of uWSGI, such as uWSGI itself."""

    def frame(self) -> Frame:
        return uwsgi_frame()


def script_variables(path: str | PathLike[str], root: str) -> dict[str, str]:
    """What PHP wants to know of a script: bytes of its path as latin-1, one character for one octet."""
    filename = os.fsencode(os.path.abspath(path)).decode("latin-1")
    return {
        "SCRIPT_FILENAME": filename,
        "DOCUMENT_ROOT": os.fsencode(os.path.abspath(root)).decode("latin-1"),
        "REDIRECT_STATUS": "200",  # php-cgi refuses to be called by hand
    }
