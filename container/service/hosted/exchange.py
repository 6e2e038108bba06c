"""The exchange of a tree that runs under a foreign server: the verbs, spoken as ASGI messages (ASGI HTTP 2.5).

The verbs never wait: what they say is put into an outbox (`outbox.py`), which `run` empties. The framing of the
connection is the host's; that an answer keeps to its length is seen to here, because hosts differ in that. The
Protocol and its contract are in `message/exchange.py`.
"""

import asyncio
import logging
from collections.abc import Awaitable
from time import perf_counter

from container.channel.base import CLIENT_CLOSED_REQUEST, UNKNOWN, BaseExchange
from container.channel.content import forget
from container.channel.ended import ENDED
from container.channel.hooks import HookedHead
from container.message.body import EMPTY
from container.message.encoding import EncodingChoice
from container.message.errors import ClientDisconnected, ExchangeStateError, HTTPError
from container.message.exchange import Host
from container.message.fields import CLOSE, FieldBlock, encode_fields
from container.message.headers import Headers
from container.message.request import Request
from container.message.response import Content
from container.message.status import BODILESS
from container.message.tunnel import TunnelEnd
from container.message.websocket import DEFAULT_OPTIONS, WebSocket, WebSocketOptions
from container.service.hosted.coding import Coding
from container.service.hosted.incoming import Incoming, Receive
from container.service.hosted.outbox import Outbox, Send, head_message

logger = logging.getLogger("container.hosted")


class AnswerBroken(Exception):
    """Tells the host that an answer will not be completed: it cuts the connection. Why has been logged."""


class HostedExchange(BaseExchange):
    """One request that a foreign server has read, and its answer.

    `hints`: the host sends 103 Early Hints. `wsgi`: the host is a WSGI server, whose one thread reads and writes
    in turn: content is read only when somebody wants it, and fields of the connection are the host's own.
    """

    __slots__ = (
        "_aborted", "_held", "_hints", "_incoming", "_loop", "_outbox", "_overflowed", "_releaser", "_wsgi", "host",
    )  # fmt: skip

    logger = logger

    def __init__(
        self,
        host: Host,
        request: Request,
        receive: Receive,
        send: Send,
        *,
        hints: bool = False,
        wsgi: bool = False,
    ) -> None:
        self.host: Host = host
        self.request = request
        self.status = 0
        self.bytes_sent = 0
        self.started = False
        self.ended = False
        self.disconnected = False
        self.gone = False
        self._watchers = None
        self._incoming = Incoming(self, receive, on_demand=wsgi)
        self._outbox = Outbox(send)
        self._hints = hints
        self._wsgi = wsgi
        self._loop = asyncio.get_running_loop()
        self._overflowed = False
        self._aborted = False
        # While a hook of the head is awaited: what was said after the head. None when nothing is held back.
        self._held: list[bytes | None] | None = None
        # The loop keeps only weak references to tasks.
        self._releaser: asyncio.Task[None] | None = None

    # The life of the exchange, as the host sees it.

    async def run(self) -> None:
        """Send the answer as it comes; returns when all of it was sent or the client has left.

        Raises AnswerBroken when it was given up, CancelledError when the host cancels.
        """
        try:
            while True:
                await self._outbox.deliver(self._resume)
                if self.gone:
                    break
                self._incoming.begin()
                await self._outbox.news()
        except OSError as error:  # ASGI HTTP 2.4: how a host says that the client has left
            self.lost(error)
        except BaseException as error:
            self.lost(ClientDisconnected(f"the host gave up: {type(error).__name__}"))
            raise
        finally:
            self._incoming.end()
        if self._aborted:
            raise AnswerBroken("the answer was given up")

    def lost(self, error: Exception) -> None:
        """The client has left, or the host will not go on."""
        self._outbox.clear()
        if self.gone:
            return
        self.disconnected = True
        self.request.body.fail(ClientDisconnected("the client left before the end of its request"))
        self.status = self.status or CLIENT_CLOSED_REQUEST
        self.gone = True
        self._finish(ClientDisconnected(f"the client has left: {error}"))
        if self._watchers is not None and self._watchers.task is not None:
            # Soon, not now: a task that is cancelled before its first step could not close its content.
            self._loop.call_soon(self._watchers.task.cancel)

    # The whole answer at once.

    def reply(self, status: int, block: FieldBlock, body: bytes = b"", reason: str = "") -> None:
        if block.length < 0 and (body or self.request.method != "HEAD"):
            block = FieldBlock(block.fields, block.lines, block.kinds, len(body))
        self.start(status, block, reason)
        if body:
            self.write(body)
        self.end()

    # Interim and streamed answers.

    def inform(self, status: int, headers: Headers | None = None) -> None:
        """ASGI knows one interim response, 103 with links, of hosts that offer it; others are left out."""
        if not 100 <= status <= 199 or status == 101:
            raise ValueError(f"expected an interim status (100 or 102 to 199), got {status}")
        if self._is_late():
            return
        if self.started:
            raise ExchangeStateError("expected an interim response before the head of the answer")
        links = headers.get_all("Link") if headers is not None else []
        if self._hints and status == 103 and links:
            self._outbox.put(
                {"type": "http.response.early_hint", "links": [link.encode("latin-1") for link in links]}
            )

    def start(self, status: int, block: FieldBlock, reason: str = "") -> None:
        """`reason` is the host's: ASGI has no place for it."""
        if self.started or self._is_late():
            self._check_late()
            return
        if self._watchers is not None and self._watchers.hooks:
            headers = Headers(block.fields)
            hooked = HookedHead(self._watchers.hooks, status, headers)
            waiting = hooked.run_hooks()
            if waiting is not None:
                self.started = True
                self.status = status
                self._held = []
                self._releaser = self._loop.create_task(
                    self._release(status, headers, block, hooked, waiting)
                )
                return
            block = _amended(headers, block)
        self._choose(status, block)

    def write(self, data: bytes) -> bool:
        if self._is_late():
            return True
        if not self.started:
            raise ExchangeStateError("expected start() before write()")
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"expected bytes to write, got {type(data).__name__}")
        if self._held is not None:
            self._held.append(bytes(data))
            return False
        if data and self._discards:
            data = b""
        elif data:
            if 0 <= self._left < len(data):
                return self._overflow(data)
            if self._left >= 0:
                self._left -= len(data)
            self.bytes_sent += len(data)
        if data or self._outbox.head is not None:
            self._put_content(bytes(data), more=True)
        return not self._is_full

    def stream(self, body: Content) -> None:
        if self.gone:
            forget(body)
        else:
            self._watch().task = self._loop.create_task(self._send_pieces(body))

    def end(self) -> None:
        if self._is_late():
            return
        if not self.started:
            raise ExchangeStateError("expected start() before end()")
        if self._held is not None:
            self._held.append(None)
            return
        if self._left > 0:
            self.write(b"")  # the head, that the client sees what is missing
            self.abort(ValueError(f"expected {self._left} more bytes of content: connection cut"))
            return
        self._put_content(b"", more=False)
        self.ended = self.gone = True
        self._finish(None)

    def trail(self, block: FieldBlock) -> None:
        """Trailers are left out: hardly any host sends them, and a client must do without (RFC 9110 6.5.1)."""
        self._check_late()

    def upgrade(self, options: WebSocketOptions = DEFAULT_OPTIONS) -> WebSocket:
        """Hosts take WebSockets for themselves; what comes here is a host that knows nothing of them."""
        raise HTTPError(501, "This server does not carry WebSockets.")

    async def tunnel(
        self, status: int, block: FieldBlock, *, protocol: str = "", idle_timeout: float = 3600.0
    ) -> TunnelEnd:
        raise HTTPError(501, "expected a server of our own to hand over its connection")

    def abort(self, error: Exception | None = None) -> None:
        if self.gone:
            return
        self.started = True  # no error page any more
        if error is not None:
            self.host.failed(self, error)
        self.status = self.status or (CLIENT_CLOSED_REQUEST if self.disconnected else 500)
        self._aborted = not self.disconnected
        self._held = None
        self.disconnected = self.ended = self.gone = True
        self._finish(error or ClientDisconnected("the answer was given up"))

    # The request's content.

    @property
    def is_read(self) -> bool:
        """Does somebody wait for content?"""
        watchers = self._watchers
        return watchers is not None and bool(watchers.on_readable or watchers.readers or watchers.on_complete)

    @property
    def expects_continue(self) -> bool:
        return not self.gone and self._incoming.expects_continue

    def _want(self) -> None:
        self._incoming.want()

    # Hooks.

    def encode_by(self, choice: EncodingChoice | None) -> None:
        if not self.gone:
            self._watch().encoding = choice

    async def _release(
        self, status: int, headers: Headers, block: FieldBlock, hooked: HookedHead, waiting: Awaitable[None]
    ) -> None:
        """Wait for the hooks, then say what was held back. A client that leaves does not stop them."""
        try:
            await hooked.await_hooks(waiting, self.host.timeouts.hooks)
            if not self.gone:
                self._choose(status, _amended(headers, block))
        except asyncio.CancelledError:
            # Something it awaited was cancelled, or the loop is about to end.
            self._replace(hooked, RuntimeError("a hook was cancelled before the head of its answer"))
            raise
        except Exception as error:  # noqa: BLE001  # hooks are the tree's and the application's code
            self._replace(hooked, error)
            return
        held, self._held = self._held, None
        if held is not None and not self.gone:
            self._say(held)

    def _replace(self, hooked: HookedHead, error: Exception) -> None:
        """Nothing has left: answer with the error, without the hook to blame."""
        hooked.leave_out(self, error)
        if self.gone:
            logger.error("a hook of %s failed after the client had left", self.request, exc_info=error)
            return
        self._held = None
        self.started = False
        self.status = 0
        self.host.failed(self, error)

    def _say(self, held: list[bytes | None]) -> None:
        """What was held back; None is the end."""
        for data in held:
            if self.ended:  # more than was announced
                return
            if data is None:
                self.end()
            else:
                self.write(data)
        if not self.gone:
            self._resume()

    # Inside: out.

    def _choose(self, status: int, block: FieldBlock) -> None:
        """The fields are final but for those of the coding: choose that, and begin. Raises HTTPError(406)."""
        self._outbox.coding = None
        choice = self._watchers.encoding if self._watchers is not None else None
        if choice is None:
            self._begin(status, block, block.length)
            return
        headers = Headers(block.fields)
        try:
            encoder = choice.choose(self.request, status, headers, block.length)
            if encoder is not None and self.request.method != "HEAD":
                self._outbox.coding = Coding(encoder)
        except BaseException:
            self.encode_by(None)  # an error page can do without
            raise
        amended = _amended(headers, block) if encoder is None else encode_fields(headers.items())
        self._begin(status, amended, block.length)

    def _begin(self, status: int, block: FieldBlock, announced: int) -> None:
        """Make the head; it leaves with the first content or with the end. `announced`: content before coding."""
        if self.request.notes is not None:
            self.request.notes.block = block
        self.started = True
        self.status = status
        length = 0 if status == 205 else block.length
        self._discards = status in BODILESS or self.request.method == "HEAD"
        self._left = UNKNOWN if self._discards else announced if status != 205 else 0
        further = []
        if length >= 0 and status not in BODILESS:
            further.append((b"content-length", b"%d" % length))
        if block.kinds & CLOSE and not self._wsgi:
            further.append((b"connection", b"close"))
        self._outbox.head = head_message(status, block.lines, further)

    def _overflow(self, data: bytes) -> bool:
        """Content beyond the announced Content-Length: send what fits, and that was the answer."""
        expected = self.bytes_sent + self._left
        self.host.failed(self, ValueError(f"expected {expected} bytes of content, got more: cut off"))
        self._overflowed = True
        self.write(data[: self._left])
        self.end()
        return True

    def _put_content(self, data: bytes, *, more: bool) -> None:
        if self._outbox.head is not None and self.request.notes is not None:
            self.request.notes.head_left = perf_counter()
        self._outbox.put_content(data, more=more)

    @property
    def _is_full(self) -> bool:
        return self._outbox.is_full or self._held is not None

    def _is_late(self) -> bool:
        """A verb after the end: harmless when the client has left, an error of the caller otherwise."""
        if not self.gone:
            return False
        self._check_late()
        return True

    def _check_late(self) -> None:
        if (self.ended or self.started) and not (self.disconnected or self._overflowed):
            raise ExchangeStateError("expected one answer to a request, got more after its head or end")

    def _broke_off(self, error: Exception) -> None:
        """The iterable failed: the site may still answer with an error page if nothing has left."""
        if self._outbox.head is None or self.gone:
            self.abort(error)
            return
        self._outbox.head = None
        self.started = False
        self.host.failed(self, error)
        if not self.started:
            self.abort()

    # Inside: the end.

    def _finish(self, error: Exception | None) -> None:
        """Nothing more will be said: tell whoever wants to know, and let nobody wait for ever."""
        if self.host.log is not None:
            self.host.log(self)
        self._tell_observers(error)
        if self._watchers is not None:
            self._watchers.release()
        if self.request.body is not EMPTY:
            self.request.release()
        self.request.exchange = ENDED
        self._outbox.wake()

    def _resume(self) -> None:
        """Let whoever waits to write go on, if there is room."""
        if self._watchers is not None and not self._is_full:
            self._watchers.tell_writable()


def _amended(headers: Headers, block: FieldBlock) -> FieldBlock:
    amended = encode_fields(headers.items())
    if amended.length < 0:
        amended.length = block.length  # known without being a field
    return amended
