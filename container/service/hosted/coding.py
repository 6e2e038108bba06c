"""The content of an answer being encoded on its way to the host. Which coding it is has been chosen before.

It is encoded when the host takes it, not when it is said: so much content never holds up the loop, for it can wait
for a thread, and no more is encoded than is taken.
"""

import asyncio

from container.channel.output import INLINE_MAX
from container.message.encoding import Compressor, Encoder
from container.service.hosted.incoming import Message


class Coding:
    """Of one answer."""

    __slots__ = ("_compressor",)

    def __init__(self, encoder: Encoder) -> None:
        self._compressor = encoder.make()

    async def coded(self, message: Message) -> Message:
        """An ASGI message with a piece of content as it leaves: the client can decode all up to it."""
        data, more = message["body"], message["more_body"]
        if not data and more:
            return message
        if len(data) <= INLINE_MAX:
            return message | {"body": _coded(self._compressor, data, more)}
        loop = asyncio.get_running_loop()
        return message | {"body": await loop.run_in_executor(None, _coded, self._compressor, data, more)}


def _coded(compressor: Compressor, data: bytes, more: bool) -> bytes:
    coded = compressor.compress(data) if data else b""
    return coded + (compressor.flush() if more else compressor.finish())
