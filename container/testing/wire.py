"""One connection of a client: requests into the real channel, responses out of it, each wait with a bound."""

import asyncio
import contextvars
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from container.message.headers import Headers
from container.message.response import Content
from container.testing.content import Outgoing
from container.testing.reader import ClientResponse, ResponseHead, ResponseReader, is_interim
from container.testing.transport import Address, MockTransport

# What the kernels of both ends keep for a reader that has not come yet.
WINDOW = 64 * 1024
# A response that is read in one piece; longer ones want a stream.
CONTENT_MAX = 256 * 1024 * 1024
# Turns of the loop without any traffic after which nothing is taken to be under way; turns at most.
QUIET_TURNS = 10
TURNS_MAX = 2000


class ClientTimeout(AssertionError):  # a test that fails, not an error of it
    """The server did not do in time what the test expected of it."""


class NoResponse(ConnectionError):  # like ClientDisconnected
    """The server closed the connection without an answer."""


class Wire:
    """A transport, the channel behind it and the reader of what comes back.

    Each method that waits does so inside `bounded`.
    """

    def __init__(
        self,
        channel: asyncio.Protocol,
        client: Address,
        server: Address,
        *,
        loop: asyncio.AbstractEventLoop,
        secure: bool,
        timeout: float,
    ) -> None:
        self.record: bytearray | None = None  # everything that comes, when somebody wants to keep it
        self.reader = ResponseReader()
        self.interim: list[ResponseHead] = []
        self.timeout = timeout
        self.idle = False  # its last answer is complete, and another request may be sent
        self._final: ResponseHead | None = None
        self._received = 0
        self._sent = False
        self._sender: asyncio.Task[None] | None = None
        self._change = asyncio.Event()
        # What the test sets in its context is not the server's.
        self._context = contextvars.copy_context()
        self.transport = MockTransport(
            channel, loop=loop, peername=client, sockname=server, secure=secure, window=WINDOW, record=False
        )
        self.transport.on_change = self._change.set

    @property
    def closed(self) -> bool:
        """Has the server ended or cut the connection?"""
        return self.transport.eof_seen or self.transport.reset_seen

    # Requests.

    async def inject(self, act: Callable[[], None]) -> None:
        """Do something to the transport as a loop does: from a callback, outside any task."""
        done = asyncio.get_running_loop().create_future()

        def run() -> None:
            try:
                act()
            except Exception as error:  # noqa: BLE001  # the protocol under test failed: so shall the test
                done.set_exception(error)
            else:
                done.set_result(None)

        asyncio.get_running_loop().call_soon(run, context=self._context)
        await done

    def transmit(self, request: Outgoing) -> None:
        """Begin to send `request`; the answer may be read meanwhile."""
        self._received = 0
        self._final = None
        self._sent = False
        self.interim = []
        self._sender = asyncio.get_running_loop().create_task(self._transmit(request))
        self._sender.add_done_callback(lambda _: self._change.set())

    async def _transmit(self, request: Outgoing) -> None:
        feed, body = self.transport.feed, request.body
        if isinstance(body, bytes | None) and not (body and request.expects_continue):
            await self.inject(partial(self._feed_last, request.head + (body or b"")))
            return
        await self.inject(partial(feed, request.head))
        if request.expects_continue and not await self._may_continue():
            return
        if isinstance(body, bytes | None):
            await self.inject(partial(self._feed_last, body or b""))
            return
        async for piece in _pieces(body):
            await self.inject(partial(feed, b"%x\r\n%b\r\n" % (len(piece), piece)))
            while self.transport.pending > WINDOW and not self.transport.is_closing():
                await self._changed()
            if self.transport.is_closing():
                return
        await self.inject(partial(self._feed_last, b"0\r\n\r\n"))

    def _feed_last(self, data: bytes) -> None:
        self.transport.feed(data)
        self._sent = True

    async def _may_continue(self) -> bool:
        """Wait for 100 Continue; False when a final response comes instead (RFC 9110 10.1.1)."""
        while not any(head.status == 100 for head in self.interim):
            if self._final is not None or self.closed:
                return False
            await self._changed()
        return True

    async def release(self, *, reusable: bool) -> None:
        """The test has done with an answer: keep the connection, or leave. Raises what the content raised."""
        sender, self._sender = self._sender, None
        if reusable and self._sent and not self.closed:
            self.idle = True
            return
        if sender is not None and not self._sent:
            sender.cancel()
            await asyncio.wait([sender])
        await self.inject(self.transport.leave)
        await self.settle()
        if sender is not None and sender.done() and not sender.cancelled():
            sender.result()

    # Responses.

    def pull(self) -> bytes:
        """Take what has reached the client."""
        data = self.transport.take()
        if data:
            self._received += len(data)
            self.reader.feed(data)
            if self.record is not None:
                self.record += data
        if self.closed and not self.transport.unread and not self.reader.ended:
            self.reader.end(clean=not self.transport.reset_seen)
        return data

    def poll_head(self, method: str) -> ResponseHead | None:
        """The head of the answer to a request with `method`, when it has come; keeps interim ones."""
        self.pull()
        while self._final is None:
            head = self.reader.head(method)
            if head is None:
                break
            if is_interim(head.status):
                self.interim.append(head)
            else:
                self._final = head
            self._change.set()  # the sender may wait for it
        return self._final

    async def head(self, method: str) -> ResponseHead:
        """Wait for the head of the answer. Raises NoResponse."""
        while (head := self.poll_head(method)) is None:
            if self.reader.ended:
                raise NoResponse(
                    f"expected a response, got {self.reader.buffered[:80]!r} and a closed connection"
                )
            await self._changed()
        return head

    async def piece(self) -> bytes:
        """Wait for more content; b"" at its end."""
        while True:
            self.pull()
            piece = self.reader.piece()
            if piece or self.reader.done:
                return piece
            await self._changed()

    async def whole(self, method: str) -> ClientResponse:
        """Wait for a response with all of its content."""
        head = await self.head(method)
        pieces, size = [], 0
        while piece := await self.piece():
            pieces.append(piece)
            size += len(piece)
            if size > CONTENT_MAX:
                raise AssertionError(f"expected at most {CONTENT_MAX} bytes of content: stream() is for more")
        interim, self.interim, self._final = self.interim, [], None
        trailers = Headers(self.reader.trailers, frozen=True)
        return ClientResponse(
            head.status, head.reason, head.headers, b"".join(pieces), self.reader.complete, interim, trailers
        )

    async def _changed(self) -> None:
        """Wait for traffic. Raises what the request's content raised."""
        if self._sender is not None and self._sender.done() and self._sender is not asyncio.current_task():
            self._sender.result()
        await self._change.wait()
        self._change.clear()

    # Time.

    async def settle(self) -> None:
        """Let the loop run until nothing happens on this connection; threads are not waited for."""
        await settle(lambda: self.transport.activity)

    def bounded(self, expected: str) -> AbstractAsyncContextManager[None]:
        """Bound what happens inside; `expected` says what did not come."""
        return bounded(self.timeout, expected, self._state)

    def _state(self) -> str:
        if self.transport.is_held:
            return "but the transport is held: release() lets the client read"
        if self._sender is not None and not self._sender.done():
            return f"got {self._received} bytes, and the server does not read the content that is being sent"
        if self.closed:
            return f"got {self._received} bytes and the end of the connection"
        return f"got {self._received} bytes and no end" if self._received else "got nothing"


@asynccontextmanager
async def bounded(timeout: float, expected: str, state: Callable[[], str]) -> AsyncIterator[None]:
    """Bound the real time of what happens inside; ClientTimeout says what was `expected` and the `state`."""
    try:
        async with asyncio.timeout(timeout) as scope:
            yield
    except TimeoutError:
        if not scope.expired():
            raise
        raise ClientTimeout(f"expected {expected} within {timeout:g} s, {state()}") from None


async def settle(activity: Callable[[], int]) -> None:
    """Let the loop run until `activity` stands still."""
    seen, quiet = activity(), 0
    for _ in range(TURNS_MAX):
        await asyncio.sleep(0)
        now = activity()
        quiet = quiet + 1 if now == seen else 0
        seen = now
        if quiet == QUIET_TURNS:
            break


async def _pieces(body: Content) -> AsyncIterator[bytes]:
    """The pieces of a request's content; empty ones would end it."""
    if isinstance(body, AsyncIterable):
        async for each in body:
            if piece := _checked(each):
                yield piece
    else:
        for one in body:
            if piece := _checked(one):
                yield piece


def _checked(piece: object) -> bytes:
    if not isinstance(piece, bytes):
        raise TypeError(f"expected an iterable of bytes as body, got a piece of type {type(piece).__name__}")
    return piece
