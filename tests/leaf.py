"""What tests of several folders share: resources made of a function, requests as bytes, a log in memory."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from container.tree.accesslog import AccessLog, CombinedFormatter, Entry
from container.tree.resource import Resource

if TYPE_CHECKING:
    from collections.abc import Callable

    from container.message.exchange import Exchange
    from container.message.request import Request


class Leaf(Resource):
    """Answers every request, at any path, with what `answer` makes of it."""

    is_leaf = True

    def __init__(self, answer: Callable[[Request], Any]) -> None:
        self.answer = answer

    def render(self, request: Request) -> Any:
        return self.answer(request)


class Held(Resource):
    """Keeps the exchanges of its requests, for the test to answer by hand."""

    is_leaf = True

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    def render(self, request: Request) -> Exchange:
        self.exchanges.append(request.exchange)
        return request.exchange

    @property
    def last(self) -> Exchange:
        return self.exchanges[-1]


class MemoryLog(AccessLog):
    """An access log whose lines can be looked at."""

    def __init__(self, formatter: Callable[[Any], str] | None = None) -> None:
        self.stream = io.StringIO()
        super().__init__(self.stream, formatter)

    @property
    def lines(self) -> list[str]:
        self.flush()
        return self.stream.getvalue().splitlines()


def log_line(exchange: Exchange) -> str:
    """What the combined log says of it, at the same time always."""
    return _format(Entry(exchange.request, exchange.status, exchange.bytes_sent, 1_000_000.0))


_format = CombinedFormatter()


def request(
    target: str = "/", *fields: str, method: str = "GET", version: str = "1.1", host: str | None = "a"
) -> bytes:
    """The head of a request, with its empty line."""
    lines = [f"{method} {target} HTTP/{version}", *([f"Host: {host}"] if host is not None else []), *fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


GET = request()


def shown(value: object) -> str:
    """How a parameter is called in the name of a test: the same in every run."""
    return re.sub(" at 0x[0-9a-f]+", "", repr(value))
