"""HTTP/1.1 requests: bytes in, Requests out (RFC 9112 2, 6). No I/O, no clock.

Hot path. Finds where heads and contents end, within bounds. What a head says is `head.py`'s, where content
ends `framing.py`'s.
"""

import re
from typing import Final

from container.message.body import EMPTY, Body
from container.message.errors import ProtocolError
from container.message.limits import Limits
from container.message.request import Request
from container.protocol.framing import ChunkedFraming, Framing, LengthFraming
from container.protocol.head import BARE_LF, CHUNKED, REMEMBERED_SIZE, REQUEST_LINE, Tokeniser

__all__ = ["RequestParser", "Tokeniser"]

# What an unfinished head may look like: a method, a target, a protocol name, with no control among them.
_BEGINNING: Final = re.compile(
    rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?: [\x21-\x7e\x80-\xff]*(?: [\x21-\x7e]*)?)?\r?"
)
_CR: Final = 13


class RequestParser:
    """The request side of one connection: `receive` bytes, ask for the `next` request.

    A request is given out when its head is complete; its Body is filled by later calls of `receive`.
    The next one is not looked for before the content of the last has ended. `keep_alive` tells whether the
    connection may serve another request after the last one, `is_plain` what `Head.is_plain` does, and that no
    content was still to come; `expects_continue` whether the client waits to be asked for its content; `framing`
    is what reads the content still to come, None without any.
    """

    __slots__ = (
        "_body", "_limits", "_scanned", "_tokeniser", "_welcome",
        "buffer", "expects_continue", "framing", "is_plain", "keep_alive",
    )  # fmt: skip

    def __init__(self, limits: Limits, tokeniser: Tokeniser) -> None:
        self._limits = limits
        self._tokeniser = tokeniser
        self.buffer = b""
        self._scanned = 0
        self.framing: Framing | None = None
        self._body: Body = EMPTY
        self._welcome = True
        self.keep_alive = True
        self.is_plain = False
        self.expects_continue = False

    @property
    def received(self) -> int:
        """Bytes of the last request's content that have come."""
        return self._body.received

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
        known = self._tokeniser.known
        # Most often it is one head, and one that came before. Larger ones are not: nothing is hashed in vain.
        head = known.get(data) if len(data) <= REMEMBERED_SIZE else None
        if head is not None:
            self.buffer = b""
        else:
            data = self._take_head()
            if not data:
                return None
            head = known.get(data)
        if head is not None:
            memo = head.memo
        else:
            memo = None
            if len(data) > self._limits.head_always_fits:
                self._check_sizes(data)
            head = self._tokeniser.read(data, self._limits)
        self._scanned = 0
        self._welcome = True
        self.keep_alive = head.keep_alive
        self.is_plain = head.is_plain
        if head.content:
            body = self._begin(head.content)
            self.is_plain = self.is_plain and self.framing is None
            self.expects_continue = head.expects_continue and self.framing is not None and not body.received
        else:
            body = EMPTY
            self.expects_continue = False
        return Request(
            head.method, head.target, head.path, head.query, head.http_version, head.fields, body, memo
        )

    def _take_head(self) -> bytes:
        """Take the next head off the buffer; b"" while it is incomplete."""
        data = self.buffer
        end = data.find(b"\r\n\r\n", self._scanned) + 4
        if end == 3 or data[0] == _CR:
            if not self._settle_beginning():
                return b""
            data = self.buffer
            end = data.find(b"\r\n\r\n") + 4
        if end == len(data):
            self.buffer = b""
            return data
        self.buffer = data[end:]
        return data[:end]

    def eof(self) -> None:
        """The client will send no more: content that is not complete never will be."""
        if self.framing is not None:
            self.framing = None
            self._body.fail(ProtocolError(400, "the content ended before its announced end"))
            self.keep_alive = self.is_plain = False

    def _begin(self, content: int) -> Body:
        """A body for the content of a head; what lies behind the head is its beginning."""
        limit = self._limits.body
        if content == CHUNKED:
            self._body = body = Body()
            self.framing = ChunkedFraming(body, self._limits)
        elif limit is not None and content > limit:
            raise ProtocolError(413, f"the content exceeds the limit of {limit} bytes")
        else:
            self._body = body = Body(content)
            self.framing = LengthFraming(body, content)
        data, self.buffer = self.buffer, b""
        if data:
            self.receive(data)
        return body

    def _settle_beginning(self) -> bool:
        """Skip one empty line (RFC 9112 2.2) and judge an unfinished head; True when one is complete."""
        data = self.buffer
        if data[:2] == b"\r\n"[: len(data)] and self._welcome:
            if len(data) < 2:
                return False
            self._welcome = False
            self.buffer = data = data[2:]
            self._scanned = 0
        end = data.find(b"\r\n\r\n", self._scanned)
        if end >= 0 and data[0] != _CR:
            return True
        if not data:
            return False
        line_end = data.find(b"\r\n") + 2
        line = data[:line_end] if line_end >= 2 else data
        if len(line) > self._limits.request_line + 2:
            raise ProtocolError(414, f"expected a request line of at most {self._limits.request_line} bytes")
        if not (REQUEST_LINE if line_end >= 2 else _BEGINNING).fullmatch(line):
            raise ProtocolError(400, "malformed request line")
        if len(data) - len(line) > self._limits.field_section + 1:  # the CR of the empty line may be there
            raise ProtocolError(
                431, f"expected a field section of at most {self._limits.field_section} bytes"
            )
        if BARE_LF.search(data, max(0, self._scanned - 1)):
            raise ProtocolError(400, "expected lines to end in CRLF")
        self._scanned = max(0, len(data) - 3)
        return False

    def _check_sizes(self, octets: bytes) -> None:
        """Raises ProtocolError when a part of a complete head exceeds its limit."""
        limits = self._limits
        line_end = octets.find(b"\r\n")
        if line_end > limits.request_line:
            raise ProtocolError(414, f"expected a request line of at most {limits.request_line} bytes")
        if len(octets) - line_end > limits.field_section + 4:
            raise ProtocolError(431, f"expected a field section of at most {limits.field_section} bytes")
        if limits.field_size < limits.field_section:
            longest = max(map(len, octets[line_end:].split(b"\r\n")))
            if longest > limits.field_size:
                raise ProtocolError(
                    431, f"expected a field of at most {limits.field_size} bytes, got {longest}"
                )
