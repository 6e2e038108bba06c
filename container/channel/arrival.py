"""Connections that do not begin with HTTP: with a PROXY header, with a TLS handshake, or one after the other; and
all connections where their number has a limit, or is to be shared with other processes.

They are accepted here, not by the loop: a header is read off the socket before a transport has it, who speaks
plain HTTP to a TLS port is told so, and no loop can be made to accept for a while and then no more. Until the
channel takes over, an arrival counts as a channel of the group, so that the sweep sees its deadline and the drain
waits for it.
"""

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Final

from container.channel.certificates import Certificates
from container.channel.endpoints.haproxy import ProxyPolicy
from container.channel.group import ChannelGroup
from container.channel.h1 import H1Channel
from container.message.errors import ProtocolError
from container.protocol.proxy_header import ProxyHeader, ProxyHeaderReader

log = logging.getLogger("container.channel")

# Connections that have not finished their beginning; more wait in the kernel.
PENDING_MAX: Final = 1000
# Files have run out: time for some to be closed.
RETRY_S: Final = 1.0
# Transports count from the close on, also while a slow client takes the end of a long answer. The sweep knows
# whether it makes progress and cuts it off before.
SHUTDOWN_S: Final = 300.0
_PEEK: Final = 512
_HANDSHAKE: Final = 0x16
_DISCARD_MAX: Final = 64 * 1024
_NO_RESOURCES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_ADVICE: Final = b"This port speaks HTTPS: the address has to begin with https://.\n"
_PLAIN_HTTP: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
    b"Connection: close\r\n\r\n%b" % (len(_ADVICE), _ADVICE)
)


class ArrivalListener:
    """Accepts the connections of one socket; to the server it is like the listeners of the loop.

    `channel` is called with what came before HTTP: `header` and `early`, as those of H1Channel.
    """

    def __init__(
        self,
        group: ChannelGroup,
        sock: socket.socket,
        channel: Callable[..., H1Channel],
        *,
        policy: ProxyPolicy | None,
        certificates: Certificates | None,
    ) -> None:
        self.group = group
        self.channel = channel
        self.policy = policy
        self.certificates = certificates
        if group.room is not None:
            group.room.wanted_by(self._read)
        self._socket = sock
        self._arrivals: set[Arrival] = set()
        self._is_reading = False
        self._is_retrying = False
        self._is_closed = False

    async def start_serving(self) -> None:
        self._read()

    def close(self) -> None:
        """Accept no more; who has arrived is unaffected."""
        self._pause()
        self._is_closed = True
        self._socket.close()

    def done(self, arrival: "Arrival") -> None:
        self._arrivals.discard(arrival)
        if len(self._arrivals) == PENDING_MAX - 1:
            self._read()

    def _read(self) -> None:
        if not (self._is_reading or self._is_closed or self._is_retrying):
            self._is_reading = True
            self.group.loop.add_reader(self._socket.fileno(), self._accept)

    def _pause(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self.group.loop.remove_reader(self._socket.fileno())

    def _retry(self) -> None:
        self._is_retrying = False
        self._read()

    def _accept(self) -> None:
        room = self.group.room
        if len(self._arrivals) >= PENDING_MAX or (room is not None and not room.has_place()):
            self._pause()  # until an arrival is done, or there is room
            return
        try:
            connection, _ = self._socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            if error.errno not in _NO_RESOURCES:
                raise
            log.error("cannot accept connections: %s", error.strerror)
            self._pause()
            self._is_retrying = True
            self.group.loop.call_later(RETRY_S, self._retry)
            return
        connection.setblocking(False)
        self._arrivals.add(Arrival(self, connection))


class Arrival:
    """A connection until HTTP begins on it."""

    __slots__ = ("_deadline", "_has_begun", "_listener", "_socket", "_task")

    def __init__(self, listener: ArrivalListener, sock: socket.socket) -> None:
        group = listener.group
        self._listener = listener
        self._socket: socket.socket | None = sock
        self._has_begun = False
        self._deadline = group.now + group.host.timeouts.handshake
        group.add(self)
        self._task = group.loop.create_task(self._arrive(sock))
        self._task.add_done_callback(self._done)

    # As the group sees it.

    def sweep(self, now: float) -> None:
        if now >= self._deadline:
            self.abort()

    def close_if_idle(self) -> None:
        group = self._listener.group
        if not self._has_begun:
            self.abort()
        else:  # a handshake takes no longer than a few round trips
            self._deadline = min(self._deadline, group.now + group.host.timeouts.linger)

    def abort(self) -> None:
        self._task.cancel()

    # Its life.

    async def _arrive(self, sock: socket.socket) -> None:
        listener = self._listener
        header, early = None, b""
        if listener.policy is not None and listener.policy.covers(sock.getpeername()):
            header, early = await self._read_header(sock, listener.policy)
        context: ssl.SSLContext | None = None
        if listener.certificates is not None:
            if early or not await self._begins_with_tls(sock):
                return
            context = listener.certificates.context
        await self._hand_over(sock, partial(listener.channel, header=header, early=early), context)

    async def _hand_over(
        self, sock: socket.socket, factory: Callable[[], H1Channel], context: ssl.SSLContext | None
    ) -> None:
        group = self._listener.group
        self._socket = None  # the transport's from now on
        channel = factory()  # ours: with TLS, uvloop gives back its own protocol
        if context is None:
            await group.loop.connect_accepted_socket(lambda: channel, sock)
        else:
            await group.loop.connect_accepted_socket(
                lambda: channel,
                sock,
                ssl=context,
                ssl_handshake_timeout=group.host.timeouts.handshake,
                ssl_shutdown_timeout=SHUTDOWN_S,
            )
        if group.draining:
            group.close_soon(channel)

    async def _read_header(
        self, sock: socket.socket, policy: ProxyPolicy
    ) -> tuple[ProxyHeader | None, bytes]:
        """The header; or None, and what was taken for the begin of one."""
        reader = ProxyHeaderReader(policy.versions, required=policy.required)
        while reader.header is None:
            taken = reader.take(await self._peek(sock))
            if reader.is_absent:
                return None, reader.taken
            sock.recv(taken)
        return reader.header, b""

    async def _begins_with_tls(self, sock: socket.socket) -> bool:
        """Is it a handshake that comes? Who speaks plain HTTP is told what is wrong."""
        begin = await self._peek(sock)
        if begin[0] == _HANDSHAKE:
            return True
        if begin[:1].isalpha():
            log.info("plain HTTP came to a TLS port: answered 400")
            sock.send(_PLAIN_HTTP)
            sock.shutdown(socket.SHUT_WR)
            discarded = 0
            while discarded < _DISCARD_MAX:  # a close with unread bytes would reset the answer
                await self._peek(sock)
                discarded += len(sock.recv(_DISCARD_MAX))
        return False

    async def _peek(self, sock: socket.socket) -> bytes:
        """What has come and was not taken; EOFError when nothing will."""
        while True:
            try:
                data = sock.recv(_PEEK, socket.MSG_PEEK)
            except (BlockingIOError, InterruptedError):
                await self._readable(sock)
                continue
            if not data:
                raise EOFError
            self._has_begun = True
            return data

    async def _readable(self, sock: socket.socket) -> None:
        loop = self._listener.group.loop
        readable = loop.create_future()
        loop.add_reader(sock.fileno(), _resolve, readable)
        try:
            await readable
        finally:
            loop.remove_reader(sock.fileno())

    def _done(self, task: "asyncio.Task[None]") -> None:
        if self._socket is not None:
            self._socket.close()
        self._listener.group.remove(self)
        self._listener.done(self)
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, ProtocolError):
            log.info("connection closed: %s", error)
        elif error is not None and not isinstance(error, OSError | EOFError):
            log.error("a connection could not be made", exc_info=error)


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
