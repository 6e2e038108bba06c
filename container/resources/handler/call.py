"""One request of a handler: it runs in a thread and speaks HTTP over a socket, whose other end is ours.

A real socket, because handlers do with it whatever they like: select, dup2, sendfile, settimeout. The kernel
then brings back-pressure and broken pipes too. Each method says which thread calls it.
"""

import asyncio
import logging
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from container.message.body import EMPTY
from container.message.exchange import Exchange
from container.message.headers import Headers
from container.message.request import Request
from container.protocol.answer import AnswerHead, AnswerReader, BadAnswer
from container.resources.deadlines import Deadline

if TYPE_CHECKING:
    from container.resources.handler.resource import HandlerResource

log = logging.getLogger("container.handler")

_PIECE: Final = 64 * 1024
# How many of them are passed on before others have their turn.
_PIECES: Final = 16
# Of the connection to the client, or what was settled before the handler was asked.
_OURS: Final = frozenset(
    {
        b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"te", b"trailer", b"upgrade",
        b"http2-settings", b"expect", b"content-length",
    }
)  # fmt: skip


class HandlerCall:
    """Runs a handler for one exchange. The job of a ThreadPool."""

    __slots__ = (
        "_closed", "_error", "_feeding", "_input", "_loop", "_ours", "_paused", "_pending", "_ran", "_reader",
        "deadline", "exchange", "replaced", "resource",
    )  # fmt: skip

    def __init__(self, resource: "HandlerResource", exchange: Exchange) -> None:
        self.resource = resource
        self.exchange = exchange
        self.replaced = False
        self.deadline: Deadline | None = None
        request = exchange.request
        self._loop = asyncio.get_running_loop()
        self._reader = AnswerReader(request.method)
        self._pending = _head_of(request)
        self._input: BinaryIO | None = None if request.body is EMPTY else request.body.file()
        self._feeding = False
        self._paused = self._ran = self._closed = False
        self._error: BaseException | None = None
        self._ours: socket.socket | None = None

    # In the handler's thread.

    def run(self) -> None:
        if self.deadline is not None and not self.deadline.begin():
            return
        try:
            if not self.exchange.gone:
                self._handle()
        except BaseException as error:  # noqa: BLE001  # the application's code, SystemExit included
            self._error = error
        if self.deadline is not None:
            self.replaced = self.deadline.finish()
        self.resource.pool.deliver(self)

    def _handle(self) -> None:
        """With sockets that are made only now: who waits for a thread holds none."""
        told = self.exchange.request.connection
        self._ours, theirs = socket.socketpair()
        self._ours.setblocking(False)
        connection = _Connection(theirs, told.client or ("", 0), told.server or ("", 0))
        try:
            self._loop.call_soon_threadsafe(self._begin)
            connection.setblocking(True)
            self.resource.handler(connection, connection.getpeername(), self.resource.server)
        finally:
            with suppress(OSError):  # it is closed, or nobody is at the other end
                connection.shutdown(socket.SHUT_WR)
            connection.close()

    # On the loop: what the handler reads.

    def _begin(self) -> None:
        if self._closed:  # while they were being made
            self.close()
        self.exchange.on_close(self._client_closed)
        if self._ours is not None:
            self._loop.add_reader(self._ours, self._read)
            self._feed()
        else:
            self._settle()

    def _feed(self) -> None:
        """Pass the request on, as far as the handler takes it; then nothing more will come."""
        ours = self._ours
        if ours is None:
            return
        try:
            while self._pending or self._more():
                self._pending = self._pending[ours.send(self._pending) :]
        except BlockingIOError:
            if not self._feeding:
                self._feeding = True
                self._loop.add_writer(ours, self._feed)
            return
        except (OSError, ValueError):
            # It reads no more, but may have answered; or it has, and the content was given back since.
            pass
        self._stop_feeding(ours)
        with suppress(OSError):
            ours.shutdown(socket.SHUT_WR)

    def _more(self) -> bool:
        if self._input is not None:
            self._pending = self._input.read(_PIECE)
        return bool(self._pending)

    def _stop_feeding(self, ours: socket.socket) -> None:
        if self._feeding:
            self._feeding = False
            self._loop.remove_writer(ours)

    # On the loop: what the handler writes.

    def _read(self) -> None:
        """Read what there is: when the other end was closed with something unread in it, uvloop calls once and never
        again."""
        for _ in range(_PIECES):
            if self._ours is None or self._paused:
                return
            try:
                data = self._ours.recv(_PIECE)
            except BlockingIOError:
                return
            except OSError:  # closed with something unread in it
                data = b""
            if not data:
                self.close()
                self._settle()
                return
            try:
                self._take(data)
            except Exception as error:  # noqa: BLE001  # no HTTP, an illegal field, a hook of the tree
                self.close()
                self.resource.fail(self.exchange, error)
        self._loop.call_soon(self._read)

    def _take(self, data: bytes) -> None:
        exchange, reader = self.exchange, self._reader
        if reader.complete:  # what comes after the end is not for the client
            return
        if exchange.gone:
            self.close()
            return
        content = reader.feed(data)
        for interim in reader.take_interim():
            exchange.inform(interim.status, Headers(interim.fields))
        if reader.head is None:
            return
        if not exchange.started:
            self._start(reader.head)
        flowing = exchange.write(content) if content else True
        if reader.complete:
            exchange.end()
        elif not flowing:
            assert self._ours is not None, "it was read just now"
            self._loop.remove_reader(self._ours)
            self._paused = True
            exchange.when_writable(self._resume)

    def _start(self, head: AnswerHead) -> None:
        request = self.exchange.request
        mount = request.raw_path[: request.consumed].rstrip(b"/").decode("latin-1")
        head.fields = [
            (name, mount + value if name.lower() == "location" and _is_path(value) else value)
            for name, value in head.fields
        ]
        self.exchange.start(head.status, head.block(), head.reason)

    def _resume(self) -> None:
        """The client takes more again, or has left."""
        if self._ours is None:
            return
        if self.exchange.gone:
            self.close()
        else:
            self._paused = False
            self._loop.add_reader(self._ours, self._read)

    def _client_closed(self, error: Exception | None) -> None:
        # One that has only closed its side still gets its answer; a handler may go on after a complete one.
        if error is not None and self.exchange.gone:
            self.close()

    # On the loop: the end.

    def delivered(self) -> None:
        self._ran = True
        self.resource.deadlines.forget(self)
        self._settle()

    def _settle(self) -> None:
        """The end of the answer, once the handler has returned and all it wrote was read."""
        if not self._ran or self._ours is not None:
            return
        exchange, error = self.exchange, self._error
        if exchange.gone:
            if error is not None and not isinstance(error, ConnectionError):
                log.error("%s failed after its answer", exchange.request, exc_info=error)
        elif error is not None:
            if not isinstance(error, Exception):
                wrapped = RuntimeError(f"the handler raised {type(error).__name__}")
                wrapped.__cause__ = error
                error = wrapped
            self.resource.fail(exchange, error)
        else:
            try:
                self._reader.finish()
                exchange.end()
            except BadAnswer as problem:
                self.resource.fail(exchange, problem)

    def give_up(self) -> None:
        """It takes too long: it finds a broken pipe when it comes back."""
        self.close()

    def close(self) -> None:
        """Close our end: the handler finds a broken pipe."""
        self._closed = True
        ours, self._ours = self._ours, None
        if ours is not None:
            self._stop_feeding(ours)
            self._loop.remove_reader(ours)
            with suppress(OSError):
                # With something unread in it, closing would reset the connection instead of breaking its pipe.
                ours.shutdown(socket.SHUT_RDWR)
                while ours.recv(_PIECE):
                    pass
            ours.close()


class _Connection(socket.socket):
    """A handler's end: says of itself what the client's connection would."""

    def __init__(self, end: socket.socket, client: tuple[str, int], server: tuple[str, int]) -> None:
        super().__init__(fileno=end.detach())
        self._client = client
        self._server = server

    def getpeername(self) -> tuple[str, int]:
        return self._client

    def getsockname(self) -> tuple[str, int]:
        return self._server

    def setsockopt(self, level: int, *arguments: Any) -> None:
        if level != socket.IPPROTO_TCP:  # the connection to the client has its options already
            super().setsockopt(level, *arguments)


def _head_of(request: Request) -> bytes:
    """The request as the handler shall see it: alone on its connection, its path below the mount."""
    path = request.raw_path[request.consumed :] or b"/"
    query = b"?" + request.raw_query if request.raw_query else b""
    lines = [b"%s %s%s HTTP/%s" % (request.method.encode(), path, query, request.http_version.encode())]
    lines += [b"%s: %s" % field for field in request.raw_headers if field[0] not in _OURS]
    if request.body.received or request.body.length is not None:
        lines.append(b"content-length: %d" % request.body.received)
    lines.append(b"connection: close\r\n\r\n")
    return b"\r\n".join(lines)


def _is_path(location: str) -> bool:
    return location.startswith("/") and not location.startswith("//")
