"""The head of an HTTP/1.1 request: octets to a Head, or to a reason to refuse it (RFC 9112 3 to 6).

Hot path. httptools tokenises complete heads and nothing else; which of them are acceptable is decided here:
one valid Host, one unambiguous framing, known versions, CRLF and nothing else. Reject, never repair.
"""

import re
from typing import Final

import httptools

from container.message.authority import HOST
from container.message.errors import ProtocolError
from container.message.fields import list_tokens
from container.message.limits import Limits

_ABSOLUTE: Final = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?#]*)(.*)", re.DOTALL)
_AUTHORITY: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z\-._~]+):[0-9]{1,5}")
# Whitespace at the end of a field line is not part of the value (RFC 9112 5.1); httptools keeps or refuses it.
_TRAILING: Final = re.compile(rb"(?<=[^\s])[ \t]+(?=\r\n)")
REQUEST_LINE: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [\x21-\x7e\x80-\xff]+ HTTP/[0-9]\.[0-9]\r\n")
BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_OTHER_VERSION: Final = re.compile(rb"HTTP/([0-9])\.([0-9])\r\n")

# Fields that have a say in framing and persistence, for us or for httptools; without any of them a head is a
# simple one, after which the parser is as good as new.
_POLICY: Final = frozenset(
    {b"content-length", b"transfer-encoding", b"connection", b"proxy-connection", b"expect", b"upgrade"}
)
# Nothing of these is kept longer than their request lives.
_PRIVATE: Final = frozenset({b"cookie", b"authorization", b"proxy-authorization"})
_METHODS: Final = {
    method.encode(): method for method in "GET HEAD POST PUT DELETE PATCH OPTIONS TRACE CONNECT".split()
}
_VERSIONS: Final = {b"HTTP/1.1\r\n": "1.1", b"HTTP/1.0\r\n": "1.0"}
_TAB: Final = 9
_SLASH: Final = 47
_HASH: Final = 35

# Heads that are remembered, and how long one of them may be.
_REMEMBERED_MAX: Final = 256
REMEMBERED_SIZE: Final = 1024

NO_CONTENT: Final = 0
CHUNKED: Final = -1


class Head:
    """Everything a head says.

    `content` is the Content-Length or CHUNKED, NO_CONTENT without any; `keep_alive` whether the connection may serve
    another request after this one; `expects_continue` whether the client asked to be asked for its content.
    `is_plain` when the answer is like most: of HTTP/1.1, with content, on a connection that stays.
    Unchangeable once it was read: requests with the same head share it.
    """

    __slots__ = (
        "content", "expects_continue", "fields", "http_version", "is_plain", "keep_alive", "memo", "method",
        "path", "query", "target",
    )  # fmt: skip

    def __init__(
        self, method: str, target: bytes, http_version: str, fields: tuple[tuple[bytes, bytes], ...]
    ) -> None:
        self.method = method
        self.target = target
        self.path, _, self.query = target.partition(b"?")
        self.http_version = http_version
        self.fields = fields
        self.keep_alive = http_version == "1.1"
        self.content = NO_CONTENT
        self.expects_continue = False
        self.is_plain = False
        self.memo: dict[object, object] = {}


class Tokeniser:
    """One httptools parser, shared by all connections of a loop: it only ever sees complete heads.

    Clients that keep a connection repeat themselves, so heads that were acceptable are remembered, by all
    their octets: `known` maps them to what they say. Heads with credentials are not.
    """

    __slots__ = (
        "_feed", "_fields", "_hosts", "_method", "_policy", "_private", "_reusable", "_target", "_valid_hosts", "known",
    )  # fmt: skip

    def __init__(self) -> None:
        self.known: dict[bytes, Head] = {}
        self._valid_hosts: set[bytes] = set()
        self._renew()

    def _renew(self) -> None:
        parser = httptools.HttpRequestParser(self)
        # Versions are judged below, which answers 505 where the tokeniser would only fail.
        parser.set_dangerous_leniencies(lenient_version=True)
        self._feed = parser.feed_data
        self._method = parser.get_method
        self._reusable = parser.should_keep_alive

    def read(self, octets: bytes, limits: Limits) -> Head:
        """What one complete head says. Raises ProtocolError.

        Whatever happens, the next head meets a parser that expects a head: one that waits for content, or
        has seen the last request of a connection, is replaced before anybody else can feed it.
        """
        self._fields: list[tuple[bytes, bytes]] = []
        self._hosts: list[bytes] = []
        self._target = b""
        self._policy = self._private = False
        if _TAB in octets or octets.find(b" \r\n") >= 0:  # `in` takes twice as long
            octets = _without_trailing_whitespace(octets)
        method = self._tokenise(octets)
        # Method, space, target, space: what follows is the version or the line is malformed.
        at = len(method) + len(self._target) + 2
        version = _VERSIONS.get(octets[at : at + 10]) or _other_version(octets[at:])
        fields = self._fields
        if len(fields) > limits.fields:
            raise ProtocolError(431, f"expected at most {limits.fields} fields, got {len(fields)}")
        if len(self._hosts) != 1:
            if self._hosts or version == "1.1":
                raise ProtocolError(400, f"expected one Host field, got {len(self._hosts)}")
        elif self._hosts[0] not in self._valid_hosts:
            self._check_host(self._hosts[0])
        head = Head(_METHODS.get(method) or method.decode("ascii"), self._target, version, tuple(fields))
        if self._policy:
            _apply_policy(head)
        head.is_plain = head.keep_alive and version == "1.1" and method != b"HEAD"
        if self._target[0] != _SLASH or _HASH in self._target or method == b"CONNECT":
            _other_form(head)
        if len(octets) <= REMEMBERED_SIZE and not self._private:
            if len(self.known) >= _REMEMBERED_MAX:
                self.known.clear()
            self.known[octets] = head
        return head

    def _check_host(self, host: bytes) -> None:
        if HOST.fullmatch(host) is None:
            raise ProtocolError(400, "malformed Host field")
        if len(self._valid_hosts) >= _REMEMBERED_MAX:
            self._valid_hosts.clear()
        self._valid_hosts.add(host)

    def _tokenise(self, octets: bytes) -> bytes:
        """Feed the parser, return the method."""
        try:
            self._feed(octets)
        except httptools.HttpParserUpgrade:
            self._private = True  # no two opening handshakes of WebSocket are the same
            method: bytes = self._method()
            self._renew()
            return method
        except httptools.HttpParserError as error:
            self._renew()
            if _is_unknown_method(error, octets):
                raise ProtocolError(501, "unknown method") from error
            raise ProtocolError(400, f"malformed head: {error}") from error
        method = self._method()
        # After the head, `should_keep_alive` has forgotten about `Connection: close` and knows of HTTP/1.0 only.
        if self._policy or not self._reusable():
            self._renew()
        return method

    # Called by httptools.

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._fields.append((name, value))
        if name == b"host":
            self._hosts.append(value)
        elif name in _POLICY:
            self._policy = True
        elif name in _PRIVATE:
            self._private = True


def _apply_policy(head: Head) -> None:
    """Framing and persistence, where a field has a say in them (RFC 9112 6.3, 9.3)."""
    lengths = [value for name, value in head.fields if name == b"content-length"]
    codings = [value for name, value in head.fields if name == b"transfer-encoding"]
    options = list_tokens([value for name, value in head.fields if name == b"connection"])
    if head.http_version == "1.1":
        head.keep_alive = b"close" not in options
    else:
        head.keep_alive = b"keep-alive" in options and b"close" not in options
    if codings:
        if lengths:
            raise ProtocolError(400, "expected Content-Length or Transfer-Encoding, got both")
        _check_codings(head.http_version, codings)
        head.content = CHUNKED
    elif lengths:
        head.content = _content_length(lengths)
    if head.http_version == "1.1":
        for name, value in head.fields:
            if name == b"expect":
                if value.lower() != b"100-continue":
                    raise ProtocolError(417, "the only known expectation is 100-continue")
                head.expects_continue = head.content != NO_CONTENT


def _check_codings(version: str, codings: list[bytes]) -> None:
    if version == "1.0":
        raise ProtocolError(400, "expected no Transfer-Encoding in an HTTP/1.0 request")
    names = list_tokens(codings)
    if names != [b"chunked"]:
        known = names[-1:] == [b"chunked"] and names.count(b"chunked") == 1
        raise ProtocolError(501 if known else 400, "expected chunked as the only transfer coding")


def _content_length(lengths: list[bytes]) -> int:
    if len(lengths) > 1:
        raise ProtocolError(400, "expected one Content-Length")
    digits = lengths[0]
    if not digits.isdigit():
        raise ProtocolError(400, "expected digits as Content-Length")
    digits = digits.lstrip(b"0")
    if len(digits) > 19:
        raise ProtocolError(413, "the announced content is larger than anything")
    return int(digits or b"0")


def _other_form(head: Head) -> None:
    """absolute-form, authority-form and asterisk-form (RFC 9112 3.2)."""
    target = head.target
    if b"#" in target:
        raise ProtocolError(400, "expected no fragment in the request target")
    if head.method == "CONNECT":
        if _AUTHORITY.fullmatch(target) is None:
            raise ProtocolError(400, "expected host:port as the target of CONNECT")
        return
    if target == b"*":
        if head.method != "OPTIONS":
            raise ProtocolError(405, "expected OPTIONS for the target *")
        return
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise ProtocolError(400, "expected a path or an absolute URI as request target")
    authority, rest = absolute[1], absolute[2]
    if not authority or HOST.fullmatch(authority) is None:
        raise ProtocolError(400, "malformed authority in the request target")
    # The target's authority replaces whatever Host says (RFC 9112 3.2.2).
    head.fields = ((b"host", authority), *(field for field in head.fields if field[0] != b"host"))
    path, _, head.query = rest.partition(b"?")
    head.path = path or (b"*" if head.method == "OPTIONS" and not rest else b"/")


def _is_unknown_method(error: Exception, octets: bytes) -> bool:
    """Whether a good request line names a method that httptools does not know, or only from RTSP."""
    is_unknown = isinstance(error, httptools.HttpParserInvalidMethodError)
    if not is_unknown and "Invalid method for HTTP" not in str(error):
        return False
    return REQUEST_LINE.match(octets) is not None and BARE_LF.search(octets) is None


def _without_trailing_whitespace(octets: bytes) -> bytes:
    line_end = octets.find(b"\r\n")
    return octets[:line_end] + _TRAILING.sub(b"", octets[line_end:])


def _other_version(rest: bytes) -> str:
    """The version of a request line that is neither 1.1 nor 1.0."""
    match = _OTHER_VERSION.match(rest)
    if match is None:
        raise ProtocolError(400, "malformed request line")
    if match[1] != b"1":
        raise ProtocolError(505, f"expected HTTP/1.1, got HTTP/{match[1].decode()}.{match[2].decode()}")
    return "1.1"  # a higher minor version is answered as the highest one known (RFC 9110 2.5)
