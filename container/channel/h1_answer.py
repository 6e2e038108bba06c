"""The answer of an HTTP/1.1 exchange on its way to the wire: head, framing, content, end (RFC 9112 6, 7, 9).

Hot path. When each of them may be said is in `exchange.py`, what comes before this is `output.py`, and how a file
gets into the socket `sendfile.py`.
"""

import logging
from time import perf_counter
from typing import TYPE_CHECKING

from container.channel.base import CLIENT_CLOSED_REQUEST, UNKNOWN, BaseExchange
from container.channel.ended import ENDED
from container.channel.output import Output
from container.channel.sendfile import SMALL, FileSender, can_send
from container.message.body import EMPTY
from container.message.errors import ClientDisconnected, ExchangeStateError
from container.message.exchange import Host
from container.message.fields import CLOSE, FieldBlock
from container.message.file_body import FileBody
from container.message.response import Content
from container.message.status import BODILESS
from container.protocol import h1_response

if TYPE_CHECKING:
    from container.channel.h1 import H1Channel
    from container.channel.tunnel import TunnelChannel
    from container.channel.ws import WebSocketChannel


class H1Answer(BaseExchange):
    """What has been said of one answer, and what becomes of the connection after it."""

    __slots__ = ("_channel", "_chunked", "_head", "_keep", "_output", "_settled")

    logger = logging.getLogger("container.channel")

    # None when nothing can be sent any more.
    _channel: "H1Channel | None"
    # Does the connection stay?
    _keep: bool
    # Set while the head is held back or content is encoded.
    _output: Output | None
    # The client gets all it will get: verbs that come late do no harm.
    _settled: bool
    # Set by send_head(): the head that was not written yet, and whether the content is chunked.
    _head: bytes
    _chunked: bool

    @property
    def host(self) -> Host:
        assert self._channel is not None, "somebody is served"
        return self._channel.group.host

    @property
    def _is_full(self) -> bool:
        channel = self._channel
        return channel is not None and (channel.paused or (self._output is not None and self._output.held))

    # The head.

    def send_head(self, status: int, block: FieldBlock, reason: str) -> None:
        """Begin the answer with fields that no hook changes any more."""
        channel = self._channel
        assert channel is not None, "the answer has just begun"
        line = h1_response.status_line(status, reason)
        if self.request.notes is not None:
            self.request.notes.block = block
        self.started = True
        self.status = status
        self._discards = True
        self._chunked = False
        length = block.length
        framing = b"\r\n"
        if status in BODILESS:
            self._left = UNKNOWN
        elif self.request.method == "HEAD":
            self._left = UNKNOWN
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

    # Content.

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
            if self.request.notes is not None:
                self.request.notes.head_left = perf_counter()
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

    def stream_pieces(self, channel: "H1Channel", body: Content) -> None:
        """Send whatever is iterable, by a task."""
        self._watch().task = channel.group.loop.create_task(self._send_pieces(body))

    def send_file(self, channel: "H1Channel", body: FileBody) -> None:
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
            if self.request.notes is not None:
                self.request.notes.head_left = perf_counter()
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

    # The end.

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

    def _finish(self, channel: "H1Channel") -> None:
        self._detach(channel, None)
        if self._keep and not (channel.half_closed and not channel.parser.buffer):
            channel.proceed()
        else:
            channel.finish()

    def _detach(
        self, channel: "H1Channel | WebSocketChannel | TunnelChannel", error: Exception | None
    ) -> None:
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
            self._watchers.release()

    def _check_late(self) -> None:
        """A verb came late: harmless when the client has left or got all it may, an error of the caller otherwise."""
        late = self.ended or self._channel is not None
        if late and not (self.disconnected or self._settled):
            raise ExchangeStateError("expected one answer to a request, got more after its head or end")
