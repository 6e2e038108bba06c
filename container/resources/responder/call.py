"""One request answered by a responder: its content goes out, its answer is passed on as it comes. Hot path.

All of it runs in callbacks of the two connections. The content is complete before a connection is taken, so slow
clients hold none; while the client does not read, neither is the responder read.
"""

import logging
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from container.client.errors import UpstreamError
from container.client.leaving import Leaving
from container.client.pool import STALE_MAX
from container.client.responder import ResponderConnection, ResponderPool
from container.message.body import EMPTY
from container.message.errors import ClientDisconnected, HTTPError
from container.message.exchange import Exchange
from container.message.status import BODILESS
from container.protocol.answer import AnswerHead
from container.resources.said import shown
from container.tree.site import Site

if TYPE_CHECKING:
    from container.resources.responder.dialects import Dialect

log = logging.getLogger("container.responder")

_PIECE: Final = 64 * 1024
_LINE_MAX: Final = 4096
# How long a client that has closed its side is still taken for one that reads.
_LEAVE_GRACE_S: Final = 2.0
# What may be asked twice (RFC 9110 9.2.1).
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_BUSY: Final = {"Retry-After": "1"}


class ResponderCall(Leaving):
    """One exchange that a responder answers: the Receiver of `client/responder.py`."""

    __slots__ = (
        "_begin", "_connection", "_content", "_dialect", "_pool", "_stale",
    )  # fmt: skip

    def __init__(self, exchange: Exchange, pool: ResponderPool, dialect: "Dialect", begin: bytes) -> None:
        super().__init__(exchange)
        self._pool = pool
        self._dialect = dialect
        # All of the request but its content and the end of that: all of one that has none.
        self._begin = begin
        self._connection: ResponderConnection | None = None
        # What is still to be sent of it, as long as that is so.
        self._content: BinaryIO | None = None
        self._stale = 0

    # Called by the pool and the connection.

    @property
    def may_repeat(self) -> bool:
        return self.exchange.request.method in _SAFE

    def connected(self, connection: ResponderConnection) -> None:
        request = self.exchange.request
        body = request.body
        self._connection = connection
        if body is EMPTY or not body.received:
            connection.send(self, request.method, self._begin, complete=True)
            return
        try:
            self._content = body.file()
            data = self._content.read(_PIECE)
        except (ValueError, OSError, ClientDisconnected) as error:
            self._content_lost(error)
            return
        dialect = self._dialect
        if len(data) == body.received:
            octets = b"".join((self._begin, dialect.content(data), dialect.content(b"")))
            self._content = None
            connection.send(self, request.method, octets, complete=True)
        elif connection.send(self, request.method, self._begin + dialect.content(data), complete=False):
            self.writable()

    def writable(self) -> None:
        """More of the content, as far as the responder takes it."""
        connection, dialect = self._connection, self._dialect
        while self._content is not None and connection is not None and not connection.paused:
            try:
                data = self._content.read(_PIECE)
            except (ValueError, OSError) as error:
                self._content_lost(error)
                return
            connection.write(dialect.content(data))
            if not data:
                self._content = None
                connection.finish()

    def answered(self, head: AnswerHead, content: bytes, *, complete: bool) -> None:
        exchange = self.exchange
        if complete:
            self._connection = None
        if exchange.gone:
            self._drop()
            return
        try:
            status = head.status
            block = head.block()
            if complete and exchange.request.method != "HEAD" and status not in BODILESS and status != 205:
                exchange.reply(status, block, content, head.reason)
                return
            exchange.start(status, block if head.length < 0 else block.sized(head.length), head.reason)
            if complete:
                exchange.end()
            else:
                self.more(content)
        except Exception as error:  # noqa: BLE001  # hooks of the tree, fields that cannot be sent
            self._drop()
            if isinstance(error, ValueError):
                log.error("%s: bad answer of %s: %s", exchange.request, self._pool.address, error)
                error = HTTPError(502)
            self._refuse(error)

    def more(self, data: bytes) -> None:
        exchange = self.exchange
        flows = exchange.write(data)
        if exchange.gone:
            self._drop()
        elif not flows and self._connection is not None:
            self._connection.pause_reading()
            exchange.when_writable(self._read_on)

    def completed(self) -> None:
        self._connection = None
        self.exchange.end()

    def complained(self, data: bytes) -> None:
        for line in data[:_LINE_MAX].split(b"\n"):
            if line:
                log.error("%s: %s", self._pool.address, shown(line))

    def broke(self, error: UpstreamError) -> None:
        connection, self._connection = self._connection, None
        exchange = self.exchange
        if exchange.gone:
            return
        if (
            connection is not None
            and connection.is_reused
            and connection.is_silent
            and error.status == 502
            and self._stale < STALE_MAX
            and self.may_repeat
        ):
            # It was about to close a connection that it had kept: nothing of the request was looked at.
            self._stale += 1
            self._pool.request(self, fresh=True)
            return
        log.error("%s: %s: %s", exchange.request, self._pool.address, error)
        if exchange.started:
            exchange.abort()
        else:
            self._refuse(HTTPError(error.status, headers=_BUSY if error.status == 503 else None))

    def is_gone(self) -> bool:
        if not self.has_left(_LEAVE_GRACE_S):
            return False
        self._connection = None
        return True

    # Ends.

    def _read_on(self) -> None:
        if self._connection is not None:
            self._connection.resume_reading()
            if self.exchange.gone:
                self._drop()

    def _content_lost(self, error: Exception) -> None:
        """It cannot be read any more: the exchange has ended, or the disk failed."""
        self._drop()
        self._refuse(error)

    def _drop(self) -> None:
        """Nobody wants the answer of the responder any more."""
        connection, self._connection = self._connection, None
        self._content = None
        if connection is not None:
            connection.abandon()

    def _refuse(self, error: Exception) -> None:
        if not self.exchange.gone:
            cast(Site, self.exchange.request.site).fail(self.exchange, error)
