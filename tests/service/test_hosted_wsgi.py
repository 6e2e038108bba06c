"""A tree under a WSGI server that the test plays; the loop runs in a thread of its own."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from a2wsgi.asgi import AsyncEvent

from container import Limits, Resource, Response, Site
from container.message.errors import ClientDisconnected
from container.service.hosted import as_wsgi
from tests.leaf import Leaf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from container.message.request import Request
    from container.service.hosted.wsgi import HostedWSGISite

PATIENCE_S = 10.0


def environ_of(path: str = "/", content: bytes = b"", **more: Any) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "POST" if content else "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "h",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "h",
        "CONTENT_LENGTH": str(len(content)) if content else "",
        "CONTENT_TYPE": "",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "50000",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(content),
    } | more


class Answer:
    """What the application has told the host."""

    def __init__(self) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []

    def __call__(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        self.status, self.headers = status, headers


def call(app: HostedWSGISite, environ: dict[str, Any]) -> tuple[str, dict[str, str], bytes]:
    answer = Answer()
    pieces = app(environ, answer)
    try:
        content = b"".join(pieces)
    finally:
        getattr(pieces, "close", lambda: None)()
    return answer.status, dict(answer.headers), content


@pytest.fixture
def hosted() -> Iterator[Callable[..., HostedWSGISite]]:
    """Makes applications, and ends their loops."""
    made: list[HostedWSGISite] = []

    def make(resource: Resource) -> HostedWSGISite:
        app = as_wsgi(resource)
        made.append(app)
        return app

    yield make
    for app in made:
        app.close()


async def tell(request: Request) -> Response:
    content = await request.read()
    told = [request.method, request.raw_path, request.consumed, request.query_string, content, request.client]
    return Response(repr(told), content_type="text/plain")


@pytest.mark.parametrize(
    ("more", "path", "consumed"),
    [
        ({"PATH_INFO": "/a/b"}, b"/a/b", 0),
        ({"PATH_INFO": "/a/b", "RAW_URI": "/a%2Fb?x"}, b"/a%2Fb", 0),
        ({"PATH_INFO": "/a/b", "REQUEST_URI": "/a%2Fb?x"}, b"/a%2Fb", 0),
        ({"PATH_INFO": "/other", "REQUEST_URI": "/a%2Fb"}, b"/other", 0),
        ({"PATH_INFO": "/a b\xe4"}, b"/a%20b%E4", 0),
        ({"PATH_INFO": "/a", "SCRIPT_NAME": "/app"}, b"/app/a", 4),
        ({"PATH_INFO": "/a/b", "SCRIPT_NAME": "/app", "RAW_URI": "/app/a%2Fb"}, b"/app/a%2Fb", 4),
        ({"PATH_INFO": "/a/b", "SCRIPT_NAME": "/app", "RAW_URI": "/a%2Fb"}, b"/app/a%2Fb", 4),
    ],
)
def test_the_path_is_the_one_that_was_sent(
    hosted: Any, more: dict[str, str], path: bytes, consumed: int
) -> None:
    status, headers, content = call(hosted(Leaf(tell)), environ_of(QUERY_STRING="q=\xe4", **more))
    assert (status, headers["content-type"]) == ("200 OK", "text/plain")
    told = ["GET", path, consumed, "q=\xe4", b"", ("127.0.0.1", 50000)]
    assert content.decode() == repr(told)


def test_content_arrives_with_and_without_a_length(hosted: Any) -> None:
    app = hosted(Leaf(tell))
    large = os.urandom(300_000)
    assert repr(large).encode() in call(app, environ_of(content=large))[2]
    chunked = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    assert repr(large).encode() in call(app, environ_of(content=large, **chunked))[2]


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"CONTENT_LENGTH": "x"}, "400 Bad Request"),
        ({"CONTENT_LENGTH": "9"}, "413 Content Too Large"),
        ({"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}, "411 Length Required"),
        (
            {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True},
            "413 Content Too Large",
        ),
    ],
)
def test_content_that_cannot_be_taken_is_refused_by_the_site(hosted: Any, more: Any, status: str) -> None:
    app = hosted(Site(Leaf(tell), limits=Limits(body=8), headers={"X-Site": "ours"}))
    got, headers, _ = call(app, environ_of(content=b"123456789", **more))
    assert (got, headers["X-Site"]) == (status, "ours")


def test_content_that_ends_early_is_never_complete(hosted: Any) -> None:
    seen: list[object] = []
    over = threading.Event()

    async def reader(request: Request) -> Response:
        try:
            seen.append(await request.read())
        except ClientDisconnected as error:
            seen.append(error)
            raise
        finally:
            over.set()
        return Response(b"")

    status, _, content = call(hosted(Leaf(reader)), environ_of(content=b"hel", CONTENT_LENGTH="5"))
    assert (status, content) == ("400 Bad Request", b"")
    assert over.wait(PATIENCE_S)
    assert [type(each) for each in seen] == [ClientDisconnected]


def test_content_that_nobody_wants_is_not_read(hosted: Any) -> None:
    class Unreadable:
        def read(self, size: int) -> bytes:
            raise AssertionError("nobody asked")

    app = hosted(Leaf(lambda request: Response(b"no", 401)))
    status, _, content = call(app, environ_of(CONTENT_LENGTH="5", **{"wsgi.input": Unreadable()}))
    assert (status, content) == ("401 Unauthorized", b"no")


def test_a_host_that_closes_an_answer_ends_its_stream(hosted: Any) -> None:
    ended = threading.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
        finally:
            ended.set()

    pieces = hosted(Leaf(lambda request: Response(endless())))(environ_of(), Answer())
    assert next(iter(pieces)) == b"x" * 1000
    pieces.close()
    assert ended.wait(PATIENCE_S)


def test_an_answer_that_breaks_is_an_error_for_the_host(
    hosted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"one"
        raise ValueError("on purpose")

    answer = Answer()
    pieces = hosted(Leaf(lambda request: Response(broken())))(environ_of(), answer)
    assert next(iter(pieces)) == b"one"
    with pytest.raises(Exception, match="given up"):
        list(pieces)
    pieces.close()
    assert answer.status == "200 OK"
    assert "on purpose" in caplog.text


def test_an_answer_that_broke_long_ago_is_an_error_for_the_host_too(
    hosted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = AsyncEvent.set

    def take_late(self: Any, message: object) -> None:
        taken(self, message)
        for _ in range(20):  # turns of the loop, which goes on meanwhile
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self.loop).result()

    async def broken() -> AsyncIterator[bytes]:
        yield b"one"
        raise ValueError("on purpose")

    monkeypatch.setattr(AsyncEvent, "set", take_late)
    pieces = hosted(Leaf(lambda request: Response(broken())))(environ_of(), Answer())
    with pytest.raises(Exception, match="given up"):
        list(pieces)
    pieces.close()


def test_the_tree_starts_with_the_first_request_and_stops_at_the_end() -> None:
    notes: list[str] = []

    class Noting(Resource):
        is_leaf = True

        def get(self, request: Request) -> Response:
            return Response(b"hello")

        async def start(self) -> None:
            notes.append("start")

        async def stop(self) -> None:
            await asyncio.to_thread(notes.append, "stop")

    app = as_wsgi(Noting())
    assert notes == []
    assert call(app, environ_of())[2] == b"hello"
    assert call(app, environ_of())[2] == b"hello"
    app.close()
    app.close()
    assert notes == ["start", "stop"]
    assert call(app, environ_of())[2] == b"hello"
    app.close()
    assert notes == ["start", "stop"] * 2


def test_a_tree_that_does_not_start_is_an_error_each_time() -> None:
    class Failing(Resource):
        async def start(self) -> None:
            raise ValueError("on purpose")

    app = as_wsgi(Failing())
    for _ in range(2):
        with pytest.raises(ValueError, match="on purpose"):
            app(environ_of(), Answer())


def test_without_a2wsgi_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "a2wsgi", None)
    with pytest.raises(RuntimeError, match=r"pip install .container-server\[wsgi-host\]"):
        Site(Resource()).as_wsgi()
