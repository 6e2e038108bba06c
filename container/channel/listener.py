"""Where connections are accepted that do not begin with HTTP, or whose number has a limit or is to be shared with other
processes; all others the loop accepts itself, as none can be made to accept for a while and then no more.

What comes before HTTP is read in arrival.py; whether there is a place for the next connection says room.py.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Final

from container.channel.arrival import Arrival
from container.channel.certificates import Certificates
from container.channel.endpoints.haproxy import ProxyPolicy
from container.channel.group import ChannelGroup
from container.channel.h1 import H1Channel

log = logging.getLogger("container.channel")

# Connections that have not finished their beginning; more wait in the kernel.
PENDING_MAX: Final = 1000
# Connections that are accepted in one turn of the loop. With two workers and clients that connect for each request, 8
# instead of 1 save an eighth of the time, 32 no more than that.
BURST: Final = 8
# Files have run out: time for some to be closed.
RETRY_S: Final = 1.0
_NO_RESOURCES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


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
        self._socket = sock
        self._arrivals: set[asyncio.Task[None]] = set()
        self._is_reading = False
        self._is_retrying = False
        self._is_closed = False
        if group.room is not None:
            group.room.wanted_by(self._read)

    async def start_serving(self) -> None:
        self._read()

    def close(self) -> None:
        """Accept no more; who has arrived is unaffected."""
        self._pause()
        self._is_closed = True
        self._socket.close()

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
        for _ in range(BURST):
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
            task = self._begin(connection)
            self._arrivals.add(task)
            task.add_done_callback(self._done)

    def _begin(self, sock: socket.socket) -> "asyncio.Task[None]":
        group = self.group
        if self.policy is not None or self.certificates is not None:
            sock.setblocking(False)
            return Arrival(group, sock, self.channel, self.policy, self.certificates).task
        channel = self.channel()
        if group.room is not None:
            group.room.take(channel)  # the next one may be accepted before the loop has made its transport
        return group.loop.create_task(self._connect(sock, channel))

    async def _connect(self, sock: socket.socket, channel: H1Channel) -> None:
        group = self.group
        try:
            await group.loop.connect_accepted_socket(lambda: channel, sock)
        except OSError:  # the client has left already
            sock.close()
            group.remove(channel)
        else:
            if group.draining:
                group.close_soon(channel)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._arrivals.discard(task)
        if len(self._arrivals) == PENDING_MAX - 1:
            self._read()
