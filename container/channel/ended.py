"""What a request is left with when its exchange has ended: it takes every verb and does nothing."""

import logging
from typing import Final, NoReturn

from container.channel.base import UNKNOWN, BaseExchange
from container.channel.content import forget
from container.message.body import Body
from container.message.encoding import EncodingChoice
from container.message.errors import ClientDisconnected
from container.message.fields import FieldBlock
from container.message.headers import Headers
from container.message.request import Request
from container.message.response import Content
from container.message.websocket import DEFAULT_OPTIONS, WebSocketOptions


class EndedExchange(BaseExchange):
    """There is one for all requests, so nothing of any of them is kept here."""

    __slots__ = ()

    logger = logging.getLogger("container.channel")

    def __init__(self) -> None:
        # Content that never comes: a reader that looks again must not take it for an end, nor look for ever.
        self.request = Request("-", b"-", b"", b"", "1.1", [], Body())
        self.status = self.bytes_sent = 0
        self.started = self.ended = self.disconnected = self.gone = True
        self._discards = True
        self._left = UNKNOWN
        self._watchers = None

    @property
    def host(self) -> NoReturn:
        raise ClientDisconnected("the exchange is over")

    @property
    def expects_continue(self) -> bool:
        return False

    @property
    def _is_full(self) -> bool:
        return False

    def reply(self, status: int, block: FieldBlock, body: bytes = b"", reason: str = "") -> None:
        pass

    def inform(self, status: int, headers: Headers | None = None) -> None:
        pass

    def start(self, status: int, block: FieldBlock, reason: str = "") -> None:
        pass

    def write(self, data: bytes) -> bool:
        return True

    def stream(self, body: Content) -> None:
        forget(body)

    def trail(self, block: FieldBlock) -> None:
        pass

    def end(self) -> None:
        pass

    def upgrade(self, options: WebSocketOptions = DEFAULT_OPTIONS) -> NoReturn:
        raise ClientDisconnected("the exchange is over")

    async def tunnel(
        self, status: int, block: FieldBlock, *, protocol: str = "", idle_timeout: float = 3600.0
    ) -> NoReturn:
        raise ClientDisconnected("the exchange is over")

    def abort(self, error: Exception | None = None) -> None:
        pass

    def encode_by(self, choice: EncodingChoice | None) -> None:
        pass

    def _want(self) -> None:
        pass

    def _check_late(self) -> None:
        pass

    def _broke_off(self, error: Exception) -> None:
        pass


ENDED: Final = EndedExchange()
