"""Who wants to know how an exchange goes on, or to change the head of its answer. What they are told is `base.py`'s."""

import asyncio
from collections.abc import Callable

from container.message.encoding import EncodingChoice
from container.message.exchange import CloseObserver, HeadHook

Waiters = list["asyncio.Future[None]"]


class Watchers:
    """Those of one exchange: rarely anybody, so made when needed. Who waits is called back once; of coroutines,
    `readers` and `writers`, there may be many."""

    __slots__ = (
        "encoding",
        "hooks",
        "observers",
        "on_complete",
        "on_readable",
        "on_writable",
        "readers",
        "task",
        "trailers",
        "writers",
    )

    def __init__(self) -> None:
        self.hooks: list[HeadHook] = []
        self.encoding: EncodingChoice | None = None
        self.observers: list[CloseObserver] = []
        self.on_complete: Callable[[], None] | None = None
        self.on_readable: Callable[[], None] | None = None
        self.on_writable: Callable[[], None] | None = None
        self.readers: Waiters = []
        self.writers: Waiters = []
        self.task: asyncio.Task[None] | None = None
        self.trailers = b""

    def tell_complete(self) -> None:
        callback, self.on_complete = self.on_complete, None
        if callback is not None:
            callback()

    def tell_readable(self) -> None:
        """Let whoever waits for content look again."""
        callback, self.on_readable = self.on_readable, None
        _wake(self.readers)
        if callback is not None:
            callback()

    def tell_writable(self) -> None:
        callback, self.on_writable = self.on_writable, None
        _wake(self.writers)
        if callback is not None:
            callback()

    def release(self) -> None:
        """Nothing will be read or written any more: whoever waits for that must not wait for ever."""
        self.on_complete = None
        self.tell_readable()
        self.tell_writable()


def _wake(waiters: Waiters) -> None:
    """Those that were not cancelled; they look again themselves."""
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()
