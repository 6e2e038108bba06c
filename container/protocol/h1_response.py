"""HTTP/1.1 responses: heads and chunks as bytes (RFC 9112 4, 7.1). No I/O, no clock.

Hot path. Which fields an answer has is decided by the exchange; here they only become bytes.
"""

from typing import Final

from container.message.fields import VALUE
from container.message.status import BODILESS, REASONS
from container.message.status import reason as standard_reason

CLOSE: Final = b"Connection: close\r\n"
KEEP_ALIVE: Final = b"Connection: keep-alive\r\n"
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

STATUS_LINES: Final = {
    status: f"HTTP/1.1 {status} {phrase}\r\n".encode("ascii") for status, phrase in REASONS.items()
}
# The start-lines of answers that have content of any length, so need no second thought.
PLAIN_LINES: Final = {status: line for status, line in STATUS_LINES.items() if status not in {*BODILESS, 205}}
# Content-Length fields that came before, each with the empty line that ends a head.
LENGTH_FIELDS: Final[dict[int, bytes]] = {}
_LENGTHS_MAX: Final = 4096


def length_field(size: int) -> bytes:
    """The Content-Length field of `size` and the empty line that ends a head."""
    field = b"Content-Length: %d\r\n\r\n" % size
    if len(LENGTH_FIELDS) < _LENGTHS_MAX:
        LENGTH_FIELDS[size] = field
    return field


def status_line(status: int, reason: str = "") -> bytes:
    """The start-line of a response. Raises ValueError on a reason phrase that cannot go to the wire."""
    if not reason:
        line = STATUS_LINES.get(status)
        if line is not None:
            return line
        reason = standard_reason(status)
    phrase = reason.encode("latin-1")
    if VALUE.fullmatch(phrase) is None:
        raise ValueError(f"expected no control characters in a reason phrase, got {reason!r}")
    return b"HTTP/1.1 %d %s\r\n" % (status, phrase)


def last_chunk(trailers: bytes) -> bytes:
    """The end of chunked content, with the lines of its trailer section."""
    return b"0\r\n%b\r\n" % trailers


def chunk(data: bytes) -> bytes:
    """One chunk; `data` is not empty, an empty one would end the message."""
    return b"%x\r\n%b\r\n" % (len(data), data)
