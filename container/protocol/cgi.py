"""CGI/1.1 without its processes: the meta-variables of a request (RFC 3875 4). What is answered: `answer.py`.

What is passed to a script is listed here and nowhere else: nothing of the server's own environment is in it.
Names and values are text that was decoded as latin-1, one character for one octet.
"""

from collections.abc import Mapping
from urllib.parse import quote_from_bytes, unquote_to_bytes

from container.message.authority import split_authority
from container.message.errors import HTTPError
from container.message.request import Request
from container.message.variables import add_fields, native, server_of

Variables = dict[str, str]


def make_variables(
    request: Request,
    base: Mapping[str, str],
    script_name: bytes,
    path_info: bytes,
    *,
    root: bytes = b"",
    authorization: bool = False,
) -> Variables:
    """`base` and the meta-variables of `request` (RFC 3875 4.1): those of its head and of its client.

    `script_name` and `path_info` are parts of the raw path; they are decoded once, so `%2F` becomes a slash
    that no script can tell from others. `root`: the directory PATH_TRANSLATED is below. `authorization`: pass
    credentials on as HTTP_AUTHORIZATION too.
    """
    return head_variables(
        request, base, script_name, path_info, root=root, authorization=authorization
    ) | client_variables(request)


def head_variables(
    request: Request,
    base: Mapping[str, str],
    script_name: bytes,
    path_info: bytes,
    *,
    root: bytes = b"",
    authorization: bool = False,
) -> Variables:
    """What follows from `base`, the head of a request and its scheme: nothing of what `client_variables` adds."""
    if request.variables is not None:
        base = {**base, **{name: native(value) for name, value in request.variables.items()}}
    variables: Variables = {**base, "GATEWAY_INTERFACE": "CGI/1.1", "SERVER_SOFTWARE": "container"}
    variables["REQUEST_METHOD"] = request.method
    variables["SERVER_PROTOCOL"] = f"HTTP/{request.http_version}"
    variables["REQUEST_URI"] = request.raw_target.decode("latin-1")
    variables["QUERY_STRING"] = request.raw_query.decode("latin-1")
    variables["SCRIPT_NAME"] = unquote_to_bytes(script_name).decode("latin-1")
    if path_info:
        info = unquote_to_bytes(path_info)
        variables["PATH_INFO"] = info.decode("latin-1")
        if root and b".." not in info.split(b"/"):
            variables["PATH_TRANSLATED"] = (root.rstrip(b"/") + info).decode("latin-1")
    fields: Variables = {}
    add_fields(fields, request.raw_headers)
    if not authorization:
        fields.pop("HTTP_AUTHORIZATION", None)
        fields.pop("HTTP_PROXY_AUTHORIZATION", None)
    variables = fields | variables  # a client replaces nothing that somebody here has said
    _describe_content(request, variables)
    _name_server(request, variables)
    return variables


def client_variables(request: Request) -> Variables:
    """What differs though heads are the same: who the client is."""
    connection = request.connection
    host = connection.client_host
    variables: Variables = {"REMOTE_ADDR": host, "REMOTE_HOST": host}
    if connection.client_port:
        variables["REMOTE_PORT"] = connection.client_port
    if connection.tls is not None:
        variables.update(connection.tls.variables)
    if request.user is not None:
        variables["REMOTE_USER"], variables["AUTH_TYPE"] = native(request.user[0]), request.user[1]
    return variables


def _describe_content(request: Request, variables: Variables) -> None:
    """CONTENT_LENGTH is true, or there is none: the chunked coding has been undone (RFC 3875 4.1.2)."""
    body = request.body
    if body.complete and (body.received or body.length is None):
        variables["CONTENT_LENGTH"] = str(body.received)


def _name_server(request: Request, variables: Variables) -> None:
    secure = request.is_secure
    if secure or request.is_masked or not variables.get("HTTP_HOST"):
        name, port = split_authority(request.host)
        variables["SERVER_NAME"], variables["SERVER_PORT"] = name, str(port or (443 if secure else 80))
    else:
        variables["SERVER_NAME"], variables["SERVER_PORT"] = server_of(variables["HTTP_HOST"])
    variables["REQUEST_SCHEME"] = request.scheme
    if secure:
        variables["HTTPS"] = "on"


def script_url(raw_path: bytes, filename: bytes) -> bytes:
    """The part of a raw path that names a script among files: with its name, where only that of its directory
    was asked for."""
    if not raw_path.endswith(b"/"):
        return raw_path
    return raw_path + quote_from_bytes(filename[filename.rfind(b"/") + 1 :]).encode()


def encode_variables(variables: Mapping[str, str]) -> bytes:
    """Names and values in turn, separated by NUL. Raises HTTPError(400) where a value would hold one itself."""
    block = "\0".join([text for pair in variables.items() for text in pair])
    if block.count("\0") != 2 * len(variables) - 1:
        raise HTTPError(400, "expected no NUL in a request for a script")
    return block.encode("latin-1")


def query_arguments(raw_query: bytes) -> list[bytes]:
    """The arguments that a query without `=` stands for (RFC 3875 4.4).

    None at all when one of them could be taken for an option, or cannot be an argument.
    """
    if not raw_query or b"=" in raw_query:
        return []
    words = [unquote_to_bytes(word) for word in raw_query.split(b"+")]
    if any(word.startswith(b"-") or b"\0" in word for word in words):
        return []
    return words
