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
_servers: dict[str, tuple[str, int | None]] = {}


def make_environ(request: Request, base: Environ) -> Environ:
    """`base` and everything the request says. `wsgi.input` is the caller's."""
    environ = base.copy()
    path = request.raw_path
    consumed = request.consumed
    script_name, path_info = path[:consumed], path[consumed:]
    if b"%" in path:
        script_name, path_info = unquote_to_bytes(script_name), unquote_to_bytes(path_info)
    connection = request.connection
    environ["REQUEST_METHOD"] = request.method
    environ["SCRIPT_NAME"] = script_name.decode("latin-1")
    environ["PATH_INFO"] = path_info.decode("latin-1")
    environ["QUERY_STRING"] = request.raw_query.decode("latin-1")
    environ["REQUEST_URI"] = environ["RAW_URI"] = request.raw_target.decode("latin-1")
    environ["SERVER_PROTOCOL"] = "HTTP/1.1" if request.http_version == "1.1" else "HTTP/1.0"
    environ["REMOTE_ADDR"] = connection.client_host
    environ["REMOTE_PORT"] = connection.client_port
    keys = _keys
    for name, value in request.raw_headers:
        key = keys[name] if name in keys else _key(name)
        if key is None:
            continue
        text = value.decode("latin-1")
        if key in environ:
            text = f"{environ[key]}{'; ' if name == b'cookie' else ','}{text}"
        environ[key] = text
    host = request.host
    server = _servers.get(host) or _server(host)
    secure = request.is_secure
    environ["SERVER_NAME"] = server[0]
    environ["SERVER_PORT"] = str(server[1] or (443 if secure else 80))
    if secure:
        environ["wsgi.url_scheme"] = "https"
        environ["HTTPS"] = "on"
    return environ


def _key(name: bytes) -> str | None:
    """The variable of a field that was not seen before."""
    key = None if b"_" in name else "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
    if len(_keys) >= _KEYS_MAX:
        return key
    _keys[name] = key
    return key


def _server(host: str) -> tuple[str, int | None]:
    if len(_servers) >= _KEYS_MAX:
        _servers.clear()
    server = _servers[host] = split_authority(host)
    return server
