"""The client for tests that run on a loop; all that `client.py` does is done here.

Requests and their answers only: what a connection does is `wire.py`'s, how a request is written is
`content.py`'s.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar, Unpack
from urllib.parse import urljoin, urlsplit

from container.channel.h1 import H1Channel
from container.message.cookies import parse_cookies
from container.message.fields import list_tokens
from container.message.headers import Headers, HeaderSource
from container.testing.clock import FakeClock, SweptGroup
from container.testing.connection import AsyncConnection, RawAnswer
from container.testing.content import Outgoing, RequestOptions, without_content
from container.testing.reader import BadResponse, ClientResponse, ResponseHead
from container.testing.transport import Address, MockTransport
from container.testing.wire import Wire, bounded, settle
from container.tree.resource import Resource
from container.tree.site import Site

if TYPE_CHECKING:
    from container.testing.websocket import AsyncWebSocket

REDIRECTS_MAX = 10
# Real seconds between two looks at something that only a thread changes.
_LOOK_S = 0.001

T_co = TypeVar("T_co", covariant=True)


class Verbs(ABC, Generic[T_co]):
    """`get`, `post` and so on, for clients whose `request` gives back `T_co`."""

    @abstractmethod
    def request(self, method: str, target: str, **options: Unpack[RequestOptions]) -> T_co:
        """Send one request; the options are those of `RequestOptions`."""

    def get(self, target: str, **options: Unpack[RequestOptions]) -> T_co:
        return self.request("GET", target, **options)

    def head(self, target: str, **options: Unpack[RequestOptions]) -> T_co:
        return self.request("HEAD", target, **options)

    def post(self, target: str, **options: Unpack[RequestOptions]) -> T_co:
        return self.request("POST", target, **options)

    def put(self, target: str, **options: Unpack[RequestOptions]) -> T_co:
        return self.request("PUT", target, **options)

    def patch(self, target: str, **options: Unpack[RequestOptions]) -> T_co:
        return self.request("PATCH", target, **options)

    def delete(self, target: str, **options: Unpack[RequestOptions]) -> T_co:
        return self.request("DELETE", target, **options)

    def options(self, target: str, **options: Unpack[RequestOptions]) -> T_co:
        return self.request("OPTIONS", target, **options)


class AsyncStream:
    """One answer as it comes, by `async with client.stream(...)`; leaving early closes the connection."""

    def __init__(self, wire: Wire, request: Outgoing, head: ResponseHead) -> None:
        self._wire = wire
        self._request = request
        self._head = head
        self._closed = False

    @property
    def status(self) -> int:
        return self._head.status

    @property
    def reason(self) -> str:
        return self._head.reason

    @property
    def headers(self) -> Headers:
        return self._head.headers

    @property
    def interim(self) -> list[ResponseHead]:
        """The 1xx responses that came before."""
        return list(self._wire.interim)

    @property
    def complete(self) -> bool:
        """Has the content come to its proper end?"""
        return self._wire.reader.done and self._wire.reader.complete

    @property
    def transport(self) -> MockTransport:
        """What lies between the client and the channel; `hold()` it to play a client that does not read."""
        return self._wire.transport

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._closed:
            raise StopAsyncIteration
        async with self._wire.bounded(f"more of the answer to {self._request}"):
            piece = await self._wire.piece()
        if not piece:
            raise StopAsyncIteration
        return piece

    async def read(self) -> bytes:
        """The rest of the content."""
        return b"".join([piece async for piece in self])

    async def close(self) -> None:
        """Let go of the connection; before the end of the content that is the client leaving."""
        if not self._closed:
            self._closed = True
            await self._wire.release(reusable=self._persists)

    @property
    def _persists(self) -> bool:
        """May the connection serve another request (RFC 9112 9.3)?"""
        options = list_tokens(value.encode("latin-1") for value in self._head.headers.get_all("connection"))
        return self.complete and self._request.version == "1.1" and b"close" not in options


class AsyncClient(Verbs[Coroutine[None, None, ClientResponse]]):
    """Requests to a tree, in memory: `async with AsyncClient(site) as client`.

    `app` is a Site, or a Resource to put into one; it is started on entering and stopped on leaving. `client`
    and `server` are the ends of the connection as the site sees them (a path as `server` is a UNIX socket),
    `secure` makes it believe in TLS. `headers` go with every request. Connections are used again.

    `cookies` is a jar without rules: what a response sets is sent with every later request, whatever its path
    and domain, until a response deletes it. With `follow_redirects`, redirects to the same host are followed.
    Every wait is bounded by `timeout` seconds of real time and ends in ClientTimeout.

    `channel` makes the server's end of each connection; another one than ours may carry the bytes to a server
    that runs elsewhere.
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
        if not isinstance(app, Resource):
            raise TypeError(
                f"expected a Site or a Resource, got {app!r}; a WSGI callable goes into a WSGIResource"
            )
        if timeout <= 0:
            raise ValueError(f"expected a timeout above 0 seconds, got {timeout}")
        self.site = app if isinstance(app, Site) else Site(app)
        self.clock = clock or FakeClock()
        self.headers = Headers(headers)
        self.cookies = dict(cookies or {})
        self.follow_redirects = follow_redirects
        self.timeout = timeout
        self._server = server or ("127.0.0.1", 443 if secure else 80)
        self._client: Address = client if isinstance(self._server, tuple) else ""
        self._secure = secure
        self._channel = channel
        self._group: SweptGroup | None = None
        self._wires: list[Wire] = []

    # The life of the site.

    async def __aenter__(self) -> Self:
        if self._group is not None:
            raise RuntimeError("expected one `with` at a time: this client is in use")
        async with bounded(self.timeout, "the site to start", lambda: "but start() goes on"):
            await self.site.start()
        self._group = SweptGroup(self.site, asyncio.get_running_loop(), self.clock)
        self._group.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for wire in self._wires:
            wire.transport.abort()
        await self.settle()
        self.group.stop()
        self._wires.clear()
        self._group = None
        async with bounded(self.timeout, "the site to stop", lambda: "but stop() goes on"):
            await self.site.stop()

    @property
    def group(self) -> SweptGroup:
        """The channels that serve this client."""
        if self._group is None:
            raise RuntimeError("expected `with` around the use of this client: its site runs only inside")
        return self._group

    # Requests.

    async def request(self, method: str, target: str, **options: Unpack[RequestOptions]) -> ClientResponse:
        history: list[ClientResponse] = []
        while True:
            request = self._outgoing(method, target, options)
            response = await self._answer(request)
            location = self._next_location(request, response)
            if location is None:
                return replace(response, history=history) if history else response
            history.append(response)
            if len(history) > REDIRECTS_MAX:
                raise AssertionError(
                    f"expected at most {REDIRECTS_MAX} redirects, got one more to {location!r}"
                )
            target = location
            if response.status == 303 or (response.status in (301, 302) and method == "POST"):
                method = method if method == "HEAD" else "GET"
                options = without_content(options)
            elif not isinstance(options.get("body", b""), bytes):
                raise ValueError(f"expected bytes as body, to send them again after a {response.status}")

    async def _answer(self, request: Outgoing) -> ClientResponse:
        stream = await self._open(request)
        wire = stream._wire
        try:
            async with wire.bounded(f"the whole answer to {request}"):
                return await wire.whole(request.method)
        finally:
            await stream.close()

    @asynccontextmanager
    async def stream(
        self, method: str, target: str, **options: Unpack[RequestOptions]
    ) -> AsyncIterator[AsyncStream]:
        """One request whose answer is read as it comes; redirects are not followed."""
        stream = await self._open(self._outgoing(method, target, options))
        try:
            yield stream
        finally:
            await stream.close()

    @asynccontextmanager
    async def websocket(
        self,
        target: str,
        *,
        subprotocols: Iterable[str] = (),
        headers: HeaderSource = None,
        deflate: bool = False,
    ) -> "AsyncIterator[AsyncWebSocket]":
        """A WebSocket, closed when the block is left. Raises WebSocketDenied for any answer but 101."""
        from container.testing.websocket import AsyncWebSocket

        fields = Headers([*self.headers.items(), *Headers(headers).items()])
        if self.cookies:
            fields.set("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        url = f"{'wss' if self._secure else 'ws'}://{self._authority()}{target}"
        socket = AsyncWebSocket(self._new_wire(), url, fields, subprotocols, deflate=deflate)
        try:
            await socket.connect()
            yield socket
            await socket.close()
        finally:
            await socket.leave()

    def connect(self) -> AsyncConnection:
        """A connection for bytes of your own."""
        return AsyncConnection(self._new_wire(), self.site.limits)

    async def send_raw(self, data: bytes, *, eof: bool = False) -> RawAnswer:
        """What comes back for `data` on a connection of its own; with `eof` the client then ends its side."""
        connection = self.connect()
        try:
            await connection.send(data)
            if eof:
                await connection.send_eof()
            return await connection.receive_all()
        finally:
            await connection.leave()

    # Time.

    async def settle(self) -> None:
        """Let the loop run until nothing happens on any connection; threads are not waited for."""
        await settle(lambda: sum(wire.transport.activity for wire in self._wires))

    async def wait_until(self, condition: Callable[[], object], expected: str = "the condition") -> None:
        """Let the loop run until `condition()` is true: for what threads and tasks do on their own."""
        async with bounded(self.timeout, expected, lambda: "but it stayed false"):
            while not condition():
                await asyncio.sleep(_LOOK_S)

    # Inside.

    def _outgoing(self, method: str, target: str, options: RequestOptions) -> Outgoing:
        authority = urlsplit(target).netloc if target.startswith("http") else self._authority()
        base = Headers([("Host", authority)])
        for name in self.headers:
            base.remove(name)
        for name, value in self.headers.items():
            base.add(name, value)
        if self.cookies:
            pairs = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            base.set("Cookie", pairs.encode().decode("latin-1"))
        return Outgoing(method, target, base, options)

    def _authority(self) -> str:
        if not isinstance(self._server, tuple):
            return "localhost"
        name, port = self._server
        name = f"[{name}]" if ":" in name else name
        return name if port == (443 if self._secure else 80) else f"{name}:{port}"

    async def _open(self, request: Outgoing) -> AsyncStream:
        """Send a request and wait for the head of its answer."""
        wire = self._idle_wire() or self._new_wire()
        wire.transmit(request)
        try:
            async with wire.bounded(f"an answer to {request}"):
                head = await wire.head(request.method)
        except BaseException:
            await wire.release(reusable=False)
            raise
        self._keep_cookies(head)
        return AsyncStream(wire, request, head)

    def _new_wire(self) -> Wire:
        self._wires = [wire for wire in self._wires if not wire.transport.lost]
        group = self.group
        wire = Wire(
            self._channel(group), self._client, self._server, loop=group.loop, secure=self._secure,
            timeout=self.timeout,
        )  # fmt: skip
        self._wires.append(wire)
        return wire

    def _idle_wire(self) -> Wire | None:
        for wire in self._wires:
            if wire.idle:
                wire.idle = False
                wire.pull()
                if wire.reader.buffered:
                    raise BadResponse(
                        f"expected nothing between two answers, got {wire.reader.buffered[:80]!r}"
                    )
                if not wire.closed:
                    return wire
        return None

    def _keep_cookies(self, head: ResponseHead) -> None:
        for field in head.headers.get_all("set-cookie"):
            pair, _, attributes = field.partition(";")
            for name, value in parse_cookies([pair]).items():
                if _is_deletion(attributes):
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = value.strip()

    def _next_location(self, request: Outgoing, response: ClientResponse) -> str | None:
        """Where to ask next; None for an answer that is no redirect, or one that leads to another host."""
        location = response.headers.get("location")
        if not self.follow_redirects or response.status not in (301, 302, 303, 307, 308) or location is None:
            return None
        here = urlsplit(urljoin(f"{'https' if self._secure else 'http'}://{request.host}", request.target))
        there = urlsplit(urljoin(here.geturl(), location))
        if (there.scheme, there.netloc.lower()) != (here.scheme, here.netloc.lower()):
            return None
        return f"{there.path or '/'}?{there.query}" if there.query else there.path or "/"


def _is_deletion(attributes: str) -> bool:
    """Does a Set-Cookie field with these attributes take its cookie away (RFC 6265 5.3)?"""
    named = dict.fromkeys(("max-age", "expires"), "")
    for attribute in attributes.split(";"):
        name, _, value = attribute.partition("=")
        named[name.strip().lower()] = value.strip()
    if named["max-age"]:
        return named["max-age"].startswith("-") or named["max-age"].strip("0") == ""
    try:
        return bool(named["expires"]) and parsedate_to_datetime(named["expires"]) <= datetime.now(UTC)
    except ValueError:
        return False
