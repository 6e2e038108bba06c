"""An HTTP/1.1 connection: bytes from the transport, exchanges in order, deadlines (RFC 9112 9).

Hot path. One exchange lives at a time; pipelined requests wait as bytes in the parser's buffer, and reading
pauses when too many wait. What a request says is `protocol/h1.py`, how it is answered `channel/exchange.py`.
"""

import asyncio
import logging
import socket
import struct
from typing import TYPE_CHECKING, cast

from container.channel.ends import connection_of, unsent_in_kernel
from container.channel.exchange import H1Exchange
from container.channel.group import ChannelGroup
from container.channel.sendfile import FileSender
from container.message.errors import ClientDisconnected, ProtocolError
from container.protocol.h1 import RequestParser
from container.protocol.proxy_header import ProxyHeader

if TYPE_CHECKING:
    from container.channel.tunnel import TunnelChannel
    from container.channel.ws import WebSocketChannel

log = logging.getLogger("container.channel")

# Bytes kept while an exchange runs: enough to notice that the client left, then reading pauses.
READ_AHEAD = 64 * 1024
# Unread content that is worth reading to keep the connection; a longer rest is cut off instead.
DISCARD_MAX = 256 * 1024
# While lingering, what a client may still push before it is cut off.
LINGER_MAX = 64 * 1024 * 1024
# Requests answered in one go before other connections get their turn.
BURST = 64
NEVER = float("inf")
# SO_LINGER on, with no time to linger.
_RESET = struct.pack("ii", 1, 0)


class H1Channel(asyncio.Protocol):
    """One connection.

    At any time it is in one of these states, told by what it holds:

    | state     | told by                                | deadline            | after it           |
    |-----------|----------------------------------------|---------------------|--------------------|
    | idle      | no exchange, empty buffer              | keep_alive          | close              |
    | head      | no exchange, bytes in the buffer       | head, from 1st byte | 408, close         |
    | content   | exchange or rest, parser has a framing | body and body_rate  | 408 or cut         |
    | answering | exchange, content complete             | none                |                    |
    | blocked   | transport paused writing               | write, no progress  | cut                |
    | lingering | our side is shut                       | linger              | cut                |
    """

    __slots__ = (
        "_advancing", "_backlog", "_body_since", "_discarded", "_header", "_in_head", "_lingering", "_reading",
        "_served", "_stopped", "connection", "deadline", "exchange", "group", "half_closed", "parser", "paused",
        "sender", "transport",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, group: ChannelGroup, header: ProxyHeader | None = None, early: bytes = b"") -> None:
        """`early` came before the channel: the begin of the first request."""
        self.group = group
        self._header = header
        self.parser = RequestParser(group.host.limits, group.tokeniser)
        self.parser.buffer = early
        self.exchange: H1Exchange | None = None
        self.paused = False
        # What puts a file into the socket beside the transport.
        self.sender: FileSender | None = None
        self.half_closed = False
        self.deadline = NEVER
        self._reading = True
        self._advancing = False
        self._in_head = False
        self._lingering = False
        self._served = False
        self._discarded = 0
        self._body_since = 0.0
        self._stopped = 0.0
        self._backlog = 0

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.connection = connection_of(transport, self._header)
        self.group.add(self)
        if self.group.stopped:  # it was accepted at the very end
            self.abort()
        # A client that connects and says nothing gets as long as one that dribbles a head.
        self.deadline = self.group.now + self.group.host.timeouts.head

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        parser = self.parser
        if exchange is None and parser.framing is None:
            if self._lingering:
                self._discard(data)
                return
            parser.buffer = parser.buffer + data if parser.buffer else data
            self.advance()
            return
        if parser.framing is None:
            parser.receive(data)
        else:
            self._content(data)
            exchange = self.exchange
        if self._reading and len(parser.buffer) > READ_AHEAD:
            self._pause_reading()

    def eof_received(self) -> bool:
        """The client sends no more, but may still read: answer what has come, then close."""
        self.half_closed = True
        self.group.ending(self)
        self.parser.eof()
        if self._lingering:
            return False
        if self.exchange is not None:
            self.exchange.half_closed()
        else:
            self.advance()
        # Over TLS no loop can answer any more: to ask for it would be no more than a line in the log.
        return self.transport.can_write_eof() and not self.transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.group.remove(self)
        self.parser.buffer = b""  # the rest of a burst may be due yet
        exchange, self.exchange = self.exchange, None
        self.paused = False
        self.deadline = NEVER
        if exchange is not None:
            exchange.lost(ClientDisconnected("the client has left") if exc is None else exc)

    def pause_writing(self) -> None:
        self.paused = True
        self._backlog = self._unsent()
        self.deadline = self.group.now + self.group.host.timeouts.write

    def resume_writing(self) -> None:
        self.paused = False
        if self._lingering:
            self.deadline = self.group.now + self.group.host.timeouts.linger
        elif self.exchange is not None:
            self._await_content()
            self.exchange.resumed()
        elif not self.transport.is_closing():
            self.resume_reading()
            self.advance()

    # Requests in, one at a time.

    def advance(self) -> None:
        """Dispatch what the buffer holds until an exchange has to wait, or the buffer is used up."""
        if self._advancing or self._lingering:
            return
        self._advancing = True
        parser, group = self.parser, self.group
        left = BURST
        try:
            # While the client does not read, it holds one answer and no more.
            while parser.buffer and self.exchange is None and not self.paused:
                request = parser.next()
                if request is None:
                    break
                self._in_head = False
                self._served = True
                self.deadline = NEVER
                self.exchange = exchange = H1Exchange(self, request)
                request.exchange = exchange
                request.connection = self.connection
                if parser.framing is not None:
                    self.begin_content()
                group.dispatch(exchange)
                if self.half_closed and parser.framing is not None and self.exchange is exchange:
                    parser.eof()  # it was pipelined: its end was missed when the client closed its side
                    exchange.half_closed()
                left -= 1
                if not left:
                    group.loop.call_soon(self.advance)
                    return
        except ProtocolError as error:
            self.refuse(error)
        finally:
            self._advancing = False
        if self.exchange is None and not self._lingering:
            self._await_request()

    def _await_request(self) -> None:
        parser = self.parser
        if not (parser.buffer or self.paused or self.half_closed or parser.framing is not None):
            self._in_head = False
            self.deadline = self.group.now + self.group.keep_alive
            if not self._reading:
                self.resume_reading()
            return
        if self.paused:  # its deadline counts
            if self._reading and len(self.parser.buffer) > READ_AHEAD:
                self._pause_reading()
            return
        if self.half_closed:
            self.close(linger=False)
            return
        if self.parser.framing is not None:
            self.deadline = self.group.now + self.group.host.timeouts.body
        elif not self._in_head:
            self._in_head = True
            self.deadline = self.group.now + self.group.host.timeouts.head
        if not self._reading:
            self.resume_reading()

    def begin_content(self) -> None:
        """The client is free to send its content from now on, unless it waits to be asked."""
        self._body_since = self.group.now
        self._await_content()

    def _await_content(self) -> None:
        """Set the deadline of more content: none while it is we who do not read or did not ask."""
        if self.paused:  # its deadline counts
            return
        parser = self.parser
        if parser.framing is None or parser.expects_continue or not self._reading:
            self.deadline = NEVER
        else:
            self.deadline = self.group.now + self.group.host.timeouts.body

    def _content(self, data: bytes) -> None:
        """More content of the request that is being answered, or of the last one."""
        parser, exchange = self.parser, self.exchange
        try:
            parser.receive(data)
        except ProtocolError as error:
            if exchange is None:
                self.close()
            else:
                exchange.broken(error)
            return
        done = parser.framing is None
        self._await_content()
        if exchange is not None:
            exchange.content_arrived()
        elif done:
            self.advance()

    def throttle(self) -> None:
        """The reader of the content is slower than the client."""
        if self._reading and not self.half_closed:
            self._pause_reading()
            self._await_content()

    def _pause_reading(self) -> None:
        self._reading = False
        self._stopped = self.group.now
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self.transport.resume_reading()
            if self.parser.framing is not None:
                self._body_since += self.group.now - self._stopped
                self._await_content()

    # Answers out.

    def proceed(self) -> None:
        """The exchange has been answered completely: on to the next request."""
        self.exchange = None
        parser = self.parser
        if self._advancing:
            return
        if parser.buffer:
            if not self._reading:
                self.resume_reading()
            self.advance()
        elif self._reading and parser.framing is None and not self.paused and not self.half_closed:
            self.deadline = self.group.now + self.group.keep_alive
        else:
            self._await_request()

    def finish(self) -> None:
        """The exchange has been answered completely, and was the last one."""
        self.exchange = None
        self.close(linger=not self.half_closed)

    def hand_over(self, successor: "WebSocketChannel | TunnelChannel") -> bytes:
        """The connection speaks another protocol from now on; what the client has sent of it already."""
        # In this order, or the group might seem to be empty.
        self.group.add(successor)
        self.group.remove(self)
        self.exchange = None
        self.deadline = NEVER
        data, self.parser.buffer = self.parser.buffer, b""
        self.transport.set_protocol(cast(asyncio.BaseProtocol, successor))
        self.resume_reading()
        return data

    def refuse(self, error: ProtocolError) -> None:
        """Answer a request that broke the standard, then close."""
        self._served = True
        self.exchange = exchange = H1Exchange.for_error(self)
        exchange.respond(self.group.host.refuse(error))

    def close(self, *, linger: bool = True) -> None:
        """Close after what was written has left.

        A close with unread bytes in the kernel becomes a reset that can destroy the answer on its way
        (RFC 9112 9.6): shut our side, then read on until the client closes its own.
        """
        self.parser.buffer = b""
        self.parser.framing = None
        if self.transport.is_closing():
            return
        if not linger or not self._served or not self.transport.can_write_eof():
            self._hang_up()
            return
        if self._lingering:
            return
        self._lingering = True
        self._discarded = 0
        self.deadline = self.group.now + self.group.host.timeouts.linger
        self._backlog = 0
        try:
            self.transport.write_eof()
        except OSError:  # asyncio has not noticed yet that the client is gone
            self.abort()
            return
        self.resume_reading()

    def _hang_up(self) -> None:
        """Close after what was written has left, or when that makes no progress."""
        self._backlog = self.transport.get_write_buffer_size()
        if not self.transport.can_write_eof():
            # Over TLS the transport waits for the client to say that it closes too, which many never do.
            self._backlog = -1
        self.transport.close()
        self.deadline = self.group.now + self._patience()

    def _patience(self) -> float:
        """How long a client may take nothing of what was written."""
        timeouts = self.group.host.timeouts
        is_ending = self.transport.is_closing() and not self.transport.can_write_eof()
        return timeouts.linger if is_ending else timeouts.write

    def _discard(self, data: bytes) -> None:
        self._discarded += len(data)
        if self._discarded > LINGER_MAX:
            self.abort()

    def cut(self, *, flush: bool) -> None:
        """The answer broke off: close without an end, by a reset unless what was written shall `flush`."""
        self.exchange = None
        self.parser.buffer = b""
        self.parser.framing = None
        if flush:
            self._hang_up()
            return
        # Transports end an abort by a FIN, which an answer without a length would be complete by.
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.abort()

    def will_discard(self) -> bool:
        """Is the rest of the content short enough to be read and forgotten, and already on its way?"""
        parser, exchange = self.parser, self.exchange
        if exchange is None or parser.expects_continue or self.half_closed:
            return False
        body = exchange.request.body
        return body.length is not None and body.length - body.received <= DISCARD_MAX

    def abort(self) -> None:
        """Cut the connection, even one that is closing; what is still in the buffers is lost."""
        self.parser.buffer = b""
        self.transport.abort()

    def _unsent(self) -> int:
        """What was given to be sent and has not left."""
        unsent = self.transport.get_write_buffer_size() + (self.sender.left if self.sender is not None else 0)
        # Below a TLS transport is another one, which does not tell what it keeps; the kernel does.
        return unsent if self.connection.tls is None else unsent + unsent_in_kernel(self.transport)

    # Time.

    def sweep(self, now: float) -> None:
        if now < self.deadline:
            if self.parser.framing is not None and self._too_slow(now):
                self._time_out()
        elif self.paused or self.transport.is_closing():
            backlog = self._unsent()
            if not backlog and self.transport.is_closing():
                self.abort()
            elif backlog == self._backlog:
                log.info("no progress towards a client that does not read: connection cut")
                self.abort()
            else:
                self._backlog = backlog
                self.deadline = now + self._patience()
        else:
            self._time_out()

    def _too_slow(self, now: float) -> bool:
        """Does the content as a whole stay below the least acceptable rate?"""
        if self.deadline == NEVER or not self._reading or self.parser.expects_continue:
            return False
        timeouts = self.group.host.timeouts
        took = now - self._body_since - timeouts.body
        return took > 0 and self.parser.received < took * timeouts.body_rate

    def _time_out(self) -> None:
        self.deadline = NEVER
        exchange = self.exchange
        if self._lingering:
            backlog = self.transport.get_write_buffer_size()
            if not backlog or backlog == self._backlog:
                self.abort()
            else:
                self._backlog = backlog
                self.deadline = self.group.now + self.group.host.timeouts.linger
        elif exchange is not None:
            exchange.broken(ProtocolError(408, "the content did not arrive in time"))
        elif self._in_head:
            self.refuse(ProtocolError(408, "the head of the request did not arrive in time"))
        else:
            self._hang_up()

    def close_if_idle(self) -> None:
        if self.exchange is None and not self._lingering and not self.parser.buffer:
            self._hang_up()
            if not self.transport.can_write_eof():  # what it was told before has long left
                self.deadline = self.group.now
