"""What stands in front of an access log, to be told of every exchange too."""

from collections.abc import Callable

from container.message.exchange import Exchange


class BeforeLog:
    """Passes on to `inner`, where there is one. Subclasses are called with every exchange that is over."""

    def __init__(self, inner: Callable[[Exchange], None] | None) -> None:
        self._inner = inner
        self.needs_notes: bool = getattr(inner, "needs_notes", False)

    def flush(self) -> None:
        flush = getattr(self._inner, "flush", None)
        if flush is not None:
            flush()
