"""One question to another server and its whole answer, for those that need to know before they go on.

Without content, and asked again when a kept connection turns out to have ended. What is passed on to a client as
it comes is `resources/proxy`'s.
"""

import asyncio
from typing import NamedTuple

from container.client.connection import ClientConnection
from container.client.errors import UpstreamError
from container.client.pool import STALE_MAX, Pool
from container.message.body import Trailers
from container.protocol.response_head import ResponseHead


class Reply(NamedTuple):
    """Head and content of a final response."""

    head: ResponseHead
    content: bytes


async def ask(pool: Pool, octets: bytes, *, content_max: int) -> Reply:
    """The answer to a GET, which `octets` are, to the empty line. Raises UpstreamError, also for more content
    than `content_max` bytes."""
    question = _Question(pool, octets, content_max)
    pool.request(question)
    try:
        return await question.reply
    finally:
        question.give_up()


class _Question:
    """The Receiver of `connection.py`."""

    may_repeat = True

    def __init__(self, pool: Pool, octets: bytes, content_max: int) -> None:
        self.reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pool = pool
        self._octets = octets
        self._content_max = content_max
        self._connection: ClientConnection | None = None
        self._head: ResponseHead | None = None
        self._content = bytearray()
        self._stale = 0

    def give_up(self) -> None:
        """Nobody waits for the answer any more."""
        self._pool.cancel(self)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abandon()
        self.reply.cancel()

    def connected(self, connection: ClientConnection) -> None:
        self._connection = connection
        connection.send(self, "GET", self._octets, complete=True)

    def informed(self, head: ResponseHead) -> None:
        """What comes before the answer is not asked for."""

    def answered(self, head: ResponseHead, content: bytes, *, complete: bool) -> None:
        self._head = head
        if complete:
            self._content += content
            self.completed([])
        else:
            self.more(content)

    def more(self, data: bytes) -> None:
        self._content += data
        if len(self._content) > self._content_max:
            self._fail(UpstreamError(502, f"expected at most {self._content_max} bytes of content, got more"))

    def completed(self, trailers: Trailers) -> None:
        self._connection = None
        assert self._head is not None, "it came before"
        if len(self._content) > self._content_max:
            self._fail(UpstreamError(502, f"expected at most {self._content_max} bytes of content, got more"))
        elif not self.reply.done():
            self.reply.set_result(Reply(self._head, bytes(self._content)))

    def broke(self, error: UpstreamError) -> None:
        connection, self._connection = self._connection, None
        was_kept = connection is not None and connection.is_reused and error.was_sent
        if was_kept and self._head is None and self._stale < STALE_MAX and not self.reply.done():
            self._stale += 1  # it was about to be closed: no failure of the server
            self._pool.request(self, fresh=True)
        else:
            self._fail(error)

    def switched(self, head: ResponseHead) -> None:
        self._fail(UpstreamError(502, "expected an answer, got another protocol"))

    def writable(self) -> None:
        """All was written at once."""

    def is_gone(self) -> bool:
        return self.reply.done()

    def _fail(self, error: UpstreamError) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abandon()
        if not self.reply.done():
            self.reply.set_exception(error)
