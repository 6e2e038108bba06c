"""Connections that do not begin with HTTP: with a PROXY header, with a TLS handshake, or one after the other.

A header is read off the socket before a transport has it, and who speaks plain HTTP to a TLS port is told so. Until
the channel takes over, an arrival counts as a channel of the group, so that the sweep sees its deadline and the drain
waits for it. Who accepts them is listener.py.
"""

import asyncio
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

# Transports count from the close on, also while a slow client takes the end of a long answer. The sweep knows
# whether it makes progress and cuts it off before.
SHUTDOWN_S: Final = 300.0
_PEEK: Final = 512
_HANDSHAKE: Final = 0x16
_DISCARD_MAX: Final = 64 * 1024
_ADVICE: Final = b"This port speaks HTTPS: the address has to begin with https://.\n"
_PLAIN_HTTP: Final = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
    b"Connection: close\r\n\r\n%b" % (len(_ADVICE), _ADVICE)
)


class Arrival:
    """A connection until HTTP begins on it.

    `channel` is called with what came before: `header` and `early`, as those of H1Channel.
    """

    __slots__ = (
        "_certificates",
        "_channel",
        "_deadline",
        "_group",
        "_has_begun",
        "_policy",
        "_socket",
        "task",
    )

    def __init__(
        self,
        group: ChannelGroup,
        sock: socket.socket,
        channel: Callable[..., H1Channel],
        policy: ProxyPolicy | None,
        certificates: Certificates | None,
    ) -> None:
        self._group = group
        self._socket: socket.socket | None = sock
        self._channel = channel
        self._policy = policy
        self._certificates = certificates
        self._has_begun = False
        self._deadline = group.now + group.host.timeouts.handshake
        group.add(self)
        self.task = group.loop.create_task(self._arrive(sock))
        self.task.add_done_callback(self._done)

    # As the group sees it.

    def sweep(self, now: float) -> None:
        if now >= self._deadline:
            self.abort()

    def close_if_idle(self) -> None:
        group = self._group
        if not self._has_begun:
            self.abort()
        else:  # a handshake takes no longer than a few round trips
            self._deadline = min(self._deadline, group.now + group.host.timeouts.linger)

    def abort(self) -> None:
        self.task.cancel()

    # Its life.

    async def _arrive(self, sock: socket.socket) -> None:
        header, early = None, b""
        if self._policy is not None and self._policy.covers(sock.getpeername()):
            header, early = await self._read_header(sock, self._policy)
        context: ssl.SSLContext | None = None
        if self._certificates is not None:
            if early or not await self._begins_with_tls(sock):
                return
            context = self._certificates.context
        await self._hand_over(sock, partial(self._channel, header=header, early=early), context)

    async def _hand_over(
        self, sock: socket.socket, factory: Callable[[], H1Channel], context: ssl.SSLContext | None
    ) -> None:
        group = self._group
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
        loop = self._group.loop
        readable = loop.create_future()
        loop.add_reader(sock.fileno(), _resolve, readable)
        try:
            await readable
        finally:
            loop.remove_reader(sock.fileno())

    def _done(self, task: "asyncio.Task[None]") -> None:
        if self._socket is not None:
            self._socket.close()
        self._group.remove(self)
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
