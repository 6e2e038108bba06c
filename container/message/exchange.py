"""The verbs of one request and its answer, and what a channel needs from its host: Protocols only.

The concrete exchanges live in `channel/`, one a protocol; resources cannot tell them apart.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from container.message.body import SpoolQuota
from container.message.encoding import EncodingChoice
from container.message.errors import ProtocolError
from container.message.fields import FieldBlock
from container.message.headers import Headers
from container.message.limits import Limits, Timeouts
from container.message.request import Request
from container.message.response import Content, Response
from container.message.tunnel import TunnelEnd
from container.message.websocket import DEFAULT_OPTIONS, WebSocket, WebSocketOptions

# Called once when the exchange is over: None after a complete answer, else what cut it short.
CloseObserver = Callable[[Exception | None], None]
# Called before the head of the answer is encoded; may change the fields, and give back what to wait for.
HeadHook = Callable[[int, Headers], Awaitable[None] | None]


class Exchange(Protocol):
    """One request being answered.

    Answer it in one of two ways: `respond` (or `reply`), or `start`, any number of `write`, `end`. Verbs
    that come after the client has left do nothing; verbs out of order raise ExchangeStateError.
    """

    __slots__ = ()

    request: Request
    status: int  # of the answer, 0 before its head
    bytes_sent: int  # of its content
    started: bool
    ended: bool
    disconnected: bool  # the client has closed its side, or left
    gone: bool  # nothing that is written now can reach the client: it has left, or the exchange has ended

    @property
    def expects_continue(self) -> bool:
        """The client holds its content back until it is asked for (RFC 9110 10.1.1)."""

    def respond(self, response: Response) -> None:
        """Answer with a value; a streamed body is sent by a task of the exchange."""

    def reply(self, status: int, block: FieldBlock, body: bytes = b"", reason: str = "") -> None:
        """The whole answer in one write."""

    def inform(self, status: int, headers: Headers | None = None) -> None:
        """An interim response, such as 103 Early Hints (RFC 9110 15.2); nothing to an HTTP/1.0 client."""

    def start(self, status: int, block: FieldBlock, reason: str = "") -> None:
        """The head of a streamed answer. It leaves with the first content or with the end."""

    def write(self, data: bytes) -> bool:
        """More content; empty data sends the head alone. False when the writer should `await drain()`."""

    def stream(self, body: Content) -> None:
        """After `start`: send an iterable as it yields, by a task of the exchange, then end; closes it.

        A FileBody of the announced length is sent by the system where that is possible; where the file has
        shrunk the connection is cut.
        """

    async def drain(self) -> None:
        """Wait until the client has taken enough. Raises ClientDisconnected when it has gone."""

    def when_writable(self, callback: Callable[[], None]) -> None:
        """Call back once as soon as the client takes more (at once when it does), or has left."""

    def trail(self, block: FieldBlock) -> None:
        """Trailer fields to send after the content (RFC 9110 6.5); left out where the framing has no place
        for them. ValueError for fields that must not come so late."""

    def end(self) -> None:
        """The answer is complete."""

    def upgrade(self, options: WebSocketOptions = DEFAULT_OPTIONS) -> WebSocket:
        """The WebSocket that the client asks for; nothing is answered yet (RFC 6455 4.2).

        Raises HTTPError: 426 when it does not ask for one, or for another version, 400 when it asks badly.
        """

    async def tunnel(
        self, status: int, block: FieldBlock, *, protocol: str = "", idle_timeout: float = 3600.0
    ) -> TunnelEnd:
        """Give the connection away: `status` (101, or 200 to a CONNECT) is answered with `block`, and from then on
        it carries bytes for whatever the end is joined to. `protocol` is what a 101 names.

        After `idle_timeout` seconds without a byte either way it is cut. Raises ClientDisconnected, what a hook
        raises, and HTTPError(501) where there is no connection to give away.
        """

    def abort(self, error: Exception | None = None) -> None:
        """Give up: the connection is cut so that the client cannot take the answer for complete."""

    async def receive(self) -> None:
        """Wait for more of the request's content, or its end; asks a client that expects it to continue.

        Raises ClientDisconnected or ProtocolError when the rest will not come.
        """

    async def complete(self) -> None:
        """Wait until the content is complete, keeping all of it (see `Body.file`). Raises like `receive`."""

    def when_readable(self, callback: Callable[[], None]) -> None:
        """Call back once as soon as `receive` would not wait."""

    def when_complete(self, callback: Callable[[], None]) -> None:
        """Spool the content and call back when all of it is there; never, when it will not come."""

    def restart(self) -> None:
        """Have the host answer `request`, which was changed, as if it had just come; hooks and encoding are
        forgotten."""

    def on_close(self, observer: CloseObserver) -> None:
        """Tell `observer` once: None after a complete answer, ClientDisconnected as soon as the client has
        closed its side (a client that only half-closed still gets its answer), at once if that was before."""

    def before_head(self, hook: HeadHook) -> None:
        """Let `hook` change the fields of the answer, whoever gives it. Hooks run in the order they came.

        When a hook gives back an awaitable, the head and all that is said after it are held back until that is
        done; `write` returns False meanwhile. What a hook raises, or its awaitable, leads to an error page. The
        awaitable is awaited to its end even when the client leaves, but no longer than `Timeouts.hooks`.
        """

    def encode_by(self, choice: EncodingChoice | None) -> None:
        """Let `choice` decide, after all hooks, in which coding the content goes out; None: as it is.

        Takes the place of the one before it.
        """


class Host(Protocol):
    """What a channel serves: it knows neither tree nor site."""

    limits: Limits
    timeouts: Timeouts
    quota: SpoolQuota
    log: Callable[["Exchange"], None] | None
    """The access log's ear: told of every exchange that is over; None when nobody listens."""

    def dispatch(self, exchange: Exchange) -> None:
        """Answer the request of `exchange`, now or later; never raises."""

    def refuse(self, error: ProtocolError) -> Response:
        """The answer to a request that broke the standard."""

    def failed(self, exchange: Exchange, error: BaseException) -> None:
        """An answer broke while it was being streamed: log it."""
