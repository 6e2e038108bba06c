"""What a formatter of the access log is told of one exchange, and what it gives back."""

from collections.abc import Callable
from typing import NamedTuple

from container.message.fields import Pair
from container.message.request import Request


class Entry(NamedTuple):
    """One finished exchange: what a formatter may use. `finished` is Unix time in seconds, `bytes_sent` counts
    content.

    What is computed from notes (`message/notes.py`) is None where there are none: of a request that could not be
    read, and in a log whose formatter has said that it needs none.
    """

    request: Request
    status: int
    bytes_sent: int
    finished: float

    @property
    def duration_s(self) -> float | None:
        """From the dispatch of the request to the end of its answer, as far as it is the server's to say."""
        notes = self.request.notes
        return notes.ended - notes.began if notes is not None else None

    @property
    def first_byte_s(self) -> float | None:
        """From the dispatch to the head of the answer on its way."""
        notes = self.request.notes
        return (notes.head_left or notes.ended) - notes.began if notes is not None else None

    @property
    def queue_s(self) -> float | None:
        """How long the request waited for a thread; None when it needed none."""
        notes = self.request.notes
        if notes is None or not notes.queued:
            return None
        return (notes.taken or notes.ended) - notes.queued

    @property
    def bytes_received(self) -> int:
        """Content of the request."""
        return self.request.body.received

    @property
    def host(self) -> str | None:
        """Which of the virtual hosts has answered, as it is registered."""
        notes = self.request.notes
        return notes.host or None if notes is not None else None

    @property
    def upstream(self) -> str | None:
        """Which server a proxy has asked, the last one of several."""
        notes = self.request.notes
        return notes.upstream or None if notes is not None else None

    @property
    def mount(self) -> bytes:
        """The part of the raw path that led to the resource."""
        request = self.request
        return request.raw_path[: request.consumed]

    @property
    def answer_fields(self) -> list[Pair]:
        """The fields of the answer, but for those of the connection, Date and Server."""
        notes = self.request.notes
        if notes is None or notes.block is None:
            return []
        block = notes.block
        fields = list(block.fields)
        if block.length >= 0 and not any(name.lower() == "content-length" for name, _ in fields):
            fields.append(("Content-Length", str(block.length)))
        return fields


Formatter = Callable[[Entry], str]
