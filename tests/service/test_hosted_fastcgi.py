"""A Site as a FastCGI application, asked by our own side of a web server, and by others record for record."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest

from container.channel.endpoints import EndpointError
from container.message.response import Response
from container.protocol import fastcgi
from container.protocol.fastcgi import BEGIN_REQUEST, PARAMS, STDIN, encode_record, encode_variables
from container.protocol.fastcgi_server import Records
from container.resources.responder import FastCGIResource
from container.service.hosted.fastcgi import FastCGIServer, scope_of
from container.testing import Client
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import Leaf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Behind(FastCGIResource):
    """A web server's side and the application behind it, on one loop."""

    def __init__(self, path: Path, site: Resource) -> None:
        super().__init__(f"unix:{path}", connections=2, timeout=10)
        self.server = FastCGIServer(site, f"unix:{path}", grace=0.1)

    async def start(self) -> None:
        self.server.privileged_start()
        await self.server.start()
        await super().start()

    async def stop(self) -> None:
        await super().stop()
        await self.server.stop()


def tell(request: Any) -> Response:
    return Response.text(f"{request.method} {request.script_name} {request.path_info} {request.query_string}")


class Echo(Resource):
    async def post(self, request: Any) -> Response:
        return Response(await request.read(), 201, {"X-A": "1"})


class Stream(Resource):
    def __init__(self) -> None:
        super().__init__()
        self.ended = 0

    def get(self, request: Any) -> Response:
        return Response(self.pieces("broken" in request.args))

    async def pieces(self, broken: bool) -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(50_000)
                if broken:
                    raise RuntimeError("as the test wants it")
        finally:
            self.ended += 1


def tree() -> tuple[Resource, Stream]:
    root = Resource()
    stream = Stream()
    root.mount("tell", Leaf(tell))
    root.mount("echo", Echo())
    root.mount("stream", stream)
    return root, stream


def test_a_tree_is_asked_by_fastcgi(tmp_path: Path) -> None:
    """The mount point, content both ways, one connection after another request; the socket is gone at the end."""
    root, _ = tree()
    outer = Resource()
    behind = Behind(tmp_path / "s", Site(root))
    outer.mount("app", behind)
    with Client(outer) as client:
        assert client.get("/app/tell/a%2Fb?c=d").text == "GET /app/tell /a/b c=d"
        for size in (0, 5, 3_000_000):
            answer = client.post("/app/echo", body=b"x" * size)
            assert (answer.status, len(answer.body), answer.headers["X-A"]) == (201, size, "1")
        assert client.post("/app/echo", body=iter([b"ab", b"c"])).text == "abc"
        assert client.head("/app/tell").headers["Content-Length"] == "16"
        assert client.get("/app/none").status == 404
        assert len(behind.server.connections) == 1
    assert not (tmp_path / "s").exists()


def test_a_client_that_leaves_and_an_answer_that_breaks_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root, stream = tree()
    with Client(Behind(tmp_path / "s", root)) as client:
        with client.stream("GET", "/stream") as answer:
            next(answer)
            answer.transport.hold()
            client.settle()
        client.wait_until(lambda: stream.ended == 1, "the end of the stream")
        with client.stream("GET", "/stream?broken") as answer:
            assert b"".join(answer) == bytes(50_000)
        assert not answer.complete
        assert "as the test wants it" in caplog.text
        assert client.get("/tell").text == "GET /tell  "


def test_a_request_that_outlasts_the_end_is_cut(tmp_path: Path) -> None:
    root, stream = tree()
    with Client(Behind(tmp_path / "s", root)) as client, client.stream("GET", "/stream") as answer:
        next(answer)
        answer.transport.hold()
        client.settle()
    assert stream.ended == 1


def test_what_was_answered_before_the_end_leaves_before_it(tmp_path: Path) -> None:
    """A web server that reads slowly gets the whole of an answer that its application has given already."""
    seen: list[object] = []

    def answer(request: object) -> Response:
        seen.append(request)
        return Response(b"x" * 50_000)

    root = Resource()
    root.mount("page", Leaf(answer))
    ask = begin(1) + encode_variables({"REQUEST_METHOD": "GET", "REQUEST_URI": "/page"})
    ask += encode_record(PARAMS) + encode_record(STDIN)

    async def run() -> tuple[int, bytes]:
        server = FastCGIServer(root, f"unix:{tmp_path / 's'}", grace=5)
        server.privileged_start()
        await server.start()
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s", limit=1)
        asked = 0
        unsent = 0
        while not unsent:  # until the kernel keeps no more of what nobody reads
            asked += 1
            writer.write(ask)
            while not (server.connections and len(seen) == asked):
                await asyncio.sleep(0)
            (connection,) = server.connections
            while connection.task is not None:
                await asyncio.sleep(0)
            unsent = connection.transport.get_write_buffer_size()
        stopping = asyncio.create_task(server.stop())
        found = await asyncio.wait_for(reader.read(), 10)
        await stopping
        writer.close()
        return asked, found

    asked, found = asyncio.run(run())
    kinds = [kind for kind, _, _ in Records().feed(found)]
    assert kinds.count(fastcgi.END_REQUEST) == asked


def begin(request_id: int, *, role: int = 1, keep: int = 1) -> bytes:
    return encode_record(BEGIN_REQUEST, struct.pack(">HB5x", role, keep), request_id)


ASK = begin(1) + encode_variables({"REQUEST_METHOD": "GET", "REQUEST_URI": "/tell"}) + encode_record(PARAMS)


def test_who_still_sends_is_read_to_the_end(tmp_path: Path) -> None:
    """An answer may come before the content, even before the end of none; then the connection may not just be cut."""
    root, _ = tree()
    ask = begin(1, keep=0) + ASK[len(begin(1)) :]

    async def late() -> bytes:
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(ask)
        found = await asyncio.wait_for(
            reader.readuntil(fastcgi.encode_record(fastcgi.END_REQUEST, bytes(8))), 10
        )
        writer.write(encode_record(STDIN, b"x" * 60_000) * 5)
        await writer.drain()
        writer.write(encode_record(STDIN))
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
        await writer.wait_closed()
        return found

    with Client(Behind(tmp_path / "s", root)) as client:
        assert b"GET /tell" in client._run(late())


@pytest.mark.parametrize(
    ("sent", "kinds"),
    [
        (ASK + encode_record(STDIN), [fastcgi.STDOUT, fastcgi.STDOUT, fastcgi.STDOUT, fastcgi.END_REQUEST]),
        (begin(1, role=2), [fastcgi.END_REQUEST]),
        (begin(1) + begin(2), [fastcgi.END_REQUEST]),
        (encode_record(9, b"", 0), [10]),
        (encode_record(42, b"", 0), [11]),
        (encode_record(STDIN, b"x", 5), []),
        (b"GET / HTTP/1.1\r\n\r\n", []),
        (begin(1) + encode_record(PARAMS, b"\1") + encode_record(PARAMS), []),
        (begin(1) + encode_variables({"SERVER_PORT": "x"}) + encode_record(PARAMS), []),
        (begin(1) + encode_variables({"A": "x" * 60_000}) * 5, []),
    ],
)
def test_what_web_servers_may_say(tmp_path: Path, sent: bytes, kinds: list[int]) -> None:
    """Other roles, other requests on a busy connection, questions, nonsense: each has its answer, or the end."""
    root, _ = tree()

    async def ask() -> bytes:
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(sent)
        found = b""
        while len(list(Records().feed(found))) < len(kinds):
            data = await asyncio.wait_for(reader.read(65_536), 10)
            if not data:
                break
            found += data
        writer.close()
        await writer.wait_closed()
        return found

    with Client(Behind(tmp_path / "s", root)) as client:
        assert [kind for kind, _, _ in Records().feed(client._run(ask()))] == kinds
        assert client.get("/tell").status == 200


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"REQUEST_URI": "/a%20b?c", "SCRIPT_NAME": "/a b"}, ("/a b", b"/a%20b", "", b"c")),
        ({"REQUEST_URI": "/m/x", "SCRIPT_NAME": "/m", "PATH_INFO": "/x"}, ("/m/x", b"/m/x", "/m", b"")),
        ({"REQUEST_URI": "/x", "SCRIPT_NAME": "/site.fcgi", "PATH_INFO": "/x"}, ("/x", b"/x", "", b"")),
        ({"SCRIPT_NAME": "/m", "PATH_INFO": "/\xc3\xa4"}, ("/m/ä", b"/m/\xc3\xa4", "/m", b"")),
    ],
)
def test_the_path_is_the_one_that_was_sent(variables: dict[str, str], expected: tuple[Any, ...]) -> None:
    """And the mount point is believed where it fits."""
    scope = scope_of(variables)
    assert tuple(scope[name] for name in ("path", "raw_path", "root_path", "query_string")) == expected


def test_fields_and_ends() -> None:
    scope = scope_of(
        {
            "HTTP_HOST": "a.example", "HTTP_X_A": "1", "CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": "",
            "HTTP_CONTENT_LENGTH": "9", "HTTPS": "on", "REMOTE_ADDR": "10.0.0.1", "REMOTE_PORT": "5",
            "SERVER_NAME": "a.example", "SERVER_PORT": "443", "SERVER_PROTOCOL": "HTTP/1.0", "REQUEST_METHOD": "POST",
        }
    )  # fmt: skip
    assert dict(scope["headers"]) == {b"host": b"a.example", b"x-a": b"1", b"content-type": b"text/plain"}
    assert (scope["scheme"], scope["http_version"], scope["method"]) == ("https", "1.0", "POST")
    assert (scope["client"], scope["server"]) == (("10.0.0.1", 5), ("a.example", 443))


def test_an_address_is_needed_and_understood() -> None:
    with pytest.raises(ValueError, match="expected an address"):
        FastCGIServer(Resource())
    with pytest.raises(EndpointError):
        FastCGIServer(Resource(), "tpc:80")


def test_the_socket_that_a_web_server_hands_over(tmp_path: Path) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "handed"))
    listening.listen()
    server = FastCGIServer(Resource(), f"fd:{listening.detach()}")
    server.privileged_start()
    assert server.urls == [f"unix:{tmp_path}/handed"]
    for _, sock in server._sockets:
        sock.close()
