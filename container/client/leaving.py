"""When a client that waits for an answer of another server has left: most of those that do only close their side."""

import asyncio

from container.message.exchange import Exchange


class Leaving:
    """What answers `exchange` later; `has_left` is asked again and again until there is an answer."""

    __slots__ = ("_left_at", "exchange")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self._left_at: float | None = None

    def has_left(self, grace: float) -> bool:
        """Is the client gone, or has it closed its side for `grace` seconds, so that it will not read either? Then
        the exchange is over."""
        exchange = self.exchange
        if exchange.gone:
            return True
        if exchange.started or not exchange.disconnected:
            return False
        now = asyncio.get_running_loop().time()
        if self._left_at is None:
            self._left_at = now
        if now - self._left_at < grace:
            return False
        exchange.abort()
        return True
