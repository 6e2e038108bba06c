"""start_response: what it takes, what it refuses, and when it may be called again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from container.resources.wsgi import WSGIResource
from container.resources.wsgi import call as module
from container.testing import Client
from tests.leaf import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from container.testing import ClientResponse

PLAIN = [("Content-Type", "text/plain")]


def serve(headers: Any = (), status: Any = "200 OK") -> WSGIResource:
    """An application that starts its answer in this way."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response(status, headers)
        return [b"x"]

    return WSGIResource(app, threads=1)


def answer(app: Callable[..., Any] | WSGIResource) -> ClientResponse:
    resource = app if isinstance(app, WSGIResource) else WSGIResource(app, threads=1)
    with Client(resource) as client:
        return client.get("/")


@pytest.mark.parametrize(
    ("status", "code", "phrase"),
    [
        ("200 OK", 200, "OK"),
        ("200 Fine by me", 200, "Fine by me"),
        ("404 Nöt Found", 404, "Nöt Found"),
        ("299 ", 299, "Success"),
        ("999 Odd", 999, "Odd"),
    ],
)
def test_the_status_is_the_applications(status: str, code: int, phrase: str) -> None:
    got = answer(serve([], status))
    assert (got.status, got.reason) == (code, phrase)


@pytest.mark.parametrize(
    "status",
    [
        200,
        b"200 OK",
        None,
        [],
        "200",
        "42 Weird",
        "2000 OK",
        "abc",
        "",
        "²00 OK",
        "100 Continue",
        "101 Go",
        "200 a\r\nX: y",
        "200 ş",
    ],
)
def test_a_status_that_cannot_be_sent_is_an_error_of_the_application(
    status: Any, caplog: pytest.LogCaptureFixture
) -> None:
    got = answer(serve([], status))
    assert got.status == 500
    assert "expected" in caplog.text or "unhashable" in caplog.text


@pytest.mark.parametrize(
    "headers",
    [
        None,
        tuple(PLAIN),
        dict(PLAIN),
        iter(PLAIN),
        [["X-A", "1"]],
        [("X-A", "1", "2")],
        [("X-A",)],
        [("X-A", 1)],
        [(b"X-A", b"1")],
        ["X-A"],
        [7],
        [("X-A", "1\r\nInjected: 1")],
        [("X-A", "1\nInjected: 1")],
        [("X-A\r\nInjected", "1")],
        [("X A", "1")],
        [("", "1")],
        [("X-A", "ş")],
        [("X-A", "\0")],
        [("Content-Length", "five")],
        [("Content-Length", "1"), ("Content-Length", "2")],
    ],
    ids=shown,
)
def test_headers_that_cannot_be_sent_are_an_error_of_the_application(
    headers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    got = answer(serve(headers))
    assert got.status == 500
    assert "injected" not in got.headers
    assert "expected" in caplog.text


def test_the_application_may_deal_with_the_error_itself() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        with pytest.raises(ValueError, match="control characters"):
            start_response("200 OK", [("X-A", "a\r\nb")])
        start_response("200 OK", [("X-A", "a b")])
        return [b"x"]

    assert answer(app).headers["x-a"] == "a b"


def test_fields_keep_their_order_and_repeat() -> None:
    headers = [("Set-Cookie", "a=1"), ("X-B", "2"), ("Set-Cookie", "c=3"), ("X-Latin", "é")]
    got = answer(serve(headers))
    assert got.headers.get_all("set-cookie") == ["a=1", "c=3"]
    assert [pair for pair in got.headers.items() if pair[0] in ("Set-Cookie", "X-B", "X-Latin")] == headers


def test_the_list_of_headers_stays_the_applications() -> None:
    headers = [("X-A", "1")]

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", headers)
        headers[:] = [("X-A", str(int(headers[0][1]) + 1))]
        return [b"x"]

    with Client(WSGIResource(app, threads=1)) as client:
        assert [client.get("/").headers["x-a"] for _ in range(3)] == ["1", "2", "3"]


def test_what_is_remembered_of_answers_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCKS_MAX", 2)
    monkeypatch.setattr(module, "_STATUSES_MAX", 2)
    for number in range(5):
        got = answer(serve([("X-N", str(number))], f"200 {number}"))
        assert (got.headers["x-n"], got.reason) == (str(number), str(number))
    assert len(module._blocks) <= 2
    assert len(module._statuses) <= 2


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("Connection", "close")], {"connection": "close"}),
        ([("Connection", "X-Hop")], {"connection": None}),
        ([("Transfer-Encoding", "chunked"), ("Content-Length", "1")], {"transfer-encoding": None}),
        (
            [("Keep-Alive", "timeout=5"), ("Upgrade", "h2c"), ("Trailer", "x")],
            {"keep-alive": None, "upgrade": None},
        ),
        ([("Server", "mine")], {"server": "mine"}),
        ([("Date", "mine")], {"date": "mine"}),
    ],
)
def test_fields_of_the_connection_are_not_the_applications(
    headers: list[tuple[str, str]], expected: dict[str, str | None]
) -> None:
    got = answer(serve(headers))
    assert {name: got.headers.get(name) for name in expected} == expected
    assert all(len(got.headers.get_all(name)) == 1 for name in ("server", "date"))
    assert got.body == b"x"


def test_start_response_twice_is_an_error() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        with pytest.raises(AssertionError, match="exc_info"):
            start_response("200 OK", [])
        return [b"x"]

    assert answer(app).status == 200


def test_with_exc_info_status_and_headers_are_replaced_until_content_is_sent() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("X-A", "1")])
        try:
            raise KeyError("oops")
        except KeyError:
            start_response("503 Busy", [("X-B", "2")], sys.exc_info())
        return [b"error page"]

    got = answer(app)
    assert (got.status, got.reason, got.body) == (503, "Busy", b"error page")
    assert ("x-a" in got.headers, got.headers["x-b"]) == (False, "2")


@pytest.mark.parametrize("headers", [[], [("Content-Length", "5")]])
def test_with_exc_info_the_error_is_raised_again_once_content_is_sent(
    headers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    raised: list[BaseException] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", headers)
        yield b"begun"
        try:
            raise KeyError("oops")
        except KeyError:
            try:
                start_response("500 Error", [], sys.exc_info())
            except KeyError as error:
                raised.append(error)
                raise

    got = answer(app)
    assert (got.status, got.body, got.complete) == (200, b"begun", bool(headers))
    assert raised[0].__traceback__ is not None
    assert caplog.text.count("Traceback") == 1
