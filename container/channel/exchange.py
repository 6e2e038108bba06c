"""The HTTP/1.1 exchange: the verbs that answer one request, turned into bytes (RFC 9112 6, 7, 9).

Hot path. An exchange that has ended forgets its channel, so a late write from a stray task or thread finds
nothing to corrupt. The Protocol and its contract are in `message/exchange.py`.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from container.channel.content import close, forget, pieces_of, setter
from container.channel.output import Output, amend
from container.channel.sendfile import SMALL, FileSender, can_send
from container.message.body import EMPTY, Body
from container.message.encoding import EncodingChoice
from container.message.errors import ClientDisconnected, ExchangeStateError, ProtocolError
from container.message.exchange import CloseObserver, HeadHook
from container.message.fields import CLOSE, UNUSUAL, FieldBlock, trailer_lines
from container.message.file_body import FileBody
from container.message.headers import Headers
from container.message.request import Request
from container.message.response import Content, Response
from container.message.status import BODILESS
from container.message.websocket import DEFAULT_OPTIONS, WebSocket, WebSocketOptions
from container.protocol import h1_response

if TYPE_CHECKING:
    from container.channel.h1 import H1Channel
    from container.channel.ws import WebSocketChannel

logger = logging.getLogger("container.channel")

# Content in memory that nobody reads: above this the client has to wait.
UNREAD_MAX = 64 * 1024
# What the access log says of a client that left before it was answered.
CLIENT_CLOSED_REQUEST = 499
# Content above this is not copied to be sent with its head.
JOINED_MAX = 16 * 1024
_UNKNOWN = -1


class _Watchers:
    """Who wants to know of an exchange, or to change its head: rarely anybody, so made when needed."""

    __slots__ = (
        "encoding",
        "hooks",
        "observers",
        "on_complete",
        "on_readable",
        "on_writable",
        "task",
        "trailers",
    )

    def __init__(self) -> None:
        self.hooks: list[HeadHook] = []
        self.encoding: EncodingChoice | None = None
        self.observers: list[CloseObserver] = []
        self.on_complete: Callable[[], None] | None = None
        self.on_readable: Callable[[], None] | None = None
        self.on_writable: Callable[[], None] | None = None
        self.task: asyncio.Task[None] | None = None
        self.trailers = b""


class H1Exchange:
    """One request of an HTTP/1.1 connection and its answer."""

    __slots__ = (
        "_channel", "_chunked", "_discards", "_head", "_keep", "_left", "_output", "_plain", "_settled", "_watchers",
        "bytes_sent", "disconnected", "ended", "gone", "request", "started", "status",
    )  # fmt: skip

    # Set by start(): the head that was not written yet, the framing of the content, what is left of its length.
    _head: bytes
    _chunked: bool
    _discards: bool
    _left: int

    def __init__(self, channel: "H1Channel", request: Request) -> None:
        self._channel: H1Channel | None = channel
        self._keep = channel.parser.keep_alive
        # HTTP/1.1, the connection stays, content belongs into the answer, and nobody watches.
        self._plain = channel.parser.is_plain
        self._watchers: _Watchers | None = None
        # Set while the head is held back or content is encoded.
        self._output: Output | None = None
        # The client gets all it will get: verbs that come late do no harm.
        self._settled = False
        self.request = request
        self.status = 0
        self.bytes_sent = 0
        self.started = False
        self.ended = False
        self.disconnected = False
        self.gone = False

    @classmethod
    def for_error(cls, channel: "H1Channel") -> "H1Exchange":
        """An exchange for a request that could not be read: it answers once and closes."""
        channel.parser.keep_alive = channel.parser.is_plain = False
        request = Request("-", b"-", b"", b"", "1.1", [], EMPTY)
        exchange = cls(channel, request)
        request.exchange = exchange
        request.connection = channel.connection
        return exchange

    # The whole answer at once.

    def respond(self, response: Response) -> None:
        body = response.body
        if body.__class__ is bytes:
            self.reply(response.status, response.sealed or response.block(), body, response.reason)
        else:
            try:
                self.start(response.status, response.block(), response.reason)
            except BaseException:
                forget(body)
                raise
            self.stream(body)

    def reply(self, status: int, block: FieldBlock, body: bytes = b"", reason: str = "") -> None:
        channel = self._channel
        if channel is None or self.started:
            self._check_late()
            return
        size = len(body)
        group = channel.group
        opening = group.openings.get(status)
        if (
            not self._plain
            or opening is None
            or reason
            or group.draining
            or (block.fits != size and not h1_response.fit(block, size))
        ):
            self._reply_unusual(status, block, body, reason)
            return
        self.started = True
        self.status = status
        self.bytes_sent = size
        if size > JOINED_MAX:
            channel.transport.writelines((opening + block.section, body))
        else:
            channel.transport.write(b"".join((opening, block.section, body)))
        self._channel = None
        self.ended = self.gone = True
        if group.host.log is not None:
            group.host.log(self)
        request = self.request
        if request.body is not EMPTY:
            request.release()
        request.exchange = ENDED
        channel.proceed()

    def _reply_unusual(self, status: int, block: FieldBlock, body: bytes, reason: str) -> None:
        """A whole answer that takes some thought: still one write."""
        channel = self._channel
        assert channel is not None, "checked by reply()"
        if (
            status == 304
            and self._plain
            and not (body or reason or block.kinds & UNUSUAL or channel.group.draining)
        ):
            line = h1_response.STATUS_LINES[304]
            channel.transport.write(b"".join((line, channel.group.default_fields, block.lines, b"\r\n")))
            self.started = True
            self.status = status
            self._finish(channel)
            return
        if block.length < 0 and (body or self.request.method != "HEAD"):
            block = FieldBlock(block.fields, block.lines, block.kinds, len(body))
        watchers, channel = self._watchers, self._channel
        is_changed = watchers is not None and (watchers.hooks or watchers.encoding is not None)
        if is_changed and watchers is not None and channel is not None and not self.started:
            Output(self, channel, status, block, reason, watchers.hooks, watchers.encoding).reply(body)
            return
        self.start(status, block, reason)
        if body:
            self.write(body)
        self.end()

    # Interim and streamed answers.

    def inform(self, status: int, headers: Headers | None = None) -> None:
        channel = self._channel
        if not 100 <= status <= 199 or status == 101:
            raise ValueError(f"expected an interim status (100 or 102 to 199), got {status}")
        if channel is None:
            self._check_late()
            return
        if self.started:
            raise ExchangeStateError("expected an interim response before the head of the answer")
        if self.request.http_version == "1.0":
            return
        lines = headers.freeze().lines if headers is not None else b""
        channel.transport.write(h1_response.status_line(status) + lines + b"\r\n")

    def start(self, status: int, block: FieldBlock, reason: str = "") -> None:
        channel = self._channel
        if channel is None or self.started:
            self._check_late()
            return
        watchers = self._watchers
        if watchers is not None and (watchers.hooks or watchers.encoding is not None):
            Output(self, channel, status, block, reason, watchers.hooks, watchers.encoding).start()
        else:
            self.send_head(status, block, reason)

    def send_head(self, status: int, block: FieldBlock, reason: str) -> None:
        """Begin the answer with fields that no hook changes any more."""
        channel = self._channel
        assert channel is not None, "the answer has just begun"
        line = h1_response.status_line(status, reason)
        self.started = True
        self.status = status
        self._discards = True
        self._chunked = False
        length = block.length
        framing = b"\r\n"
        if status in BODILESS:
            self._left = _UNKNOWN
        elif self.request.method == "HEAD":
            self._left = _UNKNOWN
            if length >= 0:
                framing = b"Content-Length: %d\r\n\r\n" % length
        else:
            self._discards = False
            self._left = length
            if status == 205:
                self._left = length = 0
            if length >= 0:
                framing = b"Content-Length: %d\r\n\r\n" % length
            elif self.request.http_version == "1.0":
                self._keep = False
            else:
                self._chunked = True
                framing = h1_response.CHUNKED
        defaults = channel.group.default_fields_besides(block.kinds)
        self._head = b"".join((line, defaults, block.lines, self._persistence(channel, block), framing))

    def write(self, data: bytes) -> bool:
        channel = self._channel
        if channel is None:
            self._check_late()
            return True
        if not self.started:
            raise ExchangeStateError("expected start() before write()")
        if self._output is not None:
            if self._output.complete:
                self._check_late()
            return self._output.write(data)
        return self.send(channel, data)

    def send(self, channel: "H1Channel", data: bytes) -> bool:
        """More content, as it goes out."""
        head = self._head
        if data:
            if self._discards:
                data = b""
            elif self._chunked:
                size = len(data)
                data = h1_response.chunk(data)
                self.bytes_sent += size
            else:
                if self._left >= 0:
                    if len(data) > self._left:
                        return self._overflow(channel, data)
                    self._left -= len(data)
                self.bytes_sent += len(data)
        if head:
            channel.transport.write(head + data)
            self._head = b""  # only now: data that is no bytes has raised before
        elif data:
            channel.transport.write(data)
        return not channel.paused

    def _overflow(self, channel: "H1Channel", data: bytes) -> bool:
        """Content beyond the announced Content-Length: send what fits, and that was the answer."""
        expected = self.bytes_sent + self._left
        channel.group.host.failed(
            self, ValueError(f"expected {expected} bytes of content, got more: cut off")
        )
        self._settled = True
        self.send(channel, data[: self._left])
        self.send_end(channel)
        return True

    def stream(self, body: Content) -> None:
        channel = self._channel
        if channel is None:
            forget(body)
        elif self._output is not None and self._output.held:
            self._output.stream(body)
        elif isinstance(body, FileBody) and (self._discards or self._left == body.count):
            self._send_file(channel, body)
        else:
            self.stream_pieces(channel, body)

    def stream_pieces(self, channel: "H1Channel", body: Content) -> None:
        """Send whatever is iterable, by a task."""
        self._watch().task = channel.group.loop.create_task(self._send(body))

    def _send_file(self, channel: "H1Channel", body: FileBody) -> None:
        """Send a file whose length has been announced, without reading it where that is possible."""
        if self._discards:
            body.close()
            self.end()
        elif body.count <= SMALL:
            try:
                data = b"".join(body)
            except (OSError, EOFError) as error:
                self._broke_off(error)
                return
            finally:
                body.close()
            self.write(data)
            self.end()
        elif can_send(channel):
            head, self._head = self._head, b""
            FileSender(channel, self, head, body).begin()
        else:
            self.stream_pieces(channel, body)

    def file_sent(self) -> None:
        """A FileSender has sent all of its file."""
        self._left = 0
        self.end()

    def forget_writable(self) -> None:
        """Whoever waits for the client to take more does not any longer."""
        if self._watchers is not None:
            self._watchers.on_writable = None

    async def drain(self) -> None:
        channel = self._channel
        if channel is None:
            if not self.ended or self.disconnected:
                raise ClientDisconnected("the client has left")
            return
        if channel.paused or (self._output is not None and self._output.held):
            writable = channel.group.loop.create_future()
            self.when_writable(setter(writable))
            await writable
            if self._channel is None:
                raise ClientDisconnected("the client has left")

    def when_writable(self, callback: Callable[[], None]) -> None:
        channel = self._channel
        if channel is not None and (channel.paused or (self._output is not None and self._output.held)):
            self._watch().on_writable = callback
        else:
            callback()

    def trail(self, block: FieldBlock) -> None:
        if self._channel is None:
            self._check_late()
            return
        lines = trailer_lines(block)
        self._watch().trailers += lines

    def end(self) -> None:
        channel = self._channel
        if channel is None:
            self._check_late()
            return
        if not self.started:
            raise ExchangeStateError("expected start() before end()")
        if self._output is not None:
            if self._output.complete:
                self._check_late()
            self._output.end()
        else:
            self.send_end(channel)

    def send_end(self, channel: "H1Channel") -> None:
        """All content has been sent."""
        if self._left > 0:
            self.send(channel, b"")  # the head, that the client sees what is missing
            self.abort(ValueError(f"expected {self._left} more bytes of content: connection cut"))
            return
        last, self._head = self._head, b""
        if self._chunked:
            trailers = self._watchers.trailers if self._watchers is not None else b""
            if last and not trailers:  # nothing was written: its length is known after all
                last = last[: -len(h1_response.CHUNKED)] + b"Content-Length: 0\r\n\r\n"
            else:
                last += h1_response.last_chunk(trailers)
        if last:
            channel.transport.write(last)
        if channel.group.draining and self._keep:
            # The head left before the drain began and promised to stay: the next request may be on its way.
            channel.group.close_soon(channel)
        self._finish(channel)

    @property
    def expects_continue(self) -> bool:
        return self._channel is not None and self._channel.parser.expects_continue

    def abort(self, error: Exception | None = None) -> None:
        channel = self._channel
        if channel is None:
            return
        # Without a length or chunks, only a reset tells the client that this was not the end.
        countable = self.started and (self._chunked or self._left > 0)
        self.started = True  # no error page any more
        if error is not None:
            channel.group.host.failed(self, error)
        self.status = self.status or (CLIENT_CLOSED_REQUEST if self.disconnected else 500)
        self.disconnected = True
        self._detach(channel, error or ClientDisconnected("the answer was given up"))
        channel.cut(flush=countable)

    # Another protocol.

    def upgrade(self, options: WebSocketOptions = DEFAULT_OPTIONS) -> WebSocket:
        from container.channel.websocket import H1WebSocket

        return H1WebSocket(self, options)

    async def amended(self, status: int, block: FieldBlock) -> FieldBlock:
        """`block` as the hooks leave it. Raises what a hook raises."""
        channel = self._channel
        if channel is None or self._watchers is None or not self._watchers.hooks:
            return block
        async with asyncio.timeout(channel.group.host.timeouts.hooks):
            return await amend(self._watchers.hooks, status, block)

    def switch(self, lines: bytes, block: FieldBlock) -> "H1Channel":
        """Answer 101 with `lines` and `block` and give up the channel: its connection is the caller's now."""
        channel = self._channel
        if channel is None or self.started:
            self._check_late()
            raise ClientDisconnected("the client has left")
        self.started = True
        self.status = 101
        defaults = channel.group.default_fields_besides(block.kinds)
        channel.transport.write(
            b"".join((h1_response.status_line(101), defaults, lines, block.lines, b"\r\n"))
        )
        self._channel = None
        return channel

    def end_switched(self, channel: "WebSocketChannel", bytes_sent: int, error: Exception | None) -> None:
        """The connection that `switch` gave away has ended."""
        self.bytes_sent = bytes_sent
        self._detach(channel, error)

    # The request's content.

    async def receive(self) -> None:
        body = self.request.body
        if body.held or body.complete:
            return
        if body.error is not None:
            raise body.error
        channel = self._channel
        if channel is None:
            raise ClientDisconnected("the exchange is over")
        readable = channel.group.loop.create_future()
        self.when_readable(setter(readable))
        await readable

    async def complete(self) -> None:
        body = self.request.body
        while not body.complete:
            if body.error is not None:
                raise body.error
            channel = self._channel
            if channel is None:
                raise ClientDisconnected("the exchange is over")
            body.spool(channel.group.host.limits.spool_memory, channel.group.host.quota)
            progress = channel.group.loop.create_future()
            self._watch().on_readable = setter(progress)
            self._invite(channel)
            channel.resume_reading()
            await progress

    def when_readable(self, callback: Callable[[], None]) -> None:
        body = self.request.body
        channel = self._channel
        if channel is None or body.held or body.complete or body.error is not None:
            callback()
            return
        self._watch().on_readable = callback
        self._invite(channel)
        channel.resume_reading()

    def when_complete(self, callback: Callable[[], None]) -> None:
        body = self.request.body
        channel = self._channel
        if body.complete:
            callback()
        elif channel is not None and body.error is None:
            host = channel.group.host
            self._watch().on_complete = callback
            try:
                body.spool(host.limits.spool_memory, host.quota)
            except ProtocolError as error:
                self.broken(error)
                return
            self._invite(channel)
            channel.resume_reading()

    def _invite(self, channel: "H1Channel") -> None:
        """Ask for content the client has been holding back (RFC 9110 10.1.1)."""
        if channel.parser.expects_continue:
            channel.parser.expects_continue = False
            channel.transport.write(h1_response.CONTINUE)
            channel.begin_content()

    def restart(self) -> None:
        channel = self._channel
        if channel is None or self.started:
            self._check_late()
            return
        if self._watchers is not None:
            self._watchers.hooks.clear()
            self._watchers.encoding = None
        channel.group.host.dispatch(self)

    # Observers and hooks.

    def on_close(self, observer: CloseObserver) -> None:
        if self.ended or self.disconnected:
            observer(ClientDisconnected("the client has left") if self.disconnected else None)
        else:
            self._watch().observers.append(observer)

    def before_head(self, hook: HeadHook) -> None:
        if self._channel is not None:  # ENDED is there for ever, and would keep it
            self._watch().hooks.append(hook)

    def encode_by(self, choice: EncodingChoice | None) -> None:
        if self._channel is not None and (choice is not None or self._watchers is not None):
            self._watch().encoding = choice

    # Called by the channel.

    def content_arrived(self) -> None:
        body = self.request.body
        watchers = self._watchers
        if watchers is not None and watchers.on_complete is not None:
            if body.complete:
                callback, watchers.on_complete = watchers.on_complete, None
                callback()
            return
        self._tell_readable()
        if body.held > UNREAD_MAX and not (body.is_kept or body.complete) and self._channel is not None:
            self._channel.throttle()

    def broken(self, error: ProtocolError) -> None:
        """The rest of the content will not come: answer with the error if that is still possible."""
        channel = self._channel
        if channel is None:
            return
        self.request.body.fail(error)
        self._keep = self._plain = False
        if self._watchers is not None:
            self._watchers.on_complete = None
        self._tell_readable()
        if not self.started:
            self.respond(channel.group.host.refuse(error))

    def half_closed(self) -> None:
        """The client sends no more; it may still be reading."""
        self.disconnected = True
        if self._channel is not None and not self._channel.parser.buffer:
            self._keep = self._plain = False
        error = self.request.body.error
        spooling = self._watchers is not None and self._watchers.on_complete is not None
        self._tell_observers(ClientDisconnected("the client has closed its side"))
        if spooling and isinstance(error, ProtocolError):
            self.broken(error)
        self._tell_readable()

    def lost(self, error: Exception) -> None:
        """The connection is gone."""
        channel, self._channel = self._channel, None
        if channel is None:
            return
        self.disconnected = self.gone = True
        self.request.body.fail(ClientDisconnected("the client left before the end of its request"))
        self.status = self.status or CLIENT_CLOSED_REQUEST
        log = channel.group.host.log
        if log is not None:
            log(self)
        self._tell_observers(error)
        self._release()
        if self._watchers is not None and self._watchers.task is not None:
            # Soon, not now: a task that is cancelled before its first step could not close its content.
            channel.group.loop.call_soon(self._watchers.task.cancel)

    def resumed(self) -> None:
        """The client takes more again."""
        watchers = self._watchers
        if self._output is not None and self._output.held:
            return
        if watchers is not None and watchers.on_writable is not None:
            callback, watchers.on_writable = watchers.on_writable, None
            callback()

    # Called by the output stage.

    def hold(self, output: Output) -> None:
        """The head has to wait: until `go_on`, `output` keeps what is said."""
        self._output = output
        self.started = True
        self._head = b""
        self._chunked = self._discards = False
        self._left = _UNKNOWN

    def go_on(self, output: Output | None) -> None:
        """Nothing is held back any more; `output` is what still encodes the content."""
        self._output = output

    def settle(self) -> None:
        """The client gets all it may: whoever goes on to write does no harm."""
        self._settled = True

    def replace(self, error: Exception) -> None:
        """A hook failed and nothing has left: answer with the error, by another exchange.

        This one is over for all who have driven it.
        """
        channel = self._channel
        assert channel is not None, "a client is there that waits for its answer"
        other = H1Exchange(channel, self.request)
        other._keep, other._plain, other.disconnected = self._keep, self._plain, self.disconnected
        watchers = self._watch()
        other._watch().hooks, other._watch().encoding = watchers.hooks, watchers.encoding
        self._channel = None
        self.ended = self.gone = self._settled = True
        channel.exchange = self.request.exchange = other
        self._tell_observers(error)
        self._wake()
        channel.group.host.failed(other, error)

    # Inside.

    def _persistence(self, channel: "H1Channel", block: FieldBlock) -> bytes:
        """The Connection field; decides whether the connection survives this answer (RFC 9112 9.3)."""
        if channel.parser.framing is not None:
            self._keep = self._keep and channel.will_discard()
        if not self._keep or block.kinds & CLOSE or channel.group.draining:
            self._keep = False
            return h1_response.CLOSE if self.status != 426 else h1_response.CLOSE_AND_UPGRADE
        if self.status == 426:
            return h1_response.UPGRADE
        return b"" if self.request.http_version == "1.1" else h1_response.KEEP_ALIVE

    def _watch(self) -> _Watchers:
        if self._watchers is None:
            self._watchers = _Watchers()
            self._plain = False
        return self._watchers

    def _check_late(self) -> None:
        """A verb came late: harmless when the client has left or got all it may, an error of the caller otherwise."""
        late = self.ended or self._channel is not None
        if late and not (self.disconnected or self._settled):
            raise ExchangeStateError("expected one answer to a request, got more after its head or end")

    def _tell_readable(self) -> None:
        """Let whoever waits for content look again."""
        watchers = self._watchers
        if watchers is not None and watchers.on_readable is not None:
            callback, watchers.on_readable = watchers.on_readable, None
            callback()

    def _tell_observers(self, error: Exception | None) -> None:
        if self._watchers is not None:
            observers, self._watchers.observers = self._watchers.observers, []
            for observer in observers:
                try:
                    observer(error)
                except Exception:  # the observer is the application's code
                    logger.exception("an observer of %s failed", self.request)

    def _finish(self, channel: "H1Channel") -> None:
        self._detach(channel, None)
        if self._keep and not (channel.half_closed and not channel.parser.buffer):
            channel.proceed()
        else:
            channel.finish()

    def _detach(self, channel: "H1Channel | WebSocketChannel", error: Exception | None) -> None:
        """Forget the channel; the request forgets the exchange, or the two would keep each other alive."""
        self._channel = None
        self.ended = self.gone = True
        log = channel.group.host.log
        if log is not None:
            log(self)
        if self._watchers is not None:
            self._tell_observers(error)
            self._release()
        request = self.request
        if request.body is not EMPTY:
            request.release()
        request.exchange = ENDED

    def _release(self) -> None:
        """Nothing will be read or written any more: whoever waits for that must not wait for ever."""
        self._wake()
        self.request.release()

    def _wake(self) -> None:
        output, self._output = self._output, None
        if output is not None:
            output.drop()
        if self._watchers is not None:
            self._watchers.on_complete = None
            self._tell_readable()
            self.resumed()

    def _broke_off(self, error: Exception) -> None:
        """The iterable failed: the site may still answer with an error page if nothing has left."""
        channel = self._channel
        if channel is not None and self._head:
            self.started = False
            self._output = None
            channel.group.host.failed(self, error)
            if not self.started:
                self.abort()
        else:
            self.abort(error)

    async def _send(self, body: Content) -> None:
        """Send an iterable as it yields, no faster than the client reads; close it whatever happens."""
        try:
            if not self._discards:
                async for data in pieces_of(body):
                    if not self.write(data):
                        await self.drain()
                    if self.ended:  # more than was announced: the rest is not even asked for
                        return
            self.end()
        except Exception as error:  # noqa: BLE001  # the iterable is the application's code
            self._broke_off(error)
        finally:
            await close(body)


def _ended_exchange() -> H1Exchange:
    exchange = H1Exchange.__new__(H1Exchange)
    exchange._channel = None
    exchange._keep = exchange._plain = exchange._settled = False
    exchange._watchers = exchange._output = None
    # Content that never comes: a reader that looks again must not take it for an end, nor look for ever.
    exchange.request = Request("-", b"-", b"", b"", "1.1", [], Body())
    exchange.status = exchange.bytes_sent = 0
    exchange.started = exchange.ended = exchange.disconnected = exchange.gone = True
    return exchange


# What a request is left with when its exchange has ended: takes every verb and does nothing.
ENDED: Final = _ended_exchange()
