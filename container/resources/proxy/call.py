"""One request that is passed on, and its answer passed back. Hot path.

All of it runs in callbacks of the two connections; a task is made for a tunnel only. Content flows no faster than
the slower side, both ways. What a request looks like on the other side is the proxy's business (`Passing`).
"""

import asyncio
import logging
from typing import Final, Protocol, cast

from container.client.connection import ClientConnection
from container.client.errors import UpstreamError
from container.client.leaving import Leaving
from container.client.pool import STALE_MAX, Pool
from container.message.body import Trailers
from container.message.errors import ClientDisconnected, HTTPError
from container.message.exchange import Exchange
from container.message.fields import FieldBlock, encode_fields, list_tokens
from container.message.gateway import end_to_end, end_to_end_trailers, lines
from container.message.headers import Headers
from container.message.request import Request
from container.message.status import BODILESS
from container.message.tunnel import TunnelEnd, join
from container.protocol import h1_response
from container.protocol.response_head import ResponseHead
from container.tree.site import Site

log = logging.getLogger("container.proxy")

# May be sent twice (RFC 9110 9.2.2), and again by whoever passes them on.
_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
# Whose lack of content has to be said (RFC 9110 8.6).
_WITH_CONTENT: Final = frozenset({"POST", "PUT", "PATCH"})
# An upstream that does not answer an expectation gets the content anyway.
_CONTINUE_S: Final = 1.0
# What a peer may take to read the end of what a tunnel has for it.
_TUNNEL_LINGER_S: Final = 30.0
_PAGES: Final = {
    403: "The proxy is not allowed to connect there.",
    502: "The server behind this one could not be reached or did not answer as expected.",
    503: "The server behind this one is busy. Please try again in a moment.",
    504: "The server behind this one did not answer in time.",
}


class Passing(Protocol):
    """How a proxy passes requests on."""

    tasks: "set[asyncio.Task[None]]"
    tunnel_timeout: float
    client_grace: float

    def choose(self, call: "ProxyCall") -> "tuple[object, Pool] | None":
        """Whom to ask (next), and the connections to it; None when there is nobody (else)."""

    def head(self, call: "ProxyCall", upstream: object) -> bytes:
        """Start-line and fields for `upstream`, without those of framing and without the empty line."""

    def answer(self, request: Request, head: ResponseHead, upstream: object) -> FieldBlock:
        """The fields for the client. Raises ValueError when they cannot go to the wire."""

    def settled(self, upstream: object, error: UpstreamError | None) -> None:
        """`upstream` has answered, or has not: called once for each that was chosen."""


class ProxyCall(Leaving):
    """One exchange that a proxy answers: the Receiver of `client/connection.py`."""

    __slots__ = (
        "_asked", "_chunked", "_connection", "_content", "_discards", "_expects", "_head", "_passing",
        "_pool", "_pumped", "_rest", "_stale", "_started", "_timer", "_upstream", "protocols", "tried",
    )  # fmt: skip

    def __init__(self, passing: Passing, exchange: Exchange, protocols: bytes = b"") -> None:
        super().__init__(exchange)
        self._passing = passing
        # Those that the client would switch to, see `asked_protocols`.
        self.protocols = protocols
        self.tried: list[object] = []
        self._upstream: object = None
        self._pool: Pool | None = None
        self._connection: ClientConnection | None = None
        self._head = b""
        self._content = b""  # all of it, or its beginning
        self._rest = False  # more of it is to come
        self._pumped = False  # some of the rest has been sent
        self._chunked = self._expects = self._asked = self._started = self._discards = False
        self._stale = 0  # kept connections that turned out to have ended
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        exchange = self.exchange
        body = exchange.request.body
        if body.is_kept:  # somebody has read it before
            if not body.complete:
                exchange.when_complete(self.begin)
                return
            self._content = body.file().read()
        else:
            if body.received:
                self._content = body.take()
            self._rest = not body.complete
        self._expects = self._rest and exchange.expects_continue
        if not self._ask_next():
            self._refuse(HTTPError(503, _PAGES[503], headers={"Retry-After": "5"}))

    def _ask_next(self) -> bool:
        """Ask the next upstream, unless it turns out that it must not be asked; False when there is none."""
        chosen = self._passing.choose(self)
        if chosen is None:
            return False
        self._stale = 0
        self._upstream, self._pool = chosen
        self.tried.append(self._upstream)
        if self.exchange.request.notes is not None:
            self.exchange.request.notes.upstream = str(self._pool.address)
        self._asked = True
        try:
            self._head = self._passing.head(self, self._upstream)
        except Exception as error:  # noqa: BLE001  # hooks of the proxy are the application's
            self._settle(None)
            self._refuse(error)
            return True
        self._pool.request(self)
        return True

    # Called by the pool and the connection.

    @property
    def may_repeat(self) -> bool:
        return not self._pumped and self.exchange.request.method in _IDEMPOTENT

    def connected(self, connection: ClientConnection) -> None:
        request = self.exchange.request
        self._connection = connection
        head, content, method = self._head, self._content, request.method
        if self._rest:
            length = request.body.length
            if length is None:
                self._chunked = True
                framing = b"Transfer-Encoding: chunked\r\n"
                content = h1_response.chunk(content) if content else b""
            else:
                framing = b"Content-Length: %d\r\n" % length
            if self._expects:
                framing += b"Expect: 100-continue\r\n"
            connection.send(self, method, b"".join((head, framing, b"\r\n", content)), complete=False)
            if self._expects:
                self._timer = asyncio.get_running_loop().call_later(_CONTINUE_S, self._go_on)
            else:
                self._pump()
        elif content or method in _WITH_CONTENT:
            octets = b"%bContent-Length: %d\r\n\r\n%b" % (head, len(content), content)
            connection.send(self, method, octets, complete=True)
        else:
            connection.send(self, method, head + b"\r\n", complete=True)

    def informed(self, head: ResponseHead) -> None:
        if head.status == 100:
            self._go_on()
            return
        if self.exchange.gone or self.exchange.started:
            return
        fields = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in end_to_end(head.fields)
        ]
        try:
            self.exchange.inform(head.status, Headers(fields))
        except ValueError as error:
            log.warning("%s: interim response left out: %s", self.exchange.request, error)

    def answered(self, head: ResponseHead, content: bytes, *, complete: bool) -> None:
        exchange = self.exchange
        request = exchange.request
        if complete:
            self._connection = None
        if exchange.gone:
            self._drop()
            return
        try:
            block = self._passing.answer(request, head, self._upstream)
            self._started = True
            status = head.status
            if complete and status not in BODILESS and status != 205 and request.method != "HEAD":
                self._settle(None)
                exchange.reply(status, block, content, _reason(head))
                return
            self._discards = status == 205
            exchange.start(status, block, _reason(head))
            if complete:
                self._settle(None)
                exchange.end()
            else:
                self.more(content)
        except Exception as error:  # noqa: BLE001  # hooks of the tree and of the proxy, fields that cannot be sent
            self._drop()
            if isinstance(error, ValueError):
                log.warning("%s: bad answer of %s: %s", request, self._upstream, error)
                error = HTTPError(502, _PAGES[502])
            self._refuse(error)

    def more(self, data: bytes) -> None:
        exchange = self.exchange
        flows = exchange.write(b"" if self._discards else data)
        if exchange.gone:
            self._drop()
        elif not flows and self._connection is not None:
            self._connection.pause_reading()
            exchange.when_writable(self._read_on)

    def completed(self, trailers: Trailers) -> None:
        self._connection = None
        self._settle(None)
        if trailers:
            self._trail(trailers)
        self.exchange.end()

    def _trail(self, trailers: Trailers) -> None:
        """Pass on the trailers that may be some."""
        for name, value in end_to_end(trailers):
            try:
                self.exchange.trail(encode_fields([(name.decode("latin-1"), value.decode("latin-1"))]))
            except ValueError as error:
                log.warning("%s: trailer left out: %s", self.exchange.request, error)

    def broke(self, error: UpstreamError) -> None:
        connection, self._connection = self._connection, None
        self._stop_timer()
        if self.exchange.gone:
            self._settle(None)
            return
        request = self.exchange.request
        if self._started:
            self._settle(error)
            log.warning("%s: the answer of %s broke off: %s", request, self._upstream, error)
            self.exchange.abort()
            return
        if (
            self.may_repeat
            and error.was_sent
            and connection is not None
            and connection.is_reused
            and self._stale < STALE_MAX
        ):
            self._stale += 1  # it was about to be closed: no failure of the server
            assert self._pool is not None, "it gave the connection"
            self._pool.request(self, fresh=True)
            return
        self._settle(error)
        log.warning("%s: %s: %s", request, self._upstream, error)
        if (self.may_repeat or not (error.was_sent or self._pumped)) and self._ask_next():
            return
        headers = {"Retry-After": "5"} if error.status == 503 else None
        self._refuse(HTTPError(error.status, _PAGES.get(error.status, ""), headers=headers))

    def writable(self) -> None:
        if not self._expects:
            self._pump()

    def is_gone(self) -> bool:
        if not self.has_left(self._passing.client_grace):
            return False
        self._connection = None
        self._stop_timer()
        self._settle(None)
        return True

    # The request's content.

    def _go_on(self) -> None:
        """The upstream wants the content, or has had time enough to say so."""
        self._stop_timer()
        if self._expects:
            self._expects = False
            self._pump()

    def _pump(self) -> None:
        """Pass on content as far as it has come and the upstream takes it."""
        connection, exchange = self._connection, self.exchange
        body = exchange.request.body
        while connection is not None and self._rest and not connection.paused:
            data = body.take()
            if data:
                self._pumped = True
                connection.write(h1_response.chunk(data) if self._chunked else data)
            elif body.complete:
                self._rest = False
                if self._chunked:
                    connection.write(h1_response.last_chunk(lines(end_to_end_trailers(body.trailers))))
                connection.finish()
            elif body.error is not None or exchange.gone:
                self._drop()
                self._refuse(body.error or ClientDisconnected("the client has left"))
                return
            else:
                exchange.when_readable(self._pump)
                return

    def _read_on(self) -> None:
        if self._connection is not None:
            self._connection.resume_reading()
            if self.exchange.gone:
                self._drop()

    # Another protocol.

    def switched(self, head: ResponseHead) -> None:
        connection, self._connection = self._connection, None
        assert connection is not None, "it has called"
        chosen = list_tokens(head.values(b"upgrade"))
        is_asked = chosen and set(chosen) <= set(list_tokens([self.protocols]))
        if self.exchange.gone or not (is_asked or self.exchange.request.method == "CONNECT"):
            connection.abandon()
            self._settle(None)
            self._refuse(HTTPError(502, _PAGES[502]))
            return
        end = TunnelEnd(connection.transport, lambda error: self._tunnel_over(connection))
        data = connection.hand_over(end)
        if data:
            end.data_received(data)
        task = asyncio.get_running_loop().create_task(self._open_tunnel(end, head))
        self._passing.tasks.add(task)
        task.add_done_callback(self._passing.tasks.discard)

    async def _open_tunnel(self, end: TunnelEnd, head: ResponseHead) -> None:
        protocol = b", ".join(head.values(b"upgrade")).decode("latin-1") if head.status == 101 else ""
        status = 101 if protocol else 200
        try:
            block = self._passing.answer(self.exchange.request, head, self._upstream)
            other = await self.exchange.tunnel(
                status, block, protocol=protocol, idle_timeout=self._passing.tunnel_timeout
            )
        except Exception as error:  # noqa: BLE001  # hooks of the tree; the client may have left
            end.abort()
            if not self.exchange.gone:
                self._refuse(error)
            return
        except asyncio.CancelledError:
            end.abort()
            raise
        join(end, other)

    def _tunnel_over(self, connection: ClientConnection) -> None:
        self._settle(None)
        # What was written has its time to leave, and no more.
        asyncio.get_running_loop().call_later(_TUNNEL_LINGER_S, connection.transport.abort)

    # Ends.

    def _settle(self, error: UpstreamError | None) -> None:
        self._stop_timer()
        if self._asked:
            self._asked = False
            self._passing.settled(self._upstream, error)

    def _drop(self) -> None:
        """Nobody wants the answer of the upstream any more."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abandon()
        self._settle(None)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, error: Exception) -> None:
        if not self.exchange.gone:
            cast(Site, self.exchange.request.site).fail(self.exchange, error)


def _reason(head: ResponseHead) -> str:
    """The reason phrase where it is not the usual one."""
    standard = h1_response.STATUS_LINES.get(head.status)
    if not head.reason or (standard is not None and standard[13:-2] == head.reason):
        return ""
    return head.reason.decode("latin-1")
