"""Content codings of answers: what an encoder is, and who chooses one (RFC 9110 8.4, 12.5.3). Protocols only.

The codings themselves are in `encoders/`, one a file; the rules of choice are in `tree/encoding.py`; when
content is encoded, and on which thread, is decided by the channel.
"""

from typing import Protocol

from container.message.headers import Headers
from container.message.request import Request


class Compressor(Protocol):
    """The content of one answer being encoded. One thread at a time calls it, not always the same one."""

    def compress(self, data: bytes) -> bytes:
        """Take more content; what comes back may be empty."""

    def flush(self) -> bytes:
        """What is still missing so that the client can decode everything that was taken."""

    def finish(self) -> bytes:
        """The end of the coded content. Nothing is called after it."""


class Encoder(Protocol):
    """A content coding: `name` is its token in Accept-Encoding and Content-Encoding, lower-case.

    A plug-in is an entry point of the group `container.encoders`, named after its coding: something that
    returns an Encoder when it is called without arguments.
    """

    @property
    def name(self) -> str: ...

    def make(self) -> Compressor:
        """A compressor for one answer."""


class EncodingChoice(Protocol):
    """Chooses the coding of an answer."""

    def choose(self, request: Request, status: int, headers: Headers, length: int) -> Encoder | None:
        """The encoder for an answer whose content has `length` bytes (-1: unknown), None to leave it as it is.

        Makes the fields those of the coded answer. Raises HTTPError(406).
        """
