"""Serving sites on the running loop, asyncio's or uvloop.

`Server` opens the sockets of its sites, gives every connection a channel, and drains them at the end.
`serving` and `serve` are for embedding it. Nothing here touches the process: signals, limits and exit codes
are `loop.py`'s.
"""

from __future__ import annotations

import asyncio
import logging
import selectors
import socket
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from container.channel.balance import Balance
from container.channel.endpoints import (
    DEFAULT_BACKLOG,
    Endpoint,
    ListenError,
    UnixEndpoint,
    layers_of,
    listen_all,
    parse_endpoint,
    plain_endpoint,
    prepare_endpoint,
)
from container.channel.group import IDLE_GRACE_S, ChannelGroup
from container.channel.h1 import H1Channel
from container.channel.listener import ArrivalListener
from container.channel.peers import PeerCheckedChannel
from container.channel.room import Room
from container.service.activation import provide_passed_sockets
from container.service.metrics import Figures, Metering, pages_of
from container.tree.accesslog import Flushable
from container.tree.resource import Resource
from container.tree.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

log = logging.getLogger("container.server")

DEFAULT_ADDRESS: Final = "127.0.0.1:8080"
GRACEFUL_TIMEOUT_S: Final = 30.0
LOG_FLUSH_S: Final = 1.0
# Clients may go on connecting while the queue of accepted connections is emptied.
ACCEPT_MAX_S: Final = 0.2
# Connections that are accepted in one turn of the loop.
ACCEPT_BURST: Final = 1
# From accept() to connection_made() asyncio takes three turns of the loop.
TURNS: Final = 5
# What a resource may take to stop, after its connections are gone.
SITE_STOP_S: Final = 10.0


class Server:
    """Serves sites on their endpoints from `start` to `stop`; each of them once.

    A site may be bound more than once: it is started once, and its connections share a clock and a sweep.
    `addresses` are for people, `urls` for programs; after `listen` both know the real port of `tcp:0`.
    While there are `connections_max`, further ones wait in the kernel. `balance`: other processes accept at the
    same sockets, and shall have their share of the connections. `figures`: where they count for `Metrics`.
    """

    def __init__(
        self,
        bindings: Iterable[tuple[Site, Sequence[Endpoint]]],
        *,
        server_name: str = "container",
        connections_max: int | None = None,
        balance: Balance | None = None,
        figures: Figures | None = None,
    ) -> None:
        self._bindings = [(site, tuple(endpoints)) for site, endpoints in bindings]
        self.sites: tuple[Site, ...] = tuple(dict.fromkeys(site for site, _ in self._bindings))
        self.addresses: tuple[str, ...] = ()
        self._server_name = server_name
        counts = connections_max is not None or balance is not None
        self._room = Room(connections_max, balance) if counts else None
        self._figures = figures
        self._groups: dict[Site, ChannelGroup] = {}
        self._sockets: list[tuple[Site, Endpoint, socket.socket]] = []
        self._owns_sockets = True
        self._ports: list[int] = []
        self._listeners: list[asyncio.Server | ArrivalListener] = []
        self._undo = AsyncExitStack()
        self._ending: asyncio.Task[None] | None = None
        self._flush_timer: asyncio.TimerHandle | None = None

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(address.partition(" (every ")[0] for address in self.addresses)

    @property
    def port(self) -> int:
        """The port of the first TCP socket."""
        if not self._ports:
            raise RuntimeError("expected a server that listens on TCP, got one that does not")
        return self._ports[0]

    @property
    def connections(self) -> int:
        return sum(len(group.channels) for group in self._groups.values())

    # Beginning.

    def listen(self) -> None:
        """Open all sockets or none: ListenError. Clients may connect from now on; they wait until `start`."""
        provide_passed_sockets()
        with ExitStack() as undo:
            for site, endpoints in self._bindings:
                for endpoint, sock in listen_all(endpoints):
                    undo.callback(_give_back, endpoint, sock)
                    self._sockets.append((site, endpoint, sock))
            undo.pop_all()
        self._look_at_sockets()

    def adopt(self, sockets: Iterable[tuple[int, int, socket.socket]]) -> None:
        """Instead of `listen`: use sockets that listen already, and belong to somebody else.

        Each with the number of its binding, and of its endpoint there. They are duplicated; what the endpoints
        have left in the file system stays. Certificates are read: ListenError for what is wrong with them.
        """
        self._owns_sockets = False
        for _, endpoints in self._bindings:
            for each in endpoints:
                prepare_endpoint(each)
        for binding, endpoint, sock in sockets:
            site, endpoints = self._bindings[binding]
            copy = sock.dup()
            copy.setblocking(False)
            self._sockets.append((site, endpoints[endpoint], copy))
        self._look_at_sockets()

    def _look_at_sockets(self) -> None:
        self.addresses = tuple(endpoint.describe(sock) for _, endpoint, sock in self._sockets)
        names = [sock.getsockname() for _, _, sock in self._sockets]
        self._ports = [name[1] for name in names if isinstance(name, tuple)]

    def close_sockets(self) -> None:
        """Take `listen` or `adopt` back, when there will be no `start`."""
        for _, endpoint, sock in self._sockets:
            if self._owns_sockets:
                _give_back(endpoint, sock)
            else:
                sock.close()
        self._sockets.clear()

    async def start(self) -> None:
        """Start the sites and answer. When that fails, what was done is undone in reverse."""
        loop = asyncio.get_running_loop()
        if not self._sockets:
            self.listen()
        async with AsyncExitStack() as undo:
            undo.callback(self.close_sockets)
            for site in self.sites:
                await site.start()
                undo.push_async_callback(_stop_site, site)
            for site in self.sites:
                group = self._groups[site] = ChannelGroup(
                    site, loop, server_name=self._server_name, room=self._room
                )
                group.start()
                undo.callback(group.stop)
            if pages_of(self.sites):
                metering = Metering(self._groups, self._figures or Figures.alone())
                metering.start(loop)
                undo.callback(metering.stop)
            self._schedule_flush(loop)
            undo.callback(self._flush_for_good)
            for site, endpoint, sock in self._sockets:
                listener = await _accept(loop, self._groups[site], endpoint, sock)
                undo.callback(listener.close)
                self._listeners.append(listener)
            for listener in self._listeners:
                await listener.start_serving()
            for _, endpoint, sock in self._sockets:
                sock.listen(
                    getattr(plain_endpoint(endpoint), "backlog", DEFAULT_BACKLOG)
                )  # loops have called it with their own
            self._undo = undo.pop_all()

    # The end.

    async def stop(
        self, graceful_timeout: float = GRACEFUL_TIMEOUT_S, *, idle_grace: float = IDLE_GRACE_S
    ) -> None:
        """Accept no more, answer what is in flight for at most `graceful_timeout` seconds, and clean up.

        Idle connections are closed after `idle_grace` seconds, or after one more request.
        Later calls wait for the first. When the caller is cancelled meanwhile, connections are cut at once.
        """
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end(graceful_timeout, idle_grace))
        try:
            await asyncio.shield(self._ending)
        except asyncio.CancelledError:
            self.cut()
            await asyncio.wait({self._ending}, timeout=SITE_STOP_S)
            raise

    def cut(self) -> None:
        """Cut every connection, whatever it is doing."""
        for group in self._groups.values():
            for channel in list(group.channels):
                channel.abort()

    def close_idle(self) -> None:
        """While it stops: idle connections have had time enough."""
        for group in self._groups.values():
            group.close_idle()

    async def _end(self, timeout: float, idle_grace: float) -> None:
        if not self._listeners:
            self.close_sockets()
            return
        groups = self._groups.values()
        for group in groups:
            group.draining = True  # already now: answers to come announce the close
        for site in self.sites:
            site.drain()
        if self._room is not None:
            self._room.lift()  # who has connected already is answered, too
        await self._stop_accepting()
        open_before = self.connections
        if open_before:
            log.info("stopping: %d connection%s open", open_before, "s" if open_before > 1 else "")
        if not all(await asyncio.gather(*(group.drain(timeout, idle_grace=idle_grace) for group in groups))):
            log.warning("stopping: requests not answered within %g s were cut off", timeout)
        await _turns()
        await self._undo.aclose()

    async def _stop_accepting(self) -> None:
        """Take what the kernel has accepted already, else the close would reset it.

        UNIX sockets lose their names first, so that their queue ends. Those of TCP ports are closed in a
        moment when nobody waits; on a busy port it may never come, hence the limit.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + ACCEPT_MAX_S
        with selectors.DefaultSelector() as waiting:
            for _, endpoint, sock in self._sockets:
                if self._owns_sockets:
                    _release(endpoint, sock)
                waiting.register(sock, selectors.EVENT_READ)
            quiet = 0
            while quiet < TURNS and loop.time() < until:
                await asyncio.sleep(0)
                quiet = 0 if waiting.select(0) else quiet + 1
        if quiet < TURNS and isinstance(loop, asyncio.SelectorEventLoop):
            # asyncio fails on a connection whose listener is closed between accept() and connection_made().
            for _, _, sock in self._sockets:
                loop.remove_reader(sock)
            await _turns()
        for listener in self._listeners:  # in the quiet turn itself: with every other more might come
            listener.close()
        if quiet < TURNS:
            await _turns()  # the last ones get their channels, for which the drain waits

    # The access log.

    def _schedule_flush(self, loop: asyncio.AbstractEventLoop) -> None:
        self._flush_timer = loop.call_later(LOG_FLUSH_S, self._flush_on_time, loop)

    def _flush_on_time(self, loop: asyncio.AbstractEventLoop) -> None:
        self._schedule_flush(loop)
        self._flush()

    def _flush_for_good(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        self._flush()

    def _flush(self) -> None:
        for listener in {site.log for site in self.sites}:
            if isinstance(listener, Flushable):
                listener.flush()


@asynccontextmanager
async def serving(
    site: Resource, *addresses: str | int | Endpoint, graceful_timeout: float = GRACEFUL_TIMEOUT_S
) -> AsyncIterator[Server]:
    """Serve a Site, or any resource as the root of one, while the block runs; the server knows its `port`."""
    server = Server([(as_site(site), as_endpoints(addresses))])
    await server.start()
    try:
        yield server
    finally:
        await server.stop(graceful_timeout)


async def serve(
    site: Resource,
    *addresses: str | int | Endpoint,
    graceful_timeout: float = GRACEFUL_TIMEOUT_S,
    ready: Callable[[Server], object] | None = None,
) -> None:
    """Serve until cancelled; then stop gracefully and let the cancellation out. A second one cuts short.

    `ready` is told the server as soon as it answers. Without addresses it is 127.0.0.1:8080.
    """
    async with serving(site, *addresses, graceful_timeout=graceful_timeout) as server:
        if ready is not None:
            ready(server)
        await asyncio.get_running_loop().create_future()


def as_site(value: object) -> Site:
    """A Site itself, or one whose root is the given resource."""
    if isinstance(value, Site):
        return value
    if isinstance(value, Resource):
        return Site(value)
    raise TypeError(f"expected a Site or a Resource to serve, got {value!r}")


def as_endpoints(addresses: Iterable[str | int | Endpoint]) -> tuple[Endpoint, ...]:
    """Endpoints from the strings that stand for them; the default address when there are none."""
    endpoints = tuple(
        parse_endpoint(str(address)) if isinstance(address, str | int) else address for address in addresses
    )
    return endpoints or (parse_endpoint(DEFAULT_ADDRESS),)


async def _accept(
    loop: asyncio.AbstractEventLoop, group: ChannelGroup, endpoint: Endpoint, sock: socket.socket
) -> asyncio.Server | ArrivalListener:
    policy, certificates = layers_of(endpoint)
    plain = plain_endpoint(endpoint)
    peers = plain.peers if isinstance(plain, UnixEndpoint) else None
    if peers is not None and plain is not endpoint:
        raise ListenError(endpoint.describe(sock), "peers= is for UNIX sockets without anything around them")
    channel = partial(H1Channel, group) if peers is None else partial(PeerCheckedChannel, group, peers)
    is_tcp = sock.family != getattr(socket, "AF_UNIX", None)
    if is_tcp:
        # What is accepted inherits it. asyncio sets it for each connection, uvloop for none that it accepts at a
        # socket it was given: the second write of an answer would wait for the client's acknowledgement, 40 ms of it.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if policy is not None or certificates is not None or group.room is not None:
        return ArrivalListener(group, sock, channel, policy=policy, certificates=certificates)
    # asyncio takes the backlog for the number of connections to accept at a time, and tries as often again when
    # files have run out; the socket keeps the one it listens with.
    if is_tcp:
        return await loop.create_server(channel, sock=sock, backlog=ACCEPT_BURST, start_serving=False)
    return await loop.create_unix_server(channel, sock=sock, backlog=ACCEPT_BURST, start_serving=False)


async def _turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def _stop_site(site: Site) -> None:
    try:
        async with asyncio.timeout(SITE_STOP_S):
            await site.stop()
    except TimeoutError:
        log.error("%r did not stop within %g s", site, SITE_STOP_S)
    except Exception:  # resources are the application's code
        log.exception("%r did not stop", site)


def _release(endpoint: Endpoint, sock: socket.socket) -> None:
    try:
        endpoint.release(sock)
    except OSError as error:  # the rights to the directory may be gone
        log.warning("%s was left behind: %s", endpoint.describe(sock), error)


def _give_back(endpoint: Endpoint, sock: socket.socket) -> None:
    """Undo a `listen`, unless a listener has closed its socket already."""
    if sock.fileno() >= 0:
        _release(endpoint, sock)
        sock.close()
