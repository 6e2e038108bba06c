"""The output stage: what lies between the verbs of an exchange and its head when hooks change the answer.

Hooks run at once, in the order they were added. When one has to wait, the head and everything that is said
after it are held back until all of them are done, by one task; nothing of the answer has left before. What a
hook may do is said in `message/exchange.py`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterator
from typing import TYPE_CHECKING

from container.channel.content import forget
from container.message.exchange import HeadHook
from container.message.fields import FieldBlock, encode_fields
from container.message.headers import Headers
from container.message.response import Content

if TYPE_CHECKING:
    from container.channel.exchange import H1Exchange

logger = logging.getLogger("container.channel")

# The loop keeps only weak references to tasks.
_tasks: set[asyncio.Task[None]] = set()


class Output:
    """One answer on its way out: its head, and while that is held back, what was said after it.

    A failure of a hook that waited ends this exchange; another one takes its place for the error page, so
    whoever still writes to this one finds it over.
    """

    __slots__ = (
        "_block", "_content", "_ended", "_exchange", "_headers", "_hook", "_hooks", "_pieces", "_reason", "_status",
        "_waiting_hooks",
    )  # fmt: skip

    def __init__(
        self, exchange: "H1Exchange", status: int, block: FieldBlock, reason: str, hooks: list[HeadHook]
    ) -> None:
        self._exchange = exchange
        self._status = status
        self._block = block
        self._reason = reason
        self._hooks = hooks
        self._waiting_hooks: Iterator[HeadHook] = iter(list(hooks))
        self._hook: HeadHook | None = None
        self._headers = Headers(block.fields)
        self._pieces: list[bytes] = []
        self._content: Content | None = None
        self._ended = False

    def begin(self, loop: asyncio.AbstractEventLoop, timeout_s: float) -> None:
        """Run the hooks and send the head, now if none of them has to wait. Raises what a hook raises."""
        waiting = self._run_hooks()
        if waiting is None:
            self._send_head()
            return
        self._exchange.hold(self)
        task = loop.create_task(self._release(waiting, timeout_s))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    # What is said while the head is held back.

    def write(self, data: bytes) -> bool:
        if data:
            # A copy of what its owner may still change; the error is the writer's.
            self._pieces.append(data if data.__class__ is bytes else bytes(memoryview(data)))
        return False

    def stream(self, body: Content) -> None:
        self._content = body

    def end(self) -> None:
        self._ended = True

    @property
    def complete(self) -> bool:
        """All has been said."""
        return self._ended or self._content is not None

    def drop(self) -> None:
        """Nothing of it will be sent."""
        self._pieces.clear()
        content, self._content = self._content, None
        if content is not None:
            forget(content)

    # Inside.

    def _run_hooks(self) -> Awaitable[None] | None:
        """Go on until a hook has to be waited for; None when all of them are done."""
        for hook in self._waiting_hooks:
            self._hook = hook
            try:
                waiting = hook(self._status, self._headers)
            except BaseException:
                self._hooks.remove(hook)  # or no error page could be sent either
                raise
            if waiting is not None:
                return waiting
        self._hook = None
        return None

    async def _release(self, waiting: Awaitable[None] | None, timeout_s: float) -> None:
        """Wait for the hooks, then say what was held back. A client that leaves does not stop them."""
        exchange = self._exchange
        try:
            async with asyncio.timeout(timeout_s):
                while waiting is not None:
                    await waiting
                    waiting = self._run_hooks()
            if not exchange.gone:
                self._send_head()
        except asyncio.CancelledError:
            # Something it awaited was cancelled, or the loop is about to end.
            self._fail(RuntimeError("a hook was cancelled before the head of its answer"))
            raise
        except Exception as error:  # noqa: BLE001  # hooks may be the application's code
            self._fail(error)
        else:
            if not exchange.gone:
                self._flush()

    def _send_head(self) -> None:
        block = encode_fields(self._headers.items())
        if block.length < 0:
            block.length = self._block.length  # known without being a field
        self._exchange.send_head(self._status, block, self._reason)

    def _flush(self) -> None:
        exchange = self._exchange
        content, self._content = self._content, None
        exchange.let_go()
        try:
            for data in self._pieces:
                if exchange.ended:  # more than was announced
                    break
                exchange.write(data)
            if content is not None:
                exchange.stream(content)
            elif self._ended and not exchange.ended:
                exchange.end()
            else:
                exchange.resumed()
        except Exception as error:  # noqa: BLE001  # whoever waited to write is the application's code
            exchange.abort(error)

    def _fail(self, error: Exception) -> None:
        exchange = self._exchange
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)
        else:
            self._hooks.clear()  # they make what cannot be sent: an error page needs no more of it
        if exchange.gone:
            logger.error("a hook of %s failed after the client had left", exchange.request, exc_info=error)
        else:
            exchange.replace(error)


async def amend(hooks: list[HeadHook], status: int, block: FieldBlock) -> FieldBlock:
    """`block` as `hooks` leave it, one after the other. Raises what a hook raises."""
    headers = Headers(block.fields)
    for hook in list(hooks):
        try:
            waiting = hook(status, headers)
            if waiting is not None:
                await waiting
        except BaseException:
            hooks.remove(hook)  # or no error page could be sent either
            raise
    return encode_fields(headers.items())
