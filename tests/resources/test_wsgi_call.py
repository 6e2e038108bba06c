"""One run of an application: lists, pieces, write(), errors, and close() exactly once."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from container.resources.wsgi import WSGIResource
from container.testing import Client
from tests.leaf import GET, request, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from container.testing import ClientResponse

PLAIN = [("Content-Type", "text/plain")]


class Pieces:
    """The iterable of an application: counts what was taken and how often it was closed."""

    def __init__(self, *pieces: Any, error: BaseException | None = None, on_close: Any = None) -> None:
        self.pieces = pieces
        self.error = error
        self.on_close = on_close
        self.taken = self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        for piece in self.pieces:
            self.taken += 1
            yield piece() if callable(piece) else piece
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed += 1
        if self.on_close is not None:
            raise self.on_close


def serve(
    result: Iterable[Any], headers: Any = PLAIN, status: Any = "200 OK", **options: Any
) -> WSGIResource:
    """An application that gives back `result`."""

    def app(environ: Any, start_response: Any) -> Iterable[Any]:
        start_response(status, headers)
        return result

    return WSGIResource(app, threads=1, **options)


def answer(app: Callable[..., Any] | WSGIResource, method: str = "GET") -> ClientResponse:
    resource = app if isinstance(app, WSGIResource) else WSGIResource(app, threads=1)
    with Client(resource) as client:
        response = client.request(method, "/")
        client.settle()
        return response


# Content.


@pytest.mark.parametrize(
    ("result", "framing"),
    [
        ([b"hello"], "5"),
        ((b"hello",), "5"),
        ([b"he", b"", b"llo"], "5"),
        ([], "0"),
        ([b""], "0"),
        (Pieces(b"he", b"llo"), None),
        (Pieces(), "0"),
        (Pieces(b"", b""), "0"),
        (iter([b"hello"]), None),
    ],
    ids=shown,
)
def test_a_list_has_a_length_and_an_iterable_streams(result: Any, framing: str | None) -> None:
    got = answer(serve(result))
    assert (got.body, got.complete) == (b"" if framing == "0" else b"hello", True)
    assert got.headers.get("content-length") == framing
    assert (got.headers.get("transfer-encoding") == "chunked") is (framing is None)


@pytest.mark.parametrize(
    "result", [[b"hello"], Pieces(b"hello"), Pieces(b"he", b"llo"), Pieces(b"", b"hello", b"")]
)
def test_an_announced_length_is_kept(result: Any) -> None:
    got = answer(serve(result, [("Content-Length", "5")]))
    assert (got.body, got.headers["content-length"], got.complete) == (b"hello", "5", True)


def test_nothing_is_sent_before_the_first_content_and_every_piece_at_once() -> None:
    gates = [threading.Event() for _ in range(3)]

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        for gate, piece in zip(gates, (b"", b"one", b"two"), strict=True):
            gate.wait(5)
            yield piece

    with Client(WSGIResource(app, threads=1)) as client:
        connection = client.connect()
        connection.send(GET)
        gates[0].set()
        client.settle()
        assert connection.data == b""
        gates[1].set()
        client.wait_until(lambda: b"one" in connection.data)
        assert b"two" not in connection.data
        gates[2].set()
        assert connection.receive().body == b"onetwo"


def test_write_sends_before_what_is_given_back() -> None:
    for result in ([b"c"], Pieces(b"c"), [], Pieces()):

        def app(environ: Any, start_response: Any, result: Any = result) -> Any:
            write = start_response("200 OK", [])
            write(b"a")
            write(b"b")
            return result

        got = answer(app)
        assert got.body == (b"abc" if result == [b"c"] or getattr(result, "pieces", ()) else b"ab")
        assert got.complete


def test_writing_nothing_sends_the_head() -> None:
    gate = threading.Event()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [("X-Early", "1")])
        write(b"")
        gate.wait(5)
        return [b"x"]

    with Client(WSGIResource(app, threads=1)) as client:
        connection = client.connect()
        connection.send(GET)
        client.wait_until(lambda: b"X-Early" in connection.data)
        gate.set()
        assert connection.receive().body == b"x"


@pytest.mark.parametrize("wrong", ["text", bytearray(b"x"), None])
def test_write_takes_bytes_only(wrong: Any) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        with pytest.raises(TypeError, match="expected bytes"):
            start_response("200 OK", [])(wrong)
        return [b"x"]

    assert answer(app).body == b"x"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified", "200 OK"])
@pytest.mark.parametrize("make", [lambda: [b"content"], lambda: Pieces(b"con", b"tent")])
def test_answers_without_content_have_none(status: str, make: Any) -> None:
    result = make()
    method = "HEAD" if status == "200 OK" else "GET"
    with Client(serve(result, [("X-A", "1")], status)) as client:
        connection = client.connect()
        connection.send(request(method=method))
        got = connection.receive()
        connection.send(request(method=method))
        assert connection.receive().status == got.status  # the connection is in step
    assert (got.body, got.headers["x-a"], got.complete) == (b"", "1", True)
    assert getattr(result, "closed", 2) == 2


# Content that is not what was announced.


@pytest.mark.parametrize(
    "result", [[b"123456"], Pieces(b"123456"), Pieces(b"12", b"3456"), Pieces(b"1", b"23", b"456")]
)
def test_content_beyond_the_announced_length_is_cut_off(
    result: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with Client(serve(result, [("Content-Length", "2")])) as client:
        connection = client.connect()
        connection.send(GET + GET)
        assert connection.receive().body == b"12"
        assert connection.receive().status == 200
        client.settle()
    assert "cut off" in caplog.text


@pytest.mark.parametrize("result", [[b"123"], [], Pieces(b"123"), Pieces(), Pieces(b"1", b"23")], ids=shown)
def test_content_short_of_the_announced_length_cuts_the_connection(
    result: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with Client(serve(result, [("Content-Length", "10")])) as client:
        connection = client.connect()
        connection.send(GET + GET)
        got = connection.receive()
        assert (got.status, got.complete) == (200, False)
        assert connection.receive_all().closed
    assert "more bytes of content" in caplog.text


# Errors, and the five violations of PEP 3333 that hang or silence other servers.


def never_started(environ: Any, start_response: Any) -> Any:
    return [b"x"]


def never_started_empty(environ: Any, start_response: Any) -> Any:
    return []


def never_started_generator(environ: Any, start_response: Any) -> Any:
    yield b"x"


def never_started_empty_generator(environ: Any, start_response: Any) -> Any:
    yield from ()


def gives_nothing(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])


def gives_text(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    return ["text"]


def gives_text_pieces(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    yield "text"


def gives_mixed(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    return [b"bytes", "text"]


def gives_a_string(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    return "text"


def raises(environ: Any, start_response: Any) -> Any:
    raise ValueError("secret")


def raises_after_start(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    raise ValueError("secret")


def raises_in_generator(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    yield b""
    raise ValueError("secret")


def exits(environ: Any, start_response: Any) -> Any:
    sys.exit("secret")


def interrupts(environ: Any, start_response: Any) -> Any:
    raise KeyboardInterrupt


VIOLATIONS = [
    never_started, never_started_empty, never_started_generator, never_started_empty_generator, gives_nothing,
    gives_text, gives_text_pieces, gives_mixed, gives_a_string, raises, raises_after_start, raises_in_generator,
    exits, interrupts,
]  # fmt: skip


@pytest.mark.parametrize("app", VIOLATIONS)
def test_an_error_before_the_first_content_is_a_500_logged_once(
    app: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with Client(WSGIResource(app, threads=1)) as client:
        got = client.get("/")
        assert (got.status, got.complete) == (500, True)
        assert b"secret" not in got.body
        assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1
        assert caplog.records[0].exc_info is not None
        assert client.get("/").status == 500  # and the thread goes on


def test_an_error_after_the_first_content_cuts_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    got = answer(serve(Pieces(b"one", b"two", error=ValueError("secret"))))
    assert (got.body, got.complete) == (b"onetwo", False)
    assert caplog.text.count("Traceback") == 1


@pytest.mark.parametrize("result", [[b"ab"], Pieces(b"a", b"b")], ids=["list", "stream"])
def test_a_hook_of_the_tree_that_raises_is_a_500(result: Any, caplog: pytest.LogCaptureFixture) -> None:
    def broken(status: int, headers: object) -> None:
        raise RuntimeError("hook broken")

    class Hooked(WSGIResource):
        def render(self, request: Any) -> Any:
            request.exchange.before_head(broken)
            return super().render(request)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return result

    with Client(Hooked(app, threads=1)) as client:
        assert [client.get("/").status for _ in range(2)] == [500, 500]
    assert "hook broken" in caplog.text


# close().


def close_cases() -> Iterator[Any]:
    length = [("Content-Length", "3")]
    yield pytest.param(Pieces(b"one"), PLAIN, "GET", id="normal")
    yield pytest.param(Pieces(), PLAIN, "GET", id="empty")
    yield pytest.param(Pieces(b"one"), length, "GET", id="one announced piece")
    yield pytest.param(Pieces(error=ValueError()), PLAIN, "GET", id="raises at the first piece")
    yield pytest.param(Pieces(b"a", b"b", error=ValueError()), PLAIN, "GET", id="raises at the third piece")
    yield pytest.param(Pieces(b"a", error=SystemExit()), PLAIN, "GET", id="exits")
    yield pytest.param(Pieces(b"one"), PLAIN, "HEAD", id="HEAD")
    yield pytest.param(Pieces(b"toolong"), length, "GET", id="too long")
    yield pytest.param(Pieces(b"one", b"more"), length, "GET", id="too long after the whole")
    yield pytest.param(Pieces(b"a"), length, "GET", id="too short")
    yield pytest.param(Pieces("text"), PLAIN, "GET", id="no bytes")
    yield pytest.param(Pieces(b"one", on_close=ValueError("close failed")), PLAIN, "GET", id="close raises")
    yield pytest.param(
        Pieces(b"one", on_close=ValueError("close failed")), length, "GET", id="close raises late"
    )


@pytest.mark.parametrize(("pieces", "headers", "method"), list(close_cases()))
def test_close_is_called_exactly_once(
    pieces: Pieces, headers: Any, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    pieces.closed = 0
    with Client(serve(pieces, headers)) as client:
        client.connect().send(request(method=method))
        client.wait_until(lambda: pieces.closed, "close()")
    assert pieces.closed == 1
    assert ("close failed" in caplog.text) is (pieces.on_close is not None)


def test_an_error_in_close_after_the_answer_is_logged_and_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pieces = Pieces(b"one", on_close=ValueError("close failed"))
    with Client(serve(pieces, [("Content-Length", "3")])) as client:
        connection = client.connect()
        connection.send(GET + GET)
        assert [connection.receive().body for _ in range(2)] == [b"one", b"one"]
        client.wait_until(lambda: caplog.text.count("close failed") == 2)
    assert "failed after its answer" in caplog.text


def test_a_list_of_a_kind_of_its_own_is_closed() -> None:
    class Result(list[bytes]):
        closed = 0

        def close(self) -> None:
            Result.closed += 1

    got = answer(serve(Result([b"a", b"b"])))
    assert (got.body, Result.closed) == (b"ab", 1)
