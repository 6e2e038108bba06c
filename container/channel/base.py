"""What all exchanges have in common, whatever carries them: their state, who watches them, the request's content.

How an answer leaves is not here: `exchange.py` sends it over HTTP/1.1, `service/hosted/exchange.py` hands it to a
foreign server. The Protocol and its contract are in `message/exchange.py`.
"""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Final

from container.channel.content import close, forget, pieces_of
from container.channel.watchers import Waiters, Watchers
from container.message.errors import ClientDisconnected, ProtocolError
from container.message.exchange import CloseObserver, Exchange, HeadHook, Host
from container.message.response import Content, Response

# Content in memory that nobody reads: above this the client has to wait.
UNREAD_MAX: Final = 64 * 1024
# What the access log says of a client that left before it was answered.
CLIENT_CLOSED_REQUEST: Final = 499
# A length that was not announced.
UNKNOWN: Final = -1


class BaseExchange(Exchange):
    """One request and what becomes of it.

    There is no `__init__`: a class of which a server makes ten thousand a second sets all of its slots in one go.
    """

    __slots__ = (
        "_discards", "_left", "_watchers",
        "bytes_sent", "disconnected", "ended", "gone", "request", "started", "status",
    )  # fmt: skip

    logger: ClassVar[logging.Logger]
    """Told of what observers raise."""

    disconnected: bool
    # Set by start(): is content kept from the wire, and what is left of its length?
    _discards: bool
    _left: int
    _watchers: Watchers | None

    # What differs.

    @property
    @abstractmethod
    def host(self) -> Host:
        """Whom the exchange is served by, while it is not gone."""

    @property
    @abstractmethod
    def _is_full(self) -> bool:
        """Should whoever writes wait?"""

    @abstractmethod
    def _want(self) -> None:
        """Somebody waits for content: have it come, and ask a client for it that holds it back."""

    @abstractmethod
    def _check_late(self) -> None:
        """A verb came late: raise ExchangeStateError unless that does no harm."""

    @abstractmethod
    def _broke_off(self, error: Exception) -> None:
        """The iterable failed: the site may still answer with an error page if nothing has left."""

    # Answers.

    def respond(self, response: Response) -> None:
        body = response.body
        if body.__class__ is bytes or isinstance(body, bytes):
            self.reply(response.status, response.sealed or response.block(), body, response.reason)
            return
        try:
            self.start(response.status, response.block(), response.reason)
        except BaseException:
            forget(body)
            raise
        self.stream(body)

    async def _send_pieces(self, body: Content) -> None:
        """Send an iterable as it yields, no faster than the client reads; close it whatever happens."""
        try:
            if self._is_full:
                await self.drain()
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

    async def drain(self) -> None:
        if self.gone:
            if self.disconnected:
                raise ClientDisconnected("the client has left")
        elif self._is_full:
            await _waiter(self._watch().writers)
            if self.gone:
                raise ClientDisconnected("the client has left")

    def when_writable(self, callback: Callable[[], None]) -> None:
        if not self.gone and self._is_full:
            self._watch().on_writable = callback
        else:
            callback()

    def restart(self) -> None:
        if self.gone or self.started:
            self._check_late()
            return
        if self._watchers is not None:
            self._watchers.hooks.clear()
            self._watchers.encoding = None
        self.host.dispatch(self)

    # The request's content.

    async def receive(self) -> None:
        body = self.request.body
        if body.held or body.complete:
            return
        if body.error is not None:
            raise body.error
        if self.gone:
            raise ClientDisconnected("the exchange is over")
        readable = _waiter(self._watch().readers)
        self._want()
        await readable

    async def complete(self) -> None:
        body = self.request.body
        while not body.complete:
            if body.error is not None:
                raise body.error
            if self.gone:
                raise ClientDisconnected("the exchange is over")
            host = self.host
            body.spool(host.limits.spool_memory, host.quota)
            progress = _waiter(self._watch().readers)
            self._want()
            await progress

    def when_readable(self, callback: Callable[[], None]) -> None:
        body = self.request.body
        if self.gone or body.held or body.complete or body.error is not None:
            callback()
            return
        self._watch().on_readable = callback
        self._want()

    def when_complete(self, callback: Callable[[], None]) -> None:
        body = self.request.body
        if body.complete:
            callback()
        elif isinstance(body.error, ProtocolError):  # it broke before anybody asked
            self.broken(body.error)
        elif not self.gone and body.error is None:
            host = self.host
            self._watch().on_complete = callback
            try:
                body.spool(host.limits.spool_memory, host.quota)
            except ProtocolError as error:
                self.broken(error)
                return
            self._want()

    def content_arrived(self) -> None:
        """More of the content is there, or its end."""
        watchers = self._watchers
        if watchers is None:
            return
        if watchers.on_complete is None:
            watchers.tell_readable()
        elif self.request.body.complete:
            watchers.tell_complete()

    def broken(self, error: ProtocolError) -> None:
        """The rest of the content will not come, or is not wanted: answer with the error if that is possible."""
        if self.gone:
            return
        self.request.body.fail(error)
        if self._watchers is not None:
            self._watchers.on_complete = None
            self._watchers.tell_readable()
        if not self.started:
            host = self.host
            try:
                self.respond(host.refuse(error))
            except Exception as second:  # noqa: BLE001  # hooks and encoders may be the application's code
                host.failed(self, second)

    # Observers and hooks.

    def on_close(self, observer: CloseObserver) -> None:
        if self.ended or self.disconnected:
            observer(ClientDisconnected("the client has left") if self.disconnected else None)
        else:
            self._watch().observers.append(observer)

    def before_head(self, hook: HeadHook) -> None:
        if not self.gone:  # or one that is over for good would keep it
            self._watch().hooks.append(hook)

    def _watch(self) -> Watchers:
        if self._watchers is None:
            self._watchers = Watchers()
        return self._watchers

    def _tell_observers(self, error: Exception | None) -> None:
        if self._watchers is not None:
            observers, self._watchers.observers = self._watchers.observers, []
            for observer in observers:
                try:
                    observer(error)
                except Exception:  # the observer is the application's code
                    self.logger.exception("an observer of %s failed", self.request)


def _waiter(waiters: Waiters) -> "asyncio.Future[None]":
    """One more of them."""
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiters.append(waiter)
    return waiter
