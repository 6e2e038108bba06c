"""What the leaves of the suite answer, said once, and how each kind of leaf says it.

A Case is an answer as a value; a kind turns it into a native resource, a WSGI application and so on. A new
kind is one adapter and one entry in KINDS.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from container.message.response import Response
from container.resources.asgi import ASGIResource
from container.resources.wsgi import WSGIResource
from container.tree.resource import Resource
from tests.conformance.client import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from container.message.request import Request

PIECE: Final = b"x" * 65_536
# What the kernels of both ends and the server may hold for a client that does not read; far below endless.
HELD_MAX: Final = 256
_QUIET_S: Final = 0.3
_POLL_S: Final = 0.01

# Steps of an answer beside its pieces: wait for the test, wait until the client has left.
GO: Final = "go"
GONE: Final = "gone"


class Marks:
    """What the leaf tells the test and the test tells the leaf, from whatever thread."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.uploads: list[bytes] = []
        self.notes: list[str] = []
        self.called = threading.Event()
        self.go = threading.Event()
        self.left = threading.Event()
        self.ended = threading.Event()
        self._grown = threading.Condition()
        self.made = 0  # pieces of an endless answer

    # What leaves call.

    def call(self, text: str) -> None:
        """This was asked for."""
        self.calls.append(text)
        self.called.set()

    def note(self, text: str) -> None:
        """Whatever else a test wants to know."""
        self.notes.append(text)

    def upload(self, content: bytes) -> None:
        """This came as content."""
        self.uploads.append(content)

    def await_go(self, timeout_s: float = PATIENCE_S) -> None:
        """Wait for the test."""
        self.go.wait(timeout_s)

    def leave(self) -> None:
        """The client was found to have left."""
        self.left.set()

    def end(self) -> None:
        """The answer is over, well or badly."""
        self.ended.set()

    def make(self) -> bytes:
        """One more piece of an endless answer."""
        self.grow()
        return PIECE

    def grow(self) -> None:
        with self._grown:
            self.made += 1
            self._grown.notify_all()

    def grows(self, made: int, timeout_s: float = PATIENCE_S) -> bool:
        """Does the number of pieces exceed `made` in time?"""
        with self._grown:
            return self._grown.wait_for(lambda: self.made > made, timeout_s)

    def stall(self) -> int:
        """How many pieces were made when no more came."""
        made = 0
        while self.grows(made, PATIENCE_S if not made else _QUIET_S):
            made = self.made
            assert made < HELD_MAX, "expected the leaf to wait for a client that does not read"
        assert made, "expected the leaf to begin"
        return made


@dataclass(frozen=True)
class Case:
    """One answer. `steps` makes its content; `whole` hands it over in one piece; `echoes` the upload."""

    steps: Callable[[Marks], Iterator[bytes | str]]
    status: int = 200
    fields: tuple[tuple[str, str], ...] = (("Content-Type", "text/plain"),)
    whole: bool = False
    echoes: bool = False
    crashes: bool = False


def _of(*steps: bytes | str | Exception) -> Callable[[Marks], Iterator[bytes | str]]:
    def run(marks: Marks) -> Iterator[bytes | str]:
        for step in steps:
            if isinstance(step, Exception):
                raise RuntimeError("as the test wants it") from step
            yield step

    return run


def _endless(marks: Marks) -> Iterator[bytes | str]:
    while True:
        yield marks.make()


_TEXT = ("Content-Type", "text/plain")
_FAILURE = ValueError("on purpose")
CASES: Final = {
    "hello": Case(_of(b"hello"), whole=True),
    "nothing": Case(_of(b""), whole=True),
    "pieces": Case(_of(b"one", b"two", b"three")),
    "sized-pieces": Case(_of(b"one", b"two", b"three"), fields=(_TEXT, ("Content-Length", "11"))),
    "no-pieces": Case(_of()),
    "echo": Case(_of(), whole=True, echoes=True),
    "smuggled": Case(_of(b"smuggled"), whole=True),
    "204": Case(_of(b"not for the wire"), 204, (), whole=True),
    "205": Case(_of(b"not for the wire"), 205, (), whole=True),
    "304": Case(_of(b"not for the wire"), 304, (), whole=True),
    "204-pieces": Case(_of(b"not for", b" the wire"), 204, ()),
    "205-pieces": Case(_of(b"not for", b" the wire"), 205, ()),
    "304-pieces": Case(_of(b"not for", b" the wire"), 304, ()),
    "excess": Case(_of(b"hello, world"), fields=(_TEXT, ("Content-Length", "5")), whole=True),
    "excess-pieces": Case(_of(b"hello", b", world"), fields=(_TEXT, ("Content-Length", "5"))),
    "shortage": Case(_of(b"hello"), fields=(_TEXT, ("Content-Length", "10")), whole=True),
    "shortage-pieces": Case(_of(b"he", b"llo"), fields=(_TEXT, ("Content-Length", "10"))),
    "crash": Case(_of(), crashes=True),
    "fails-early": Case(_of(_FAILURE)),
    "fails-late": Case(_of(b"one", GO, _FAILURE)),
    "fails-late-sized": Case(_of(b"one", GO, _FAILURE), fields=(_TEXT, ("Content-Length", "9"))),
    "value-crlf": Case(_of(b"x"), fields=(_TEXT, ("X-A", "1\r\nInjected: 2")), whole=True),
    "value-lf": Case(_of(b"x"), fields=(_TEXT, ("X-A", "1\nInjected: 2")), whole=True),
    "value-cr": Case(_of(b"x"), fields=(_TEXT, ("X-A", "1\rInjected: 2"))),
    "value-nul": Case(_of(b"x"), fields=(_TEXT, ("X-A", "1\0Injected"))),
    "value-crlfcrlf": Case(_of(b"x"), fields=(_TEXT, ("X-A", "1\r\n\r\nInjected"))),
    "name-crlf": Case(_of(b"x"), fields=(_TEXT, ("X-A: 1\r\nInjected", "2")), whole=True),
    "gated": Case(_of(b"one", GO, b"two")),
    "refuses": Case(_of(b"who are you?"), 401, whole=True),
    "cookies": Case(
        _of(b"x"), fields=(_TEXT, ("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=2")), whole=True
    ),
    "elsewhere": Case(_of(b""), 303, (("Location", "/there?a=%20b"), ("X-Empty", "")), whole=True),
    "endless": Case(_endless),
    "leaving": Case(_of(GONE)),
}


class Stage:
    """Holds the marks of the test that runs; leaves take them when they are called. `folder` is for files."""

    def __init__(self, folder: Path = Path()) -> None:
        self.folder = folder
        self.marks = Marks()

    def take(self) -> Marks:
        """The marks of the test that runs."""
        return self.marks

    def enter(self, method: str, name: str) -> tuple[Case, Marks]:
        marks = self.take()
        marks.call(f"{method} {name}")
        return CASES[name], marks


class Native(Resource):
    """The cases as a resource of the tree."""

    is_leaf = True

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    async def render(self, request: Request) -> Response:
        case, marks = self.stage.enter(request.method, request.path_info.strip("/"))
        if case.crashes:
            raise RuntimeError("as the test wants it")
        if case.echoes:
            content = await request.read()
            marks.upload(content)
            return Response(content, case.status, list(case.fields))
        if case.whole:
            content = b"".join(step for step in case.steps(marks) if isinstance(step, bytes))
            return Response(content, case.status, list(case.fields))
        return Response(self.play(request, case, marks), case.status, list(case.fields))

    async def play(self, request: Request, case: Case, marks: Marks) -> AsyncIterator[bytes]:
        gone = asyncio.Event()

        def closed(error: Exception | None) -> None:
            if error is not None:
                marks.leave()
            gone.set()

        request.exchange.on_close(closed)
        try:
            for step in case.steps(marks):
                if isinstance(step, bytes):
                    yield step
                elif step == GO:
                    await asyncio.to_thread(marks.await_go)
                else:
                    await asyncio.wait_for(gone.wait(), PATIENCE_S)
        finally:
            marks.end()


def wsgi_application(stage: Stage) -> Callable[[Any, Any], Any]:
    """The cases as an application of PEP 3333."""

    def application(environ: Any, start_response: Any) -> Any:
        case, marks = stage.enter(environ["REQUEST_METHOD"], environ["PATH_INFO"].strip("/"))
        if case.crashes:
            raise RuntimeError("as the test wants it")
        content = b""
        if case.echoes:
            content = environ["wsgi.input"].read()
            marks.upload(content)
        start_response(f"{case.status} Said by the test", list(case.fields))
        if case.echoes:
            return [content]
        if case.whole:
            return [step for step in case.steps(marks) if isinstance(step, bytes)]
        return _played(environ, case, marks)

    return application


def _played(environ: Any, case: Case, marks: Marks) -> Iterator[bytes]:
    with closing(case.steps(marks)) as steps:  # type: ignore[type-var]  # these are generators
        try:
            for step in steps:
                if isinstance(step, bytes):
                    yield step
                elif step == GO:
                    marks.await_go()
                elif _has_left(environ["container.client_disconnected"], marks):
                    marks.leave()
        finally:
            marks.end()


def asgi_application(stage: Stage) -> Callable[[Any, Any, Any], Any]:
    """The cases as an application of ASGI 3, written to the specification alone."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        name = scope["path"].removeprefix(scope["root_path"]).strip("/")
        case, marks = stage.enter(scope["method"], name)
        if case.crashes:
            raise RuntimeError("as the test wants it")
        content = b""
        if case.echoes:
            uploaded = await _upload(receive)
            if uploaded is None:
                return
            content = uploaded
            marks.upload(content)
        head = [(field.lower().encode("latin-1"), value.encode("latin-1")) for field, value in case.fields]
        await send({"type": "http.response.start", "status": case.status, "headers": head})
        if case.whole:
            content += b"".join(step for step in case.steps(marks) if isinstance(step, bytes))
            await send({"type": "http.response.body", "body": content})
        else:
            await _say(case, marks, receive, send)

    return application


async def _live(receive: Any, send: Any) -> None:
    while True:
        asked = (await receive())["type"]
        await send({"type": f"{asked}.complete"})
        if asked == "lifespan.shutdown":
            return


async def _upload(receive: Any) -> bytes | None:
    """The content of the request; None when it did not come to its end."""
    content = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        content += message.get("body", b"")
        more = message.get("more_body", False)
    return content


async def _say(case: Case, marks: Marks, receive: Any, send: Any) -> None:
    """The pieces of an answer, beside a task that looks whether the client is still there."""
    left = asyncio.create_task(_leaves(receive))
    try:
        for step in case.steps(marks):
            if isinstance(step, bytes):
                await send({"type": "http.response.body", "body": step, "more_body": True})
            elif step == GO:
                await asyncio.to_thread(marks.await_go)
            else:
                await asyncio.wait_for(left, PATIENCE_S)
                marks.leave()
        await send({"type": "http.response.body"})
    finally:
        left.cancel()
        marks.end()


async def _leaves(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _has_left(is_disconnected: Callable[[], bool], marks: Marks) -> bool:
    """PEP 3333 has no callback for it, so an application has to ask; for a bounded time."""
    for _ in range(int(PATIENCE_S / _POLL_S)):
        if is_disconnected():
            return True
        marks.await_go(_POLL_S)
    return False


@dataclass(frozen=True)
class Kind:
    """A kind of leaf. `concurrent`: it may wait for the client while the loop runs, so it sees it leave and
    can decide before it reads. `is_behind`: it is another server's, which a proxy asks: an answer that has come
    whole has a length, whoever made it in pieces."""

    make: Callable[[Stage], Resource]
    concurrent: bool = True
    is_behind: bool = False


def _wsgi(stage: Stage, *, threads: int) -> Resource:
    return WSGIResource(wsgi_application(stage), threads=threads)


KINDS: Final = {
    "native": Kind(Native),
    "wsgi": Kind(partial(_wsgi, threads=8)),
    "asgi": Kind(lambda stage: ASGIResource(asgi_application(stage))),
    "proxied": Kind(Native, is_behind=True),
    "wsgi_inline": Kind(partial(_wsgi, threads=0), concurrent=False),
}
