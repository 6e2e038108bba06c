"""Meta-variables: fields of a request under the names that CGI gave them (RFC 3875 4.1), for every interface
that speaks of requests so. Hot path.

Text is what PEP 3333 calls native: bytes decoded as latin-1. Names that could pass for others are left out:
anything with an underscore (`X_Auth` would be read as `X-Auth`) and `Proxy` (which would become HTTP_PROXY).
"""

from collections.abc import Iterable
from typing import Any, Final

from container.message.authority import split_authority

_KEYS_MAX: Final = 512
# None: not for the application. The content is handed over decoded, so its transfer coding is gone.
_keys: dict[bytes, str | None] = {
    b"content-type": "CONTENT_TYPE",
    b"content-length": "CONTENT_LENGTH",
    b"transfer-encoding": None,
    b"proxy": None,
}
_servers: dict[str, tuple[str, str]] = {}


def add_fields(variables: dict[str, Any], fields: Iterable[tuple[bytes, bytes]]) -> None:
    """Add what the fields of a request say; repeated ones are joined (RFC 9110 5.3, RFC 6265 5.4)."""
    keys = _keys
    for name, value in fields:
        key = keys[name] if name in keys else _key(name)
        if key is None:
            continue
        if key in variables:
            joint = "; " if name == b"cookie" else ","
            variables[key] = f"{variables[key]}{joint}{value.decode('latin-1')}"
        else:
            variables[key] = value.decode("latin-1")


def native(text: str) -> str:
    """Text as the variables hold it: UTF-8 bytes decoded as latin-1."""
    return text.encode("utf-8", "replace").decode("latin-1")


def server_of(host: str) -> tuple[str, str]:
    """SERVER_NAME and SERVER_PORT of a Host field; 80 when it names no port."""
    return _servers.get(host) or _server(host)


def _key(name: bytes) -> str | None:
    """The variable of a field that was not seen before."""
    key = None if b"_" in name else "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
    if len(_keys) >= _KEYS_MAX:
        return key
    _keys[name] = key
    return key


def _server(host: str) -> tuple[str, str]:
    if len(_servers) >= _KEYS_MAX:
        _servers.clear()
    name, port = split_authority(host)
    server = _servers[host] = name, str(port or 80)
    return server
