"""The head of an HTTP/1.1 response as a client reads it: octets to a ResponseHead (RFC 9112 4 to 6).

Hot path. httptools tokenises complete heads and nothing else; which of them are acceptable is decided here.
A response that could be read in two ways is refused: whoever passes it on would be the one to be deceived.
"""

import re
from typing import Final

import httptools

from container.message.errors import ProtocolError
from container.message.fields import list_tokens
from container.message.limits import Limits
from container.message.status import BODILESS

STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] [1-9][0-9]{2}(?: [\t\x20-\x7e\x80-\xff]*)?\r\n")
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
# Fields with a say in framing and persistence.
_POLICY: Final = frozenset({b"content-length", b"transfer-encoding", b"connection"})
# Nothing of these is kept longer than their response lives.
_PRIVATE: Final = frozenset({b"set-cookie", b"authentication-info", b"proxy-authenticate"})

_REMEMBERED_MAX: Final = 256
_REMEMBERED_SIZE: Final = 1024

NO_CONTENT: Final = 0
CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2
SWITCHING: Final = 101


class ResponseHead:
    """Everything a head says.

    `fields` are `(name, value)` as sent, in order. `content` is the Content-Length, CHUNKED, or UNTIL_CLOSE; what it
    means for an answer to HEAD is the parser's business. `keep_alive`: the connection may serve another request.
    `memo`: a place for what follows from a head alone and is dear to work out; responses with the same head share
    it, because they share the head.
    """

    __slots__ = ("content", "fields", "http_version", "keep_alive", "memo", "reason", "status")

    def __init__(
        self, status: int, reason: bytes, http_version: str, fields: tuple[tuple[bytes, bytes], ...]
    ) -> None:
        self.status = status
        self.reason = reason
        self.http_version = http_version
        self.fields = fields
        self.content = UNTIL_CLOSE
        self.keep_alive = http_version == "1.1"
        self.memo: dict[object, object] = {}

    def values(self, name: bytes) -> list[bytes]:
        """Every value of `name` (lower-case), in order."""
        return [value for candidate, value in self.fields if candidate.lower() == name]


class ResponseTokeniser:
    """Reads complete heads. Those that are likely to come again are remembered, by all their octets."""

    __slots__ = ("_fields", "_policy", "_private", "_reason", "known")

    def __init__(self) -> None:
        self.known: dict[bytes, ResponseHead] = {}

    def read(self, octets: bytes, limits: Limits) -> ResponseHead:
        """What one complete head says. Raises ProtocolError(502)."""
        if STATUS_LINE.match(octets) is None or _BARE_LF.search(octets) is not None:
            raise ProtocolError(502, "malformed status line, or lines that do not end in CRLF")
        self._fields: list[tuple[bytes, bytes]] = []
        self._reason = b""
        self._policy = self._private = False
        parser = httptools.HttpResponseParser(self)
        try:
            parser.feed_data(octets)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as error:
            raise ProtocolError(502, f"malformed head: {error}") from error
        if len(self._fields) > limits.fields:
            raise ProtocolError(502, f"expected at most {limits.fields} fields, got {len(self._fields)}")
        version = "1.0" if parser.get_http_version() == "1.0" else "1.1"
        head = ResponseHead(parser.get_status_code(), self._reason, version, tuple(self._fields))
        if self._policy:
            _apply_policy(head)
        elif head.status in BODILESS:
            head.content = NO_CONTENT
        if len(octets) <= _REMEMBERED_SIZE and not self._private and head.status >= 200:
            if len(self.known) >= _REMEMBERED_MAX:
                self.known.clear()
            self.known[octets] = head
        return head

    # Called by httptools.

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value.rstrip(b" \t")))
        name = name.lower()
        if name in _POLICY:
            self._policy = True
        elif name in _PRIVATE:
            self._private = True


def _apply_policy(head: ResponseHead) -> None:
    """Framing and persistence, where a field has a say in them (RFC 9112 6.3, 9.3)."""
    lengths, codings = head.values(b"content-length"), head.values(b"transfer-encoding")
    options = list_tokens(head.values(b"connection"))
    if head.http_version == "1.1":
        head.keep_alive = b"close" not in options
    else:
        head.keep_alive = b"keep-alive" in options and b"close" not in options
    if codings:
        if lengths or head.http_version == "1.0":
            raise ProtocolError(502, "expected no Transfer-Encoding beside Content-Length, nor in HTTP/1.0")
        if list_tokens(codings) != [b"chunked"]:
            raise ProtocolError(502, "expected chunked as the only transfer coding")
        if head.status < 200 or head.status == 204:
            raise ProtocolError(502, f"expected no Transfer-Encoding in a response of status {head.status}")
        head.content = CHUNKED
    elif lengths:
        digits = lengths[0]
        if len(lengths) > 1 or not digits.isdigit() or len(digits) > 19:
            raise ProtocolError(502, "expected digits as the only Content-Length")
        head.content = int(digits)
    if head.status in BODILESS and head.status != 304:
        head.content = NO_CONTENT
