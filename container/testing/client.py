"""The client for plain test functions: `asynchronous.py`, run call by call on a loop of its own.

The loop runs only while a call runs, so nothing happens behind a test's back; threads go on.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

from container.channel.h1 import H1Channel
from container.message.headers import Headers, HeaderSource
from container.testing.asynchronous import AsyncClient, AsyncStream, Verbs
from container.testing.clock import FakeClock, SweptGroup
from container.testing.connection import AsyncConnection, RawAnswer
from container.testing.content import RequestOptions
from container.testing.reader import ClientResponse, ResponseHead
from container.testing.transport import Address, MockTransport
from container.tree.resource import Resource
from container.tree.site import Site

if TYPE_CHECKING:
    from container.testing.websocket import AsyncWebSocket

T = TypeVar("T")


class Client(Verbs[ClientResponse]):
    """Requests to a tree, in memory, from a plain function: `with Client(site) as client`.

    Takes what AsyncClient takes and behaves as it does. `clock.advance` also lets the loop act on what each
    sweep has decided.
    """

    def __init__(
        self,
        app: Resource,
        *,
        client: tuple[str, int] = ("127.0.0.1", 50000),
        server: Address | None = None,
        secure: bool = False,
        headers: HeaderSource = None,
        cookies: Mapping[str, str] | None = None,
        follow_redirects: bool = False,
        timeout: float = 10.0,
        clock: FakeClock | None = None,
        channel: Callable[[SweptGroup], asyncio.Protocol] = H1Channel,
    ) -> None:
        self._client = AsyncClient(
            app, client=client, server=server, secure=secure, headers=headers, cookies=cookies,
            follow_redirects=follow_redirects, timeout=timeout, clock=clock, channel=channel,
        )  # fmt: skip
        self._runner: asyncio.Runner | None = None

    def __enter__(self) -> Self:
        if self._runner is not None:
            raise RuntimeError("expected one `with` at a time: this client is in use")
        if _loop_runs():
            raise RuntimeError(
                "expected a plain function around `with Client`: use AsyncClient in a coroutine"
            )
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        try:
            self._run(self._client.__aenter__())
        except BaseException:
            self._end()
            raise
        self.clock.each_second(self._after_sweep)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clock.forget(self._after_sweep)
        try:
            self._run(self._client.__aexit__(kind, error, trace))
        finally:
            self._end()

    @property
    def site(self) -> Site:
        """What is served."""
        return self._client.site

    @property
    def clock(self) -> FakeClock:
        """The time that the connections see."""
        return self._client.clock

    @property
    def cookies(self) -> dict[str, str]:
        """The jar: what it holds goes with the next request."""
        return self._client.cookies

    @property
    def headers(self) -> Headers:
        """What goes with every request."""
        return self._client.headers

    def request(self, method: str, target: str, **options: Unpack[RequestOptions]) -> ClientResponse:
        return self._run(self._client.request(method, target, **options))

    @contextmanager
    def stream(self, method: str, target: str, **options: Unpack[RequestOptions]) -> Iterator["Stream"]:
        """One request whose answer is read as it comes; redirects are not followed."""
        context = self._client.stream(method, target, **options)
        stream = Stream(self._run(context.__aenter__()), self)
        try:
            yield stream
        finally:
            self._run(context.__aexit__(None, None, None))

    @contextmanager
    def websocket(
        self,
        target: str,
        *,
        subprotocols: Iterable[str] = (),
        headers: HeaderSource = None,
        deflate: bool = False,
    ) -> Iterator["WebSocketConnection"]:
        """A WebSocket, closed when the block is left. Raises WebSocketDenied for any answer but 101."""
        context = self._client.websocket(target, subprotocols=subprotocols, headers=headers, deflate=deflate)
        socket = WebSocketConnection(self._run(context.__aenter__()), self)
        try:
            yield socket
        except BaseException as error:
            if not self._run(context.__aexit__(type(error), error, error.__traceback__)):
                raise
        else:
            self._run(context.__aexit__(None, None, None))

    def connect(self) -> "Connection":
        """A connection for bytes of your own."""
        return Connection(self._client.connect(), self)

    def send_raw(self, data: bytes, *, eof: bool = False) -> RawAnswer:
        """What comes back for `data` on a connection of its own; with `eof` the client then ends its side."""
        return self._run(self._client.send_raw(data, eof=eof))

    def settle(self) -> None:
        """Let the loop run until nothing happens on any connection; threads are not waited for."""
        self._run(self._client.settle())

    def wait_until(self, condition: Callable[[], object], expected: str = "the condition") -> None:
        """Let the loop run until `condition()` is true: for what threads and tasks do on their own."""
        self._run(self._client.wait_until(condition, expected))

    def _run(self, coroutine: Coroutine[object, None, T]) -> T:
        if self._runner is None:
            coroutine.close()
            raise RuntimeError("expected `with` around the use of this client: its site runs only inside")
        return self._runner.run(coroutine)

    def _after_sweep(self) -> None:
        if not _loop_runs():  # a resource under test may move the clock too
            self.settle()

    def _end(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()


class Stream:
    """One answer as it comes, by `with client.stream(...)`; leaving early closes the connection."""

    def __init__(self, stream: AsyncStream, client: Client) -> None:
        self._stream = stream
        self._client = client

    @property
    def status(self) -> int:
        return self._stream.status

    @property
    def reason(self) -> str:
        return self._stream.reason

    @property
    def headers(self) -> Headers:
        return self._stream.headers

    @property
    def interim(self) -> list[ResponseHead]:
        """The 1xx responses that came before."""
        return self._stream.interim

    @property
    def complete(self) -> bool:
        """Has the content come to its proper end?"""
        return self._stream.complete

    @property
    def transport(self) -> MockTransport:
        """What lies between the client and the channel; `hold()` it to play a client that does not read."""
        return self._stream.transport

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return self._client._run(self._stream.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def read(self) -> bytes:
        """The rest of the content."""
        return self._client._run(self._stream.read())

    def close(self) -> None:
        """Let go of the connection; before the end of the content that is the client leaving."""
        self._client._run(self._stream.close())


class Connection:
    """A connection whose bytes a test writes itself; made by `Client.connect`."""

    def __init__(self, connection: AsyncConnection, client: Client) -> None:
        self._connection = connection
        self._client = client

    @property
    def transport(self) -> MockTransport:
        """What lies between this client and the channel."""
        return self._connection.transport

    @property
    def data(self) -> bytes:
        """Every byte the server has sent so far."""
        return self._connection.data

    @property
    def interim(self) -> list[ResponseHead]:
        """The interim responses that have come since the last final one."""
        return self._connection.interim

    @property
    def closed(self) -> bool:
        """Has the server ended or cut the connection?"""
        return self._connection.closed

    def send(self, data: bytes) -> None:
        """Send bytes, and let the server do what it can do at once."""
        self._client._run(self._connection.send(data))

    def send_eof(self) -> None:
        """Send no more, but go on reading."""
        self._client._run(self._connection.send_eof())

    def leave(self) -> None:
        """Close the client's end."""
        self._client._run(self._connection.leave())

    def receive(self) -> ClientResponse:
        """The next final response. Raises NoResponse when the server closes instead."""
        return self._client._run(self._connection.receive())

    def receive_all(self) -> RawAnswer:
        """The responses to all requests that were sent completely, and what else has come."""
        return self._client._run(self._connection.receive_all())


class WebSocketConnection:
    """One WebSocket; made by `Client.websocket`."""

    def __init__(self, socket: "AsyncWebSocket", client: Client) -> None:
        self._socket = socket
        self._client = client

    @property
    def subprotocol(self) -> str | None:
        """What was agreed on."""
        return self._socket.subprotocol

    @property
    def headers(self) -> Headers:
        """Of the answer to the handshake."""
        return self._socket.headers

    @property
    def transport(self) -> MockTransport:
        """What lies between this client and the channel."""
        return self._socket.transport

    @property
    def close_code(self) -> int | None:
        """What the server has closed with, None while it is open."""
        return self._socket.close_code

    def send(self, message: str | bytes) -> None:
        """Send one message, and let the server do what it can do at once."""
        self._client._run(self._socket.send(message))

    def receive(self) -> str | bytes:
        """The next message. Raises WebSocketDisconnected when the server has closed instead."""
        return self._client._run(self._socket.receive())

    def close(self, code: int = 1000, reason: str = "") -> None:
        """The closing handshake: returns when the server has closed."""
        self._client._run(self._socket.close(code, reason))


def _loop_runs() -> bool:
    """Is this thread inside an event loop?"""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
