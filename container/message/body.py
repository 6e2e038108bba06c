"""The content of a request as it comes in: a buffer between the framing and whoever reads it.

Filled by `protocol/`, waited for through the exchange, so nothing here blocks or awaits. Content is kept in
memory until `spool()` is asked for; then what exceeds the limit goes to an anonymous temporary file.
"""

import io
import tempfile
from collections import deque
from contextlib import suppress
from typing import BinaryIO

from container.message.errors import ClientDisconnected, ProtocolError

Trailers = list[tuple[bytes, bytes]]


class SpoolQuota:
    """What all requests of one process keep of their content at one time, in bytes."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, size: int) -> None:
        """Raises ProtocolError(503) when `size` more bytes do not fit."""
        if self.used + size > self.limit:
            raise ProtocolError(503, f"the quota of {self.limit} bytes for request content is used up")
        self.used += size

    def give(self, size: int) -> None:
        self.used -= size


class Body:
    """Content of one request.

    `length` is the Content-Length, None when chunked. `complete` only when every byte and the end have
    come: content that was cut short never looks complete, it has an `error` instead. `held` counts the
    bytes in memory that nobody took yet.
    """

    __slots__ = (
        "_chunks", "_dropped", "_file", "_memory", "_quota", "_taken",
        "complete", "error", "held", "length", "limit", "received", "trailers",
    )  # fmt: skip

    def __init__(self, length: int | None = None, *, complete: bool = False) -> None:
        self.length = length
        self.complete = complete
        self.error: Exception | None = None
        self.trailers: Trailers = []
        # Bytes that may come; None: as many as the framing lets through.
        self.limit: int | None = None
        self.received = 0
        self.held = 0
        self._chunks: deque[bytes] = deque()
        self._file: BinaryIO | None = None
        self._memory: int | None = None
        self._quota: SpoolQuota | None = None
        self._taken = 0
        self._dropped = False

    # What the framing does.

    def feed(self, data: bytes) -> None:
        """More content. Raises ProtocolError(413) beyond `limit`, (503) when it is spooled and the quota or the disk
        is used up."""
        self.received += len(data)
        if self.limit is not None and self.received > self.limit:
            raise ProtocolError(413, f"the content exceeds the limit of {self.limit} bytes")
        if self._dropped:
            return
        if self._quota is not None:
            self._quota.take(len(data))
            self._taken += len(data)
        self._chunks.append(data)
        self.held += len(data)
        if self._memory is not None and (self._file is not None or self.held > self._memory):
            self._to_file()

    def finish(self, trailers: Trailers) -> None:
        self.trailers = trailers
        self.complete = True

    def fail(self, error: Exception) -> None:
        """The rest will not come; the first reason counts."""
        if not self.complete and self.error is None:
            self.error = error

    # What readers do.

    def take(self, limit: int | None = None) -> bytes:
        """Up to `limit` bytes (all without one) of what is in memory, and forget them; b"" when there is none."""
        chunks = self._chunks
        if not chunks:
            return b""
        if limit is None or limit >= self.held:
            data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            chunks.clear()
            self.held = 0
            return data
        first = chunks.popleft()
        if len(first) > limit:
            chunks.appendleft(first[limit:])
            first = first[:limit]
        self.held -= len(first)
        return first

    def spool(self, memory: int, quota: SpoolQuota) -> None:
        """Keep everything for `file()`: `memory` bytes in memory, more on disk, all within `quota`.

        Once is enough. Raises ProtocolError(503) like `feed`.
        """
        if self._quota is not None:
            return
        self._memory = memory
        self._quota = quota
        quota.take(self.held)
        self._taken = self.held
        if self.held > memory:
            self._to_file()

    @property
    def is_kept(self) -> bool:
        """Was `spool` asked for, so that all of it stays until the end?"""
        return self._quota is not None

    def file(self) -> BinaryIO:
        """The complete content as a binary file at its beginning; as often as wanted.

        Raises ClientDisconnected when the exchange is over and its content gone.
        """
        assert self.complete, "file() before the content was complete"
        self.check_there()
        if self._file is None:
            return io.BytesIO(self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks))
        self._file.seek(0)
        return self._file

    def check_there(self) -> None:
        """Raises ClientDisconnected when the exchange is over and the content gone."""
        if self._dropped:
            raise ClientDisconnected("the exchange is over, and with it the content of its request")

    def discard(self) -> None:
        """Nobody will read any more: free memory, file and quota; what still comes is only counted."""
        if self is EMPTY:
            return
        self._dropped = True
        self._chunks.clear()
        self.held = 0
        if self._file is not None:
            # What a full disk did not take is not missed any more.
            with suppress(OSError):
                self._file.close()
            self._file = None
        if self._quota is not None:
            self._quota.give(self._taken)
            self._quota = None
            self._taken = 0

    def _to_file(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="container-")  # noqa: SIM115  # closed by discard()
            self._file.write(self.take())
        except OSError as error:
            raise ProtocolError(503, f"request content could not be kept on disk: {error}") from error


# Shared by all requests without content: reading it changes nothing.
EMPTY = Body(0, complete=True)
