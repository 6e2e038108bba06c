"""Sending a file that nobody reads: from the page cache to the socket by sendfile(2).

Event loops of today either lack it (uvloop) or want the transport for themselves meanwhile. So it is done on
a duplicate of the socket, once the transport has nothing left to write, and the transport is not told. While
the duplicate is open a close of the transport sends no FIN: it is closed first, always.

Not here: TLS, and transports without a socket. There a file is content like any other.
"""

import errno
import os
import socket
from typing import TYPE_CHECKING, Final

from container.message.file_body import FileBody

if TYPE_CHECKING:
    from container.channel.h1 import H1Channel
    from container.channel.h1_answer import H1Answer

# Up to here a file is read and leaves with its head in one write.
SMALL: Final = 64 * 1024
# What one connection gets in one turn of the loop, so that others get theirs.
TURN: Final = 4 * 1024 * 1024
_MORE: Final = getattr(socket, "MSG_MORE", 0)
# This pair of file system and socket cannot do it; nothing has been sent then.
_UNABLE: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOVERFLOW})
_GONE: Final = frozenset({
    errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.ESHUTDOWN, errno.ETIMEDOUT, errno.ECONNABORTED,
    errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN,
})  # fmt: skip


def can_send(channel: "H1Channel") -> bool:
    """May bytes be put into the socket of `channel` beside its transport?"""
    return (
        hasattr(os, "sendfile")
        and not channel.connection.secure
        and channel.transport.get_extra_info("socket") is not None
    )


class FileSender:
    """Sends `head` and then the file as the content of one exchange, and ends that.

    Until then it counts as what the channel has written and the client has not taken: the channel is paused,
    and the deadline for progress holds.
    """

    __slots__ = ("_armed", "_body", "_channel", "_exchange", "_head", "_lowered", "_socket", "left")

    def __init__(self, channel: "H1Channel", exchange: "H1Answer", head: bytes, body: FileBody) -> None:
        self._channel = channel
        self._exchange = exchange
        self._head = head
        self._body = body
        self._socket: socket.socket | None = None
        self._lowered = False
        self._armed = False
        self.left = body.count

    def begin(self) -> None:
        """Begin as soon as what was written before has left."""
        channel, exchange = self._channel, self._exchange
        if exchange.gone:
            self._close()
            return
        transport = channel.transport
        if transport.get_write_buffer_size():
            if not self._lowered:
                self._lowered = True
                transport.set_write_buffer_limits(high=0)
            if channel.paused:
                exchange.when_writable(self.begin)
            else:
                channel.group.loop.call_soon(self.begin)
            return
        if self._lowered:
            transport.set_write_buffer_limits()
        if transport.is_closing():  # connection_lost is on its way
            self._close()
            return
        own = transport.get_extra_info("socket")
        self._socket = socket.socket(own.family, own.type, own.proto, fileno=os.dup(own.fileno()))
        self._socket.setblocking(False)
        channel.sender = self
        self._send()

    def _send(self) -> None:
        """Send as much as the socket takes, up to a turn's worth."""
        exchange, own = self._exchange, self._socket
        if exchange.gone or own is None:
            self._close()
            return
        try:
            if self._head:
                self._head = self._head[own.send(self._head, _MORE) :]
                if self._head:
                    self._wait(own)
                    return
            turn = TURN
            body = self._body
            while self.left and turn > 0:
                sent = os.sendfile(
                    own.fileno(), body.fileno(), body.offset + body.count - self.left, min(self.left, turn)
                )
                if not sent:
                    raise EOFError(f"expected {body.count} bytes in a file, got {body.count - self.left}")
                self.left -= sent
                turn -= sent
                exchange.bytes_sent += sent
        except BlockingIOError:
            self._wait(own)
        except (OSError, EOFError) as error:
            self._failed(error)
        else:
            if self.left:
                self._wait(own)
            else:
                self._close()
                exchange.file_sent()

    def _wait(self, own: socket.socket) -> None:
        """Go on when the socket takes more, or the exchange is over."""
        channel = self._channel
        if not self._armed:
            self._armed = True
            channel.group.loop.add_writer(own.fileno(), self._send)
        if not channel.paused:
            channel.pause_writing()
        self._exchange.when_writable(self._send)

    def _failed(self, error: OSError | EOFError) -> None:
        exchange, channel = self._exchange, self._channel
        number = error.errno if isinstance(error, OSError) else None
        if number in _UNABLE and self.left == self._body.count and self._body.fileno() >= 0:
            body, self._body = self._body, FileBody(-1, 0, 0)
            self._close()
            exchange.stream_pieces(channel, body)
            return
        self._close()
        if number in _GONE:
            channel.abort()
        else:
            exchange.abort(error)

    def _close(self) -> None:
        """Give up socket and file; the channel is as before."""
        own, self._socket = self._socket, None
        channel = self._channel
        if own is not None:
            if self._armed:
                channel.group.loop.remove_writer(own.fileno())
            own.close()
        if channel.sender is self:
            channel.sender = None
            channel.paused = False
        self._exchange.forget_writable()
        self._body.close()
