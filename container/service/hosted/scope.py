"""From a scope of ASGI to a Request (ASGI HTTP 2.5): the path as it was sent, the mount point, the two ends.

The path rule is the specification's: `path` includes `root_path`. Hosts that leave it out are understood all the same.
"""

from typing import Any
from urllib.parse import quote, unquote

from container.message.body import EMPTY, Body
from container.message.connection import Connection
from container.message.errors import ProtocolError
from container.message.request import Request

_SAFE = "/:@!$&'()*+,;=~-._"


def request_from(scope: dict[str, Any]) -> Request:
    """The request a host speaks of; `consumed` is behind the host's mount point.

    HTTP/2 and later are told as "1.1". Raises ProtocolError for what our own channel would refuse and a host let
    through.
    """
    fields = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
    path, consumed = raw_path(scope)
    query = bytes(scope.get("query_string") or b"")
    target = path + b"?" + query if query else path
    version = "1.0" if scope.get("http_version") == "1.0" else "1.1"
    many_bodies = scope.get("http_version") not in ("1.0", "1.1")
    request = Request(
        scope["method"], target, path, query, version, fields, _body(fields, may_come_unannounced=many_bodies)
    )
    request.consumed = request.base = consumed
    request.connection = _connection(scope)
    if sum(name == b"host" for name, _ in fields) > 1:
        raise ProtocolError(400, "expected one Host field")
    return request


def raw_path(scope: dict[str, Any]) -> tuple[bytes, int]:
    """The path as sent, as far as the host tells, and how much of it is the host's mount point.

    Without `raw_path` the path is encoded anew: then `%2F` cannot be told from `/` any more.
    """
    path: str = scope["path"]
    root: str = (scope.get("root_path") or "").rstrip("/")
    raw = bytes(scope.get("raw_path") or b"").partition(b"?")[0]  # some hosts leave the query on it
    text = unquote(raw)
    if root and text != path and root + text == path:
        raw = _quoted(root) + raw  # as the host has got it from a proxy that cuts the mount point off
    elif text != path:
        raw = _quoted(path)  # there is none, or a middleware has rewritten `path`
    if not root:
        return raw or b"/", 0
    if path != root and not path.startswith(root + "/"):
        prefix = _quoted(root)
        return prefix + raw, len(prefix)
    end = _nth_slash(raw, root.count("/") + 1)
    if unquote(raw[:end]) != root:
        raw, end = _quoted(root) + _quoted(path[len(root) :]), len(_quoted(root))
    return raw, end


def _nth_slash(raw: bytes, number: int) -> int:
    """Where the `number`th slash is; the end when there are fewer."""
    at = -1
    for _ in range(number):
        at = raw.find(b"/", at + 1)
        if at < 0:
            return len(raw)
    return at


def _quoted(path: str) -> bytes:
    return quote(path, safe=_SAFE, errors="surrogatepass").encode("ascii")


def _body(fields: list[tuple[bytes, bytes]], *, may_come_unannounced: bool) -> Body:
    """The content that is announced; HTTP/2 and later need not announce it."""
    lengths = {value for name, value in fields if name == b"content-length"}
    if len(lengths) > 1 or not all(value.isdigit() and len(value) <= 19 for value in lengths):
        raise ProtocolError(400, "expected one Content-Length of digits")
    if lengths:
        length = int(lengths.pop())
        return Body(length) if length else EMPTY
    if may_come_unannounced or any(name == b"transfer-encoding" for name, _ in fields):
        return Body()
    return EMPTY


def _connection(scope: dict[str, Any]) -> Connection:
    client, server = scope.get("client"), scope.get("server")
    secure = scope.get("scheme") == "https"
    if server and server[1] is None:
        return Connection(path=server[0], secure=secure)
    return Connection(_address(client), _address(server), secure=secure)


def _address(pair: Any) -> tuple[str, int] | None:
    """An address and a port; some hosts give the port as text."""
    if not pair or not pair[0]:
        return None
    return str(pair[0]), int(pair[1] or 0)
