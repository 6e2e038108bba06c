"""What an ASGI application is told of a request: its scope (ASGI 3.0, HTTP and WebSocket 2.4). Hot path.

One rule for paths: `path` is the whole path, `root_path` the part of it that led to the application, the
mount point. An application finds its own part by taking `root_path` off the front of `path`.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias
from urllib.parse import unquote_to_bytes

from container.message.request import Request
from container.message.tls import TLS
from container.resources.asgi.user import User

Scope: TypeAlias = dict[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApplication: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

VERSIONS: Final = {"version": "3.0", "spec_version": "2.4"}
_PERCENT: Final = 37


class _Template:
    """The part of a scope that follows from a head and a mount point, and what of both went into it."""

    __slots__ = ("consumed", "fields", "path", "query", "scope")

    def __init__(self, request: Request, scope: Scope) -> None:
        self.path = request.raw_path
        self.query = request.raw_query
        self.fields = request.raw_headers
        self.consumed = request.consumed
        self.scope = scope


def http_scope(request: Request, root_path: str, state: dict[str, Any] | None, owner: object) -> Scope:
    """The scope of an HTTP request. `root_path` is what was cut off in front of this server; `state` the
    application's own, None when it has none; `owner` whose `root_path` it is."""
    memo = request.memo
    template = memo.get(owner) if memo is not None else None
    if (
        template.__class__ is _Template
        # Was nothing of the head replaced on the way down the tree?
        and template.path is request.raw_path
        and template.query is request.raw_query
        and template.fields is request.raw_headers
        and template.consumed == request.consumed
    ):
        scope = template.scope.copy()
    else:
        scope = _from_head(request, root_path)
        if memo is not None:
            memo[owner] = _Template(request, scope.copy())
    # What an application may change is its own.
    scope["headers"] = list(request.raw_headers)
    scope["asgi"] = VERSIONS.copy()
    scope["extensions"] = _extensions(request)
    connection = request.connection
    if connection.tls is not None:
        scope["extensions"]["tls"] = _tls_extension(connection.tls)
    scope["client"] = request.client
    scope["server"] = connection.server or ((connection.path, None) if connection.path else None)
    if connection.secure or request.is_masked:
        scope["scheme"] = request.scheme
    if state is not None:
        scope["state"] = state.copy()
    if request.notes is not None and request.notes.passes_id:
        scope["container.request_id"] = request.id
    if request.user is not None:
        scope["user"] = user = User(*request.user)
        scope["auth"] = user
    return scope


def _extensions(request: Request) -> dict[str, dict[str, Any]]:
    """What `http.py` can do for this request, and nothing else; new ones, for they are the application's."""
    if (
        request.http_version == "1.0"
    ):  # it knows neither chunks, which trailers come after, nor interim responses
        return {"http.response.pathsend": {}, "http.response.zerocopysend": {}}
    return {
        "http.response.trailers": {},
        "http.response.early_hint": {},
        "http.response.pathsend": {},
        "http.response.zerocopysend": {},
    }


def _from_head(request: Request, root_path: str) -> Scope:
    path = request.raw_path
    mount = path[: request.consumed]
    return {
        "type": "http",
        "http_version": request.http_version,
        "method": request.method,
        "scheme": "http",
        "path": root_path + _text(path),
        "raw_path": root_path.encode("utf-8") + path if root_path else path,
        "root_path": root_path + _text(mount) if mount else root_path,
        "query_string": request.raw_query,
    }


def _tls_extension(tls: TLS) -> dict[str, Any]:
    """The TLS extension of ASGI, 0.2."""
    return {
        "server_cert": tls.server_certificate,
        "client_cert_chain": list(tls.client_chain),
        "client_cert_name": tls.client_name,
        "client_cert_error": None,  # who has a wrong one does not get so far
        "tls_version": tls.version_number,
        "cipher_suite": tls.suite,
    }


def _text(path: bytes) -> str:
    """A path percent-decoded as UTF-8."""
    return (unquote_to_bytes(path) if _PERCENT in path else path).decode("utf-8", "replace")
