"""The hooks of a head at work, whatever carries the answer. What they may do is said in `message/exchange.py`."""

import asyncio
from collections.abc import Awaitable

from container.message.errors import HTTPError
from container.message.exchange import Exchange, HeadHook
from container.message.fields import FieldBlock, encode_fields
from container.message.headers import Headers


class HookedHead:
    """The head of an answer, whose `headers` are changed by `hooks`, those of its exchange, one after the other."""

    __slots__ = ("_following", "_headers", "_hook", "_hooks", "_status")

    def __init__(self, hooks: list[HeadHook], status: int, headers: Headers) -> None:
        self._hooks = hooks
        self._following = iter(list(hooks))
        self._hook: HeadHook | None = None
        self._status = status
        self._headers = headers

    def run_hooks(self) -> Awaitable[None] | None:
        """Go on until a hook has to be waited for; None when all of them are done. Raises what a hook raises."""
        for hook in self._following:
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

    async def await_hooks(self, waiting: Awaitable[None], timeout_s: float) -> None:
        """Wait for what `run_hooks` gave back, and for all that comes after it. Raises what hooks raise, and
        TimeoutError."""
        following: Awaitable[None] | None = waiting
        async with asyncio.timeout(timeout_s):
            while following is not None:
                await following
                following = self.run_hooks()

    def leave_out(self, exchange: Exchange, error: Exception) -> None:
        """Waiting, or what came after it, has failed: let an error page do without what was to blame."""
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)
            return
        exchange.encode_by(None)
        if not isinstance(error, HTTPError):
            self._hooks.clear()  # together they made what cannot be sent


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
