"""What has been said of one answer and the host has not taken yet: ASGI messages, in order (ASGI HTTP 2.5)."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeAlias

from container.service.hosted.coding import Coding
from container.service.hosted.incoming import Message

Send: TypeAlias = Callable[[Message], Awaitable[None]]

# What writers may put into the outbox before they have to wait, in bytes.
WINDOW: Final = 64 * 1024


class Outbox:
    """Filled by verbs, which never wait; emptied by one task, as fast as the host takes it.

    `coding` encodes the content. `head`: one that leaves with the first content, or with the end; until then it may
    be taken back.
    """

    __slots__ = ("_messages", "_news", "_queued", "_send", "coding", "head")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._messages: deque[Message] = deque()
        self._queued = 0
        self._news: asyncio.Future[None] | None = None
        self.coding: Coding | None = None
        self.head: Message | None = None

    @property
    def is_full(self) -> bool:
        return self._queued > WINDOW

    # What is said.

    def put(self, message: Message) -> None:
        self._messages.append(message)
        self.wake()

    def put_content(self, data: bytes, *, more: bool) -> None:
        """A piece of content, the last one unless there is `more`; before it the head, if that is still here."""
        if self.head is not None:
            self._messages.append(self.head)
            self.head = None
        elif not data and self._messages and "more_body" in self._messages[-1]:
            self._messages[-1]["more_body"] = more  # the last piece is still here: it can tell of the end
            return
        self._queued += len(data)
        self._messages.append({"type": "http.response.body", "body": data, "more_body": more})
        self.wake()

    def clear(self) -> None:
        """The host takes no more."""
        self._messages.clear()
        self._queued = 0

    def wake(self) -> None:
        """Have whoever waits for news look again."""
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    # The host.

    async def deliver(self, delivered: Callable[[], None]) -> None:
        """Hand all there is to the host; `delivered` is called after each message, or after both of an answer that is
        encoded and complete. Raises what the host raises."""
        messages, send = self._messages, self._send
        while messages:
            message = messages.popleft()
            coding = self.coding
            if coding is None:
                await send(message)
            elif "body" in message:
                await send(await coding.coded(message))
            elif messages and messages[0].get("more_body") is False:
                last = messages.popleft()
                coded = await coding.coded(last)
                message["headers"].append((b"content-length", b"%d" % len(coded["body"])))
                await send(message)
                await send(coded)
                message = last
            else:
                await send(message)
            if "body" in message:
                self._queued -= len(message["body"])
            delivered()

    async def news(self) -> None:
        """Wait until something is put here, or `wake` is called."""
        self._news = asyncio.get_running_loop().create_future()
        await self._news


def head_message(status: int, lines: bytes, further: Iterable[tuple[bytes, bytes]]) -> Message:
    """A head of encoded fields and `further` ones, whose names are in lower case as ASGI wants them."""
    fields = []
    for line in lines.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b": ")
        fields.append((name.lower(), value))
    fields += further
    return {"type": "http.response.start", "status": status, "headers": fields}
