"""One request answered by a responder: its content goes out, its answer is passed on as it comes.

The content is complete before a connection is taken, so slow clients hold none; while the client does not
read, neither is the responder read.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from container.client.stream import PoolFull, Stream, StreamPool
from container.message.body import EMPTY, Body
from container.message.errors import ClientDisconnected, HTTPError
from container.message.exchange import Exchange
from container.message.fields import encode_fields
from container.protocol.answer import AnswerHead, AnswerReader, BadAnswer
from container.protocol.fastcgi import BadRecord
from container.resources.responder.frames import END, ERRORS, OUT, Frame, Refused

log = logging.getLogger("container.responder")

_PIECE: Final = 64 * 1024
_LINE_MAX: Final = 4096
# What may be asked twice (RFC 9110 9.2.1).
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_BUSY: Final = {"Retry-After": "1"}


class ResponderCall:
    """One request on one connection. The Receiver of its stream.

    `silent` until the responder has said anything: then the request may not be sent again.
    """

    def __init__(self, exchange: Exchange, pool: StreamPool, stream: Stream, frame: Frame) -> None:
        self.exchange = exchange
        self.silent = True
        self.keep = False
        self._stream = stream
        self._frame = frame
        self._pool = pool
        self._name = str(pool.address)
        self._released = False
        self._reader = AnswerReader(exchange.request.method, gateway=True)
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle
        self._touched = self._loop.time()
        self._paused = False
        self._sent = False
        stream.receiver = self

    async def run(self, begin: bytes, timeout: float) -> None:
        """Until the answer is complete or the client has left. Raises HTTPError, ConnectionError: cut short."""
        self.exchange.on_close(self._client_closed)
        body = self.exchange.request.body
        sending: asyncio.Task[None] | None = None
        try:
            if body is EMPTY or not body.received:
                self._stream.write(begin + self._frame.finish())
                self._sent = True
            else:
                self._stream.write(begin)
                sending = self._loop.create_task(self._send(body))
            await self._wait(timeout)
        finally:
            if sending is not None:
                sending.cancel()
            self.release()

    def release(self) -> None:
        """Give the connection back. It may carry another request from now on."""
        if not self._released:
            self._released = True
            self._pool.give(self._stream, keep=self.keep)

    async def _send(self, body: Body) -> None:
        """The content, no faster than the responder takes it."""
        try:
            file = body.file()
            while not self._done.done() and (piece := file.read(_PIECE)):
                self._stream.write(self._frame.content(piece))
                self._touched = self._loop.time()
                await self._stream.drain()
        except (ValueError, ClientDisconnected):  # the exchange has ended, and its content was given back
            return
        except OSError as error:
            self._finish(error)
            return
        self._stream.write(self._frame.finish())
        self._sent = True

    async def _wait(self, timeout: float) -> None:
        """Until it is done, or has been silent for `timeout` s."""
        self._timer = self._loop.call_later(timeout, self._check, timeout)
        try:
            await self._done
        finally:
            self._timer.cancel()

    def _check(self, timeout: float) -> None:
        rest = self._touched + timeout - self._loop.time()
        if self._paused or rest > 0:
            self._timer = self._loop.call_later(timeout if self._paused else rest, self._check, timeout)
        elif not self._done.done():
            log.error("%s: %s was silent for %g s", self.exchange.request, self._name, timeout)
            self._stream.write(self._frame.abort())
            self._finish(HTTPError(504))

    # The Receiver.

    def received(self, data: bytes) -> None:
        self.silent = False
        self._touched = self._loop.time()
        try:
            said = b""
            for kind, content in self._frame.feed(data):
                if kind == OUT:
                    said = said + content if said else content
                elif kind == ERRORS:
                    self._complain(content)
                elif kind == END:
                    # One that has answered before it had all of the request would take the rest for the next.
                    self.keep = self._frame.reusable and self._sent
                    self._take(said, is_last=True)
                    self._end()
                    return
            if said:
                self._take(said)
        except Refused as error:
            self._fail(HTTPError(503, headers=_BUSY), error)
        except (BadAnswer, BadRecord) as error:
            self._fail(HTTPError(502), error)
        except Exception as error:  # noqa: BLE001  # an illegal field, a hook of the tree
            self._finish(error)

    def closed(self, error: Exception | None) -> None:
        if self._done.done():
            return
        if self.silent:
            self._finish(ConnectionError("the connection was closed without an answer"))
        elif self._frame.reusable:
            self._fail(HTTPError(502), BadAnswer("expected END_REQUEST, got the end"))
        else:
            try:
                self._end()
            except BadAnswer as problem:
                self._fail(HTTPError(502), problem)

    # The answer.

    def _take(self, data: bytes, *, is_last: bool = False) -> None:
        exchange, reader = self.exchange, self._reader
        if reader.complete:
            return
        if exchange.gone:  # it had only closed its side when that was told
            self._abandon()
            return
        content = reader.feed(data)
        reader.interim.clear()
        if reader.head is None:
            return
        if not exchange.started:
            if is_last and not reader.complete and reader.head.length < 0 and not reader.head.chunked:
                reader.head.length = len(content)  # it is whole: one write, and no chunks
            self._start(reader.head)
        if content and not exchange.write(content) and not reader.complete:
            self._paused = True
            self._stream.pause()
            exchange.when_writable(self._resume)

    def _start(self, head: AnswerHead) -> None:
        fields = head.fields
        if head.length >= 0:
            fields = [*fields, ("Content-Length", str(head.length))]
        self.exchange.start(head.status, encode_fields(fields), head.reason)

    def _resume(self) -> None:
        self._paused = False
        self._touched = self._loop.time()
        if self._stream.receiver is self:
            self._stream.resume()

    def _end(self) -> None:
        self._reader.finish()
        self.release()  # before the client can ask again, or it would be asked elsewhere
        if not self.exchange.gone:
            self.exchange.end()
        self._finish(None)

    def _complain(self, data: bytes) -> None:
        for line in data[:_LINE_MAX].decode("utf-8", "backslashreplace").splitlines():
            log.error("%s: %s", self._name, line)

    def _fail(self, answer: HTTPError, reason: Exception) -> None:
        log.error("%s: %s: %s", self.exchange.request, self._name, reason)
        self._finish(answer)

    def _finish(self, error: Exception | None) -> None:
        if not self._done.done():
            if error is None:
                self._done.set_result(None)
            else:
                self._done.set_exception(error)

    def _client_closed(self, error: Exception | None) -> None:
        # One that has only closed its side still gets its answer.
        if error is not None and self.exchange.gone:
            self._abandon()

    def _abandon(self) -> None:
        """Nobody is there any more to be answered."""
        if not self._done.done():
            self.keep = False
            if self._stream.receiver is self:
                self._stream.write(self._frame.abort())
            self._finish(None)


async def answer(
    exchange: Exchange,
    pool: StreamPool,
    frame_of: Callable[[], Frame],
    variables: Mapping[str, str],
    timeout: float,
) -> None:
    """Have a responder of `pool` answer `exchange`. Raises HTTPError."""
    is_retry = False
    while not exchange.gone:
        frame = frame_of()
        try:
            begin = frame.begin(variables)
        except ValueError as error:
            raise HTTPError(400, str(error)) from error
        stream = await _connect(exchange, pool, fresh=is_retry)
        call = ResponderCall(exchange, pool, stream, frame)
        try:
            await call.run(begin, timeout)
            return
        except ConnectionError as error:
            # It was about to close a connection that it had kept: nothing of the request was looked at.
            is_retry = stream.used and not is_retry and exchange.request.method in _SAFE
            if not is_retry:
                log.error("%s: %s: %s", exchange.request, pool.address, error)
                raise HTTPError(502) from error


async def _connect(exchange: Exchange, pool: StreamPool, *, fresh: bool) -> Stream:
    try:
        return await pool.take(fresh=fresh)
    except PoolFull as error:
        raise HTTPError(503, headers=_BUSY) from error
    except TimeoutError as error:
        log.error("%s: no connection to %s in %g s", exchange.request, pool.address, pool.connect_timeout)
        raise HTTPError(504) from error
    except OSError as error:
        log.error("%s: no connection to %s: %s", exchange.request, pool.address, error)
        raise HTTPError(502) from error
