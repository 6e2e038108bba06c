"""Responses that something on this machine has said or stored: scripts and responders, handlers, files with a head.
Hot path.

Lines may end in LF alone, as such authors write them; everything else is read strictly (RFC 9112 4, 5, 7;
RFC 3875 6). The framing of the connection is whoever's sends the answer on: here it is only undone.
"""

import re
from typing import Final

from container.message.body import Body
from container.message.errors import ProtocolError
from container.message.fields import TOKEN, FieldBlock, Pair, encode_fields, list_tokens
from container.message.limits import Limits
from container.message.status import BODILESS, REASONS
from container.protocol.framing import ChunkedFraming

# The empty line that ends a head; one that comes first ends a head without fields.
_END: Final = re.compile(rb"\A\r?\n|\r?\n\r?\n")
_LINE: Final = re.compile(rb"\r?\n")
_STATUS_LINE: Final = re.compile(rb"HTTP/[0-9]\.[0-9] +([1-9][0-9]{2})(?: +([\t\x20-\x7e\x80-\xff]*))?")
_STATUS: Final = re.compile(rb"([1-9][0-9]{2})(?: +([\t\x20-\x7e\x80-\xff]*))?")
_UNLIMITED: Final = Limits(body=None)
# Who the server is and what time it is, and the connection, are its own business.
_OURS: Final = frozenset(
    {b"server", b"date", b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade", b"trailer"}
)
# Of those that matter most there is one (RFC 9110 5.3).
_SINGLE: Final = frozenset({b"content-type", b"location"})
# A path of this server.
_LOCAL: Final = re.compile(r"/(?!/)[\x21-\x7e\x80-\xff]*")
# What is not kept longer than its response lives.
_PRIVATE: Final = frozenset({"set-cookie", "authentication-info", "proxy-authenticate"})
_REMEMBERED_MAX: Final = 256
_REMEMBERED_SIZE: Final = 1024


class BadAnswer(Exception):
    """What was said is no HTTP response; the message is for the log."""


class AnswerHead:
    """Status and fields of a response. `status` is 0 where nobody said one; an empty `reason` is the usual one.

    `fields` as text, without Content-Length, Transfer-Encoding and what is the server's own; `length` is the
    Content-Length or -1; `chunked` whether the content is. `local`: the path of this server that is to be
    answered instead (RFC 3875 6.2.2), for gateways.
    """

    __slots__ = ("_block", "chunked", "fields", "length", "local", "reason", "status")

    def __init__(self) -> None:
        self.status = 0
        self.reason = ""
        self.fields: list[Pair] = []
        self.length = -1
        self.chunked = False
        self.local = b""
        self._block: FieldBlock | None = None

    def block(self) -> FieldBlock:
        """The fields and the length, as they go out, made once. Raises ValueError for what must not."""
        if self._block is None:
            length = [("Content-Length", str(self.length))] if self.length >= 0 else []
            self._block = encode_fields([*self.fields, *length])
        return self._block

    def as_gateway(self) -> None:
        """Nothing need be said of the status: a Location speaks for itself (RFC 3875 6.2, 6.3.3). One that is a
        path and stands alone is not for the client; a Content-Type beside it says nothing."""
        if self.status:
            return
        named = {name.lower(): value for name, value in self.fields}
        location = named.get("location")
        self.status = 200 if location is None else 302
        if (
            location is not None
            and named.keys() <= {"location", "content-type"}
            and _LOCAL.fullmatch(location)
        ):
            self.local = location.encode("latin-1")


class KnownHeads(dict[bytes, AnswerHead]):
    """Heads that came before, by their octets: most programs say the same ones again and again."""

    def find(self, data: bytes) -> tuple[AnswerHead | None, bytes]:
        """The head that `data` begins with, if it is known, and what follows it."""
        end, line_end = data.find(b"\r\n\r\n"), 2
        if end < 0:
            end, line_end = data.find(b"\n\n"), 1
        if end > 0:
            head = self.get(data[:end])  # if it ended earlier, it would not be known
            if head is not None:
                return head, data[end + 2 * line_end :]
        return None, data

    def keep(self, octets: bytes, head: AnswerHead) -> None:
        """Remember one that is likely to come again."""
        if octets.endswith(b"\r"):  # with other line ends behind it, it would end earlier
            return
        if len(octets) <= _REMEMBERED_SIZE and not any(name.lower() in _PRIVATE for name, _ in head.fields):
            if len(self) >= _REMEMBERED_MAX:
                self.clear()
            self[octets] = head


def split_head(data: bytes, start: int = 0) -> tuple[bytes, bytes] | None:
    """The lines of a head and what follows its empty line, which is not before `start`; None when there is none."""
    end = _END.search(data, start)
    return None if end is None else (data[: end.start()], data[end.end() :])


def parse_head(lines: bytes) -> AnswerHead:
    """A head that begins with a status line, or has a Status field, or neither. Raises BadAnswer."""
    head = AnswerHead()
    if not lines:
        return head
    first, *rest = _LINE.split(lines)
    if first.startswith(b"HTTP/"):
        _take_status(head, _STATUS_LINE.fullmatch(first.rstrip(b" \t")), first)
    else:
        rest.insert(0, first)
    has_line = bool(head.status)
    seen: set[bytes] = set()
    for line in rest:
        name, colon, value = line.partition(b":")
        value = value.strip(b" \t")
        lower = name.lower()
        if not colon or TOKEN.fullmatch(name) is None:
            raise BadAnswer(f'expected a field such as "Name: value", got {line[:100]!r}')
        if lower == b"status" and not has_line:
            if head.status:
                raise BadAnswer("expected one Status, got two")
            _take_status(head, _STATUS.fullmatch(value), value)
        elif lower in (b"content-length", b"transfer-encoding"):
            _take_framing(head, lower, value)
        elif lower not in _OURS:
            if lower in _SINGLE:
                if lower in seen:
                    raise BadAnswer(f"expected one {name.decode()}, got two")
                seen.add(lower)
            head.fields.append((name.decode("latin-1"), value.decode("latin-1")))
    return head


def _take_framing(head: AnswerHead, name: bytes, value: bytes) -> None:
    if name == b"content-length":
        if not value.isdigit() or len(value) > 19 or head.length not in (-1, int(value)):
            raise BadAnswer(f"expected one Content-Length in digits, got {value[:100]!r}")
        head.length = int(value)
    else:
        if head.chunked or list_tokens([value]) != [b"chunked"]:
            raise BadAnswer(f'expected "chunked" as Transfer-Encoding, got {value[:100]!r}')
        head.chunked = True


def _take_status(head: AnswerHead, match: re.Match[bytes] | None, text: bytes) -> None:
    if match is None:
        raise BadAnswer(f'expected a status such as "404 Not Found", got {text[:100]!r}')
    head.status = int(match[1])
    reason = (match[2] or b"").decode("latin-1").strip(" \t")
    head.reason = "" if reason == REASONS.get(head.status) else reason


class AnswerReader:
    """Reads one response as it comes, up to where its framing or the end of the stream ends it (RFC 9112 6.3).

    `head` once there is one; `interim` the 1xx heads before it; `complete` when the content has ended.
    `method` is the request's. `gateway`: the head is one of CGI, which need not say a status (RFC 3875 6.3.3).
    `known`: where heads are looked up, and remembered; those are shared, and not to be changed.
    """

    __slots__ = (
        "_body", "_chunked", "_gateway", "_held", "_known", "_left", "_limit", "_method",
        "complete", "head", "interim",
    )  # fmt: skip

    _body: Body  # while the content is chunked

    def __init__(
        self, method: str, limit: int = 64 * 1024, *, gateway: bool = False, known: KnownHeads | None = None
    ) -> None:
        self._gateway = gateway
        self._method = method
        self._limit = limit
        self._known = known
        self._held = b""
        self._left = -1
        self._chunked: ChunkedFraming | None = None
        self.head: AnswerHead | None = None
        self.interim: list[AnswerHead] = []
        self.complete = False

    def feed(self, data: bytes) -> bytes:
        """More of the stream: the content in it, its transfer coding undone. Raises BadAnswer.

        What follows a complete response is left out.
        """
        known = self._known
        if known is not None and self.head is None and not self._held:
            head, data = known.find(data)
            if head is not None:
                self._begin(head)
        while self.head is None:
            before = len(self._held)
            self._held = held = self._held + data if self._held else data
            parts = split_head(held, max(0, before - 3))
            if len(held if parts is None else parts[0]) > self._limit:
                raise BadAnswer(f"expected a head of at most {self._limit} bytes")
            if parts is None:
                return b""
            self._held, data = b"", parts[1]
            head = parse_head(parts[0])
            self._begin(head)
            if known is not None and self.head is head:
                known.keep(parts[0], head)
        if self.complete:
            return b""
        if self._chunked is not None:
            return self._decode(self._chunked, data)
        if self._left >= 0:
            data = data[: self._left]
            self._left -= len(data)
            self.complete = not self._left
        return data

    @property
    def held(self) -> bytes:
        """What came without making a head."""
        return self._held

    def take_interim(self) -> list[AnswerHead]:
        """The interim heads for the client since the last look: who was asked for content has it already."""
        interim, self.interim = self.interim, []
        return [head for head in interim if head.status != 100]

    def finish(self) -> None:
        """The stream has ended. Raises BadAnswer when the response has not."""
        if self.head is None:
            said = self._held[:100]
            raise BadAnswer(
                f"expected the head of a response, got {said!r}" if said else "expected a response, got none"
            )
        if not self.complete and self._chunked is not None:
            raise BadAnswer("expected the last chunk, got the end")
        if not self.complete and self._left > 0:
            raise BadAnswer(f"expected {self._left} more bytes of content, got the end")
        self.complete = True

    def _begin(self, head: AnswerHead) -> None:
        if self._gateway:
            head.as_gateway()
        if not head.status:
            raise BadAnswer('expected a status line such as "HTTP/1.1 200 OK"')
        if 100 <= head.status <= 199:
            if head.status == 101:
                raise BadAnswer("expected no change of protocol, got 101")
            self.interim.append(head)
            return
        self.head = head
        if self._method == "HEAD" or head.status in BODILESS or head.status == 205:
            self.complete = True
        elif head.chunked:
            head.length = -1
            self._body = Body()
            self._chunked = ChunkedFraming(self._body, _UNLIMITED)
        else:
            self._left = head.length
            self.complete = not head.length

    def _decode(self, framing: ChunkedFraming, data: bytes) -> bytes:
        try:
            self.complete = framing.feed(data) is not None
        except ProtocolError as error:
            raise BadAnswer(error.message) from error
        return self._body.take()
