"""ASGI over HTTP: the scope, `receive` and `send` of one request. AS-01, AS-02, AS-03, AS-06."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from container.resources.asgi import ASGIResource
from container.testing import Client
from container.tree.site import Site
from tests.leaf import GET, request
from tests.resources.asgi_apps import Recorder, Scope, answering, body, serve, start

if TYPE_CHECKING:
    pass

# The scope.


@pytest.mark.parametrize(
    ("mount", "root_path", "target", "expected"),
    [
        ("", "", "/", ("", "/", b"/")),
        ("", "", "/a%20b/%C3%A9?x=1&y", ("", "/a b/é", b"/a%20b/%C3%A9")),
        ("m", "", "/m", ("/m", "/m", b"/m")),
        ("m/n/o", "", "/m/n/o/p/?q", ("/m/n/o", "/m/n/o/p/", b"/m/n/o/p/")),
        ("m", "/pre/fix", "/m/p", ("/pre/fix/m", "/pre/fix/m/p", b"/pre/fix/m/p")),
        ("", "/pre", "/%2F/..//x", ("/pre", "/pre///..//x", b"/pre/%2F/..//x")),
    ],
)
def test_paths(mount: str, root_path: str, target: str, expected: tuple[str, str, bytes]) -> None:
    """AS-01: root_path is the mount point, path is whole, raw_path undecoded and without query."""
    app = Recorder()
    with Client(serve(app, mount, root_path=root_path)) as client:
        for _ in range(3):  # a head that comes again is not read again
            assert client.get(target).status == 204
    for scope in app.scopes:
        assert (scope["root_path"], scope["path"], scope["raw_path"]) == expected
        assert scope["query_string"] == target.partition("?")[2].encode()


def test_what_a_scope_says() -> None:
    app = Recorder()
    with Client(serve(app)) as client:
        client.send_raw(request("/", "X-A: 1", "x-B:  2", "X-A: 3", method="DELETE"))
    (scope,) = app.scopes
    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.4"}
    assert (scope["http_version"], scope["method"], scope["scheme"]) == ("1.1", "DELETE", "http")
    assert scope["headers"] == [(b"host", b"a"), (b"x-a", b"1"), (b"x-b", b"2"), (b"x-a", b"3")]
    assert scope["client"] == ("127.0.0.1", 50000)
    assert [type(part) for part in scope["server"]] == [str, int]
    assert "state" not in scope


def test_a_unix_socket_is_its_path() -> None:
    app = Recorder()
    with Client(serve(app), server="/run/a.sock") as client:
        client.get("/")
    assert app.scopes[0]["server"] == ("/run/a.sock", None)
    assert app.scopes[0]["client"] is None


def test_https_is_told() -> None:
    app = Recorder()
    with Client(serve(app), secure=True) as client:
        client.get("/")
    assert app.scopes[0]["scheme"] == "https"


def test_what_one_request_changes_in_its_scope_the_next_does_not_see() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        seen.append({name: list(value) for name, value in scope.items() if isinstance(value, list | dict)})
        scope["headers"].append((b"x-mine", b"1"))
        scope["asgi"]["mine"] = scope["extensions"]["mine"] = scope["mine"] = 1
        await send(start())
        await send(body())

    with Client(serve(app)) as client:
        for _ in range(3):
            client.get("/")
    assert seen[0] == seen[1] == seen[2]


def test_extensions_are_those_that_work() -> None:
    """AS-06: HTTP/1.0 knows neither trailers nor interim responses."""
    app = Recorder()
    with Client(serve(app)) as client:
        client.send_raw(GET)
        client.send_raw(request(version="1.0"))
    with_all, without = (set(scope["extensions"]) for scope in app.scopes)
    assert {"http.response.trailers", "http.response.early_hint"} <= with_all
    assert not {"http.response.trailers", "http.response.early_hint"} & without


# Answers.


def test_head_and_only_content_are_one_write() -> None:
    async def run() -> list[bytes]:
        from container.channel.group import ChannelGroup
        from container.channel.h1 import H1Channel
        from container.testing import MockTransport

        app = answering(start(200, (b"content-type", b"text/plain")), body(b"hello"))
        group = ChannelGroup(Site(serve(app)), asyncio.get_running_loop())
        transport = MockTransport(H1Channel(group))
        transport.feed(GET)
        for _ in range(4):
            await asyncio.sleep(0)
        return transport.writes

    (written,) = asyncio.run(run())
    assert written.endswith(b"Content-Length: 5\r\n\r\nhello")


@pytest.mark.parametrize("status", [200, 404, 299, 599, 799])
def test_status_and_fields_arrive(status: int) -> None:
    fields = [
        (b"x-a", b"1"),
        (b"X-B", b"\xe9"),
        (b"x-a", b"2"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
    ]
    with Client(serve(answering(start(status, *fields), body(b"x")))) as client:
        for _ in range(2):
            answer = client.get("/")
            assert answer.status == status
            assert answer.headers.get_all("x-a") == ["1", "2"]
            assert answer.headers.get_all("set-cookie") == ["a=1", "b=2"]
            assert answer.headers["x-b"] == "é"


def test_fields_may_be_lists_and_any_iterable() -> None:
    fields = (pair for pair in [[b"x-a", b"1"], (b"x-b", b"2")])
    app = answering({"type": "http.response.start", "status": 200, "headers": fields}, body(b"x"))
    with Client(serve(app)) as client:
        answer = client.get("/")
    assert (answer.headers["x-a"], answer.headers["x-b"]) == ("1", "2")


def test_pieces_are_streamed() -> None:
    with Client(serve(answering(start(), body(b"a", more=True), body(b"b", more=True), body()))) as client:
        connection = client.connect()
        connection.send(GET)
        assert b"\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n" in connection.data
        assert connection.receive().body == b"ab"


def test_an_announced_length_is_kept() -> None:
    app = answering(start(200, (b"content-length", b"2")), body(b"a", more=True), body(b"b"))
    with Client(serve(app)) as client:
        answer = client.get("/")
    assert (answer.body, answer.headers["content-length"]) == (b"ab", "2")
    assert "transfer-encoding" not in answer.headers


@pytest.mark.parametrize(
    "messages",
    [
        [start(204), body()],
        [start(200), body(b"content")],
        [start(200, (b"content-length", b"7")), body(b"con", more=True), body(b"tent")],
        [start(200, (b"content-length", b"7")), body(b"")],
    ],
)
def test_answers_to_head_have_no_content(messages: list[dict[str, Any]]) -> None:
    with Client(serve(answering(*messages))) as client:
        raw = client.send_raw(request(method="HEAD") + request(method="HEAD"))
    assert [answer.body for answer in raw.responses] == [b"", b""]
    assert raw.data.count(b"\r\n\r\n") == 2
    assert raw.data.endswith(b"\r\n\r\n")


def test_early_hints() -> None:
    hint = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]}
    with Client(serve(answering(hint, start(), body(b"x")))) as client:
        connection = client.connect()
        connection.send(GET)
        answer = connection.receive()
        assert [(each.status, each.headers.get_all("link")) for each in answer.interim] == [
            (103, ["</a.css>; rel=preload", "</b.js>; rel=preload"])
        ]


@pytest.mark.parametrize("content", [[body(b"a", more=True), body(b"b")], [body(b"ab")], [body()]])
def test_trailers(content: list[dict[str, Any]]) -> None:
    trailers = [
        {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")], "more_trailers": True},
        {"type": "http.response.trailers", "headers": [(b"x-more", b"2")]},
    ]
    with Client(serve(answering(start(trailers=True), *content, *trailers))) as client:
        connection = client.connect()
        connection.send(GET)
        assert connection.data.endswith(b"0\r\nx-sum: 1\r\nx-more: 2\r\n\r\n")
        assert connection.receive().complete


def test_trailers_that_frame_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    trailers = {"type": "http.response.trailers", "headers": [(b"Content-Length", b"1")]}
    with Client(serve(answering(start(trailers=True), body(b"x"), trailers))) as client:
        connection = client.connect()
        connection.send(GET)
        assert connection.closed
        assert b"0\r\n" not in connection.data
    assert "expected a field that may come after the content, got 'Content-Length'" in caplog.text


# What applications do wrong.


async def returns(scope: Scope, receive: Any, send: Any) -> None:
    pass


async def raises(scope: Scope, receive: Any, send: Any) -> None:
    raise RuntimeError("planned")


async def raises_after_start(scope: Scope, receive: Any, send: Any) -> None:
    await send(start())
    raise RuntimeError("planned")


async def exits(scope: Scope, receive: Any, send: Any) -> None:
    raise SystemExit(1)


async def cancels(scope: Scope, receive: Any, send: Any) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    "app",
    [
        returns, raises, raises_after_start, exits, cancels,
        answering(start(42), body(b"x")),
        answering(start(1000), body(b"x")),
        answering({"type": "http.response.start", "status": "200"}),
        answering({"type": "http.response.start"}),
        answering(start()),
        answering(start(), start(), body(b"x")),
        answering(body(b"x")),
        answering({"type": "http.response.pushed"}),
        answering(start(200, (b"x", b"a\r\nX-Injected: 1")), body(b"x")),
        answering(start(200, (b"a b", b"1")), body(b"x")),
        answering({"type": "http.response.start", "status": 200, "headers": [("text", "text")]}),
        answering(start(), {"type": "http.response.body", "body": "text"}),
    ],
    ids=range(17),
)  # fmt: skip
def test_before_its_head_a_failure_is_a_500(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    """AS-03: nothing had left, so the client gets a whole page, and the connection stays."""
    with Client(serve(app)) as client:
        raw = client.send_raw(GET + GET)
    assert [answer.status for answer in raw.responses] == [500, 500]
    assert all("x-injected" not in answer.headers for answer in raw.responses)
    assert caplog.text.count("failed") >= 2


async def raises_later(scope: Scope, receive: Any, send: Any) -> None:
    await send(start())
    await send(body(b"part", more=True))
    raise RuntimeError("planned")


@pytest.mark.parametrize("app", [raises_later, answering(start(), body(b"part", more=True))])
def test_after_its_head_a_failure_cuts_the_connection(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    with Client(serve(app)) as client:
        connection = client.connect()
        connection.send(GET + GET)
        assert connection.closed
        answer = connection.receive()
        assert (answer.body, answer.complete) == (b"part", False)
    assert "failed" in caplog.text


def test_after_the_end_of_its_answer_a_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"x"))
        raise RuntimeError("planned")

    with Client(serve(app)) as client:
        raw = client.send_raw(GET + GET)
        client.settle()
    assert [answer.body for answer in raw.responses] == [b"x", b"x"]
    assert "failed after its answer" in caplog.text


def test_nothing_may_follow_the_end() -> None:
    errors: list[str] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"x"))
        for message in (body(b"y"), start(), {"type": "http.response.trailers"}):
            with pytest.raises(RuntimeError, match="expected nothing after the end of the answer") as caught:
                await send(message)
            errors.append(str(caught.value))

    with Client(serve(app)) as client:
        assert client.get("/").body == b"x"
    assert len(errors) == 3


def test_content_beyond_the_announced_length_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    app = answering(start(200, (b"content-length", b"2")), body(b"abc", more=True), body(b"d"))
    with Client(serve(app)) as client:
        raw = client.send_raw(GET + GET)
    assert [answer.body for answer in raw.responses] == [b"ab", b"ab"]
    assert "cut off" in caplog.text


# Requests with content.


async def echo(scope: Scope, receive: Any, send: Any) -> None:
    pieces = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        pieces.append(message["body"])
        if not message["more_body"]:
            break
    await send(start())
    await send(body(b"|".join(pieces)))


@pytest.mark.parametrize(
    "sent",
    [
        request(method="GET"),
        request("/", "Content-Length: 5", method="POST") + b"12345",
        request("/", "Transfer-Encoding: chunked", method="POST") + b"5\r\n12345\r\n0\r\n\r\n",
    ],
)
def test_content_that_is_there_is_one_message(sent: bytes) -> None:
    with Client(serve(echo)) as client:
        (answer,) = client.send_raw(sent).responses
    assert answer.text == ("12345" if b"POST" in sent else "")


def test_content_is_streamed_as_it_arrives() -> None:
    """AS-02."""
    seen: list[bytes] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            seen.append(message["body"])
            more = message["more_body"]
        await send(start())
        await send(body(b"".join(seen)))

    with Client(serve(app)) as client:
        connection = client.connect()
        connection.send(request("/", "Content-Length: 6", method="POST"))
        connection.send(b"12")
        assert seen == [b"12"]
        connection.send(b"34")
        assert seen == [b"12", b"34"]
        connection.send(b"56")
        assert connection.receive().body == b"123456"


def test_a_client_that_expects_it_is_told_to_continue_when_the_content_is_wanted() -> None:
    with Client(serve(echo)) as client:
        connection = client.connect()
        connection.send(request("/", "Content-Length: 2", "Expect: 100-continue", method="POST"))
        assert connection.data == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(b"ok")
        assert connection.receive().body == b"ok"


def test_content_cut_short_is_a_disconnect_never_an_end() -> None:
    seen: list[dict[str, Any]] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        while not seen or seen[-1]["type"] != "http.disconnect":
            seen.append(await receive())

    with Client(serve(app)) as client:
        connection = client.connect()
        connection.send(request("/", "Content-Length: 10", method="POST") + b"12345")
        connection.leave()
        client.wait_until(lambda: seen and seen[-1]["type"] == "http.disconnect")
    assert not any(message["type"] == "http.request" and not message["more_body"] for message in seen)


def test_malformed_content_is_refused_and_a_disconnect_for_the_application() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        while not seen or seen[-1] != "http.disconnect":
            seen.append((await receive())["type"])
        with pytest.raises(OSError, match="client has left"):
            await send(start())

    with Client(serve(app)) as client:
        connection = client.connect()
        connection.send(request("/", "Transfer-Encoding: chunked", method="POST"))
        connection.send(b"zz\r\n")
        assert connection.receive().status == 400
        assert seen[-1] == "http.disconnect"


# Options.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lifespan": "maybe"}, "expected lifespan as one of auto, on, off, got 'maybe'"),
        ({"root_path": "x"}, "expected a root_path such as \"/prefix\", got 'x'"),
        ({"root_path": "/x/"}, "expected a root_path such as \"/prefix\", got '/x/'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        ASGIResource(returns, **options)
    with pytest.raises(TypeError, match="expected an ASGI callable, got 'x'"):
        ASGIResource("x")  # type: ignore[arg-type]
