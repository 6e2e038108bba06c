"""The content of streamed answers: taken piece by piece, closed whatever happens. Not its framing.

What an application gave to be sent is foreign code: it may be sync or async, fail, or never come to an end.
"""

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Iterable

from container.message.response import Content

logger = logging.getLogger("container.channel")


async def pieces_of(body: Content) -> AsyncIterator[bytes]:
    """The pieces of a sync or async iterable. Between them others run: neither need ever wait for anything, and
    that the client has left is news too."""
    if isinstance(body, AsyncIterable):
        async for data in body:
            yield data
            await asyncio.sleep(0)
    elif isinstance(body, Iterable):
        assert not isinstance(body, bytes), "bytes are sent whole"
        for piece in body:
            yield piece
            await asyncio.sleep(0)


def forget(body: Content) -> None:
    """Close content that will not be sent."""
    task = asyncio.get_running_loop().create_task(close(body))
    _closing.add(task)
    task.add_done_callback(_closing.discard)


# The loop keeps only weak references to tasks.
_closing: set[asyncio.Task[None]] = set()


async def close(body: Content) -> None:
    """Close content; what that raises is logged, there is nobody to raise it to."""
    method = getattr(body, "aclose", None) or getattr(body, "close", None)
    if method is not None:
        try:
            closing = method()
            if closing is not None:
                await closing
        except Exception:  # the application's code
            logger.exception("%s of an answer failed in close()", type(body).__name__)
