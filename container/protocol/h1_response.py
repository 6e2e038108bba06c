"""HTTP/1.1 responses: heads and chunks as bytes (RFC 9112 4, 7.1). No I/O, no clock.

Hot path. Which fields an answer has is decided by the exchange; here they only become bytes.
"""

from typing import Final

from container.message.fields import DATE, SERVER, UNUSUAL, VALUE, FieldBlock
from container.message.status import BODILESS, REASONS
from container.message.status import reason as standard_reason

CLOSE: Final = b"Connection: close\r\n"
KEEP_ALIVE: Final = b"Connection: keep-alive\r\n"
# A 426 says what to upgrade to (RFC 9110 15.5.22), and there is only one protocol.
UPGRADE: Final = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
CLOSE_AND_UPGRADE: Final = b"Connection: close, Upgrade\r\nUpgrade: websocket\r\n"
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n\r\n"
_DATED: Final = DATE | SERVER
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

STATUS_LINES: Final = {
    status: f"HTTP/1.1 {status} {phrase}\r\n".encode("ascii") for status, phrase in REASONS.items()
}
# The start-lines of answers that have content of any length, so need no second thought.
PLAIN_LINES: Final = {
    status: line for status, line in STATUS_LINES.items() if status not in {*BODILESS, 205, 426}
}


def fit(block: FieldBlock, size: int) -> bool:
    """Make the `section` of `block` one for content of `size` bytes: its fields, Content-Length, empty line.

    False when it says something else, or has fields that change how a head is put together.
    """
    if block.kinds & UNUSUAL or (block.length != size and block.length >= 0):
        return False
    block.section = b"%bContent-Length: %d\r\n\r\n" % (block.lines, size)
    block.fits = size
    return True


def fit_dated(status: int, block: FieldBlock, size: int) -> bytes | None:
    """Like `fit`, for a block with a Date and a Server of its own, as other servers' answers have; the start-line
    that goes before it, None when it is not like that."""
    if block.kinds & UNUSUAL != _DATED:
        return None
    if block.fits != -2 - size:  # `fits` of the kind that `fit` never makes
        if block.length != size and block.length >= 0:
            return None
        block.section = b"%bContent-Length: %d\r\n\r\n" % (block.lines, size)
        block.fits = -2 - size
    return PLAIN_LINES.get(status)


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


def upgrade_lines(protocol: str) -> bytes:
    """The fields of a 101 that say which protocol follows. Raises ValueError when that is no field value."""
    value = protocol.encode("latin-1")
    if VALUE.fullmatch(value) is None:
        raise ValueError(f"expected the name of a protocol, got {protocol!r}")
    return b"Connection: Upgrade\r\nUpgrade: %b\r\n" % value


def last_chunk(trailers: bytes) -> bytes:
    """The end of chunked content, with the lines of its trailer section."""
    return b"0\r\n%b\r\n" % trailers


def chunk(data: bytes) -> bytes:
    """One chunk; `data` is not empty, an empty one would end the message."""
    return b"%x\r\n%b\r\n" % (len(data), data)
