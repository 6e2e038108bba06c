"""Responses that something on this machine has said or stored: files with their head, programs that speak HTTP.

Lines may end in LF alone, as such authors write them; everything else is read strictly (RFC 9112 4, 5, 7). The
framing of the connection is whoever's sends the answer on: here it is only undone.
"""

import re
from typing import Final

from container.message.body import Body
from container.message.errors import ProtocolError
from container.message.fields import TOKEN, Pair, list_tokens
from container.message.limits import Limits
from container.message.status import BODILESS
from container.protocol.framing import ChunkedFraming

_END: Final = re.compile(rb"\r?\n\r?\n")
_LINE: Final = re.compile(rb"\r?\n")
_STATUS_LINE: Final = re.compile(rb"HTTP/[0-9]\.[0-9] +([1-9][0-9]{2})(?: +([\t\x20-\x7e\x80-\xff]*))?")
_STATUS: Final = re.compile(rb"([1-9][0-9]{2})(?: +([\t\x20-\x7e\x80-\xff]*))?")
_UNLIMITED: Final = Limits(body=None)
# The server says these itself.
_OURS: Final = frozenset({b"server", b"date"})


class BadAnswer(Exception):
    """What was said is no HTTP response; the message is for the log."""


class AnswerHead:
    """Status and fields of a response. `status` is 0 where nobody said one.

    `fields` as text, without Content-Length, Transfer-Encoding, Server and Date; `length` is the
    Content-Length or -1; `chunked` whether the content is.
    """

    __slots__ = ("chunked", "fields", "length", "reason", "status")

    def __init__(self) -> None:
        self.status = 0
        self.reason = ""
        self.fields: list[Pair] = []
        self.length = -1
        self.chunked = False


def split_head(data: bytes) -> tuple[bytes, bytes] | None:
    """The lines of a head and what follows its empty line; None when that is not there."""
    end = _END.search(data)
    return None if end is None else (data[: end.start()], data[end.end() :])


def parse_head(lines: bytes) -> AnswerHead:
    """A head that begins with a status line, or has a Status field, or neither. Raises BadAnswer."""
    head = AnswerHead()
    first, *rest = _LINE.split(lines)
    if first.startswith(b"HTTP/"):
        _take_status(head, _STATUS_LINE.fullmatch(first.rstrip(b" \t")), first)
    else:
        rest.insert(0, first)
    said = bool(head.status)
    for line in rest:
        name, colon, value = line.partition(b":")
        value = value.strip(b" \t")
        lower = name.lower()
        if not colon or TOKEN.fullmatch(name) is None:
            raise BadAnswer(f'expected a field such as "Name: value", got {line[:100]!r}')
        if lower == b"status" and not said:
            if head.status:
                raise BadAnswer("expected one Status, got two")
            _take_status(head, _STATUS.fullmatch(value), value)
        elif lower == b"content-length":
            if not value.isdigit() or len(value) > 19 or head.length not in (-1, int(value)):
                raise BadAnswer(f"expected one Content-Length in digits, got {value[:100]!r}")
            head.length = int(value)
        elif lower == b"transfer-encoding":
            if head.chunked or list_tokens([value]) != [b"chunked"]:
                raise BadAnswer(f'expected "chunked" as Transfer-Encoding, got {value[:100]!r}')
            head.chunked = True
        elif lower not in _OURS:
            head.fields.append((name.decode("latin-1"), value.decode("latin-1")))
    return head


def _take_status(head: AnswerHead, match: re.Match[bytes] | None, text: bytes) -> None:
    if match is None:
        raise BadAnswer(f'expected a status such as "404 Not Found", got {text[:100]!r}')
    head.status = int(match[1])
    head.reason = (match[2] or b"").decode("latin-1").strip(" \t")


class AnswerReader:
    """Reads one response as it comes, up to where its framing or the end of the stream ends it (RFC 9112 6.3).

    `head` once there is one; `interim` the 1xx heads before it; `complete` when the content has ended.
    `method` is the request's. `gateway`: the head is one of CGI, which need not say a status (RFC 3875 6.3.3).
    """

    __slots__ = (
        "_body",
        "_chunked",
        "_gateway",
        "_held",
        "_left",
        "_limit",
        "_method",
        "complete",
        "head",
        "interim",
    )

    def __init__(self, method: str, limit: int = 64 * 1024, *, gateway: bool = False) -> None:
        self._gateway = gateway
        self._method = method
        self._limit = limit
        self._held = b""
        self._left = -1
        self._body = Body()
        self._chunked: ChunkedFraming | None = None
        self.head: AnswerHead | None = None
        self.interim: list[AnswerHead] = []
        self.complete = False

    def feed(self, data: bytes) -> bytes:
        """More of the stream: the content in it, its transfer coding undone. Raises BadAnswer.

        What follows a complete response is left out.
        """
        while self.head is None:
            self._held = held = self._held + data
            parts = split_head(held)
            if len(held if parts is None else parts[0]) > self._limit:
                raise BadAnswer(f"expected a head of at most {self._limit} bytes")
            if parts is None:
                return b""
            self._held, data = b"", parts[1]
            self._begin(parse_head(parts[0]))
        if self.complete:
            return b""
        if self._chunked is not None:
            return self._decode(self._chunked, data)
        if self._left >= 0:
            data = data[: self._left]
            self._left -= len(data)
            self.complete = not self._left
        return data

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
        if not head.status and self._gateway:
            head.status = 302 if any(name.lower() == "location" for name, _ in head.fields) else 200
        if not head.status:
            raise BadAnswer('expected a status line such as "HTTP/1.1 200 OK"')
        if 100 <= head.status <= 199:
            if head.status == 101:
                raise BadAnswer("expected no change of protocol, got 101")
            self.interim.append(head)
            return
        self.head = head
        if self._method == "HEAD" or head.status in BODILESS:
            self.complete = True
        elif head.chunked:
            head.length = -1
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
