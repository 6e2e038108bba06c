"""What is noted of a request while it is answered: times, the head of the answer, which host and upstream it was.

Hot path, for sites whose log or whose loggers ask for it; a request of any other has no notes, and pays nothing.
"""

from contextvars import Context, ContextVar
from time import perf_counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from container.message.fields import FieldBlock
    from container.message.request import Request

# The request that is answered here, in this thread or task, where notes are taken.
current: Final[ContextVar["Request | None"]] = ContextVar("container.request", default=None)


class Notes:
    """The notes of one request.

    Times are those of `perf_counter`, in seconds; 0.0 where there was none. `began` when the request was
    dispatched, `head_left` when the head of a streamed answer was written, `ended` when the exchange was over;
    `queued` and `taken` when a thread was asked for and was there. `block`: the fields of the answer, as they
    left. `host`: of virtual hosts, which one; `upstream`: which server was asked. `passes_id`: applications are
    told the request's id. `is_announced`: a hook has been told of it.
    """

    __slots__ = (
        "began", "block", "ended", "head_left", "host", "is_announced", "passes_id", "queued", "taken", "upstream",
    )  # fmt: skip

    def __init__(self) -> None:
        self.began = perf_counter()
        self.head_left = self.ended = self.queued = self.taken = 0.0
        self.block: FieldBlock | None = None
        self.host = self.upstream = ""
        self.passes_id = self.is_announced = False

    def answered(self, block: "FieldBlock") -> None:
        """The head of an answer without an end of its own has left."""
        self.block = block
        self.head_left = perf_counter()


def context_of(request: "Request", context: Context) -> Context:
    """A copy of `context` for the task that answers `request`."""
    copy = context.copy()
    if request.notes is not None:
        copy.run(current.set, request)
    return copy
