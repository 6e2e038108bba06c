"""The environ of PEP 3333, made from a Request. Hot path.

How fields become variables is in `message/variables.py`, which CGI shares.
"""

from typing import Any, Final
from urllib.parse import unquote_to_bytes

from container.message.authority import split_authority
from container.message.request import Request
from container.message.variables import add_fields, native, server_of

Environ = dict[str, Any]

_PERCENT: Final = 37
# What differs from request to request though their heads are the same.
_TO_COME: Final = dict.fromkeys(("REMOTE_ADDR", "REMOTE_PORT", "wsgi.input", "container.client_disconnected"))


class _Template:
    """The part of an environ that follows from a head and a mount point, and what of both went into it."""

    __slots__ = ("consumed", "environ", "fields", "path", "query")

    def __init__(self, request: Request, environ: Environ) -> None:
        self.path = request.raw_path
        self.query = request.raw_query
        self.fields = request.raw_headers
        self.consumed = request.consumed
        self.environ = environ


def make_environ(request: Request, base: Environ, owner: object) -> Environ:
    """`base` and everything the request says. `wsgi.input` is the caller's; `owner` is whose `base` it is."""
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
        environ = template.environ.copy()
    else:
        environ = _from_head(request, base)
        if memo is not None:
            # With all that will be set later: a copy in which nothing new comes up need not grow.
            memo[owner] = _Template(request, environ | _TO_COME)
    if request.variables is not None:
        environ.update((name, native(value)) for name, value in request.variables.items())
    user = request.user
    if user is not None:
        environ["REMOTE_USER"] = native(user[0])
        environ["AUTH_TYPE"] = user[1]
    connection = request.connection
    environ["REMOTE_ADDR"] = connection.client_host
    environ["REMOTE_PORT"] = connection.client_port
    if connection.secure or request.is_masked or not environ["SERVER_NAME"]:
        _name_server(request, environ)
    return environ


def _from_head(request: Request, base: Environ) -> Environ:
    environ = base.copy()
    path = request.raw_path
    consumed = request.consumed
    if consumed or _PERCENT in path:
        environ["SCRIPT_NAME"] = unquote_to_bytes(path[:consumed]).decode("latin-1")
        environ["PATH_INFO"] = unquote_to_bytes(path[consumed:]).decode("latin-1")
    else:
        environ["SCRIPT_NAME"] = ""
        environ["PATH_INFO"] = path.decode("latin-1")
    environ["REQUEST_METHOD"] = request.method
    environ["QUERY_STRING"] = request.raw_query.decode("latin-1")
    environ["REQUEST_URI"] = environ["RAW_URI"] = request.raw_target.decode("latin-1")
    environ["SERVER_PROTOCOL"] = "HTTP/1.1" if request.http_version == "1.1" else "HTTP/1.0"
    add_fields(environ, request.raw_headers)
    host = environ.get("HTTP_HOST", "")
    environ["SERVER_NAME"], environ["SERVER_PORT"] = server_of(host)
    return environ


def _name_server(request: Request, environ: Environ) -> None:
    """Name, port and scheme where the Host field does not say it all."""
    name, port = split_authority(request.host)
    environ["SERVER_NAME"] = name
    environ["SERVER_PORT"] = str(port or (443 if request.is_secure else 80))
    if request.is_secure:
        environ["wsgi.url_scheme"] = "https"
        environ["HTTPS"] = "on"
        if request.connection.tls is not None:
            environ.update(request.connection.tls.variables)
