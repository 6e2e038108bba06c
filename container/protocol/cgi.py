"""CGI/1.1 without its processes: the meta-variables of a request, and the head of a script's answer (RFC 3875 4, 6).

What is passed to a script is listed here and nowhere else: nothing of the server's own environment is in it.
Names and values are text that was decoded as latin-1, one character for one octet.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from container.message.authority import split_authority
from container.message.errors import HTTPError
from container.message.fields import TOKEN, Pair
from container.message.request import Request
from container.message.variables import add_fields, native, server_of

Variables = dict[str, str]

# The empty line that ends a head: whichever kind comes first.
_END: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r|\n\r\n")
_FIRST_EMPTY: Final = re.compile(rb"\r\n|\n|\r(?!\n)")
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_STATUS: Final = re.compile(rb"([2-9][0-9]{2})(?: +([\t\x20-\x7e\x80-\xff]*))?")
_STATUS_LINE: Final = re.compile(rb"HTTP/[0-9]\.[0-9] +(.*)")
# The connection is the server's own business, and so is who it is and what time it is.
_NOT_THE_SCRIPTS: Final = frozenset(
    {
        b"server", b"date", b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"te",
        b"upgrade", b"trailer",
    }
)  # fmt: skip
_LOCAL: Final = re.compile(rb"/(?!/)[\x21-\x7e\x80-\xff]*")


class BadAnswer(Exception):
    """A script said something that is no CGI answer; the message is for the log."""


def make_variables(
    request: Request,
    base: Mapping[str, str],
    script_name: bytes,
    path_info: bytes,
    *,
    root: bytes = b"",
    authorization: bool = False,
) -> Variables:
    """`base` and the meta-variables of `request` (RFC 3875 4.1).

    `script_name` and `path_info` are parts of the raw path; they are decoded once, so `%2F` becomes a slash
    that no script can tell from others. `root`: the directory PATH_TRANSLATED is below. `authorization`: pass
    credentials on as HTTP_AUTHORIZATION too.
    """
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
    # Whoever owns a name already is not replaced by a field.
    fields: dict[str, str] = {}
    add_fields(fields, request.raw_headers)
    if not authorization:
        fields.pop("HTTP_AUTHORIZATION", None)
        fields.pop("HTTP_PROXY_AUTHORIZATION", None)
    variables.update(fields)
    _describe_content(request, variables)
    _name_ends(request, variables)
    if request.user is not None:
        variables["REMOTE_USER"], variables["AUTH_TYPE"] = native(request.user[0]), request.user[1]
    return variables


def _describe_content(request: Request, variables: Variables) -> None:
    """CONTENT_LENGTH is true, or there is none: the chunked coding has been undone (RFC 3875 4.1.2)."""
    body = request.body
    if body.complete and (body.received or body.length is None):
        variables["CONTENT_LENGTH"] = str(body.received)


def _name_ends(request: Request, variables: Variables) -> None:
    connection = request.connection
    variables["REMOTE_ADDR"] = variables["REMOTE_HOST"] = connection.client_host
    if connection.client_port:
        variables["REMOTE_PORT"] = connection.client_port
    secure = request.is_secure
    if secure or request.is_masked or not variables.get("HTTP_HOST"):
        name, port = split_authority(request.host)
        variables["SERVER_NAME"], variables["SERVER_PORT"] = name, str(port or (443 if secure else 80))
    else:
        variables["SERVER_NAME"], variables["SERVER_PORT"] = server_of(variables["HTTP_HOST"])
    variables["REQUEST_SCHEME"] = request.scheme
    if secure:
        variables["HTTPS"] = "on"
        if connection.tls is not None:
            variables.update(connection.tls.variables)


def script_url(raw_path: bytes, filename: bytes) -> bytes:
    """The part of a raw path that names a script among files: with its name, where only that of its directory
    was asked for."""
    if not raw_path.endswith(b"/"):
        return raw_path
    return raw_path + quote_from_bytes(filename[filename.rfind(b"/") + 1 :]).encode()


def encode_variables(variables: Mapping[str, str]) -> bytes:
    """`NAME=value` entries, separated by NUL. Raises HTTPError(400) where a value would hold one itself."""
    block = "\0".join([f"{name}={value}" for name, value in variables.items()])
    if block.count("\0") != len(variables) - 1:
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


class AnswerHead:
    """What a script's answer begins with. `status` is 0 where it did not say one.

    `fields` are for the client, as text. `location` is the Location field, if any, which `fields` hold too.
    """

    __slots__ = ("fields", "location", "reason", "status")

    def __init__(self) -> None:
        self.status = 0
        self.reason = ""
        self.fields: list[Pair] = []
        self.location: bytes | None = None

    @property
    def local_redirect(self) -> bytes | None:
        """The path of this server that is to be answered instead (RFC 3875 6.2.2): a Location that begins
        with a slash, without a Status; a Content-Type beside it says nothing."""
        location = self.location
        if location is None or self.status or _LOCAL.fullmatch(location) is None:
            return None
        others = [name for name, _ in self.fields if name.lower() not in ("location", "content-type")]
        return None if others else location

    @property
    def final_status(self) -> int:
        """The status for the client: what the script said comes first, wherever it said it (RFC 3875 6.3.3)."""
        return self.status or (302 if self.location is not None else 200)


class HeadParser:
    """Reads the head of one answer: feed octets until there is an AnswerHead.

    `verbatim`: the script speaks HTTP itself (its name begins with `nph-`, RFC 3875 5), so a status line
    comes first. `rest` is what followed the head. A head of more than `limit` bytes is refused.
    """

    __slots__ = ("_held", "_limit", "_verbatim", "rest")

    def __init__(self, limit: int, *, verbatim: bool = False) -> None:
        self._held = b""
        self._limit = limit
        self._verbatim = verbatim
        self.rest = b""

    @property
    def held(self) -> bytes:
        """What came without making a head."""
        return self._held

    def feed(self, data: bytes) -> AnswerHead | None:
        """More octets; the head as soon as it is complete. Raises BadAnswer."""
        self._held = held = self._held + data if self._held else data
        first = _FIRST_EMPTY.match(held)
        if first is not None and not self._verbatim:
            if held == b"\r":
                return None  # half of a line end, perhaps
            return self._finish(b"", held[first.end() :])
        end = _END.search(held, max(0, len(held) - len(data) - 3))
        if (end.start() if end is not None else len(held)) > self._limit:
            raise BadAnswer(f"expected a head of at most {self._limit} bytes")
        if end is None:
            return None
        return self._finish(held[: end.start()], held[end.end() :])

    def _finish(self, lines: bytes, rest: bytes) -> AnswerHead:
        self._held = b""
        self.rest = rest
        head = AnswerHead()
        every = _LINE_END.split(lines) if lines else []
        if self._verbatim:
            line = _STATUS_LINE.fullmatch(every.pop(0)) if every else None
            if line is None:
                raise BadAnswer('expected a status line such as "HTTP/1.1 200 OK" from a script named nph-')
            _take_status(head, line[1])
        for each in every:
            _take_line(head, each)
        return head


def _take_line(head: AnswerHead, line: bytes) -> None:
    name, colon, value = line.partition(b":")
    if not colon or TOKEN.fullmatch(name) is None:
        raise BadAnswer(f'expected a field such as "Name: value", got {line[:100]!r}')
    lower = name.lower()
    value = value.strip(b" \t")
    if lower == b"status":
        _take_status(head, value)
        return
    if lower in _NOT_THE_SCRIPTS:
        return
    if lower == b"location":
        if head.location is not None:
            raise BadAnswer("expected one Location, got two")
        head.location = value
    elif lower == b"content-type" and any(known.lower() == "content-type" for known, _ in head.fields):
        raise BadAnswer("expected one Content-Type, got two")
    head.fields.append((name.decode("latin-1"), value.decode("latin-1")))


def _take_status(head: AnswerHead, text: bytes) -> None:
    match = _STATUS.fullmatch(text)
    if match is None:
        raise BadAnswer(f'expected a final status such as "404 Not Found", got {text[:100]!r}')
    if head.status:
        raise BadAnswer("expected one Status, got two")
    head.status = int(match[1])
    head.reason = (match[2] or b"").decode("latin-1").strip(" \t")
