"""A site: what `render` may give back, its headers, odd targets, sites within sites, start and stop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from container.message.errors import ClientDisconnected, HTTPError
from container.message.fields import NO_FIELDS
from container.message.response import Response
from container.resources.data import Data
from container.testing import Client
from container.tree.resource import Resource
from container.tree.site import Site, as_response
from tests.leaf import GET, Held, Leaf, MemoryLog, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from container.message.request import Request


# What `render` may give back.


def generator() -> Iterator[bytes]:
    yield b"gene"
    yield b"rated"


async def async_generator() -> AsyncIterator[bytes]:
    await asyncio.sleep(0)
    yield b"gene"
    yield b"rated"


async def later(answer: Any) -> Any:
    await asyncio.sleep(0)
    return answer


class Awaitable:
    def __await__(self) -> Iterator[Any]:
        return later(b"awaited").__await__()


_ANSWERS: list[tuple[Any, bytes]] = [
    (lambda _: Response.text("text"), b"text"),
    (lambda _: "grün", "grün".encode()),
    (lambda _: b"bytes", b"bytes"),
    (lambda _: "", b""),
    (lambda _: generator(), b"generated"),
    (lambda _: iter([b"a", b"b"]), b"ab"),
    (lambda _: async_generator(), b"generated"),
    (lambda _: later(Response.text("late")), b"late"),
    (lambda _: later("late"), b"late"),
    (lambda _: later(generator()), b"generated"),
    (lambda _: later(async_generator()), b"generated"),
    (lambda _: Awaitable(), b"awaited"),
    (lambda each: drive(each), b"driven"),
    (lambda each: later(drive(each)), b"driven"),
    (lambda each: later(begin(each)), b"driven"),
    (lambda _: type("Own", (Response,), {})(b"subclass"), b"subclass"),
]


def drive(request_: Request) -> Any:
    request_.exchange.respond(Response(b"driven"))
    return request_.exchange


def begin(request_: Request) -> Any:
    """Answer now and end later."""
    exchange = request_.exchange
    exchange.start(200, NO_FIELDS)
    exchange.write(b"driven")
    asyncio.get_running_loop().call_soon(exchange.end)
    return exchange


@pytest.mark.parametrize(("render", "body"), _ANSWERS)
def test_an_answer_may_be_given_in_many_ways(
    render: Any, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with Client(Leaf(render)) as client:
        answer = client.get("/")
    assert (answer.status, answer.body, answer.complete) == (200, body, True)
    assert not caplog.records


@pytest.mark.parametrize(
    "secret", [None, 7, 7.5, ["secret"], ("secret",), {"secret": 1}, {"secret"}, object()]
)
@pytest.mark.parametrize("is_late", [False, True])
def test_any_other_answer_is_a_500_that_tells_nothing(
    secret: object, is_late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with Client(Leaf(lambda _: later(secret) if is_late else secret)) as client:
        answer = client.get("/")
        assert answer.status == 500
        assert b"secret" not in answer.body
        assert client.get("/").status == 500  # and the connection goes on
    assert f"got {type(secret).__name__}" in caplog.text


def test_an_answer_is_not_shown_when_it_is_of_the_wrong_type() -> None:
    with pytest.raises(TypeError) as caught:
        as_response(["secret"])
    assert "secret" not in str(caught.value)


def test_one_response_may_answer_for_ever() -> None:
    always = Response.text("always")
    with Client(Leaf(lambda _: always)) as client:
        assert [client.get("/").text for _ in range(3)] == ["always"] * 3


def test_an_unfinished_answer_is_waited_for_without_limit() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(GET)
        client.clock.advance(500)
        assert not connection.closed
        assert connection.data == b""


def test_a_coroutine_that_was_cancelled_is_an_error_and_not_a_hang() -> None:
    async def cancelled(_: Request) -> Response:
        raise asyncio.CancelledError

    with Client(Leaf(cancelled)) as client:
        assert client.get("/").status == 500


def test_a_client_that_some_other_client_waits_for_is_no_excuse() -> None:
    async def proxy(_: Request) -> Response:
        raise ClientDisconnected("the upstream has left")

    with Client(Leaf(proxy)) as client:
        assert client.get("/").status == 500


def test_the_coroutine_of_a_client_that_left_ends_in_peace(caplog: pytest.LogCaptureFixture) -> None:
    with Client(Leaf(lambda each: each.read())) as client:
        connection = client.connect()
        connection.send(request("/", "Content-Length: 5", method="POST"))
        connection.transport.reset()
        client.settle()
    assert not caplog.records


def test_a_site_that_ends_gives_up_its_coroutines(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []

    async def endless(_: Request) -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")
        return Response(b"")

    with Client(Leaf(endless)) as client:
        client.connect().send(GET)
        assert ended == []
    assert ended == ["ended"]
    assert not caplog.records


# Odd targets.


@pytest.mark.parametrize(
    ("line", "status", "allow"),
    [
        ("OPTIONS * HTTP/1.1", 200, None),
        ("GET * HTTP/1.1", 405, "OPTIONS"),
        ("CONNECT a.example:443 HTTP/1.1", 501, None),
        ("CONNECT /path HTTP/1.1", 400, None),
        ("OPTIONS http://a.example HTTP/1.1", 200, None),
        ("GET http://a.example HTTP/1.1", 404, None),
        ("GET a.example HTTP/1.1", 400, None),
        ("GET /#fragment HTTP/1.1", 400, None),
        ("GET ftp://a.example/ HTTP/1.1", 400, None),
    ],
)
def test_targets_that_are_no_path(line: str, status: int, allow: str | None) -> None:
    asked: list[str] = []

    class Root(Resource):
        def child(self, name: str, request: Request) -> None:
            asked.append(name)

    with Client(Site(Root(), headers={"X-Site": "1"})) as client:
        answer = client.send_raw(f"{line}\r\nHost: a\r\n\r\n".encode()).responses[0]
    assert (answer.status, answer.headers.get("allow")) == (status, allow)
    assert answer.headers.get_all("x-site") == ["1"]
    assert asked == ([""] if status == 404 else [])


# Headers of the site.


def decorated() -> Site:
    root = Resource()
    root.mount("ok", Data(b"x", "text/plain"))
    root.mount("inner", Site(Resource()))
    root.mount("fails", Leaf(lambda _: 1 / 0))
    root.mount("stream", Leaf(lambda _: generator()))
    root.mount("late", Leaf(lambda _: later("late")))
    root.mount("reads", Leaf(lambda each: each.read()))
    return Site(root, headers=[("X-Site", "1"), ("X-Site", "2")])


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("/ok"), 200),
        (request("/ok", method="HEAD"), 200),
        (request("/ok", "If-None-Match: *"), 304),
        (request("/ok", method="POST"), 405),
        (request("/ok", method="OPTIONS"), 204),
        (request("*", method="OPTIONS"), 200),
        (request("/none"), 404),
        (request("/inner"), 301),
        (request("/fails"), 500),
        (request("/stream"), 200),
        (request("/late"), 200),
        (request("/ok", "Expect: rain"), 417),
        (request("/", host=None), 400),
        (request("/reads", "Transfer-Encoding: chunked", method="POST") + b"1\r\na\r\nzz\r\n", 400),
        (b"garbage\r\n\r\n", 400),
    ],
)
def test_the_headers_of_a_site_are_on_every_answer_once(data: bytes, status: int) -> None:
    with Client(decorated()) as client:
        answer = client.send_raw(data).responses[0]
    assert answer.status == status
    assert answer.headers.get_all("x-site") == ["1", "2"]


def test_they_are_on_the_answer_to_content_that_breaks_later() -> None:
    with Client(decorated()) as client:
        connection = client.connect()
        connection.send(request("/reads", "Transfer-Encoding: chunked", method="POST"))
        connection.send(b"zz\r\n")
        answer = connection.receive()
    assert answer.status == 400
    assert answer.headers.get_all("x-site") == ["1", "2"]


@pytest.mark.parametrize("headers", [{"X-A": "a\r\nb"}, {"X A": "b"}, {"X-A": "ş"}])
def test_headers_that_cannot_be_sent_are_refused_at_once(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Site(Resource(), headers=headers)


@pytest.mark.parametrize("root", [None, "root", lambda environ, start_response: []])
def test_the_root_of_a_site_is_a_resource(root: Any) -> None:
    with pytest.raises(TypeError, match="expected a Resource as root"):
        Site(root)


# Start and stop.


class Living(Resource):
    def __init__(self, name: str, log: list[str], *, fails: str = "") -> None:
        self.name, self.log, self.fails = name, log, fails

    async def start(self) -> None:
        self._note("start")

    async def stop(self) -> None:
        self._note("stop")

    def _note(self, phase: str) -> None:
        self.log.append(f"{phase} {self.name}")
        if phase == self.fails:
            raise RuntimeError(f"{self.name} does not {phase}")


def living(log: list[str], **fails: str) -> Site:
    """A tree of r > a, b > c, with a mounted twice and c in a site of its own."""
    nodes = {name: Living(name, log, fails=fails.get(name, "")) for name in "rabc"}
    nodes["r"].mount("a", nodes["a"])
    nodes["r"].mount("b", nodes["b"])
    nodes["b"].mount("a again", nodes["a"])
    nodes["b"].mount("c", Site(nodes["c"]))
    return Site(nodes["r"])


def test_every_resource_starts_once_and_stops_in_reverse() -> None:
    log: list[str] = []
    with Client(living(log)):
        assert log == ["start r", "start a", "start b", "start c"]
        log.clear()
    assert log == ["stop c", "stop b", "stop a", "stop r"]


def test_when_one_does_not_start_those_that_did_are_stopped() -> None:
    log: list[str] = []
    with pytest.raises(RuntimeError, match="c does not start"):
        asyncio.run(living(log, c="start", a="stop").start())
    assert log == ["start r", "start a", "start b", "start c", "stop b", "stop a", "stop r"]


def test_one_that_does_not_stop_does_not_keep_the_others(caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []
    with Client(living(log, b="stop", c="stop")):
        log.clear()
    assert log == ["stop c", "stop b", "stop a", "stop r"]
    assert caplog.text.count("did not stop cleanly") == 2


# The log's ear.


def test_the_log_is_told_of_every_exchange() -> None:
    log = MemoryLog()
    with Client(Site(Leaf(lambda _: "x"), access_log=log)) as client:
        client.get("/1")
        client.send_raw(b"garbage\r\n\r\n")
        client.get("/2")
    assert [line.split('"')[1] for line in log.lines] == ["GET /1 HTTP/1.1", "-", "GET /2 HTTP/1.1"]


def test_the_page_of_a_status_can_be_asked_for() -> None:
    with Client(Site(Leaf(lambda each: each.site.error_response(each, 403, "Not <you>.")))) as client:
        answer = client.get("/")
    assert answer.status == 403
    assert "Not &lt;you&gt;." in answer.text
    with pytest.raises(HTTPError):
        raise HTTPError(403)
