"""The connections to one server: kept for the next request, bounded in number, waited for in order. Hot path.

One sweep while there are any compares deadlines: no timer a request.
"""

import asyncio
import errno
import ssl
from abc import abstractmethod
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from container.client.address import Address
from container.client.connect import Permit, open_connection
from container.client.connection import ClientConnection
from container.client.errors import UpstreamError
from container.client.pooled import PooledConnection
from container.protocol.response_head import ResponseTokeniser

_SWEEP_MAX_S: Final = 1.0
# What this machine has no more of.
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
# How many kept connections of one server may turn out to have ended before it is taken for a failure of that: where
# all connections are in use, who asks for a fresh one gets the next that another has used.
STALE_MAX: Final = 4


@dataclass(frozen=True, slots=True)
class ClientTimeouts:
    """How long another server is waited for, in seconds.

    `connect`: until the connection stands. `queue`: for a free connection when there are too many. `answer`:
    from the end of the request to the whole head of the answer. `read`: between two pieces of it, and of the request.
    `idle`: how long a connection is kept for the next request; less than the server keeps it.
    """

    connect: float = 5.0
    queue: float = 10.0
    answer: float = 60.0
    read: float = 60.0
    idle: float = 4.0

    def __post_init__(self) -> None:
        for name in ("connect", "queue", "answer", "read", "idle"):
            if not getattr(self, name) > 0:
                raise ValueError(f"expected a timeout above 0 for {name!r}, got {getattr(self, name)!r}")


ConnectionT = TypeVar("ConnectionT", bound=PooledConnection)
ConnectionT_contra = TypeVar("ConnectionT_contra", bound=PooledConnection, contravariant=True)


class Asker(Protocol[ConnectionT_contra]):
    """Who wants a connection. None of these may raise."""

    @property
    def may_repeat(self) -> bool:
        """May the same be asked again when a kept connection turns out to have ended?"""

    def connected(self, connection: ConnectionT_contra) -> None:
        """A connection is yours: send the request."""

    def broke(self, error: UpstreamError) -> None:
        """There is none."""

    def is_gone(self) -> bool:
        """It is not wanted any more."""


class ConnectionPool(Generic[ConnectionT]):
    """The connections to one server on one loop.

    `max_connections`: open at one time; requests beyond that wait, at most `max_waiting` of them. `max_idle`: kept.
    `permit`: asked of every address the name of the server leads to; see `connect.py`. `now`: when it was swept last,
    at most `sweep_s` seconds ago. `settle_s`: how long a kept connection is watched before it is given to somebody
    who must not ask again, for servers that end some without a word.
    """

    __slots__ = (
        "_connecting", "_idle", "_is_closed", "_loop", "_max_idle", "_open", "_permit", "_tasks", "_timer", "_waiting",
        "address", "max_connections", "max_waiting", "now", "settle_s", "sweep_s", "timeouts",
    )  # fmt: skip

    def __init__(
        self,
        address: Address,
        timeouts: ClientTimeouts | None = None,
        *,
        max_connections: int = 256,
        max_idle: int = 64,
        max_waiting: int = 1024,
        permit: Permit | None = None,
    ) -> None:
        self.address = address
        self.timeouts = timeouts or ClientTimeouts()
        self.max_connections = max_connections
        self.max_waiting = max_waiting
        self.now = self.settle_s = 0.0
        self._max_idle = max_idle
        self._permit = permit
        self._idle: list[ConnectionT] = []
        self._open: set[ConnectionT] = set()
        # In the order they came: until when each waits.
        self._waiting: dict[Asker[ConnectionT], float] = {}
        self._connecting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_closed = False
        limits = self.timeouts
        shortest = min(limits.connect, limits.queue, limits.answer, limits.read, limits.idle)
        self.sweep_s = min(_SWEEP_MAX_S, shortest / 4)

    @abstractmethod
    def _make(self) -> ConnectionT:
        """A connection that is about to be opened."""

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    @property
    def is_unused(self) -> bool:
        return not (self._open or self._waiting or self._tasks)

    # Asking.

    def request(self, receiver: Asker[ConnectionT], *, fresh: bool = False) -> None:
        """Give `receiver` a connection, now or later, or tell it why there is none. `fresh`: a new one."""
        idle = self._idle
        while idle and not fresh:
            connection = idle.pop()
            if not connection.transport.is_closing():
                connection.is_reused = True
                if self.settle_s and not receiver.may_repeat:
                    self._give_soon(receiver, connection)
                else:
                    receiver.connected(connection)
                return
        if self._timer is None:
            self._start()
        if self.connections + self._connecting < self.max_connections:
            self._waiting[receiver] = float("inf")
            self._connect()
        elif len(self._waiting) < self.max_waiting:
            self._queue(receiver)
        else:
            receiver.broke(
                UpstreamError(503, f"too many requests wait for {self.address}", was_sent=False, blames=False)
            )

    def cancel(self, receiver: Asker[ConnectionT]) -> None:
        """`receiver` waits no longer."""
        self._waiting.pop(receiver, None)

    def release(self, connection: ConnectionT) -> None:
        """`connection` is ready for another request."""
        while self._waiting:
            receiver = self._next()
            if not receiver.is_gone():
                connection.is_reused = True
                self._give_soon(receiver, connection)  # not from inside of the answer to another
                return
        if len(self._idle) < self._max_idle and self._timer is not None:
            connection.rest()
            self._idle.append(connection)
        else:
            connection.transport.close()

    def _give_soon(self, receiver: Asker[ConnectionT], connection: ConnectionT) -> None:
        if self.settle_s and not receiver.may_repeat:
            self._running().call_later(self.settle_s, self._give, receiver, connection)
        else:
            self._running().call_soon(self._give, receiver, connection)

    def _give(self, receiver: Asker[ConnectionT], connection: ConnectionT) -> None:
        if self._is_closed:
            receiver.broke(_stopping())
        elif connection.transport.is_closing():
            if self._timer is None:
                self._start()
            self._queue(receiver)
            self._refill()
        elif receiver.is_gone():
            self.release(connection)
        else:
            receiver.connected(connection)

    def forget(self, connection: ConnectionT) -> None:
        """`connection` is not ours any more."""
        if connection in self._open:
            self._open.discard(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._refill()

    def _queue(self, receiver: Asker[ConnectionT]) -> None:
        """Let it wait, never shorter than it may: `now` is as old as the last sweep."""
        self._waiting[receiver] = self.now + self.sweep_s + self.timeouts.queue

    def _next(self) -> Asker[ConnectionT]:
        receiver = next(iter(self._waiting))
        del self._waiting[receiver]
        return receiver

    # Connecting.

    def _refill(self) -> None:
        """Connect for those that wait, where there is room again."""
        if (
            len(self._waiting) > self._connecting
            and self.connections + self._connecting < self.max_connections
        ):
            self._connect()

    def _connect(self) -> None:
        self._connecting += 1
        task = self._running().create_task(self._try_to_connect())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _try_to_connect(self) -> None:
        error = None
        connection = self._make()
        try:
            async with asyncio.timeout(self.timeouts.connect):
                await open_connection(self.address, lambda: connection, self._permit)
        except TimeoutError:
            error = UpstreamError(
                504, f"no connection to {self.address} within {self.timeouts.connect:g} s", was_sent=False
            )
        except UpstreamError as reason:
            error = reason
        except (OSError, ssl.SSLError, UnicodeError) as reason:
            is_ours = isinstance(reason, OSError) and reason.errno in _EXHAUSTED
            error = UpstreamError(
                503 if is_ours else 502,
                f"no connection to {self.address}: {reason}",
                was_sent=False,
                blames=not is_ours,
            )
        finally:
            self._connecting -= 1
        if error is None:
            if self._timer is None:  # closed meanwhile
                connection.transport.abort()
                return
            self._open.add(connection)
            self._hand_out(connection)
        elif self._waiting:
            self._next().broke(error)
            self._refill()

    def _hand_out(self, connection: ConnectionT) -> None:
        """A new connection goes to the first that waits."""
        while self._waiting:
            receiver = self._next()
            if not receiver.is_gone():
                receiver.connected(connection)
                return
        self.release(connection)

    # Time, and the end.

    def _running(self) -> asyncio.AbstractEventLoop:
        assert self._loop is not None, "it was started by its first request"
        return self._loop

    def _start(self) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._is_closed = False
        self.now = loop.time()
        self._timer = loop.call_later(self.sweep_s, self._sweep)

    def _sweep(self) -> None:
        loop = self._running()
        self.now = now = loop.time()
        self._timer = loop.call_later(self.sweep_s, self._sweep)
        for connection in list(self._open):
            connection.sweep(now)
        for receiver, until in list(self._waiting.items()):
            if receiver.is_gone():
                del self._waiting[receiver]
            elif now >= until:
                del self._waiting[receiver]
                message = f"no free connection to {self.address} within {self.timeouts.queue:g} s"
                receiver.broke(UpstreamError(503, message, was_sent=False, blames=False))
        if self.is_unused:
            self._timer.cancel()
            self._timer = None

    async def close(self) -> None:
        """Cut every connection and wait until nothing is left."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while self._waiting:
            self._next().broke(_stopping())
        self._idle.clear()
        for connection in list(self._open):
            connection.transport.abort()
        await asyncio.sleep(0)  # transports close in the next turn, those that were forgotten just now too
        self._open.clear()


def _stopping() -> UpstreamError:
    return UpstreamError(503, "the server is stopping", was_sent=False, blames=False)


class Pool(ConnectionPool[ClientConnection]):
    """Connections that speak HTTP/1.1."""

    __slots__ = ("tokeniser",)

    def __init__(
        self,
        address: Address,
        timeouts: ClientTimeouts | None = None,
        *,
        max_connections: int = 256,
        max_idle: int = 64,
        max_waiting: int = 1024,
        permit: Permit | None = None,
    ) -> None:
        super().__init__(
            address,
            timeouts,
            max_connections=max_connections,
            max_idle=max_idle,
            max_waiting=max_waiting,
            permit=permit,
        )
        self.tokeniser = ResponseTokeniser()

    def _make(self) -> ClientConnection:
        return ClientConnection(self)
