"""HTTP/1.1 requests: bytes in, Requests out (RFC 9112 2 to 6). No I/O, no clock.

Hot path. httptools tokenises complete heads and nothing else; which of them are acceptable is decided here:
one valid Host, one unambiguous framing, known versions, CRLF and nothing else. Reject, never repair.
"""

import re
from typing import Final

import httptools

from container.message.body import EMPTY, Body
from container.message.errors import ProtocolError
from container.message.fields import list_tokens
from container.message.limits import Limits
from container.message.request import Request
from container.protocol.framing import ChunkedFraming, Framing, LengthFraming

# uri-host [ ":" port ] (RFC 9110 7.2, RFC 3986 3.2.2): reg-name, IPv4 or a bracketed literal, or nothing.
_HOST: Final = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+(?:%25[0-9A-Za-z\-._~]+)?\]|\[v[0-9A-Fa-f]+\.[0-9A-Za-z\-._~!$&'()*+,;=:]+\]"
    rb"|(?:[0-9A-Za-z\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})*)(?::[0-9]{0,5})?"
)
_ABSOLUTE: Final = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?#]*)(.*)", re.DOTALL)
_AUTHORITY: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z\-._~]+):[0-9]{1,5}")
# What an unfinished head may look like: a method, a target, a protocol name, with no control among them.
_BEGINNING: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?: [\x21-\x7e\x80-\xff]*(?: [\x21-\x7e]*)?)?\r?")
_LINE: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [\x21-\x7e\x80-\xff]+ HTTP/[0-9]\.[0-9]\r\n")
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
# Whitespace at the end of a field line is not part of the value (RFC 9112 5.1); httptools keeps or refuses tabs.
_TRAILING: Final = re.compile(rb"(?<=[^\s])[ \t]+(?=\r\n)")

# Fields that have a say in framing and persistence; without any of them a head is a simple one.
_POLICY: Final = frozenset(
    {b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade", b"http2-settings"}
)
_FRAMED: Final = frozenset({b"content-length", b"transfer-encoding"})
_METHODS: Final = {
    method.encode(): method for method in "GET HEAD POST PUT DELETE PATCH OPTIONS TRACE CONNECT".split()
}
_VERSIONS: Final = {b"HTTP/1.1\r\n": "1.1", b"HTTP/1.0\r\n": "1.0"}
_HOSTS_MAX: Final = 1024
# Heads up to this size cannot exceed the limit of any part: nothing more to measure.
_SMALL: Final = 1024


class Tokeniser:
    """One httptools parser, shared by all connections of a loop: it only ever sees complete heads.

    A new parser is made when the old one expects content or has failed.
    """

    __slots__ = (
        "_feed", "_method", "_reusable", "fields", "framed", "host", "hosts", "policy", "url", "valid_hosts",
    )  # fmt: skip

    def __init__(self) -> None:
        self.valid_hosts: set[bytes] = set()
        self.fields: list[tuple[bytes, bytes]] = []
        self.url = b""
        self.host: bytes | None = None
        self.hosts = 0
        self.policy = False
        self.framed = False
        self._renew()

    def _renew(self) -> None:
        parser = httptools.HttpRequestParser(self)
        # Versions are judged by RequestParser, which answers 505 where the tokeniser would only fail.
        parser.set_dangerous_leniencies(lenient_version=True)
        self._feed = parser.feed_data
        self._method = parser.get_method
        self._reusable = parser.should_keep_alive

    def read(self, head: bytes) -> bytes:
        """Tokenise one complete head into the attributes; returns the method. Raises ProtocolError.

        Whatever happens, the next head meets a parser that expects a head: one that waits for content, or
        has seen the last request of a connection, is replaced before anybody else can feed it.
        """
        self.fields = []
        self.url = b""
        self.host = None
        self.hosts = 0
        self.policy = False
        self.framed = False
        try:
            self._feed(head)
        except httptools.HttpParserUpgrade:
            method: bytes = self._method()
            self._renew()
            return method
        except httptools.HttpParserError as error:
            self._renew()
            if isinstance(error, httptools.HttpParserInvalidMethodError):
                raise ProtocolError(501, "unknown method") from error
            raise ProtocolError(400, f"malformed head: {error}") from error
        method = self._method()
        if self.framed or not self._reusable():
            self._renew()
        return method

    # Called by httptools.

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self.fields.append((name, value))
        if name == b"host":
            self.host = value
            self.hosts += 1
        elif name in _POLICY:
            self.policy = True
            if name in _FRAMED:
                self.framed = True


class RequestParser:
    """The request side of one connection: `receive` bytes, ask for the `next` request.

    A request is given out when its head is complete; its Body is filled by later calls of `receive`.
    The next one is not looked for before the content of the last has ended. `keep_alive` tells whether the
    connection may serve another request after the last one; `expects_continue` whether the client waits
    to be asked for its content; `framing` is what reads the content still to come, None without any.
    """

    __slots__ = (
        "_body", "_limits", "_scanned", "_tokeniser", "_welcome",
        "buffer", "expects_continue", "framing", "keep_alive",
    )  # fmt: skip

    def __init__(self, limits: Limits, tokeniser: Tokeniser) -> None:
        self._limits = limits
        self._tokeniser = tokeniser
        self.buffer = b""
        self._scanned = 0
        self.framing: Framing | None = None
        self._body: Body = EMPTY
        self._welcome = 1
        self.keep_alive = True
        self.expects_continue = False

    def receive(self, data: bytes) -> None:
        """Bytes have arrived. Raises ProtocolError when they break the framing of the last request."""
        if self.framing is None:
            self.buffer = self.buffer + data if self.buffer else data
            return
        self.expects_continue = False
        try:
            rest = self.framing.feed(data)
        except ProtocolError as error:
            self._body.fail(error)
            self.framing = None
            raise
        if rest is not None:
            self.framing = None
            self.buffer = rest

    def next(self) -> Request | None:
        """The next request whose head is complete. Raises ProtocolError: answer it, then close."""
        data = self.buffer
        if not data or self.framing is not None:
            return None
        end = data.find(b"\r\n\r\n", self._scanned) + 4
        if end == 3 or data[0] == 13:
            if not self._settle_beginning():
                return None
            data = self.buffer
            end = data.find(b"\r\n\r\n") + 4
        if end > _SMALL:
            self._check_sizes(data, end)
        if end == len(data):
            head = data
            self.buffer = b""
        else:
            head = data[:end]
            self.buffer = data[end:]
        self._scanned = 0
        if b"\t" in head:
            head = _without_trailing_whitespace(head)
        tokens = self._tokeniser
        method = tokens.read(head)
        url = tokens.url
        # Method, space, target, space: what follows is the version or the line is malformed.
        at = len(method) + len(url) + 2
        version = _VERSIONS.get(head[at : at + 10]) or _other_version(head[at:])
        host = tokens.host
        if tokens.hosts != 1:
            if tokens.hosts or version == "1.1":
                raise ProtocolError(400, f"expected one Host field, got {tokens.hosts}")
        elif host not in tokens.valid_hosts:
            self._check_host(host or b"")
        fields = tokens.fields
        if len(fields) > self._limits.fields:
            raise ProtocolError(431, f"expected at most {self._limits.fields} fields, got {len(fields)}")
        self._welcome = 1
        self.expects_continue = False
        body = EMPTY
        if tokens.policy:
            body = self._apply_policy(version, fields)
        else:
            self.keep_alive = version == "1.1"
        if url[0] != 47 or b"#" in url:  # "/"
            return self._other_form(method, url, version, fields, body)
        path, _, query = url.partition(b"?")
        return Request(_METHODS.get(method) or method.decode("ascii"), url, path, query, version, fields, body)

    def eof(self) -> None:
        """The client will send no more: content that is not complete never will be."""
        if self.framing is not None:
            self.framing = None
            self._body.fail(ProtocolError(400, "the content ended before its announced end"))
            self.keep_alive = False

    # Heads that are not there yet.

    def _settle_beginning(self) -> bool:
        """Skip one empty line (RFC 9112 2.2) and judge an unfinished head; True when one is complete."""
        data = self.buffer
        if data[:2] == b"\r\n"[: len(data)] and self._welcome:
            if len(data) < 2:
                return False
            self._welcome = 0
            self.buffer = data = data[2:]
            self._scanned = 0
        end = data.find(b"\r\n\r\n", self._scanned)
        if end >= 0 and data[0] != 13:
            return True
        if not data:
            return False
        line_end = data.find(b"\r\n") + 2
        line = data[:line_end] if line_end >= 2 else data
        if len(line) > self._limits.request_line + 2:
            raise ProtocolError(414, f"expected a request line of at most {self._limits.request_line} bytes")
        if not (_LINE if line_end >= 2 else _BEGINNING).fullmatch(line):
            raise ProtocolError(400, "malformed request line")
        if len(data) - len(line) > self._limits.field_section:
            raise ProtocolError(431, f"expected a field section of at most {self._limits.field_section} bytes")
        if _BARE_LF.search(data, max(0, self._scanned - 1)):
            raise ProtocolError(400, "expected lines to end in CRLF")
        self._scanned = max(0, len(data) - 3)
        return False

    def _check_sizes(self, data: bytes, end: int) -> None:
        limits = self._limits
        line_end = data.find(b"\r\n")
        if line_end > limits.request_line:
            raise ProtocolError(414, f"expected a request line of at most {limits.request_line} bytes")
        if end - line_end > limits.field_section + 6:
            raise ProtocolError(431, f"expected a field section of at most {limits.field_section} bytes")
        if limits.field_size < limits.field_section:
            longest = max(map(len, data[line_end:end].split(b"\r\n")))
            if longest > limits.field_size:
                raise ProtocolError(431, f"expected a field of at most {limits.field_size} bytes, got {longest}")

    # The rarer parts of a head.

    def _check_host(self, host: bytes) -> None:
        if _HOST.fullmatch(host) is None:
            raise ProtocolError(400, "malformed Host field")
        known = self._tokeniser.valid_hosts
        if len(known) >= _HOSTS_MAX:
            known.clear()
        known.add(host)

    def _apply_policy(self, version: str, fields: list[tuple[bytes, bytes]]) -> Body:
        """Framing and persistence, where a field has a say in them (RFC 9112 6.3, 9.3)."""
        lengths = [value for name, value in fields if name == b"content-length"]
        codings = [value for name, value in fields if name == b"transfer-encoding"]
        options = list_tokens([value for name, value in fields if name == b"connection"])
        if version == "1.1":
            self.keep_alive = b"close" not in options
        else:
            self.keep_alive = b"keep-alive" in options and b"close" not in options
        if codings:
            body = self._chunked(version, codings, bool(lengths))
        elif lengths:
            body = self._sized(lengths)
        else:
            body = EMPTY
        if version == "1.1":
            self._expectation(fields)
        return body

    def _chunked(self, version: str, codings: list[bytes], has_length: bool) -> Body:
        if has_length:
            raise ProtocolError(400, "expected Content-Length or Transfer-Encoding, got both")
        if version == "1.0":
            raise ProtocolError(400, "expected no Transfer-Encoding in an HTTP/1.0 request")
        names = list_tokens(codings)
        if names != [b"chunked"]:
            known = names[-1:] == [b"chunked"] and names.count(b"chunked") == 1
            raise ProtocolError(501 if known else 400, "expected chunked as the only transfer coding")
        self._body = body = Body()
        self.framing = ChunkedFraming(body, self._limits)
        return self._begin(body)

    def _sized(self, lengths: list[bytes]) -> Body:
        if len(lengths) > 1:
            raise ProtocolError(400, "expected one Content-Length")
        digits = lengths[0]
        if not digits.isdigit():
            raise ProtocolError(400, "expected digits as Content-Length")
        limit = self._limits.body
        digits = digits.lstrip(b"0")
        if len(digits) > 19 or (limit is not None and int(digits or b"0") > limit):
            raise ProtocolError(413, f"the content exceeds the limit of {limit} bytes")
        length = int(digits or b"0")
        if not length:
            return EMPTY
        self._body = body = Body(length)
        self.framing = LengthFraming(body, length)
        return self._begin(body)

    def _begin(self, body: Body) -> Body:
        """What lies behind the head is the beginning of the content."""
        data, self.buffer = self.buffer, b""
        if data:
            self.receive(data)
        return body

    def _expectation(self, fields: list[tuple[bytes, bytes]]) -> None:
        """Expect (RFC 9110 10.1.1): pointless once content has come."""
        for name, value in fields:
            if name == b"expect":
                if value.lower() != b"100-continue":
                    raise ProtocolError(417, "the only known expectation is 100-continue")
                self.expects_continue = self.framing is not None and not self._body.received

    def _other_form(
        self, method: bytes, url: bytes, version: str, fields: list[tuple[bytes, bytes]], body: Body
    ) -> Request:
        """absolute-form, authority-form and asterisk-form (RFC 9112 3.2)."""
        name = _METHODS.get(method) or method.decode("ascii")
        if b"#" in url:
            raise ProtocolError(400, "expected no fragment in the request target")
        if name == "CONNECT" or (url == b"*" and name == "OPTIONS"):
            if name == "CONNECT" and _AUTHORITY.fullmatch(url) is None:
                raise ProtocolError(400, "expected host:port as the target of CONNECT")
            return Request(name, url, url, b"", version, fields, body)
        absolute = _ABSOLUTE.fullmatch(url)
        if absolute is None:
            status = 405 if url == b"*" else 400
            raise ProtocolError(status, "expected a path or an absolute URI as request target")
        authority, rest = absolute[1], absolute[2]
        if not authority or _HOST.fullmatch(authority) is None:
            raise ProtocolError(400, "malformed authority in the request target")
        # The target's authority replaces whatever Host says (RFC 9112 3.2.2).
        fields[:] = [field for field in fields if field[0] != b"host"]
        fields.insert(0, (b"host", authority))
        path, _, query = rest.partition(b"?")
        return Request(name, url, path or (b"*" if name == "OPTIONS" and not query else b"/"), query, version, fields, body)


def _without_trailing_whitespace(head: bytes) -> bytes:
    line_end = head.find(b"\r\n")
    return head[:line_end] + _TRAILING.sub(b"", head[line_end:])


def _other_version(rest: bytes) -> str:
    """The version of a request line that is neither 1.1 nor 1.0."""
    match = re.match(rb"HTTP/([0-9])\.([0-9])\r\n", rest)
    if match is None:
        raise ProtocolError(400, "malformed request line")
    if match[1] != b"1":
        raise ProtocolError(505, f"expected HTTP/1.1, got HTTP/{match[1].decode()}.{match[2].decode()}")
    return "1.1"  # a higher minor version is answered as the highest one known (RFC 9110 2.5)
