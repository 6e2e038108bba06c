"""The test client, and through it what becomes of requests: streamed, late, slow, cut short."""

from __future__ import annotations

import asyncio
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from container import ClientDisconnected, HTTPError, Resource, Response, Site, WSGIResource
from container.message.headers import Headers
from container.testing import (
    AsyncClient,
    Client,
    ClientTimeout,
    FakeClock,
    NoResponse,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator

    from container.message.exchange import Exchange
    from container.message.request import Request


def on_loop(test: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    """Make a test of a coroutine."""
    return lambda: asyncio.run(test())


GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Leaf(Resource):
    """Answers every verb with what `answer` makes of the request."""

    is_leaf = True

    def __init__(self, answer: Callable[[Request], Any]) -> None:
        self.answer = answer

    def render(self, request: Request) -> Any:
        return self.answer(request)


def hello(request: Request) -> Response:
    return Response.text("hello")


def echo(request: Request) -> Response:
    """What came, while it comes."""
    return Response(request.stream(), content_type="application/octet-stream")


async def read(request: Request) -> Response:
    """What came, when all of it has come."""
    return Response(await request.read())


async def never(request: Request) -> Response:
    await asyncio.Event().wait()
    return hello(request)


def endless(request: Request) -> Response:
    """One piece, and never an end."""

    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    return Response(body())


def describe(request: Request) -> Response:
    seen: dict[str, object] = {"method": request.method, "target": request.raw_target.decode()}
    seen |= {"headers": request.headers.items(), "client": request.client, "scheme": request.scheme}
    return Response.json(seen)


# The documentation.


def test_the_examples_of_the_documentation_run() -> None:
    page = Path(__file__).parents[1].joinpath("docs", "testing.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(examples) >= 6
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, "docs/testing.md", "exec"), names)


# Requests and answers.


def test_an_answer_has_all_its_parts() -> None:
    def answer(request: Request) -> Exchange:
        request.exchange.inform(103, Headers({"Link": "</a.css>; rel=preload"}))
        headers = [("X-A", "1"), ("X-A", "2")]
        request.exchange.respond(Response("grüße", 404, headers, content_type="text/plain", reason="Hm"))
        return request.exchange

    with Client(Leaf(answer)) as client:
        response = client.get("/")
    assert (response.status, response.reason, response.text) == (404, "Hm", "grüße")
    assert response.headers.get_all("x-a") == ["1", "2"]
    assert response.complete
    assert [(head.status, head.headers["link"]) for head in response.interim] == [
        (103, "</a.css>; rel=preload")
    ]
    assert repr(response) == "<ClientResponse 404 Hm, 7 bytes>"


def test_the_text_of_an_answer_goes_by_its_charset() -> None:
    latin = Response("ü".encode("latin-1"), content_type="text/plain; charset=latin-1")
    with Client(Leaf(lambda _: latin)) as client:
        assert client.get("/").text == "ü"


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options"])
def test_each_verb_has_a_method(method: str) -> None:
    with Client(Leaf(describe)) as client:
        assert getattr(client, method)("/a?b=c").json()["method"] == method.upper()
        assert client.head("/").body == b""
        assert client.request("PROPFIND", "/").status == 200


def test_the_site_sees_the_ends_and_fields_it_was_told() -> None:
    options: dict[str, Any] = {"client": ("192.0.2.1", 1234), "server": ("2001:db8::1", 8443), "secure": True}
    with Client(Leaf(describe), headers={"X-Base": "1", "X-Own": "1"}, **options) as client:
        seen: Any = client.get("/ä b?q=%20", headers={"x-own": "2"}).json()
        assert seen["target"] == "/%C3%A4%20b?q=%20"
        assert seen["headers"] == [["host", "[2001:db8::1]:8443"], ["x-base", "1"], ["x-own", "2"]]
        assert (seen["client"], seen["scheme"]) == (["192.0.2.1", 1234], "https")
        absolute: Any = client.get("http://b.example/x", headers={"Host": "c.example"}).json()
        assert absolute["headers"][0] == ["host", "b.example"]
    with Client(Leaf(describe), server="/run/a.sock") as client:
        seen = client.get("/").json()
        assert (seen["client"], seen["headers"]) == (None, [["host", "localhost"]])


def test_content_is_sent_as_bytes_chunks_json_and_forms() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one", b"", b"two"):
            await asyncio.sleep(0)
            yield piece

    with Client(Leaf(echo)) as client:
        assert client.post("/", body=b"abc").body == b"abc"
        assert client.post("/", body=[b"one", b"", b"two"]).body == b"onetwo"
        assert client.post("/", body=pieces()).body == b"onetwo"
        assert client.post("/", json={"a": [1, None]}).json() == {"a": [1, None]}
        assert client.post("/", form={"a": ["1", "2"], "b": "ü &"}).body == b"a=1&a=2&b=%C3%BC+%26"
        assert client.post("/").body == b""


def test_a_multipart_form_arrives_with_its_files() -> None:
    async def answer(request: Request) -> Response:
        with await request.form() as form:
            upload = form.files['a"b']
            content = upload.file.read().decode("latin-1")
            return Response.json([form["title"], upload.filename, upload.content_type, content])

    with Client(Leaf(answer)) as client:
        files: dict[str, Any] = {'a"b': ("ü.txt", b"\x00\r\n--x", "text/plain"), "plain": b"p"}
        answer_json = client.post("/", form=[("title", "grüße")], files=files).json()
    assert answer_json == ["grüße", "ü.txt", "text/plain", "\x00\r\n--x"]


def test_http_1_0_is_answered_by_closing() -> None:
    def answer(request: Request) -> Response:
        return Response(iter([b"a", b"b"]))

    with Client(Leaf(answer)) as client:
        response = client.get("/", version="1.0")
        assert (response.body, response.complete) == (b"ab", True)
        assert "transfer-encoding" not in response.headers


def test_content_waits_for_100_continue() -> None:
    async def answer(request: Request) -> Response:
        if request.raw_path == b"/no":
            raise HTTPError(403)
        return await read(request)

    with Client(Leaf(answer)) as client:
        response = client.post("/", body=b"abc", headers={"Expect": "100-continue"})
        assert (response.body, [head.status for head in response.interim]) == (b"abc", [100])
        refused = client.post("/no", body=[b"abc"], headers={"Expect": "100-continue"})
        assert (refused.status, refused.interim) == (403, [])
        assert client.get("/").status == 200


def test_connections_are_used_again_and_renewed() -> None:
    connections = []

    def answer(request: Request) -> Response:
        connections.append(request.connection)
        return Response(b"", 200, {"Connection": "close"} if request.raw_path == b"/close" else None)

    with Client(Leaf(answer)) as client:
        for path in ("/", "/close", "/", "/"):
            client.get(path)
        assert len(set(connections)) == 2
        client.clock.advance(80.0)
        client.get("/")
        assert len(set(connections)) == 3


def test_cookies_are_kept_until_they_are_deleted() -> None:
    def answer(request: Request) -> Response:
        if request.raw_path == b"/set":
            return Response(b"", 200, [("Set-Cookie", f"{pair}; Path=/x") for pair in ("a=1", "b=ü", "c=3")])
        if request.raw_path == b"/delete":
            gone = ("a=; Max-Age=0", "b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT")
            return Response(b"", 200, [("Set-Cookie", cookie) for cookie in gone])
        return Response.json(request.cookies)

    with Client(Leaf(answer), cookies={"z": "ä"}) as client:
        assert client.get("/").json() == {"z": "ä"}
        client.get("/set")
        assert client.get("/").json() == {"z": "ä", "a": "1", "b": "ü", "c": "3"}
        client.get("/delete")
        assert client.cookies == {"z": "ä", "c": "3"}
        assert client.get("/", headers={"Cookie": "own=1"}).json() == {"own": "1"}


def test_redirects_are_followed_to_the_same_host() -> None:
    async def answer(request: Request) -> Response:
        if request.raw_path == b"/end":
            return Response(request.method.encode() + b" " + await request.read())
        if request.raw_path == b"/loop":
            return Response.redirect("/loop?again")
        if request.raw_path == b"/away":
            return Response.redirect("http://elsewhere.example/end")
        return Response.redirect("./end#part", int(request.raw_path[1:]))

    with Client(Leaf(answer)) as client:
        assert client.get("/302").status == 302
    with Client(Leaf(answer), follow_redirects=True) as client:
        assert client.get("/301").text == "GET "
        assert client.post("/302", form={"a": "1"}).text == "GET "
        assert client.put("/303", body=b"x", headers={"Content-Length": "1"}).text == "GET "
        followed = client.post("/307", body=b"again")
        assert (followed.text, [each.status for each in followed.history]) == ("POST again", [307])
        assert client.get("/away").status == 302
        with pytest.raises(AssertionError, match="at most 10 redirects"):
            client.get("/loop")
        with pytest.raises(ValueError, match="expected bytes as body"):
            client.post("/308", body=iter([b"x"]))


# Kinds of resources.


def test_native_resources_answer_plainly_and_by_coroutine() -> None:
    async def later(request: Request) -> Response:
        await asyncio.sleep(0)
        return hello(request)

    root = Resource()
    root.mount("now", Leaf(hello))
    root.mount("later", Leaf(later))
    with Client(root) as client:
        assert client.get("/now").text == client.get("/later").text == "hello"
        assert client.get("/").status == 404


@on_loop
async def test_content_streams_both_ways_at_once() -> None:
    taken: asyncio.Queue[bytes] = asyncio.Queue()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        yield await taken.get()

    async with AsyncClient(Leaf(echo)) as client, client.stream("POST", "/", body=body()) as stream:
        assert await anext(stream) == b"first"
        taken.put_nowait(b"second")
        assert await stream.read() == b"second"
        assert stream.complete


def list_app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["REQUEST_METHOD"].encode(), b" ", environ["PATH_INFO"].encode()]


def generator_app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", [])
    for number in range(3):
        yield b"%d" % number


def echo_app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    file = environ["wsgi.input"]
    start_response("200 OK", [("X-Spooled", str(not isinstance(file, io.BytesIO)))])
    return iter(lambda: file.read(50_000), b"")


def test_wsgi_applications_run_on_threads() -> None:
    root = Resource()
    root.mount("list", WSGIResource(list_app, threads=2))
    root.mount("generator", WSGIResource(generator_app, threads=1))
    root.mount("inline", WSGIResource(generator_app, threads=0))
    with Client(root) as client:
        assert client.get("/list/below").text == "GET /below"
        assert client.get("/generator").text == client.get("/inline").text == "012"


def test_a_large_upload_goes_to_a_file_and_comes_back() -> None:
    content = bytes(range(256)) * 2000
    with Client(WSGIResource(echo_app, threads=1)) as client:
        large = client.post("/", body=content)
        assert (large.body, large.headers["X-Spooled"]) == (content, "True")
        chunked = client.post("/", body=[content[:100_000], content[100_000:]])
        assert (chunked.body, chunked.headers["X-Spooled"]) == (content, "True")
        assert client.post("/", body=b"small").headers["X-Spooled"] == "False"
        assert client.site.quota.used == 0


# Clients that leave, and answers that break off.


def test_an_observer_is_told_when_the_client_leaves() -> None:
    told: list[Exception | None] = []

    def answer(request: Request) -> Response:
        request.exchange.on_close(told.append)
        return endless(request)

    with Client(Leaf(answer)) as client:
        with client.stream("GET", "/") as stream:
            assert next(stream) == b"x"
            assert told == []
            stream.close()
            assert isinstance(told[0], ClientDisconnected)
            assert not stream.complete
            assert list(stream) == []
        with client.stream("GET", "/") as stream:
            next(stream)
            stream.transport.reset()
            client.settle()
        assert isinstance(told[1], ConnectionResetError)


def test_a_wsgi_application_is_closed_when_its_client_leaves() -> None:
    closed = []

    class Endless:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"x" * 10_000

        def close(self) -> None:
            closed.append(True)

    def app(environ: dict[str, Any], start_response: Any) -> Endless:
        start_response("200 OK", [])
        return Endless()

    with Client(WSGIResource(app, threads=1)) as client:
        with client.stream("GET", "/") as stream:
            assert next(stream)
        client.wait_until(lambda: closed, "the application to be closed")


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_an_answer_that_breaks_off_is_not_complete(version: Any) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"half"
        raise ZeroDivisionError

    with Client(Leaf(lambda _: Response(body()))) as client:
        response = client.get("/", version=version)
    assert (response.body, response.complete) == (b"half", False)
    assert repr(response) == "<ClientResponse 200 OK, 4 bytes, cut>"


def test_a_connection_closed_without_answer_is_an_error() -> None:
    def answer(request: Request) -> Exchange:
        request.exchange.abort()
        return request.exchange

    with Client(Leaf(answer)) as client:
        with pytest.raises(NoResponse, match="expected a response, got b''"):
            client.get("/")
        assert client.send_raw(GET).closed


# Time.


def test_a_head_that_does_not_come_is_answered_408() -> None:
    with Client(Leaf(hello)) as client:
        connection = client.connect()
        connection.send(b"GET / HTT")
        client.clock.advance(29.0)
        assert connection.data == b""
        client.clock.advance(2.0)
        assert connection.receive().status == 408
        assert connection.closed


def test_an_idle_connection_is_closed_without_a_word() -> None:
    with Client(Leaf(hello)) as client:
        connection = client.connect()
        connection.send(GET)
        assert connection.receive().text == "hello"
        size = len(connection.data)
        client.clock.advance(74.0)
        assert not connection.closed
        client.clock.advance(2.0)
        assert connection.closed
        assert len(connection.data) == size
        with pytest.raises(NoResponse):
            connection.receive()


# Not run, it would hang: a reader whose exchange has ended asks ENDED, which never has anything to wait for.


@pytest.mark.parametrize("resource", [Leaf(read), Leaf(never), WSGIResource(echo_app, threads=1)])
def test_content_that_does_not_come_is_answered_408(resource: Resource) -> None:
    with Client(resource) as client:
        connection = client.connect()
        connection.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        client.clock.advance(29.0)
        assert connection.receive_all().responses == []
        client.clock.advance(2.0)
        assert connection.receive().status == 408


def test_the_clock_steps_by_whole_seconds() -> None:
    clock, sweeps = FakeClock(5.0), []
    clock.each_second(lambda: sweeps.append(clock()))
    clock.advance(0.75)
    clock.advance(0.75)
    clock.advance(2)
    assert (sweeps, clock.now) == ([6.0, 7.0, 8.0], 8.5)
    with pytest.raises(ValueError, match="expected time to go forward"):
        clock.advance(-1)


def test_a_call_that_hangs_fails_with_what_it_waited_for() -> None:
    root = Resource()
    root.mount("never", Leaf(never))
    root.mount("endless", Leaf(endless))
    with Client(root, timeout=0.05) as client:
        with pytest.raises(ClientTimeout, match=r"an answer to GET /never within 0\.05 s, got nothing"):
            client.get("/never")
        with pytest.raises(ClientTimeout, match=r"answer to GET /endless .* got \d+ bytes and no end"):
            client.get("/endless")
        with pytest.raises(ClientTimeout, match="the condition within"):
            client.wait_until(lambda: False)
        with client.stream("GET", "/endless") as stream:
            next(stream)
            stream.transport.hold()
            with pytest.raises(ClientTimeout, match="transport is held"):
                next(stream)


# Clients that read slowly.


def test_a_writer_stops_when_the_client_does_not_read() -> None:
    yielded = []

    def answer(request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            for number in range(100):
                yielded.append(number)
                yield b"x" * 10_000

        return Response(body())

    with Client(Leaf(answer)) as client, client.stream("GET", "/") as stream:
        stream.transport.hold()
        client.settle()
        stopped = len(yielded)
        assert stopped < 30
        client.settle()
        assert len(yielded) == stopped
        stream.transport.release()
        assert len(stream.read()) == 1_000_000
        assert stream.complete


def test_a_client_that_never_reads_is_cut() -> None:
    big = Response(b"x" * 1_000_000)
    with Client(Leaf(lambda _: big), timeout=1) as client:
        connection = client.connect()
        connection.transport.hold()
        connection.send(GET)
        client.clock.advance(59.0)
        assert not connection.closed
        client.clock.advance(2.0)
        assert connection.closed
        assert not connection.receive_all().responses


@on_loop
async def test_an_upload_waits_for_its_reader() -> None:
    sent = []
    go = asyncio.Event()

    async def answer(request: Request) -> Response:
        await go.wait()
        return Response.json(len(await request.read()))

    def body() -> Iterator[bytes]:
        for number in range(100):
            sent.append(number)
            yield b"x" * 10_000

    async with AsyncClient(Leaf(answer)) as client:
        request = asyncio.create_task(client.post("/", body=body()))
        await client.settle()
        assert 0 < len(sent) < 30
        go.set()
        assert (await request).json() == 1_000_000


# Bytes.


def test_pipelined_requests_are_answered_in_order() -> None:
    async def slow(request: Request) -> Response:
        await asyncio.sleep(0)
        return Response(request.raw_path)

    requests = [b"%b HTTP/1.1\r\nHost: a\r\n\r\n" % start for start in (b"GET /0", b"HEAD /1", b"GET /2")]
    with Client(Leaf(slow)) as client:
        answer = client.send_raw(b"".join(requests))
        assert [response.body for response in answer.responses] == [b"/0", b"", b"/2"]
        assert not answer.closed
        assert answer.data.count(b"HTTP/1.1 200 OK\r\n") == 3


def test_a_breach_is_answered_and_closed() -> None:
    with Client(Leaf(hello)) as client:
        answer = client.send_raw(GET + b"nonsense\r\n\r\n" + GET)
        assert [response.status for response in answer.responses] == [200, 400]
        assert answer.closed


def test_a_half_closed_client_gets_its_answer() -> None:
    with Client(Leaf(read)) as client:
        answer = client.send_raw(GET, eof=True)
        assert [response.status for response in answer.responses] == [200]
        assert answer.closed


def test_a_connection_is_read_as_the_test_goes() -> None:
    with Client(Leaf(read)) as client:
        connection = client.connect()
        connection.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert [head.status for head in connection.interim] == [100]
        connection.send(b"ab")
        assert connection.receive().body == b"ab"
        connection.leave()
        assert connection.closed


# On a loop.


@on_loop
async def test_the_async_client_runs_requests_side_by_side() -> None:
    together = asyncio.Barrier(3)

    async def meet(request: Request) -> Response:
        await together.wait()
        return hello(request)

    async with AsyncClient(Leaf(meet)) as client:
        answers = await asyncio.gather(*[client.get("/") for _ in range(3)])
        assert [answer.text for answer in answers] == ["hello"] * 3
        client.clock.advance(80.0)
        await client.settle()
        assert not client.group.channels


@on_loop
async def test_what_a_test_has_in_its_context_is_not_the_servers() -> None:
    async with AsyncClient(Leaf(lambda _: Response(str(asyncio.current_task()).encode()))) as client:
        assert (await client.get("/")).text == "None"


# Wrong use.


def test_wrong_use_is_explained() -> None:
    with pytest.raises(TypeError, match="goes into a WSGIResource"):
        Client(list_app)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(ValueError, match="timeout above 0"):
        Client(Leaf(hello), timeout=0)
    client = Client(Leaf(hello))
    for call in (client.settle, client.connect, lambda: client.get("/")):
        with pytest.raises(RuntimeError, match="expected `with`"):
            call()
    with client, pytest.raises(RuntimeError, match="one `with` at a time"):
        client.__enter__()

    async def in_a_coroutine() -> None:
        with pytest.raises(RuntimeError, match="use AsyncClient"), client:
            pass

    asyncio.run(in_a_coroutine())
    with client:
        assert client.get("/").status == 200


BAD_OPTIONS: list[tuple[type[Exception], str, dict[str, Any]]] = [
    (ValueError, "one of body, json and form", {"body": b"", "json": 1}),
    (ValueError, "one of body, json and form", {"body": b"", "files": {}}),
    (ValueError, "chunked", {"body": [b"x"], "headers": {"Content-Length": "1"}}),
    (ValueError, "HTTP/1.0", {"body": [b"x"], "version": "1.0"}),
    (ValueError, 'version "1.1" or "1.0"', {"version": "2"}),
    (ValueError, "control characters", {"headers": {"X": "a\r\nb"}}),
    (ValueError, "latin-1", {"headers": {"X": "\u20ac"}}),
    (TypeError, "bytes or an iterable", {"body": "text"}),
    (TypeError, "a piece of type str", {"body": ["text"]}),
    (TypeError, "as file 'f'", {"files": {"f": "text"}}),
    (TypeError, "expected only headers", {"params": {}}),
]


@pytest.mark.parametrize(("error", "message", "options"), BAD_OPTIONS)
def test_a_request_that_cannot_be_is_an_error(error: type[Exception], message: str, options: Any) -> None:
    with Client(Leaf(echo)) as client:
        with pytest.raises(error, match=message):
            client.post("/", **options)
        with pytest.raises(ValueError, match="expected a target"):
            client.get("no-slash")
        assert client.get("/").status == 200


def test_a_site_that_does_not_start_is_an_error_of_entering() -> None:
    class Broken(Resource):
        async def start(self) -> None:
            raise OSError("no disk")

    client = Client(Site(Broken()))
    for _ in range(2):
        with pytest.raises(OSError, match="no disk"), client:
            pass


def test_the_bytes_may_lead_elsewhere() -> None:
    class Elsewhere(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            length = b"Content-Length: %d" % len(data)
            self.transport.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n" + data)

    with Client(Leaf(hello), channel=lambda group: Elsewhere()) as client:
        assert client.send_raw(GET).responses[0].body == GET
        assert client.get("/").body.startswith(b"GET / HTTP/1.1\r\n")
