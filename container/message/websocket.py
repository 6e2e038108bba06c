"""WebSockets as resources see them: the connection, its states, its bounds (RFC 6455). No frames, no I/O.

Frames and the opening handshake are `protocol/ws.py`; the concrete connection is `channel/ws.py`.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Protocol

from container.message.errors import ClientDisconnected
from container.message.fields import list_tokens
from container.message.headers import HeaderSource
from container.message.response import Response

if TYPE_CHECKING:
    from container.message.request import Request

MIB: Final = 1 << 20

# Close codes (RFC 6455 7.4.1). The last two are told, never sent.
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
INTERNAL_ERROR: Final = 1011
SERVICE_RESTART: Final = 1012
NO_STATUS: Final = 1005
ABNORMAL: Final = 1006


class WebSocketState(IntEnum):
    """How far a connection has come (RFC 6455 4, 7)."""

    CONNECTING = 0  # the request has come, nothing was answered
    OPEN = 1
    CLOSING = 2  # one side has sent its Close frame
    CLOSED = 3


class WebSocketDisconnected(ClientDisconnected):
    """The WebSocket is over. `code` and `reason` are those of the peer's Close frame, 1005 for one without a
    code; those of our own where the peer broke the protocol or fell silent; 1006 where there was no Close frame."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"the WebSocket was closed with {code}" + (f" ({reason})" if reason else ""))
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class WebSocketOptions:
    """The bounds of one WebSocket. Sizes are bytes, times are seconds; None switches a time off.

    `max_message`, `max_frame`: content after decompression, more is closed with 1009. `queue_messages`,
    `queue_bytes`: what may wait for `receive` before reading pauses. `ping_interval`: a peer that was silent
    for so long is asked by a ping; `ping_timeout`: if it stays silent for so long after that, it is cut off
    with 1011. `idle_timeout`: without a message in either direction it is closed with 1000.
    `close_timeout`: for the peer to answer a Close frame. `deflate`: agree to permessage-deflate (RFC 7692)
    with a window of 2 ** `window_bits` bytes (9 to 15); messages shorter than `deflate_from` are sent as they are.
    """

    max_message: int = 16 * MIB
    max_frame: int = 16 * MIB
    queue_messages: int = 32
    queue_bytes: int = 64 * 1024
    ping_interval: float | None = 20.0
    ping_timeout: float = 20.0
    idle_timeout: float | None = None
    close_timeout: float = 10.0
    deflate: bool = True
    window_bits: int = 12
    deflate_from: int = 512

    def __post_init__(self) -> None:
        for name in (
            "max_message",
            "max_frame",
            "queue_messages",
            "queue_bytes",
            "ping_timeout",
            "close_timeout",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"expected {name} above 0, got {getattr(self, name)!r}")
        for name in ("ping_interval", "idle_timeout"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"expected {name} above 0 or None, got {value!r}")
        if not 9 <= self.window_bits <= 15:
            raise ValueError(f"expected window_bits from 9 to 15, got {self.window_bits!r}")


DEFAULT_OPTIONS: Final = WebSocketOptions()


def wants_websocket(request: "Request") -> bool:
    """Does the client ask for a WebSocket, well or badly (RFC 6455 4.2.1)?"""
    upgrade = [value for name, value in request.raw_headers if name == b"upgrade"]
    if not upgrade or b"websocket" not in list_tokens(upgrade):
        return False
    return b"upgrade" in list_tokens(value for name, value in request.raw_headers if name == b"connection")


class WebSocket(Protocol):
    """One WebSocket, on the server's side: `accept` or `deny` it, then `receive` and `send` messages.

    Text messages are str, binary ones bytes. One task at a time may receive; several may send.
    """

    subprotocol: str | None  # what was agreed on

    @property
    def request(self) -> "Request": ...

    @property
    def subprotocols(self) -> list[str]:
        """What the client offers, in its order."""

    @property
    def state(self) -> WebSocketState: ...

    async def accept(self, subprotocol: str | None = None, headers: HeaderSource = None) -> None:
        """Answer 101. `subprotocol` is one of those offered, `headers` go with the answer.

        Raises WebSocketDisconnected when the client has left, ValueError on what cannot be answered,
        ExchangeStateError when it was accepted or denied before.
        """

    def deny(self, response: Response | None = None) -> None:
        """Answer with `response` instead, without one with the 403 page of the site."""

    async def receive(self) -> str | bytes:
        """The next message. Raises WebSocketDisconnected after the last one."""

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        """The messages until the peer closes properly; any other end raises WebSocketDisconnected."""

    async def send(self, message: str | bytes | bytearray | memoryview) -> None:
        """Send one message; waits while the peer takes no more. Raises WebSocketDisconnected."""

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Begin to close and wait until the peer has agreed, or for `close_timeout`. Nothing when it is over.

        Raises ValueError for a code that cannot be sent (1000 to 1014 but for 1004 to 1006, 3000 to 4999) and
        for a reason longer than 123 bytes. Before `accept` it denies.
        """

    def begin_close(self, code: int = NORMAL, reason: str = "") -> None:
        """`close` without the wait."""
