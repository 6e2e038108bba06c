"""The HTTP/1.1 exchange: the verbs that answer one request (RFC 9112).

Hot path. An exchange that has ended forgets its channel, so a late write from a stray task or thread finds
nothing to corrupt. What is said becomes bytes in `h1_answer.py`; what all exchanges have in common, the request's
content among it, is in `base.py`. The Protocol and its contract are in `message/exchange.py`.
"""

import asyncio
from typing import TYPE_CHECKING

from container.channel.base import UNKNOWN, UNREAD_MAX
from container.channel.content import forget
from container.channel.ended import ENDED
from container.channel.h1_answer import H1Answer
from container.channel.hooks import amend
from container.channel.output import Output
from container.channel.watchers import Watchers
from container.message.body import EMPTY
from container.message.encoding import EncodingChoice
from container.message.errors import ClientDisconnected, ExchangeStateError, ProtocolError
from container.message.fields import UNUSUAL, FieldBlock, trailer_lines
from container.message.file_body import FileBody
from container.message.headers import Headers
from container.message.request import Request
from container.message.response import Content
from container.message.tunnel import TunnelEnd
from container.message.websocket import DEFAULT_OPTIONS, WebSocket, WebSocketOptions
from container.protocol import h1_response

if TYPE_CHECKING:
    from container.channel.h1 import H1Channel
    from container.channel.tunnel import TunnelChannel
    from container.channel.ws import WebSocketChannel

# Content above this is not copied to be sent with its head.
JOINED_MAX = 16 * 1024


class H1Exchange(H1Answer):
    """One request of an HTTP/1.1 connection and its answer."""

    __slots__ = ("_plain",)

    def __init__(self, channel: "H1Channel", request: Request) -> None:
        self._channel = channel
        self._keep = channel.parser.keep_alive
        # HTTP/1.1, the connection stays, content belongs into the answer, and nobody watches.
        self._plain = channel.parser.is_plain
        self._watchers = None
        self._output = None
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
            may_be_whole = self._plain and not (reason or group.draining)
            opening = h1_response.fit_dated(status, block, size) if may_be_whole else None
            if opening is None:
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
        request = self.request
        if request.notes is not None:
            request.notes.block = block if block.length >= 0 else block.sized(size)
        if group.host.log is not None:
            group.host.log(self)
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
            if self.request.notes is not None:
                self.request.notes.block = block
            self.started = True
            self.status = status
            self._finish(channel)
            return
        if block.length < 0 and (body or self.request.method != "HEAD"):
            block = block.sized(len(body))
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

    def stream(self, body: Content) -> None:
        channel = self._channel
        if channel is None:
            forget(body)
        elif self._output is not None and self._output.held:
            self._output.stream(body)
        elif isinstance(body, FileBody) and (self._discards or self._left == body.count):
            self.send_file(channel, body)
        else:
            self.stream_pieces(channel, body)

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

    # The request's content.

    @property
    def expects_continue(self) -> bool:
        return self._channel is not None and self._channel.parser.expects_continue

    def _want(self) -> None:
        channel = self._channel
        if channel is None:
            return
        if channel.parser.expects_continue:  # the client holds its content back (RFC 9110 10.1.1)
            channel.parser.expects_continue = False
            channel.transport.write(h1_response.CONTINUE)
            channel.begin_content()
        channel.resume_reading()

    def content_arrived(self) -> None:
        super().content_arrived()
        body = self.request.body
        if body.held > UNREAD_MAX and not (body.is_kept or body.complete) and self._channel is not None:
            self._channel.throttle()

    def broken(self, error: ProtocolError) -> None:
        self._keep = self._plain = False
        super().broken(error)

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
        if self._watchers is not None:
            self._watchers.tell_readable()

    # Who watches.

    def encode_by(self, choice: EncodingChoice | None) -> None:
        if self._channel is not None and (choice is not None or self._watchers is not None):
            self._watch().encoding = choice

    def resumed(self) -> None:
        """The client takes more again."""
        if self._watchers is not None and not (self._output is not None and self._output.held):
            self._watchers.tell_writable()

    def _watch(self) -> Watchers:
        self._plain = False
        return super()._watch()

    # The output stage.

    def hold(self, output: Output) -> None:
        """The head has to wait: until `go_on`, `output` keeps what is said."""
        self._output = output
        self.started = True
        self._head = b""
        self._chunked = self._discards = False
        self._left = UNKNOWN

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

    async def tunnel(
        self, status: int, block: FieldBlock, *, protocol: str = "", idle_timeout: float = 3600.0
    ) -> TunnelEnd:
        from container.channel.tunnel import TunnelChannel

        lines = h1_response.upgrade_lines(protocol) if protocol else b""
        block = await self.amended(status, block)
        return TunnelChannel(self, self.switch(lines, block, status), idle_timeout)

    def switch(self, lines: bytes, block: FieldBlock, status: int = 101) -> "H1Channel":
        """Answer with `lines` and `block` and give up the channel: its connection is the caller's now."""
        channel = self._channel
        if channel is None or self.started:
            self._check_late()
            raise ClientDisconnected("the client has left")
        self.started = True
        self.status = status
        defaults = channel.group.default_fields_besides(block.kinds)
        channel.transport.write(
            b"".join((h1_response.status_line(status), defaults, lines, block.lines, b"\r\n"))
        )
        if self.request.notes is not None:
            self.request.notes.answered(block)
        self._channel = None
        return channel

    def end_switched(
        self, channel: "WebSocketChannel | TunnelChannel", bytes_sent: int, error: Exception | None
    ) -> None:
        """The connection that `switch` gave away has ended."""
        self.bytes_sent = bytes_sent
        self._detach(channel, error)
