"""The environ of PEP 3333, made from a Request. Hot path.

Text is what PEP 3333 calls native: bytes decoded as latin-1. Names that could pass for others are left out:
anything with an underscore (`X_Auth` would be read as `X-Auth`) and `Proxy` (which would become HTTP_PROXY).
"""

from typing import Any, Final
from urllib.parse import unquote_to_bytes

from container.message.request import Request, split_authority

Environ = dict[str, Any]

_KEYS_MAX: Final = 512
# None: not for the application. The body is handed over decoded, so its transfer coding is gone.
_keys: dict[bytes, str | None] = {
    b"content-type": "CONTENT_TYPE",
    b"content-length": "CONTENT_LENGTH",
    b"transfer-encoding": None,
    b"proxy": None,
}
_servers: dict[str, tuple[str, str]] = {}
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
    keys = _keys
    for name, value in request.raw_headers:
        key = keys[name] if name in keys else _key(name)
        if key is None:
            continue
        if key in environ:
            joint = "; " if name == b"cookie" else ","
            environ[key] = f"{environ[key]}{joint}{value.decode('latin-1')}"
        else:
            environ[key] = value.decode("latin-1")
    host = environ.get("HTTP_HOST", "")
    environ["SERVER_NAME"], environ["SERVER_PORT"] = _servers.get(host) or _server(host)
    return environ


def _name_server(request: Request, environ: Environ) -> None:
    """Name, port and scheme where the Host field does not say it all."""
    name, port = split_authority(request.host)
    environ["SERVER_NAME"] = name
    environ["SERVER_PORT"] = str(port or (443 if request.is_secure else 80))
    if request.is_secure:
        environ["wsgi.url_scheme"] = "https"
        environ["HTTPS"] = "on"


def _key(name: bytes) -> str | None:
    """The variable of a field that was not seen before."""
    key = None if b"_" in name else "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
    if len(_keys) >= _KEYS_MAX:
        return key
    _keys[name] = key
    return key


def _server(host: str) -> tuple[str, str]:
    """Name and port of an authority; 80 when it names none."""
    if len(_servers) >= _KEYS_MAX:
        _servers.clear()
    name, port = split_authority(host)
    server = _servers[host] = name, str(port or 80)
    return server
