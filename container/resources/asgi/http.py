"""One HTTP request run by an ASGI application: its `receive` and its `send` (ASGI HTTP 2.4).

Hot path. `http.response.start` is held back until the first content, so that an answer of one piece is one
write, and so that an application that fails before it still gets an error page.
"""

import asyncio
from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from container.message.errors import ClientDisconnected, HTTPError, ProtocolError
from container.message.exchange import Exchange
from container.message.fields import FieldBlock, encode_fields
from container.message.headers import Headers
from container.resources.asgi.files import part_of, whole_file
from container.resources.asgi.scope import Message, Scope

if TYPE_CHECKING:
    from container.resources.asgi.resource import ASGIResource

# Pieces that are sent in one go before others get their turn, though the client takes them all.
BURST: Final = 64
# A stream that has said nothing for so long after its client closed its side has lost it.
SILENCE_S: Final = 5.0
# What server-sent events get to end by themselves when the server begins to stop.
DRAIN_S: Final = 0.5
# How far the answer has come.
_NOTHING: Final = 0
_HEAD: Final = 1  # start was called
_TRAILERS: Final = 2  # content is complete, trailers are due
_COMPLETE: Final = 3

_BLOCKS_MAX: Final = 256
_BLOCK_SIZE: Final = 1024
# Header lists that applications send again and again, checked and encoded.
_blocks: dict[tuple[tuple[bytes, bytes], ...], FieldBlock] = {}
_PIECE: Final = 64 * 1024
# Content that is named in place of being sent.
_FILES: Final = ("http.response.pathsend", "http.response.zerocopysend")


class HTTPCall:
    """The application runs in a task of its own; `receive` and `send` belong to it."""

    __slots__ = (
        "_block", "_file", "_observing", "_pieces", "_read", "_status", "_told", "_trailers", "_waiters",
        "cancelled", "deadline", "exchange", "phase", "resource", "scope", "task",
    )  # fmt: skip

    task: "asyncio.Task[None]"
    _status: int
    _block: FieldBlock

    def __init__(self, resource: "ASGIResource", exchange: Exchange, scope: Scope) -> None:
        self.resource = resource
        self.exchange = exchange
        self.scope = scope
        self.phase = _NOTHING
        self.deadline: asyncio.TimerHandle | None = None
        self.cancelled = False
        self._trailers = False
        self._read = False
        self._told = False  # that the client has left
        self._pieces = 0
        self._file: BinaryIO | None = None
        self._observing = False
        self._waiters: list[asyncio.Future[None]] | None = None

    async def run(self) -> None:
        """Run the application and settle what it leaves open. Raises nothing but a cancellation."""
        try:
            await self.resource.app(self.scope, self.receive, self.send)
        except GeneratorExit:  # the loop is gone
            raise
        except BaseException as error:  # the application's code, SystemExit included
            self._broke_off(error)
            if self.cancelled and isinstance(error, asyncio.CancelledError):
                raise
        else:
            if self.phase != _COMPLETE:
                self._left_open()
        finally:
            self.resource.ended(self)

    # What the application calls.

    async def receive(self) -> dict[str, Any]:
        exchange = self.exchange
        if not self._read:
            body = exchange.request.body
            if body.complete and not body.is_kept:
                self._read = True
                if not exchange.gone:
                    return {"type": "http.request", "body": body.take(), "more_body": False}
            else:
                message = await self._more()
                if message is not None:
                    return message
        if self._is_over():
            await asyncio.sleep(0)  # an application that asks on and on must not keep the loop
        else:
            await self._over()
        self._told = exchange.disconnected
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        exchange = self.exchange
        if self.phase == _COMPLETE:
            raise RuntimeError(f"expected nothing after the end of the answer, got {message['type']!r}")
        if exchange.gone:
            self._told = True
            await asyncio.sleep(0)  # an application that goes on and on must not keep the loop
            raise ClientDisconnected.told(has_left=exchange.disconnected)
        kind = message["type"]
        if kind == "http.response.body" and self.phase == _HEAD:
            data = message.get("body", b"")
            if data.__class__ is not bytes:
                data = _as_bytes(data)
            if message.get("more_body", False):
                if not exchange.started:
                    self._start()
                self._pieces += 1
                if not exchange.write(data):
                    await self._drained()
                elif not self._pieces % BURST:
                    await asyncio.sleep(0)
            elif exchange.started or self._trailers:
                self._end(data)
            else:
                self.phase = _COMPLETE
                self._in_time()
                exchange.reply(self._status, self._block, data)
        elif kind == "http.response.start" and self.phase == _NOTHING:
            self._block = _encode(message.get("headers", ()))
            self._status = _status_of(message)
            self._trailers = bool(message.get("trailers", False)) and exchange.request.http_version != "1.0"
            self.phase = _HEAD
        elif kind in _FILES and self.phase == _HEAD:
            await self._send_file(message)
        else:
            self._send_rare(kind, message)

    # The answer.

    def _start(self) -> None:
        self._in_time()
        self.exchange.start(self._status, self._block)
        self._observe()

    def _in_time(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def _end(self, data: bytes) -> None:
        """The last content; trailers may follow."""
        exchange = self.exchange
        if not exchange.started:
            self._start()
        if data:
            exchange.write(data)
        if self._trailers:
            self.phase = _TRAILERS
        else:
            self.phase = _COMPLETE
            exchange.end()

    async def _send_file(self, message: Message) -> None:
        """Content that lies in a file. One that is the whole answer gets ranges and validators, and leaves without
        being read; it may go on leaving after this has returned."""
        exchange = self.exchange
        more = message.get("more_body", False)
        if not (exchange.started or more or self._trailers):
            try:
                response = whole_file(exchange.request, self._status, self._block.fields, message)
            except (
                HTTPError
            ) as error:  # the client has asked for what is not there: not the application's concern
                self.phase = _COMPLETE
                self.resource.fail(exchange, error)
                return
            self.phase = _COMPLETE
            self._in_time()
            exchange.respond(response)
            return
        with closing(part_of(message)) as part:
            if not exchange.started:
                self._start()
            if exchange.request.method != "HEAD":
                for data in part:
                    self._pieces += 1
                    if not exchange.write(data):
                        await self._drained()
                    elif not self._pieces % BURST:
                        await asyncio.sleep(0)
        if not more:
            self._end(b"")

    def _send_rare(self, kind: str, message: Message) -> None:
        exchange = self.exchange
        if kind == "http.response.trailers" and self.phase == _TRAILERS:
            block = _encode(message.get("headers", ()))
            self.phase = _TRAILERS if message.get("more_trailers", False) else _COMPLETE
            exchange.trail(block)
            if self.phase == _COMPLETE:
                exchange.end()
        elif kind == "http.response.early_hint" and self.phase != _COMPLETE and not exchange.started:
            links = Headers([("Link", bytes(link).decode("latin-1")) for link in message.get("links", ())])
            exchange.inform(103, links)
        else:
            expected = {
                _NOTHING: "http.response.start",
                _HEAD: "http.response.body",
                _TRAILERS: "http.response.trailers",
            }[self.phase]
            raise RuntimeError(f"expected {expected!r} from the application, got {kind!r}")

    # The request's content, and its end.

    async def _more(self) -> dict[str, Any] | None:
        """The next piece of content that is still coming or was kept; None when no more will come."""
        exchange = self.exchange
        body = exchange.request.body
        try:
            if body.is_kept:  # somebody in front has read it
                return await self._from_file()
            if not body.held:
                await exchange.receive()
        except (ClientDisconnected, ProtocolError):
            self._read = True
            return None
        if exchange.gone:
            self._read = True
            return None
        data = body.take()
        self._read = body.complete
        return {"type": "http.request", "body": data, "more_body": not self._read}

    async def _from_file(self) -> dict[str, Any]:
        if self._file is None:
            await self.exchange.complete()
            self._file = self.exchange.request.body.file()
        data = self._file.read(_PIECE)
        self._read = len(data) < _PIECE
        return {"type": "http.request", "body": data, "more_body": not self._read}

    def _is_over(self) -> bool:
        return (
            self.exchange.disconnected
            or self.exchange.gone
            or self.phase == _COMPLETE
            or (self.resource.draining and self.exchange.started)
        )

    async def _over(self) -> None:
        """Wait until the answer is complete, the client has left or the server wants streams to end."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        self._observe()
        try:
            await waiter
        finally:
            if self._waiters:
                self._waiters.remove(waiter)

    def _observe(self) -> None:
        if not self._observing:
            self._observing = True
            self.exchange.on_close(self._closed)

    def _closed(self, error: Exception | None) -> None:
        """The answer is complete, or the client has closed its side."""
        self._wake()
        if error is not None and self.exchange.started:
            self._watch_stream()

    def _wake(self) -> None:
        """Let whoever waits for the end look again."""
        for waiter in self._waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def _watch_stream(self, pieces: int = -1) -> None:
        """End a stream nobody listens to any more. Many an application waits for something to send and never
        asks; a client that has closed only one side is known by what is still sent to it."""
        if self.phase == _COMPLETE or self.task.done():
            return
        if self._pieces == pieces:
            self.cancel()
        else:
            asyncio.get_running_loop().call_later(SILENCE_S, self._watch_stream, self._pieces)

    def drain(self) -> None:
        """The server is about to stop: streams are told that their client goes away."""
        if not self.exchange.started or self.phase == _COMPLETE:
            return
        self._wake()
        if self.exchange.disconnected:
            self.cancel()
        elif self._is_endless:
            asyncio.get_running_loop().call_later(DRAIN_S, self.cancel)

    @property
    def _is_endless(self) -> bool:
        """Server-sent events never end by themselves, and their clients come back."""
        return b"text/event-stream" in self._block.lines.lower()

    # The end.

    def time_out(self) -> None:
        """No head has come in time: answer for the application, and cancel it."""
        if not self.exchange.started and not self.exchange.gone:
            self.resource.log_timeout(self.exchange)
            self.phase = _COMPLETE
            self.resource.fail(self.exchange, HTTPError(504, "The application took too long to answer."))
        self.cancel()

    def cancel(self) -> None:
        if not self.task.done():
            self.cancelled = True
            self.task.cancel()

    async def _drained(self) -> None:
        """Wait until the client has taken enough. Who is told that way that it has left is told, too."""
        try:
            await self.exchange.drain()
        except ClientDisconnected:
            self._told = True
            raise

    def _broke_off(self, error: BaseException) -> None:
        """The application raised."""
        exchange = self.exchange
        if isinstance(error, asyncio.CancelledError) and self.cancelled:
            if exchange.gone:
                return
            if exchange.started and self._is_endless:
                exchange.end()
            else:
                self.resource.fail(exchange, HTTPError(503))
        elif self._told:
            # Frameworks have exceptions of their own for a client that has left.
            self.resource.log_left(exchange, error)
            if not exchange.gone:
                self.resource.fail(exchange, HTTPError(500))
        elif exchange.gone:
            self.resource.log_late(exchange, error)
        else:
            self.resource.fail(exchange, error)

    def _left_open(self) -> None:
        """The application returned before its answer was complete."""
        exchange = self.exchange
        if exchange.gone:
            return
        if self.phase == _NOTHING:
            problem = "expected the application to answer, it returned without http.response.start"
        else:
            problem = "expected the application to complete its answer, it returned before"
        self.resource.fail(exchange, RuntimeError(problem))


def _as_bytes(data: object) -> bytes:
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise TypeError(f"expected bytes as body, got {type(data).__name__}")


def _status_of(message: Message) -> int:
    status = message["status"]
    if not isinstance(status, int) or not 200 <= status <= 999:
        raise ValueError(f"expected a status from 200 to 999, got {status!r}")
    return int(status)


def _encode(headers: Iterable[Iterable[bytes]]) -> FieldBlock:
    """The block of `(name, value)` pairs of bytes. The error goes to the application."""
    fields = tuple(headers)
    try:
        block = _blocks.get(fields)  # type: ignore[arg-type]  # anything hashable may be asked for
    except TypeError:  # lists instead of tuples are as good
        fields = tuple(map(tuple, fields))
        block = _blocks.get(fields)  # type: ignore[arg-type]
    if block is not None:
        return block
    pairs = []
    for name, value in fields:
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            raise TypeError(f"expected (name, value) pairs of bytes as headers, got {(name, value)!r}")
        pairs.append((name.decode("latin-1"), value.decode("latin-1")))
    block = encode_fields(pairs)
    if len(block.lines) <= _BLOCK_SIZE and b"set-cookie" not in block.lines.lower():
        if len(_blocks) >= _BLOCKS_MAX:
            _blocks.clear()
        _blocks[fields] = block  # type: ignore[index]
    return block
