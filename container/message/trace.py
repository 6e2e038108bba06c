"""Which request is which: its id, and its place in a trace that goes through many servers (W3C Trace Context).

What clients say counts only when it is well-formed to the letter; then its length is bounded too. What does not is
treated as if it had not been said, and something new takes its place. Nothing is recorded or exported here.
"""

import os
import re
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

Field: TypeAlias = tuple[bytes, bytes]

ID_FIELD: Final = b"x-request-id"
TRACE_FIELD: Final = b"traceparent"
STATE_FIELD: Final = b"tracestate"

# Characters that mean nothing to a shell, a query of a log or a page.
_ID: Final = re.compile(rb"[0-9A-Za-z._~:@/+=-]{1,128}")
# Version, trace id, parent id, flags (Trace Context 3.2); a later version may have more after them.
_PARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?")
_PARENT_MAX: Final = 512
_NO_VERSION: Final = b"ff"
_NO_TRACE: Final = b"0" * 32
_NO_PARENT: Final = b"0" * 16


class Trace(NamedTuple):
    """`trace_id`, 32 hexadecimal digits, is the same for all requests that follow from one; `parent_id`, 16, tells
    which of them led to this one. `flags`: bit 0 says that somebody may record it. `is_new`: it begins here."""

    trace_id: str
    parent_id: str
    flags: int
    is_new: bool

    def header(self) -> bytes:
        """The value of `traceparent`, of version 00."""
        return f"00-{self.trace_id}-{self.parent_id}-{self.flags:02x}".encode("ascii")


def trace_of(fields: Sequence[Field]) -> Trace:
    """The trace that the fields of a request belong to, or a new one."""
    value = only_value(fields, TRACE_FIELD)
    match = _PARENT.fullmatch(value) if value is not None and len(value) <= _PARENT_MAX else None
    if match is not None:
        version, trace, parent, flags, more = match.groups()
        if (
            version != _NO_VERSION
            and trace != _NO_TRACE
            and parent != _NO_PARENT
            and (more is None or version != b"00")
        ):
            return Trace(trace.decode(), parent.decode(), int(flags, 16), is_new=False)
    digits = os.urandom(24).hex()
    # The log of this server is a record of it.
    return Trace(digits[:32], digits[32:], 1, is_new=True)


def id_of(fields: Sequence[Field]) -> str | None:
    """The id that the sender of a request gave it, when there is one and it is harmless."""
    value = only_value(fields, ID_FIELD)
    return value.decode("ascii") if value is not None and _ID.fullmatch(value) else None


def only_value(fields: Sequence[Field], name: bytes) -> bytes | None:
    """The value of a field that was sent once; of several nobody knows which to believe."""
    values = [value for candidate, value in fields if candidate == name]
    return values[0] if len(values) == 1 else None
