"""HTTP/1.1 responses: bytes in, ResponseHeads and content out (RFC 9112 4, 6). No I/O, no clock.

Hot path. Finds where heads and contents end, within bounds. What a head says is `response_head.py`'s, where
content ends `framing.py`'s.
"""

from typing import Final

from container.message.body import EMPTY, Body
from container.message.errors import ProtocolError
from container.message.limits import Limits
from container.message.status import BODILESS
from container.protocol.framing import ChunkedFraming, CloseFraming, Framing, LengthFraming
from container.protocol.response_head import CHUNKED, UNTIL_CLOSE, ResponseHead, ResponseTokeniser

__all__ = ["RESPONSE_LIMITS", "ResponseHead", "ResponseParser", "ResponseTokeniser"]

# What a response may weigh: the field section is larger than that of a request, its content is unlimited.
RESPONSE_LIMITS: Final = Limits(body=None, field_section=64 * 1024, field_size=64 * 1024)


class ResponseParser:
    """The response side of one connection: `receive` bytes, ask for the `next` head.

    What of the content has come is in `content` when all of it came with the head, else in `body`, which later
    calls of `receive` fill; `framing` is what reads the content still to come, None without any. What lies
    behind the end of a response stays in `buffer`. `method` is that of the request: it decides whether there
    is content at all.
    """

    __slots__ = ("_limits", "_scanned", "_tokeniser", "body", "buffer", "content", "framing", "method")

    def __init__(self, limits: Limits, tokeniser: ResponseTokeniser) -> None:
        self._limits = limits
        self._tokeniser = tokeniser
        self._scanned = 0
        self.method = "GET"
        self.buffer = b""
        self.content = b""
        self.body: Body = EMPTY
        self.framing: Framing | None = None

    def receive(self, data: bytes) -> None:
        """Bytes have arrived. Raises ProtocolError(502) when they break the framing."""
        if self.framing is None:
            self.buffer = self.buffer + data if self.buffer else data
            return
        try:
            rest = self.framing.feed(data)
        except ProtocolError as error:
            self.framing = None
            raise ProtocolError(502, error.message) from error
        if rest is not None:
            self.framing = None
            self.buffer = rest

    def next(self) -> ResponseHead | None:
        """The next head, once it is complete. Raises ProtocolError(502)."""
        data = self.buffer
        end = data.find(b"\r\n\r\n", self._scanned) + 4
        if end == 3 or end > self._limits.field_section:
            if len(data) > self._limits.field_section:
                raise ProtocolError(
                    502, f"expected a head of at most {self._limits.field_section} bytes, got more"
                )
            if data and not data.startswith(b"HTTP/1."[: len(data)]):
                raise ProtocolError(502, "expected an HTTP/1.1 response, got something else")
            self._scanned = max(0, len(data) - 3)
            return None
        self._scanned = 0
        octets = data[:end]
        self.buffer = data[end:]
        head = self._tokeniser.known.get(octets) or self._tokeniser.read(octets, self._limits)
        self.content = b""
        method = self.method
        if (
            head.content
            and head.status not in BODILESS
            and method != "HEAD"
            and (method != "CONNECT" or head.status >= 300)
        ):
            self._begin(head.content)
        return head

    def _begin(self, length: int) -> None:
        """Content follows; what lies behind the head is its beginning."""
        data = self.buffer
        if 0 < length <= len(data):
            self.content = data[:length]
            self.buffer = data[length:]
            return
        if length == CHUNKED:
            self.body = Body()
            self.framing = ChunkedFraming(self.body, self._limits)
        elif length == UNTIL_CLOSE:
            self.body = Body()
            self.framing = CloseFraming(self.body)
        else:
            self.body = Body(length)
            self.framing = LengthFraming(self.body, length)
        self.buffer = b""
        if data:
            self.receive(data)

    def eof(self) -> bool:
        """The server sends no more: True when that was the end of the content, False when it was cut short."""
        if not isinstance(self.framing, CloseFraming):
            return False
        self.framing = None
        self.body.finish([])
        return True
