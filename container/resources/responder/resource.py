"""Resources whose requests are answered by a responder: what it is told, and how many are asked at a time. Hot path."""

import os
from collections.abc import Mapping
from functools import lru_cache, partial
from os import PathLike
from typing import Any, ClassVar, Final, Protocol, cast

from container.client.address import parse_address
from container.client.pool import ClientTimeouts
from container.client.responder import ResponderPool
from container.message.errors import HTTPError
from container.message.exchange import Exchange
from container.message.remembered import Remembered, memo_for
from container.message.request import Request
from container.protocol.cgi import Variables, client_variables, head_variables, script_url
from container.resources.responder.call import ResponderCall
from container.resources.responder.dialects import SCGI, UWSGI, Dialect, FastCGI
from container.sessions.apps import session_variables
from container.tree.resource import Resource
from container.tree.site import Site

# How long a connection is kept that nobody uses: php-fpm has a process for each.
_IDLE_S: Final = 10.0
_CLIENTS_MAX: Final = 1024


class Tree(Protocol):
    """What finds scripts among other files, `Files` for example; `path` is where they are."""

    path: str


class _Responder(Resource):
    """Everything below its place in the tree is answered by the program at `address`. A leaf.

    `address`: `unix:/path` or `host:port`. `variables`: further ones for every request; `session`: those of
    `session_variables` too, once there is a session. `connections`: how many requests are asked at a time;
    `queue_limit`: how many may wait, more are answered 503. `timeout`: seconds that the program may be silent,
    else 504, and that a request may wait for its turn, else 503; `connect_timeout`: until there is a connection.

    SCRIPT_NAME is the place in the tree, PATH_INFO the rest of the path.
    """

    is_leaf = True
    dialect: ClassVar[Dialect]

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
        self.address = address
        self.made_with: dict[str, object] = {
            "variables": variables or {}, "session": session, "connections": connections,
            "queue_limit": queue_limit, "timeout": timeout, "connect_timeout": connect_timeout,
        }  # fmt: skip
        self.base = dict(variables or {})
        self.file = b""
        self.key: object = self  # whose variables are remembered
        self.session = session
        self.pool = ResponderPool(
            parse_address(address),
            ClientTimeouts(
                connect=connect_timeout, queue=timeout, answer=timeout, read=timeout, idle=_IDLE_S
            ),
            connections=connections,
            queue_limit=queue_limit,
            reader=self.dialect.reader,
            whole=self.dialect.whole,
            abort=self.dialect.abort,
        )
        self._of_client = lru_cache(_CLIENTS_MAX)(partial(_encode_client, self.dialect))

    def render(self, request: Request) -> Exchange:
        return self.ask(request, self)

    def ask(self, request: Request, place: "_Responder | _Script") -> Exchange:
        """Have the program answer `request`, which has come to `place`."""
        exchange = request.exchange
        if request.body.complete:
            self._ask(exchange, place)
        else:
            exchange.when_complete(partial(self._ask_late, exchange, place))
        return exchange

    def _ask(self, exchange: Exchange, place: "_Responder | _Script") -> None:
        request = exchange.request
        size = request.body.received
        try:
            head = self._encode(request, place)
            connection = request.connection
            if self.session or request.user is not None or connection.tls is not None:
                client = self.dialect.part(self._client(request))
            else:
                client = self._of_client(connection.client_host, connection.client_port)
            begin = self.dialect.begin(head, client, size) if size else self.dialect.ask(head, client)
        except ValueError as error:
            raise HTTPError(400, str(error)) from error
        self.pool.request(ResponderCall(exchange, self.pool, self.dialect, begin))

    def _ask_late(self, exchange: Exchange, place: "_Responder | _Script") -> None:
        """The content has come: there is no caller any more to answer for an error."""
        try:
            self._ask(exchange, place)
        except Exception as error:  # noqa: BLE001  # whatever it is, the client gets an answer
            cast(Site, exchange.request.site).fail(exchange, error)

    def _encode(self, request: Request, place: "_Responder | _Script") -> bytes:
        """The variables that follow from the head of a request. Raises ValueError."""
        memo = memo_for(request)
        known = memo.get(place.key) if memo is not None else None
        if isinstance(known, Remembered) and known.is_of(request):
            octets: bytes = known.value
            return octets
        base = place.base
        variables = _of_head(request, base, place.file)
        is_told = not _IS_CLIENTS.isdisjoint(base)
        if is_told:
            for name in _IS_CLIENTS & self._client(request).keys():
                variables.pop(name, None)
        octets = self.dialect.part(variables)
        # Without a Host field the server is called by its end of the connection.
        if memo is not None and not is_told and variables.get("HTTP_HOST"):
            memo[place.key] = Remembered(request, octets)
        return octets

    def _client(self, request: Request) -> Variables:
        variables = client_variables(request)
        return variables | session_variables(request) if self.session else variables

    async def stop(self) -> None:
        await self.pool.close()


class FastCGIResource(_Responder):
    """A FastCGI responder such as php-fpm. Connections are kept; what it writes to its standard error is logged.

    `script`: the file that answers everything below (SCRIPT_FILENAME), a front controller; see
    FastCGIProcessor for files that are found by their names.
    """

    dialect = FastCGI()

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
        self.made_with["script"] = None if script is None else os.fspath(script)
        if script is not None:
            self.base = script_variables(script, os.path.dirname(os.path.abspath(script))) | self.base


class FastCGIProcessor:
    """For `Files(processors={".php": FastCGIProcessor("unix:/run/php.sock")})`: files of an extension are scripts of
    a responder, wherever they are; what follows one in the path is its PATH_INFO. Options as of FastCGIResource."""

    def __init__(self, address: str, **options: Any) -> None:
        self.responder = FastCGIResource(address, **options)

    def __call__(self, path: str, files: Tree) -> Resource:
        return _Script(self.responder, path, files.path)

    async def start(self) -> None:
        """Connections are made by the first requests."""

    async def stop(self) -> None:
        await self.responder.stop()


class _Script(Resource):
    """One script of a responder, found among files; what follows it in the path is its PATH_INFO."""

    is_leaf = True

    def __init__(self, responder: FastCGIResource, path: str, root: str) -> None:
        self.file = os.fsencode(path)
        self.key: object = (responder, self.file)
        self._responder = responder
        self._root = root

    @property
    def base(self) -> Variables:
        return script_variables(self.file, self._root) | self._responder.base

    def render(self, request: Request) -> Exchange:
        return self._responder.ask(request, self)


class SCGIResource(_Responder):
    """A program that speaks SCGI."""

    dialect = SCGI()


class UWSGIResource(_Responder):
    """An application server that speaks the protocol of uWSGI, such as uWSGI itself."""

    dialect = UWSGI()


# What is known of clients. Where `base` has some of it too, it is not to be said twice.
_IS_CLIENTS: Final = frozenset({"REMOTE_ADDR", "REMOTE_HOST", "REMOTE_PORT", "REMOTE_USER", "AUTH_TYPE"})


def _of_head(request: Request, base: Mapping[str, str], file: bytes) -> Variables:
    path, at = request.raw_path, request.consumed
    if file:
        name, rest = script_url(path[:at], file), path[at:]
    else:
        # Whoever is mounted at the root, or at a slash, is called by no name.
        name = path[:at].removesuffix(b"/")
        rest = path[len(name) :]
    root = base.get("DOCUMENT_ROOT", "").encode("latin-1")
    return head_variables(request, base, name, rest, root=root, authorization=True)


def _encode_client(dialect: Dialect, host: str, port: str) -> bytes:
    """What `client_variables` says of somebody of whom no more is known."""
    variables = {"REMOTE_ADDR": host, "REMOTE_HOST": host}
    return dialect.part(variables | {"REMOTE_PORT": port} if port else variables)


def script_variables(path: str | bytes | PathLike[str], root: str) -> Variables:
    """What PHP wants to know of a script: bytes of its path as latin-1, one character for one octet."""
    filename = os.fsencode(os.path.abspath(path)).decode("latin-1")
    return {
        "SCRIPT_FILENAME": filename,
        "DOCUMENT_ROOT": os.fsencode(os.path.abspath(root)).decode("latin-1"),
        "REDIRECT_STATUS": "200",  # php-cgi refuses to be called by hand
    }
