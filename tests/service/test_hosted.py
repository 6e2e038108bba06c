"""A tree under an ASGI server that the test plays: every message in and out, in memory."""

from __future__ import annotations

import asyncio
import io
import re
from typing import TYPE_CHECKING, Any

import pytest

from container import AccessLog, Limits, Resource, Response, Site, WSGIResource
from container.message.errors import ClientDisconnected, ExchangeStateError
from container.message.headers import Headers
from container.service.hosted import as_asgi
from container.service.hosted.exchange import AnswerBroken
from container.service.hosted.outbox import WINDOW
from container.service.hosted.scope import raw_path, request_from
from container.tree.accesslog import make_formatter
from tests.leaf import Held, Leaf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from container.message.request import Request

PATIENCE_S = 10.0
END = {"type": "http.request", "body": b"", "more_body": False}
GONE = {"type": "http.disconnect"}


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """To its end, and not for ever."""

    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await coroutine

    asyncio.run(bounded())


def scope_of(path: str = "/", *fields: tuple[bytes, bytes], **more: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"h"), *fields],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 80),
    } | more


class Host:
    """An ASGI server for one request: `comes` is put to the tree, `said` is what it answers.

    While `gate` is closed nothing is taken from the tree.
    """

    def __init__(self, app: Any, scope: dict[str, Any] | None = None, *comes: dict[str, Any]) -> None:
        self.app = app
        self.scope = scope or scope_of()
        self.said: list[dict[str, Any]] = []
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self._coming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for message in comes:
            self.give(message)

    def give(self, message: dict[str, Any]) -> None:
        self._coming.put_nowait(message)

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        return await self._coming.get()

    async def send(self, message: dict[str, Any]) -> None:
        await self.gate.wait()
        self.said.append(message)

    async def __call__(self) -> Host:
        await self.app(self.scope, self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        return int(next(each["status"] for each in self.said if each["type"] == "http.response.start"))

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        return list(next(each["headers"] for each in self.said if each["type"] == "http.response.start"))

    @property
    def content(self) -> bytes:
        return b"".join(each.get("body", b"") for each in self.said)


async def fetch(resource: Resource, path: str = "/", *fields: tuple[bytes, bytes], **more: Any) -> Host:
    return await Host(as_asgi(resource), scope_of(path, *fields, **more), END)()


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# From a scope to a request.


@pytest.mark.parametrize(
    ("path", "raw", "root", "expected", "consumed"),
    [
        ("/a/b", b"/a/b", "", b"/a/b", 0),
        ("/a/b", b"/a%2Fb", "", b"/a%2Fb", 0),
        ("/a/b", b"/a%2Fb?q=1", "", b"/a%2Fb", 0),
        ("/a b", None, "", b"/a%20b", 0),
        ("/ä", b"/%C3%A4", "", b"/%C3%A4", 0),
        ("/\ufffd", b"/%E4", "", b"/%E4", 0),
        ("", b"", "", b"/", 0),
        ("*", b"*", "", b"*", 0),
        ("/app/x", b"/app/x", "/app", b"/app/x", 4),
        ("/app/x", b"/app/x", "/app/", b"/app/x", 4),
        ("/app", b"/app", "/app", b"/app", 4),
        ("/a b/x", b"/a%20b/x", "/a b", b"/a%20b/x", 6),
        ("/app/a/b", b"/a%2Fb", "/app", b"/app/a%2Fb", 4),
        ("/x", b"/x", "/app", b"/app/x", 4),
        ("/apple", b"/apple", "/app", b"/app/apple", 4),
        ("/a/b/x", b"/a%2Fb/x", "/a/b", b"/a/b/x", 4),
        ("/rewritten", b"/a%2Fb", "", b"/rewritten", 0),
    ],
)
def test_the_path_includes_the_root_path(
    path: str, raw: bytes | None, root: str, expected: bytes, consumed: int
) -> None:
    scope = scope_of(path, raw_path=raw, root_path=root)
    assert raw_path(scope) == (expected, consumed)


def test_a_request_is_what_the_scope_says() -> None:
    scope = scope_of(
        "/a", (b"x-a", b"1"), query_string=b"b=1", scheme="https", client=["::1", "5"], method="PUT"
    )
    request = request_from(scope)
    assert (request.method, request.raw_target, request.query_string) == ("PUT", b"/a?b=1", "b=1")
    assert (request.headers["x-a"], request.is_secure, request.client) == ("1", True, ("::1", 5))
    assert request.body.complete


@pytest.mark.parametrize("version", ["2", "3"])
def test_later_versions_are_told_as_1_1_and_may_bring_unannounced_content(version: str) -> None:
    request = request_from(scope_of(http_version=version, client=None, server=("/run/socket", None)))
    assert (request.http_version, request.body.complete, request.client) == ("1.1", False, None)
    assert request.connection.path == "/run/socket"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([(b"host", b"other")], 400),
        ([(b"content-length", b"5"), (b"content-length", b"6")], 400),
        ([(b"content-length", b"+5")], 400),
        ([(b"content-length", b"")], 400),
        ([(b"content-length", b"9")], 413),
    ],
)
def test_what_our_own_channel_refuses_is_refused(fields: list[tuple[bytes, bytes]], status: int) -> None:
    held = Held()
    site = Site(held, limits=Limits(body=8), headers={"X-Site": "ours"})
    host = asyncio.run(fetch(site, "/", *fields))
    assert host.status == status
    assert (b"x-site", b"ours") in host.fields
    assert held.exchanges == []


def test_the_mount_point_of_the_host_has_a_slash() -> None:
    host = asyncio.run(fetch(Leaf(lambda request: Response(request.path_info)), "/app", root_path="/app"))
    assert (host.status, dict(host.fields)[b"location"]) == (301, b"./app/")
    host = asyncio.run(fetch(Leaf(lambda request: Response(request.path_info)), "/app/", root_path="/app"))
    assert (host.status, host.content) == (200, b"/")


# Answers.


def test_a_whole_answer_is_two_messages() -> None:
    fields = {"Content-Type": "text/plain", "Connection": "x", "Transfer-Encoding": "chunked", "X-A": "1"}
    host = asyncio.run(fetch(Leaf(lambda request: Response(b"hello", headers=fields))))
    head = [(b"content-type", b"text/plain"), (b"x-a", b"1"), (b"content-length", b"5")]
    assert host.said == [
        {"type": "http.response.start", "status": 200, "headers": head},
        {"type": "http.response.body", "body": b"hello", "more_body": False},
    ]
    assert host.asked == 0


def test_an_answer_may_close_the_connection() -> None:
    host = asyncio.run(fetch(Leaf(lambda request: Response(b"", headers={"Connection": "close"}))))
    assert host.fields == [(b"content-length", b"0"), (b"connection", b"close")]


@pytest.mark.parametrize(("status", "method"), [(204, "GET"), (304, "GET"), (200, "HEAD")])
def test_some_answers_have_no_content(status: int, method: str) -> None:
    leaf = Leaf(lambda request: Response(b"hello", status, content_type="text/plain"))
    host = asyncio.run(fetch(leaf, method=method))
    assert (host.status, host.content) == (status, b"")
    assert ((b"content-length", b"5") in host.fields) == (method == "HEAD")


def test_content_short_of_its_length_breaks_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    host = Host(as_asgi(Leaf(lambda request: Response(b"hello", headers={"Content-Length": "9"}))))
    with pytest.raises(AnswerBroken):
        asyncio.run(host())
    assert [each["type"] for each in host.said] == ["http.response.start", "http.response.body"]
    assert host.said[-1]["more_body"] is True
    assert "expected 4 more bytes" in caplog.text


def test_content_beyond_its_length_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    host = asyncio.run(fetch(Leaf(lambda request: Response(b"hello", headers={"Content-Length": "2"}))))
    assert (host.content, host.said[-1]["more_body"]) == (b"he", False)
    assert "cut off" in caplog.text


def test_an_iterator_that_fails_before_its_first_piece_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> AsyncIterator[bytes]:
        raise ValueError("on purpose")
        yield b""

    host = asyncio.run(fetch(Leaf(lambda request: Response(broken()))))
    assert host.status == 500
    assert "on purpose" in caplog.text


def test_verbs_out_of_order_are_errors() -> None:
    async def main() -> None:
        held = Held()
        host = Host(as_asgi(held), None, END)
        task = asyncio.create_task(host())
        await turns()
        exchange = held.last
        for verb in (lambda: exchange.write(b"x"), exchange.end):
            with pytest.raises(ExchangeStateError):
                verb()
        exchange.reply(200, Headers().freeze(), b"x")
        for verb in (lambda: exchange.write(b"x"), exchange.end, lambda: exchange.inform(103)):
            with pytest.raises(ExchangeStateError):
                verb()
        await task
        assert host.content == b"x"

    run(main())


@pytest.mark.parametrize("offered", [False, True])
def test_early_hints_are_for_hosts_that_offer_them(*, offered: bool) -> None:
    def answer(request: Request) -> Response:
        request.exchange.inform(103, Headers([("Link", "</a>"), ("X-A", "1")]))
        request.exchange.inform(102)
        return Response(b"")

    extensions: dict[str, Any] = {"http.response.early_hint": {}} if offered else {}
    host = asyncio.run(fetch(Leaf(answer), extensions=extensions))
    hints = [each for each in host.said if each["type"] == "http.response.early_hint"]
    assert hints == ([{"type": "http.response.early_hint", "links": [b"</a>"]}] if offered else [])


# Hooks of the head.


class Amending(Resource):
    """Puts a hook in front of its answer."""

    is_leaf = True

    def __init__(self, hook: Callable[..., Any], body: Any = b"hello") -> None:
        self.hook = hook
        self.body = body

    def render(self, request: Request) -> Response:
        request.exchange.before_head(self.hook)
        return Response(self.body)


def test_a_hook_that_is_awaited_holds_the_answer_back() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def hook(status: int, headers: Headers) -> None:
            await gate.wait()
            headers.set("X-Late", "1")

        for body in (b"hello", iter([b"hel", b"lo"])):
            gate.clear()
            host = Host(as_asgi(Amending(hook, body)), None, END)
            task = asyncio.create_task(host())
            await turns()
            assert host.said == []
            gate.set()
            await task
            assert (host.content, (b"x-late", b"1") in host.fields) == (b"hello", True)

    run(main())


@pytest.mark.parametrize("body", [b"hello", [b"hel", b"lo"]])
@pytest.mark.parametrize("late", [False, True])
def test_a_hook_that_fails_is_a_500(body: Any, caplog: pytest.LogCaptureFixture, *, late: bool) -> None:
    async def failing(status: int, headers: Headers) -> None:
        await asyncio.sleep(0)
        raise ValueError("on purpose")

    def failing_now(status: int, headers: Headers) -> None:
        raise ValueError("on purpose")

    content = body if isinstance(body, bytes) else iter(body)
    host = asyncio.run(fetch(Amending(failing if late else failing_now, content)))
    assert (host.status, host.said[-1]["more_body"]) == (500, False)
    assert "on purpose" in caplog.text


def test_a_hook_that_makes_what_cannot_be_sent_is_left_out_of_the_error_page(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def spoiling(status: int, headers: Headers) -> None:
        await asyncio.sleep(0)
        headers.add("X-A", "1\r\nInjected: 2")

    host = asyncio.run(fetch(Amending(spoiling)))
    assert (host.status, host.said[-1]["more_body"]) == (500, False)
    assert not any(b"Injected" in value for _, value in host.fields)
    assert "expected no control characters" in caplog.text


def test_a_hook_goes_on_when_the_client_leaves() -> None:
    async def main() -> None:
        gate, done = asyncio.Event(), asyncio.Event()

        async def hook(status: int, headers: Headers) -> None:
            await gate.wait()
            done.set()

        host = Host(as_asgi(Amending(hook)), None, END)
        task = asyncio.create_task(host())
        await turns()
        host.give(GONE)
        await task
        gate.set()
        await done.wait()
        assert host.said == []

    run(main())


def test_a_host_that_knows_no_websockets_says_so() -> None:
    host = asyncio.run(fetch(Leaf(lambda request: request.exchange.upgrade())))
    assert host.status == 501


# Content.


def test_content_is_read_as_it_comes() -> None:
    async def echo(request: Request) -> Response:
        pieces = [piece async for piece in request.stream()]
        return Response(b"".join(pieces))

    async def main() -> None:
        host = Host(
            as_asgi(Leaf(echo)),
            scope_of("/", (b"transfer-encoding", b"chunked")),
            {"type": "http.request", "body": b"one", "more_body": True},
            {"type": "http.request", "body": b"two"},
        )
        await host()
        assert host.content == b"onetwo"

    run(main())


def test_content_that_nobody_reads_is_read_ahead_only_so_far() -> None:
    async def main() -> None:
        held = Held()
        piece = {"type": "http.request", "body": bytes(16_384), "more_body": True}
        host = Host(as_asgi(held), scope_of("/", (b"content-length", b"10000000")), *[piece] * 100)
        task = asyncio.create_task(host())
        await turns(200)
        assert host.asked == 5
        await held.last.receive()
        held.last.request.body.take()
        await turns()
        held.last.reply(200, Headers().freeze())
        await task

    run(main())


def test_a_client_that_waits_to_be_asked_is_asked_by_the_reader() -> None:
    async def main() -> None:
        held = Held()
        fields = (b"content-length", b"5"), (b"expect", b"100-continue")
        host = Host(as_asgi(held), scope_of("/", *fields))
        task = asyncio.create_task(host())
        await turns()
        exchange = held.last
        assert (host.asked, exchange.expects_continue) == (0, True)
        host.give({"type": "http.request", "body": b"hello"})
        content = await exchange.request.read()
        assert (content, exchange.expects_continue) == (b"hello", False)
        exchange.reply(200, Headers().freeze())
        await task

    run(main())


def test_content_that_grows_too_long_is_refused() -> None:
    async def main() -> None:
        held = Held()
        host = Host(
            as_asgi(Site(held, limits=Limits(body=8))),
            scope_of("/", (b"transfer-encoding", b"chunked")),
            {"type": "http.request", "body": b"12345", "more_body": True},
            {"type": "http.request", "body": b"6789", "more_body": True},
        )
        await host()
        assert host.status == 413

    run(main())


@pytest.mark.parametrize("last", [GONE, {"type": "http.request", "body": b"lo"}])
def test_truncated_content_is_never_complete(last: dict[str, Any]) -> None:
    async def main() -> None:
        seen: list[object] = []

        async def reader(request: Request) -> Response:
            try:
                seen.append(await request.read())
            except ClientDisconnected as error:
                seen.append(error)
                raise
            return Response(b"")

        piece = {"type": "http.request", "body": b"hel", "more_body": True}
        host = await Host(as_asgi(Leaf(reader)), scope_of("/", (b"content-length", b"9")), piece, last)()
        await turns()
        assert [type(each) for each in seen] == [ClientDisconnected]
        assert host.said == []

    run(main())


# Clients that leave, and those that do not read.


def test_observers_learn_of_a_client_that_leaves() -> None:
    async def main() -> None:
        held = Held()
        lines = io.StringIO()
        site = Site(held, access_log=AccessLog(lines))
        app = as_asgi(site)
        host = Host(app, None, END)
        task = asyncio.create_task(host())
        await turns()
        told: list[Exception | None] = []
        held.last.on_close(told.append)
        exchange = held.last
        host.give(GONE)
        await task
        assert [type(error) for error in told] == [ClientDisconnected]
        assert (exchange.gone, exchange.disconnected, exchange.write(b"late")) == (True, True, True)
        await app.stop()
        assert '"GET / HTTP/1.1" 499 - ' in lines.getvalue()

    run(main())


def test_the_access_log_measures_under_a_foreign_server_too() -> None:
    """LG-02: times and the fields of the answer."""
    lines = io.StringIO()
    log = AccessLog(lines, make_formatter("%(duration_s)s %(first_byte_s)s %({content-length}o)s %(bytes)s"))

    async def main() -> None:
        app = as_asgi(Site(Leaf(lambda _: "hello"), access_log=log))
        await Host(app, None, END)()
        await app.stop()

    run(main())
    assert re.fullmatch(r"\d+\.\d{6} \d+\.\d{6} 5 5\n", lines.getvalue())


def test_a_stream_is_closed_when_its_client_leaves() -> None:
    async def main() -> None:
        closed = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x"
            finally:
                closed.set()

        host = Host(as_asgi(Leaf(lambda request: Response(endless()))), None, END)
        task = asyncio.create_task(host())
        await turns()
        assert host.said
        host.give(GONE)
        await task
        await closed.wait()

    run(main())


def test_a_host_may_tell_by_an_error_that_the_client_has_left() -> None:
    async def main() -> None:
        held = Held()
        host = Host(as_asgi(held), None, END)

        async def send(message: dict[str, Any]) -> None:
            raise OSError("gone")

        task = asyncio.create_task(host.app(host.scope, host.receive, send))
        await turns()
        told: list[Exception | None] = []
        held.last.on_close(told.append)
        held.last.start(200, Headers().freeze())
        held.last.write(b"x")
        await task
        assert [type(error) for error in told] == [ClientDisconnected]

    run(main())


def test_a_host_that_cancels_has_lost_the_client() -> None:
    async def main() -> None:
        held = Held()
        task = asyncio.create_task(Host(as_asgi(held), None, END)())
        await turns()
        told: list[Exception | None] = []
        held.last.on_close(told.append)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [type(error) for error in told] == [ClientDisconnected]

    run(main())


def test_writers_wait_for_a_host_that_does_not_take_more() -> None:
    async def main() -> None:
        held = Held()
        host = Host(as_asgi(held), None, END)
        task = asyncio.create_task(host())
        await turns()
        host.gate.clear()
        exchange = held.last
        exchange.start(200, Headers().freeze())
        assert exchange.write(bytes(WINDOW))
        assert not exchange.write(b"x")
        writable: list[bool] = []
        exchange.when_writable(lambda: writable.append(True))
        await turns()
        assert writable == []
        host.gate.set()
        await exchange.drain()
        exchange.end()
        await task
        assert len(host.content) == WINDOW + 1

    run(main())


# The life of the process.


class Noting(Resource):
    """Writes down when it starts and stops."""

    is_leaf = True

    def __init__(self, notes: list[str], *, fails: bool = False) -> None:
        self.notes = notes
        self.fails = fails

    def get(self, request: Request) -> Response:
        return Response(b"hello")

    async def start(self) -> None:
        await asyncio.sleep(0)
        if self.fails:
            raise ValueError("on purpose")
        self.notes.append("start")

    async def stop(self) -> None:
        self.notes.append("stop")


def lifespan(app: Any) -> Host:
    asked = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}
    return Host(app, {"type": "lifespan", "asgi": {"version": "3.0"}}, *asked)


def test_the_lifespan_starts_and_stops_the_tree_as_often_as_asked() -> None:
    async def main() -> None:
        notes: list[str] = []
        app = Site(Noting(notes)).as_asgi()
        for _ in range(2):
            host = await lifespan(app)()
            assert [each["type"] for each in host.said] == [
                "lifespan.startup.complete", "lifespan.shutdown.complete",
            ]  # fmt: skip
        assert notes == ["start", "stop"] * 2

    run(main())


def test_a_start_that_fails_is_told_to_the_host(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        host = await lifespan(as_asgi(Noting([], fails=True)))()
        assert host.said == [{"type": "lifespan.startup.failed", "message": "ValueError: on purpose"}]

    run(main())
    assert "did not start" in caplog.text


def test_without_lifespan_the_first_request_starts_the_tree(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        notes: list[str] = []
        app = as_asgi(Noting(notes))
        hosts = await asyncio.gather(Host(app, None, END)(), Host(app, None, END)())
        assert [host.content for host in hosts] == [b"hello", b"hello"]
        assert notes == ["start"]

    run(main())
    assert caplog.text.count("no lifespan") == 1


def test_a_wsgi_application_runs_on_its_threads() -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["wsgi.input"].read(), environ["SCRIPT_NAME"].encode(), environ["PATH_INFO"].encode()]

    async def main() -> None:
        root = Resource()
        root.mount("wsgi", WSGIResource(application, threads=1))
        app = as_asgi(root)
        scope = scope_of("/app/wsgi/x", (b"content-length", b"2"), root_path="/app")
        host = await Host(app, scope, {"type": "http.request", "body": b"hi"})()
        assert host.content == b"hi/app/wsgi/x"
        await app.stop()

    run(main())


def test_websockets_are_denied() -> None:
    async def main() -> None:
        host = Host(as_asgi(Resource()), scope_of() | {"type": "websocket"}, {"type": "websocket.connect"})
        await host()
        assert [each["type"] for each in host.said] == ["websocket.close"]

    run(main())


def test_an_unknown_scope_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected a scope of http, websocket or lifespan, got 'smtp'"):
        asyncio.run(Host(as_asgi(Resource()), {"type": "smtp"})())


def test_only_resources_can_be_hosted() -> None:
    with pytest.raises(TypeError, match="expected a Site or a Resource"):
        as_asgi("site")  # type: ignore[arg-type]
