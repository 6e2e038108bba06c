"""Applications that run on the loop itself: the same contract, without threads."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from container.message.headers import Headers
from container.resources.wsgi import WSGIResource
from container.testing import Client
from container.tree.resource import Resource
from tests.leaf import GET, request, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container.testing import ClientResponse


class Pieces:
    def __init__(
        self, *pieces: Any, error: BaseException | None = None, on_close: Exception | None = None
    ) -> None:
        self.pieces = pieces
        self.error = error
        self.on_close = on_close
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        yield from self.pieces
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed += 1
        if self.on_close is not None:
            raise self.on_close


def serve(result: Any, headers: Any = ()) -> WSGIResource:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", list(headers))
        return result

    return WSGIResource(app, threads=0)


def answer(app: Any, method: str = "GET") -> ClientResponse:
    resource = app if isinstance(app, WSGIResource) else WSGIResource(app, threads=0)
    with Client(resource) as client:
        response = client.request(method, "/")
        client.settle()
        return response


def test_no_threads_are_made() -> None:
    before = threading.active_count()
    seen: list[str] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        seen.append(threading.current_thread().name)
        start_response("200 OK", [])
        return [b"x"]

    with Client(WSGIResource(app, threads=0)) as client:
        assert client.get("/").body == b"x"
        assert threading.active_count() == before
    assert seen == [threading.main_thread().name]


@pytest.mark.parametrize(
    ("result", "body", "length"),
    [
        ([b"hello"], b"hello", "5"),
        ((b"he", b"llo"), b"hello", "5"),
        ([], b"", "0"),
        (Pieces(b"he", b"", b"llo"), b"hello", None),
        (Pieces(b"", b"hello"), b"hello", None),
    ],
    ids=shown,
)
def test_what_is_given_back_is_sent(result: Any, body: bytes, length: str | None) -> None:
    got = answer(serve(result))
    assert (got.body, got.headers.get("content-length"), got.complete) == (body, length, True)
    assert getattr(result, "closed", 1) == 1


def test_an_empty_iterable_is_an_empty_answer() -> None:
    got = answer(serve(Pieces()))
    assert (got.status, got.body, got.complete) == (200, b"", True)


@pytest.mark.parametrize("result", [[b"c"], [], Pieces(b"c"), Pieces()])
def test_write_sends_before_what_is_given_back(result: Any) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [])
        write(b"a")
        write(b"b")
        return result

    got = answer(app)
    assert got.body == (b"abc" if result == [b"c"] or getattr(result, "pieces", ()) else b"ab")
    assert got.complete


def test_with_exc_info_an_error_page_takes_the_place_of_what_was_not_sent() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("X-A", "1")])
        try:
            raise KeyError("oops")
        except KeyError:
            start_response("503 Busy", [("X-B", "2")], sys.exc_info())
        return [b"error page"]

    got = answer(app)
    assert (got.status, got.body, "x-a" in got.headers) == (503, b"error page", False)


@pytest.mark.parametrize("uses_write", [False, True])
def test_with_exc_info_an_error_after_content_is_raised_again(uses_write: bool) -> None:
    def fail(start_response: Any) -> None:
        try:
            raise KeyError("oops")
        except KeyError:
            start_response("500 Error", [], sys.exc_info())

    def writing(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])(b"begun")
        fail(start_response)
        return [b"lost"]

    def yielding(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"begun"
        fail(start_response)
        yield b"lost"

    got = answer(writing if uses_write else yielding)
    assert (got.status, got.body, got.complete) == (200, b"begun", False)


def raises(environ: Any, start_response: Any) -> Any:
    raise ValueError("secret")


def raises_in_generator(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    yield b""
    raise ValueError("secret")


def never_started(environ: Any, start_response: Any) -> Any:
    return [b"x"]


def never_started_generator(environ: Any, start_response: Any) -> Any:
    yield b"x"


def never_started_empty(environ: Any, start_response: Any) -> Any:
    yield from ()


def gives_text(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    return ["text"]


def gives_text_pieces(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    yield "text"


def gives_nothing(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])


def exits(environ: Any, start_response: Any) -> Any:
    sys.exit("secret")


VIOLATIONS = [
    raises, raises_in_generator, never_started, never_started_generator, never_started_empty, gives_text,
    gives_text_pieces, gives_nothing, exits,
]  # fmt: skip


@pytest.mark.parametrize("app", VIOLATIONS)
def test_an_error_before_the_first_content_is_a_500(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    got = answer(app)
    assert (got.status, got.complete) == (500, True)
    assert b"secret" not in got.body
    assert len(caplog.records) == 1


@pytest.mark.parametrize("piece", ["text", 7])
def test_a_later_piece_that_is_no_bytes_cuts_the_connection(piece: Any) -> None:
    got = answer(serve(Pieces(b"begun", piece)))
    assert (got.body, got.complete) == (b"begun", False)


@pytest.mark.parametrize(
    "pieces",
    [
        Pieces(b"one"),
        Pieces(error=ValueError()),
        Pieces(b"a", b"b", error=ValueError()),
        Pieces(b"one", on_close=ValueError("close failed")),
        Pieces("text"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_close_is_called_exactly_once(pieces: Pieces, method: str, caplog: pytest.LogCaptureFixture) -> None:
    pieces.closed = 0
    with Client(serve(pieces)) as client:
        connection = client.connect()
        connection.send(request(method=method))
        client.settle()
    assert pieces.closed == 1
    assert ("close failed" in caplog.text) is (pieces.on_close is not None)


def test_close_is_called_when_the_head_cannot_be_sent() -> None:
    pieces = Pieces(b"x")

    def broken(status: int, headers: Headers) -> None:
        raise RuntimeError("hook broken")

    class Hooked(Resource):
        is_leaf = True
        app = serve(pieces)

        def render(self, each: Any) -> Any:
            each.exchange.before_head(broken)
            return self.app.render(each)

    with Client(Hooked()) as client:
        assert client.get("/").status == 500
        client.settle()
    assert pieces.closed == 1


def test_a_generator_is_taken_no_faster_than_the_client_reads() -> None:
    made: list[int] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            while True:
                made.append(1)
                yield b"x" * 50_000
        finally:
            made.append(-1)

    with Client(WSGIResource(app, threads=0)) as client:
        connection = client.connect()
        connection.transport.hold()
        connection.send(GET)
        assert len(made) < 5
        connection.transport.reset()
        client.settle()
    assert made[-1] == -1


def test_content_is_complete_before_the_application_runs() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["wsgi.input"].read(), environ["CONTENT_LENGTH"].encode()]

    with Client(WSGIResource(app, threads=0)) as client:
        connection = client.connect()
        connection.send(request("/", "Content-Length: 300000", "Expect: 100-continue", method="POST"))
        assert connection.data == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(b"x" * 300_000)
        assert connection.receive().body == b"x" * 300_000 + b"300000"
