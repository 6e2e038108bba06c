"""What a site does when rendering raises: pages, tracebacks, hooks that fail, answers that have begun."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Any

import pytest

from container.message.errors import HTTPError
from container.message.response import Response
from container.testing import Client, NoResponse
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import Leaf, request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container.message.request import Request


def fail(_: Request) -> Any:
    raise ValueError("secret <b>")


async def fail_late(_: Request) -> Any:
    await asyncio.sleep(0)
    raise ValueError("secret <b>")


def fail_after_head(each: Request) -> Any:
    each.exchange.start(200, Response(b"").block())
    each.exchange.write(b"begun")
    raise ValueError("secret <b>")


FAILING = pytest.mark.parametrize("render", [fail, fail_late])


# Pages.


@FAILING
def test_an_exception_is_a_500_that_tells_nothing_and_is_logged_once(
    render: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with Client(Leaf(render)) as client:
        answer = client.get("/path")
        assert (answer.status, answer.complete) == (500, True)
        assert "secret" not in answer.text
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert client.get("/path").status == 500
    records = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(records) == 2
    assert "GET /path HTTP/1.1" in records[0].getMessage()
    assert records[0].exc_info is not None
    assert str(records[0].exc_info[1]) == "secret <b>"


@FAILING
def test_tracebacks_are_shown_escaped_when_asked_for(render: Any) -> None:
    with Client(Site(Leaf(render), display_tracebacks=True)) as client:
        answer = client.get("/")
        declined = client.send_raw(request(method="CONNECT", target="a:1")).responses[0]
    assert answer.status == 500
    assert "secret &lt;b&gt;" in answer.text
    assert "Traceback (most recent call last)" in answer.text
    assert "<b>" not in answer.text
    assert declined.status == 501
    assert "Traceback" not in declined.text


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 418, 429, 500, 503])
def test_a_resource_declines_by_raising(status: int, caplog: pytest.LogCaptureFixture) -> None:
    def decline(_: Request) -> Any:
        raise HTTPError(status, "Because <you>.", headers={"Retry-After": "7"})

    with Client(Leaf(decline)) as client:
        answer = client.get("/")
    assert (answer.status, answer.headers["retry-after"]) == (status, "7")
    assert "Because &lt;you&gt;." in answer.text
    assert not caplog.records


def test_a_status_that_does_not_exist_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    def decline(_: Request) -> Any:
        raise HTTPError(42)

    with Client(Leaf(decline)) as client:
        assert client.get("/").status == 500
    assert "final status" in caplog.text


@pytest.mark.parametrize("render", [fail_after_head])
def test_an_answer_that_has_begun_is_cut(render: Any, caplog: pytest.LogCaptureFixture) -> None:
    with Client(Leaf(render)) as client:
        answer = client.get("/")
    assert (answer.status, answer.body, answer.complete) == (200, b"begun", False)
    assert "secret" in caplog.text


def test_a_stream_that_breaks_off_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    def pieces(*begun: bytes) -> Iterator[bytes]:
        yield from begun
        raise ValueError("secret")

    with Client(Leaf(lambda each: pieces(*([b"begun"] if each.path == "/begun" else [])))) as client:
        assert not client.get("/begun").complete
        assert [record.getMessage() for record in caplog.records] == [
            "<Request GET /begun HTTP/1.1> broke off after 5 bytes"
        ]
        answer = client.get("/")
    assert (answer.status, answer.complete) == (500, True)
    assert [record.getMessage() for record in caplog.records][1:] == ["<Request GET / HTTP/1.1> failed"]


def test_content_that_is_cut_short_while_it_is_read_is_a_400(caplog: pytest.LogCaptureFixture) -> None:
    with Client(Leaf(lambda each: each.read())) as client:
        answers = client.send_raw(request("/", "Content-Length: 5", method="POST") + b"abc", eof=True)
    assert [answer.status for answer in answers.responses] == [400]
    assert not caplog.records


def test_content_that_is_cut_short_after_the_head_cuts_the_answer() -> None:
    async def echo(each: Request) -> Any:
        each.exchange.start(200, Response(b"").block())
        each.exchange.write(await each.read())

    with Client(Leaf(echo)) as client:
        answers = client.send_raw(request("/", "Content-Length: 5", method="POST") + b"abc", eof=True)
    assert answers.responses == []


@pytest.mark.parametrize("name", ["X-A\r\nInjected", "X A", ""])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_field_that_cannot_be_sent_is_a_500(name: str, is_streamed: bool) -> None:
    body: Any = iter([b"x"]) if is_streamed else b"x"
    with Client(Leaf(lambda _: Response(body, headers={name: "v\r\nInjected: 1"}))) as client:
        answer = client.get("/")
        client.settle()
    assert answer.status == 500
    assert "injected" not in answer.headers


# Pages of one's own.


def own(status: int, page: Any) -> Site:
    root = Resource()
    root.mount("fails", Leaf(fail))
    root.mount("busy", Leaf(busy))
    return Site(root, error_pages={status: page})


def busy(_: Request) -> Any:
    raise HTTPError(503, "later", headers={"Retry-After": "3"})


@pytest.mark.parametrize(("status", "target"), [(404, "/none"), (500, "/fails"), (503, "/busy")])
def test_a_site_may_have_its_own_page_for_a_status(status: int, target: str) -> None:
    page = Response.text("own page", status)
    for each in (page, lambda *_: Response.text("own page", status)):
        with Client(own(status, each)) as client:
            for _ in range(2):
                answer = client.get(target)
                assert (answer.status, answer.text) == (status, "own page")
            assert client.get("/").status == 404


def test_the_function_that_makes_a_page_gets_request_and_error() -> None:
    def page(each: Request, error: Exception) -> Response:
        return Response.json([each.path, type(error).__name__, str(error)], 500)

    with Client(own(500, page)) as client:
        assert client.get("/fails").json() == ["/fails", "ValueError", "secret <b>"]


def test_fields_of_the_error_are_on_its_own_page_and_stay_out_of_the_next() -> None:
    page = Response.text("busy", 503)
    with Client(own(503, page)) as client:
        assert client.get("/busy").headers["retry-after"] == "3"
    assert "retry-after" not in page.headers


@pytest.mark.parametrize("page", [lambda _, __: 1 / 0, lambda _, __: "text", lambda _, __: None])
def test_a_page_that_fails_is_replaced_by_a_plain_one(page: Any, caplog: pytest.LogCaptureFixture) -> None:
    with Client(own(404, page)) as client:
        answer = client.get("/none")
        assert answer.status == 500
        assert client.get("/none").status == 500
    assert "the error page for" in caplog.text


def test_a_page_that_answered_by_itself_and_failed_then_is_cut() -> None:
    def page(each: Request, error: Exception) -> Response:
        each.exchange.start(500, Response(b"").block())
        each.exchange.write(b"begun")
        raise ValueError

    with Client(own(404, page)) as client:
        answer = client.get("/none")
    assert (answer.body, answer.complete) == (b"begun", False)


def test_json_is_for_those_who_prefer_it() -> None:
    with Client(own(1, None)) as client:
        problem = client.get("/none", headers={"Accept": "application/json"})
        page = client.get("/none", headers={"Accept": "text/html, application/json;q=0.9"})
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json() == {"status": 404, "title": "Not Found", "detail": "Nothing is at this address."}
    assert page.headers["content-type"] == "text/html; charset=utf-8"


# Hooks that fail.


class Hooked(Resource):
    """Adds hooks that raise, then renders."""

    is_leaf = True

    def __init__(self, hooks: int, *, is_late: bool) -> None:
        self.hooks = hooks
        self.is_late = is_late

    def render(self, request: Request) -> Any:
        def broken(status: int, headers: object) -> None:
            raise RuntimeError("hook broken")

        for _ in range(self.hooks):
            request.exchange.before_head(broken)
        return self._late() if self.is_late else Response.text("fine")

    async def _late(self) -> Response:
        return Response.text("fine")


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("hooks", [1, 2])
def test_a_hook_that_raises_is_a_500(hooks: int, is_late: bool, caplog: pytest.LogCaptureFixture) -> None:
    with Client(Hooked(hooks, is_late=is_late)) as client:
        answer = client.get("/")
    assert (answer.status, answer.complete) == (500, True)
    assert "hook broken" in caplog.text


@pytest.mark.parametrize("is_late", [False, True])
def test_hooks_that_leave_no_way_end_the_connection(is_late: bool, caplog: pytest.LogCaptureFixture) -> None:
    with Client(Hooked(3, is_late=is_late)) as client, pytest.raises(NoResponse):
        client.get("/")
    assert "no error page could be sent" in caplog.text


class Ended(BaseException):
    """Not an Exception."""


def end(_: Request) -> None:
    raise Ended


async def end_later(_: Request) -> None:
    raise Ended


async def exit_later(_: Request) -> None:
    sys.exit(7)


@pytest.mark.parametrize("answer", [end, end_later, exit_later, lambda _: sys.exit(7)], ids=range(4))
def test_what_is_no_exception_ends_nothing_but_the_request(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """LC-05: `sys.exit()` in a resource is an error of that resource."""
    with Client(Site(Leaf(answer))) as client:
        assert [client.get("/").status for _ in range(2)] == [500, 500]
    assert caplog.text.count("the application raised ") == 2
