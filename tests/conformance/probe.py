"""The leaves that the suite runs against: one behaviour for every path, one interpreter for every kind.

`PLANS` says what is answered at a path below the mount point; a kind of leaf is a function that makes a
resource which does as planned. A new kind is one more interpreter and one more line in `KINDS`.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from container.message.response import Response
from container.resources.wsgi import WSGIResource
from container.tree.resource import Resource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from container.message.request import Request

PIECE: Final = b"x" * 16_384
_WAIT_S: Final = 10.0


@dataclass(frozen=True)
class Plan:
    """What to answer. `pieces`: sent one by one, without a length unless a field announces one."""

    body: bytes = b""
    status: int = 200
    fields: tuple[tuple[str, str], ...] = ()
    pieces: tuple[bytes, ...] | None = None
    reads: bool = True  # the content, before answering
    echoes: bool = False  # tell what came, as JSON
    waits: bool = False  # at the gate of the stage, before answering
    is_endless: bool = False  # pieces for ever
    fails: bool = False  # raise, after the pieces if there are any


def _plain(body: bytes = b"hello", **plan: Any) -> Plan:
    fields = (("Content-Type", "text/plain"), *plan.pop("fields", ()))
    return Plan(body, fields=fields, **plan)


PLANS: Final[dict[str, Plan]] = {
    "hello": _plain(),
    "empty": Plan(),
    "echo": Plan(echoes=True),
    "large": _plain(b"0123456789abcdef" * 65_536),
    "stream": _plain(pieces=(b"one ", b"two ", b"three")),
    "announced": _plain(pieces=(b"one ", b"two"), fields=(("Content-Length", "7"),)),
    "long": _plain(b"123456", fields=(("Content-Length", "2"),)),
    "short": _plain(b"123", fields=(("Content-Length", "10"),)),
    "long-stream": _plain(pieces=(b"1", b"23456"), fields=(("Content-Length", "2"),)),
    "short-stream": _plain(pieces=(b"1", b"23"), fields=(("Content-Length", "10"),)),
    "created": _plain(b"made", status=201),
    "none": _plain(b"content of a 204", status=204),
    "unchanged": _plain(b"content of a 304", status=304),
    "teapot": _plain(b"short and stout", status=418),
    "unknown": _plain(b"what", status=599),
    "unread": _plain(b"not interested", status=401, reads=False),
    "close": _plain(b"bye", fields=(("Connection", "close"),)),
    "hop": _plain(b"hop", fields=(("Transfer-Encoding", "chunked"), ("Keep-Alive", "9"), ("Connection", "X-Hop"))),
    "own": _plain(b"own", fields=(("Server", "own"), ("Date", "Thu, 01 Jan 1970 00:00:00 GMT"))),
    "cookies": _plain(b"two", fields=(("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"))),
    "split-crlf": Plan(b"x", fields=(("X-A", "1\r\nX-Injected: 2"),)),
    "split-lf": Plan(b"x", fields=(("X-A", "1\nX-Injected: 2"),)),
    "split-cr": Plan(b"x", fields=(("X-A", "1\rX-Injected: 2"),)),
    "split-name": Plan(b"x", fields=(("X-A\r\nX-Injected", "2"),)),
    "split-nul": Plan(b"x", fields=(("X-A", "1\0"),)),
    "fails": Plan(fails=True),
    "fails-late": Plan(pieces=(b"begun",), fails=True),
    "fails-empty": Plan(pieces=(), fails=True),
    "wait": _plain(waits=True),
    "endless": _plain(is_endless=True),
}


@dataclass
class Stage:
    """What the leaves of one server share with the tests, which run in the same process."""

    gate: threading.Event = field(default_factory=threading.Event)
    entered: list[str] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    made: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def reset(self) -> None:
        """Let whoever still waits go on, and begin anew."""
        self.gate.set()
        self.gate = threading.Event()
        self.entered, self.contents, self.made = [], [], 0
        self.ended = threading.Event()

    def told(self, path: str, **parts: Any) -> bytes:
        return json.dumps({"path": path, **parts}).encode()


class Secret(Exception):  # noqa: N818  # no error of the suite
    """What planned failures raise; its text must not get out."""


def plan_for(path: str) -> Plan:
    return PLANS.get(path.strip("/").partition("/")[0], PLANS["hello"])


def _pieces(plan: Plan, stage: Stage) -> Iterator[bytes]:
    ended = stage.ended
    try:
        yield from plan.pieces or ()
        while plan.is_endless:
            stage.made += 1
            yield PIECE
        if plan.fails:
            raise Secret("secret of the application")
    finally:
        ended.set()


# Native resources.


class Native(Resource):
    """Does as planned with a Response, an iterator or an async one."""

    is_leaf = True

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    async def render(self, request: Request) -> Response:  # type: ignore[override]
        plan = plan_for(request.path_info)
        self.stage.entered.append(request.path_info)
        content = await request.read() if plan.reads else b""
        self.stage.contents.append(content)
        if plan.waits:
            await asyncio.to_thread(self.stage.gate.wait, _WAIT_S)
        if plan.echoes:
            told = self.stage.told(
                request.path_info,
                method=request.method,
                mount=request.script_name,
                query=request.query_string,
                host=request.headers.get("host"),
                content=content.decode("latin-1"),
            )
            return Response(told, content_type="application/json")
        if plan.pieces is not None or plan.is_endless:
            return Response(self._slowly(plan), plan.status, plan.fields)
        if plan.fails:
            raise Secret("secret of the application")
        return Response(plan.body, plan.status, plan.fields)

    async def _slowly(self, plan: Plan) -> AsyncIterator[bytes]:
        pieces = _pieces(plan, self.stage)
        try:
            for piece in pieces:
                yield piece
                await asyncio.sleep(0)
        finally:
            pieces.close()  # type: ignore[attr-defined]  # a generator


# WSGI on threads.


def wsgi(stage: Stage) -> Resource:
    """An application that does as planned with a list or a generator."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        plan = plan_for(environ["PATH_INFO"])
        stage.entered.append(environ["PATH_INFO"])
        content = environ["wsgi.input"].read() if plan.reads else b""
        stage.contents.append(content)
        if plan.waits:
            stage.gate.wait(_WAIT_S)
        if plan.echoes:
            told = stage.told(
                environ["PATH_INFO"],
                method=environ["REQUEST_METHOD"],
                mount=environ["SCRIPT_NAME"],
                query=environ["QUERY_STRING"],
                host=environ.get("HTTP_HOST"),
                content=content.decode("latin-1"),
            )
            start_response("200 OK", [("Content-Type", "application/json")])
            return [told]
        if plan.fails and plan.pieces is None:
            raise Secret("secret of the application")
        start_response(f"{plan.status} ", list(plan.fields))
        return _pieces(plan, stage) if plan.pieces is not None or plan.is_endless else [plan.body]

    return WSGIResource(app, threads=4)


KINDS: Final[dict[str, Callable[[Stage], Resource]]] = {"native": Native, "wsgi": wsgi}
DEPTHS: Final = ("", "/m/n")
