"""A reverse proxy in front of real servers: what the upstream gets, and what the client gets back."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from container.message.errors import HTTPError
from container.message.headers import Headers
from container.message.limits import Limits
from container.message.request import Request
from container.message.response import Response
from container.message.websocket import WebSocket
from container.resources.proxy import ReverseProxy, Upstream
from container.resources.redirect import Redirect
from container.resources.sendfile import SendfileFrom
from container.resources.vhostmonster import VHostMonster
from container.resources.websocket import WebSocketResource
from container.service.server import serving
from container.tree.accesslog import make_formatter
from container.tree.request_ids import RequestIds
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import Leaf, MemoryLog, request
from tests.upstreams import Scripted, fetch, saying, serve, talking

if TYPE_CHECKING:
    from pathlib import Path


async def echo(request: Request) -> Response:
    """What was asked, as JSON."""
    content = await request.read()
    return Response.json(
        {
            "method": request.method,
            "target": request.raw_target.decode("latin-1"),
            "fields": [
                [name.decode("latin-1"), value.decode("latin-1")] for name, value in request.raw_headers
            ],
            "length": len(content),
        }
    )


def mounted(proxy: Resource, path: str = "m") -> Resource:
    root = Resource()
    root.mount(path, proxy)
    return root


async def asked(data: bytes, base: str = "", path: str = "m", **options: Any) -> Any:
    """What the echo behind a proxy says it was asked."""
    async with serve(Leaf(echo)) as upstream:
        proxy = ReverseProxy(f"http://127.0.0.1:{upstream.port}{base}", **options)
        async with serve(mounted(proxy, path) if path else proxy) as server:
            status, _, content = await fetch(server.port, data)
            return json.loads(content) if status == 200 else status


def values(seen: Any, name: str) -> list[str]:
    return [value for candidate, value in seen["fields"] if candidate == name]


@pytest.mark.parametrize(
    ("base", "target", "expected"),
    [
        ("", "/m/a%20b/c%2Fd?x=1&x=2", "/a%20b/c%2Fd?x=1&x=2"),
        ("/base", "/m/a", "/base/a"),
        ("/base/", "/m/a", "/base/a"),
        ("/vhost/http/example.com/", "/m/", "/vhost/http/example.com/"),
        ("/base", "/m", "/base"),
        ("", "/m", "/"),
        ("", "/m/", "/"),
        ("", "/m/a?", "/a"),
        ("", "/m//a//", "//a//"),
    ],
)
def test_segments_go_on_as_they_were_sent_below_the_base(base: str, target: str, expected: str) -> None:
    """PX-01, PX-06: a trailing slash of the base makes no `//`."""
    assert asyncio.run(asked(request(target), base))["target"] == expected


@pytest.mark.parametrize("path", ["/m/../x", "/m/a/..", "/m/%2e%2E/x", "/m/..%2fx", "/m/a\\..\\b", "/m/..;x"])
def test_a_path_with_dot_segments_is_refused(path: str) -> None:
    """PX-01: it might leave the base."""
    assert asyncio.run(asked(request(path), "/base")) == 400


def test_the_root_may_be_a_proxy() -> None:
    """PX-05."""
    assert asyncio.run(asked(request("/a/b"), path=""))["target"] == "/a/b"


def test_hop_by_hop_fields_stay_and_repeated_ones_go_on() -> None:
    """PX-01."""
    data = request(
        "/m/", "A: 1", "a: 2", "Connection: X-Hop, keep-alive", "X-Hop: 1", "Keep-Alive: 5", "TE: gzip",
        "Proxy-Connection: x", "Upgrade: h2c", "HTTP2-Settings: x", "Proxy-Authorization: x", "Cookie: a=b",
    )  # fmt: skip
    seen = asyncio.run(asked(data))
    names = {name for name, _ in seen["fields"]}
    assert values(seen, "a") == ["1", "2"]
    assert names == {
        "host", "a", "cookie", "via", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port",
        "x-forwarded-prefix",
    }  # fmt: skip


def test_the_upstream_learns_which_request_it_is_and_the_log_which_upstream_it_was() -> None:
    """AS-08, LG-02: `X-Request-ID` and `traceparent`, as the log has them."""

    async def main() -> None:
        log = MemoryLog(make_formatter("%(upstream)s %(request_id)s %(trace_id)s"))
        async with serve(Leaf(echo)) as upstream:
            url = f"http://127.0.0.1:{upstream.port}"
            root = RequestIds(ReverseProxy(url))
            async with serve(Site(root, access_log=log)) as server:
                _, _, content = await fetch(
                    server.port, request("/", "traceparent: nonsense", "X-Request-ID: a b")
                )
            seen = json.loads(content)
            (id,), (trace,) = values(seen, "x-request-id"), values(seen, "traceparent")
            assert log.lines == [f"{url} {id} {trace.split('-')[1]}"]

    asyncio.run(main())


def test_the_upstream_learns_of_the_client() -> None:
    """PX-01, RQ-15, RQ-16."""
    seen = asyncio.run(asked(request("/m/x", host="shop.example:8443")))
    assert values(seen, "x-forwarded-for") == ["127.0.0.1"]
    assert values(seen, "x-forwarded-proto") == ["http"]
    assert values(seen, "x-forwarded-host") == ["shop.example:8443"]
    assert values(seen, "x-forwarded-port") == ["8443"]
    assert values(seen, "x-forwarded-prefix") == ["/m"]
    assert values(seen, "via") == ["1.1 container"]


def test_a_client_that_takes_trailers_gets_them() -> None:
    """PX-01: TE is of one connection, so it is said anew; nothing else of it goes on."""
    for fields, expected in (
        (("TE: trailers", "Connection: TE"), ["trailers"]),
        (("TE: gzip, trailers", "Connection: close, TE"), ["trailers"]),
        (("TE: gzip", "Connection: TE"), []),
        (("Connection: TE",), []),
    ):
        seen = asyncio.run(asked(request("/m/", *fields)))
        assert values(seen, "te") == expected
        assert values(seen, "connection") == ["TE"] * len(expected)
    assert values(asyncio.run(asked(request("/m/", "TE: trailers", version="1.0"))), "te") == []


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("", ["/a/m"]),
        ("/a/m", []),
        ("/m/", ["/a"]),
        ("/vhost/http/example.com/a/m", []),
        ("/vhost/http/example.com/", ["/a/m"]),
        ("/am", ["/a/m"]),
    ],
)
def test_the_prefix_is_what_the_upstream_does_not_see(base: str, expected: list[str]) -> None:
    """PX-01, VM-05: nothing counts twice where the paths are equal on both sides."""
    seen = asyncio.run(asked(request("/a/m/x"), base, path="a/m"))
    assert values(seen, "x-forwarded-prefix") == expected


def test_what_a_client_claims_of_itself_is_thrown_away() -> None:
    """RQ-16: however it is spelt."""
    claims = (
        "X-Forwarded-For: 6.6.6.6",
        "X_Forwarded_For: 6.6.6.6",
        "Forwarded: for=6.6.6.6",
        "X-Real-IP: 6.6.6.6",
    )
    seen = asyncio.run(asked(request("/m/", *claims)))
    assert "6.6.6.6" not in json.dumps(seen)


def test_claims_are_added_to_when_they_are_trusted() -> None:
    """RQ-16."""
    claims = ("X-Forwarded-For: 9.9.9.9", "X-Forwarded-Proto: https", "Forwarded: for=9.9.9.9")
    seen = asyncio.run(asked(request("/m/", *claims), trust_forwarding=True, forwarding="both"))
    assert values(seen, "x-forwarded-for") == ["9.9.9.9, 127.0.0.1"]
    assert values(seen, "x-forwarded-proto") == ["https"]
    assert values(seen, "forwarded") == ["for=9.9.9.9, for=127.0.0.1;host=a;proto=http"]


def test_forwarded_takes_the_place_of_the_others() -> None:
    """PX-01: RFC 7239."""
    seen = asyncio.run(asked(request("/m/", host="[::1]:80"), forwarding="standard", via=None))
    assert values(seen, "forwarded") == ['for=127.0.0.1;host="[::1]:80";proto=http']
    assert {name for name, _ in seen["fields"]} == {"host", "forwarded"}


@pytest.mark.parametrize(
    ("host", "expected"), [("preserve", "shop.example"), ("other.example", "other.example")]
)
def test_the_host_is_as_the_option_says(host: str, expected: str) -> None:
    """PX-01."""
    assert values(asyncio.run(asked(request("/m/", host="shop.example"), host=host)), "host") == [expected]


@pytest.mark.parametrize(
    ("fields", "content", "length"),
    [
        (("Content-Length: 5",), b"abcde", 5),
        (("Transfer-Encoding: chunked",), b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", 5),
        (("Content-Length: 300000",), b"x" * 300_000, 300_000),
        (("Content-Length: 0",), b"", 0),
    ],
)
def test_content_goes_on_whole(fields: tuple[str, ...], content: bytes, length: int) -> None:
    """PX-01."""
    seen = asyncio.run(asked(request("/m/", *fields, method="POST") + content))
    assert (seen["method"], seen["length"]) == ("POST", length)
    assert len(values(seen, "content-length")) + len(values(seen, "transfer-encoding")) == 1


def through(upstream: Scripted, data: bytes, **options: Any) -> tuple[int, dict[bytes, bytes], bytes]:
    """The answer of a scripted upstream, mounted at /m."""

    async def run() -> tuple[int, dict[bytes, bytes], bytes]:
        async with upstream.serving() as port:
            url = f"http://127.0.0.1:{port}{options.pop('base', '')}"
            async with serve(mounted(ReverseProxy(url, **options))) as server:
                return await fetch(server.port, data)

    return asyncio.run(run())


def test_an_answer_keeps_its_fields_and_its_reason() -> None:
    """PX-01: Server, Date and Content-Type of the upstream stand, hop-by-hop fields do not."""
    head = (
        b"HTTP/1.1 299 Fine by me\r\nServer: x\r\nDate: d\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
        b"Content-Length: 2\r\nConnection: X-Hop\r\nX-Hop: 1\r\nProxy-Authenticate: Basic\r\n\r\nok"
    )

    async def run() -> bytes:
        async with saying(head).serving() as port, serve(ReverseProxy(f"http://127.0.0.1:{port}")) as server:
            async with talking(server.port) as peer:
                peer.send(request())
                return await peer.head()

    lines = asyncio.run(run()).split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 299 Fine by me"
    assert sorted(lines[1:-2]) == [
        b"Content-Length: 2", b"Date: d", b"Server: x", b"Set-Cookie: a=1", b"Set-Cookie: b=2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("base", "location", "expected"),
    [
        ("", "/login?next=%2F", "/m/login?next=%2F"),
        ("", "/m/login", "/m/login"),
        ("/app", "/app/login", "/m/login"),
        ("/app", "/app", "/m"),
        ("/app", "/application", "/application"),
        ("/app", "/m/app/login", "/m/login"),
        ("/m", "/m/login", "/m/login"),
        ("/app", "/elsewhere", "/elsewhere"),
        ("", "http://127.0.0.1:PORT/x", "/m/x"),
        ("", "HTTP://127.0.0.1:PORT", "/m/"),
        ("", "http://127.0.0.1:1/x", "http://127.0.0.1:1/x"),
        ("", "https://other.example/x", "https://other.example/x"),
        ("", "//other.example/x", "//other.example/x"),
        ("", "x/y", "x/y"),
        ("", "http://[/x", "http://[/x"),
    ],
)
def test_redirects_lead_back_below_the_mount_point(base: str, location: str, expected: str) -> None:
    """PX-02."""

    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.head(reader)
        port = writer.get_extra_info("sockname")[1]
        there = location.replace("PORT", str(port)).encode()
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % there)

    status, fields, _ = through(Scripted(talk), request("/m/"), base=base)
    assert (status, fields[b"location"].decode()) == (302, expected)


@pytest.mark.parametrize(
    ("cookie", "expected"),
    [
        ("a=1; Path=/", "a=1; Path=/m/"),
        ("a=1; path=/sub; HttpOnly", "a=1; path=/m/sub; HttpOnly"),
        ("a=1; Domain=127.0.0.1; Path=/", "a=1; Path=/m/"),
        ("a=1; Domain=example.com", "a=1; Domain=example.com"),
        ("a=path=/x", "a=path=/x"),
    ],
)
def test_cookies_are_for_the_mount_point(cookie: str, expected: str) -> None:
    """PX-02."""
    upstream = saying(b"HTTP/1.1 200 OK\r\nSet-Cookie: %b\r\nContent-Length: 0\r\n\r\n" % cookie.encode())
    assert through(upstream, request("/m/"))[1][b"set-cookie"].decode() == expected


def test_nothing_is_rewritten_when_that_is_off() -> None:
    """PX-02."""
    upstream = saying(
        b"HTTP/1.1 302 Found\r\nLocation: /x\r\nSet-Cookie: a=1; Path=/\r\nContent-Length: 0\r\n\r\n"
    )
    fields = through(upstream, request("/m/"), rewrite=False)[1]
    assert (fields[b"location"], fields[b"set-cookie"]) == (b"/x", b"a=1; Path=/")


class Noting(ReverseProxy):
    """A proxy with both hooks."""

    def change_request(self, request: Request, headers: Headers) -> None:
        if request.raw_path.endswith(b"/no"):
            raise HTTPError(403, "Not this one.")
        headers.set("X-Added", request.path)
        headers.remove("Cookie")

    def change_response(self, request: Request, status: int, headers: Headers) -> None:
        headers.set("X-Seen", str(status))


def test_hooks_of_a_subclass_hold_below_child_paths_too() -> None:
    """PX-07."""

    async def run() -> None:
        async with serve(Leaf(echo)) as upstream:
            async with serve(mounted(Noting(f"http://127.0.0.1:{upstream.port}"))) as server:
                for _ in range(2):
                    _, fields, content = await fetch(server.port, request("/m/a/b", "Cookie: a=1"))
                    seen = json.loads(content)
                    assert fields[b"x-seen"] == b"200"
                    assert values(seen, "x-added") == ["/m/a/b"]
                    assert values(seen, "cookie") == []
                    assert values(seen, "x-forwarded-for") == ["127.0.0.1"]
                assert (await fetch(server.port, request("/m/no")))[0] == 403

    asyncio.run(run())


def test_the_answer_to_head_has_the_length_and_no_content() -> None:
    """PX-08."""

    async def run() -> None:
        upstream = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", close=False)
        async with upstream.serving() as port, serve(ReverseProxy(f"http://127.0.0.1:{port}")) as server:
            async with talking(server.port) as peer:
                peer.send(request(method="HEAD"))
                assert b"\r\nContent-Length: 1234\r\n" in await peer.head()
                assert not peer.reader._buffer  # type: ignore[attr-defined]

    asyncio.run(run())


def test_a_304_has_no_content_and_the_connection_goes_on() -> None:
    """PX-08."""

    async def run() -> None:
        upstream = saying(
            b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 99\r\n\r\n', close=False
        )
        async with upstream.serving() as port, serve(ReverseProxy(f"http://127.0.0.1:{port}")) as server:
            async with talking(server.port) as peer:
                peer.send(request("/", 'If-None-Match: "x"'))
                head = await peer.head()
                assert head.startswith(b"HTTP/1.1 304 ")
                assert b'ETag: "x"' in head

    asyncio.run(run())


def test_interim_responses_and_trailers_go_through() -> None:
    """PX-01: 103 before, trailers after."""
    upstream = saying(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"3\r\nabc\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n",
    )

    async def run() -> bytes:
        async with upstream.serving() as port, serve(ReverseProxy(f"http://127.0.0.1:{port}")) as server:
            async with talking(server.port) as peer:
                peer.send(request("/", "Connection: close"))
                return await peer.rest()

    answer = asyncio.run(run())
    assert answer.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n")


def test_trailers_of_a_request_go_on_unless_they_would_be_lies() -> None:
    """PX-01, RQ-16: what frames, routes and authenticates comes before the content, and from us."""
    late = (
        b"X-Sum: 1\r\nContent-Length: 9\r\nAuthorization: Basic x\r\nX-Forwarded-For: 6.6.6.6\r\n"
        b"X_Real_IP: 6.6.6.6\r\nTransfer-Encoding: chunked\r\nHost: b\r\nConnection: X-Sum\r\n"
    )

    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.head(reader)
        await self.head(reader)  # the content, to its last line
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async def run(last: bytes) -> bytes:
        upstream = Scripted(talk)
        async with upstream.serving() as port, serve(ReverseProxy(f"http://127.0.0.1:{port}")) as server:
            async with talking(server.port) as peer:
                peer.send(request("/", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n")
                while not upstream.heads:
                    await asyncio.sleep(0.01)
                peer.send(b"0\r\n" + last + b"\r\n")
                assert (await peer.answer())[0] == 200
        return upstream.heads[-1]

    assert (
        asyncio.run(run(late.replace(b"Connection: X-Sum\r\n", b""))) == b"3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n"
    )
    assert asyncio.run(run(late)) == b"3\r\nabc\r\n0\r\n\r\n"


@pytest.mark.parametrize("willing", [True, False])
def test_an_expectation_is_the_upstreams_to_answer(willing: bool) -> None:
    """PX-01: RFC 9110 10.1.1."""

    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await self.head(reader)
        assert b"\r\nExpect: 100-continue\r\n" in head
        if not willing:
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        content = await reader.readexactly(5)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + content)

    async def run() -> None:
        async with (
            Scripted(talk).serving() as port,
            serve(ReverseProxy(f"http://127.0.0.1:{port}")) as server,
        ):
            async with talking(server.port) as peer:
                peer.send(request("/", "Content-Length: 5", "Expect: 100-continue", method="POST"))
                if willing:
                    assert await peer.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
                    peer.send(b"abcde")
                    assert (await peer.answer())[2] == b"abcde"
                else:
                    assert (await peer.answer())[0] == 403

    asyncio.run(run())


def test_connections_are_kept_and_used_again() -> None:
    """PX-01."""

    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await self.head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def run() -> None:
        upstream = Scripted(talk)
        async with upstream.serving() as port, serve(ReverseProxy(f"http://127.0.0.1:{port}")) as server:
            for _ in range(5):
                assert (await fetch(server.port, request()))[2] == b"ok"
            assert (upstream.connections, len(upstream.heads)) == (1, 5)

    asyncio.run(run())


def test_bytes_behind_an_answer_end_the_connection() -> None:
    """PX-01: they are no answer to the next request."""

    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await self.head(reader)
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
            )

    async def run() -> None:
        upstream = Scripted(talk)
        async with upstream.serving() as port, serve(ReverseProxy(f"http://127.0.0.1:{port}")) as server:
            for _ in range(3):
                assert (await fetch(server.port, request()))[2] == b"ok"
            assert upstream.connections == 3

    asyncio.run(run())


def test_an_upstream_on_a_unix_socket(tmp_path: Path) -> None:
    """PX-01."""

    async def run() -> None:
        path = tmp_path / "app.sock"
        async with serving(Leaf(echo), f"unix:{path}"):
            async with serve(mounted(ReverseProxy(f"unix:{path}:/base"))) as server:
                seen = json.loads((await fetch(server.port, request("/m/x")))[2])
                assert (seen["target"], values(seen, "host")) == ("/base/x", ["localhost"])

    asyncio.run(run())


def test_a_slow_client_holds_the_upstream_back() -> None:
    """PX-01: no more of an answer is read than its client takes."""
    size = 64 << 20

    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size >> 16):
            writer.write(b"x" * (1 << 16))
            self.sent = getattr(self, "sent", 0) + (1 << 16)  # type: ignore[attr-defined]
            await writer.drain()

    async def run() -> None:
        upstream = Scripted(talk)
        async with upstream.serving() as port, serve(ReverseProxy(f"http://127.0.0.1:{port}")) as server:
            async with talking(server.port) as peer:
                peer.reader._limit = 1 << 16  # type: ignore[attr-defined]  # the test reads nothing for now
                peer.send(request("/", "Connection: close"))
                await peer.head()
                before = -1
                while upstream.sent != before:  # type: ignore[attr-defined]
                    before = upstream.sent  # type: ignore[attr-defined]
                    await asyncio.sleep(0.2)
                assert before < size // 2
                assert len(await peer.rest()) == size

    asyncio.run(run())


def test_a_websocket_goes_through() -> None:
    """CH-20."""
    from websockets.asyncio.client import connect

    async def talk(socket: WebSocket) -> None:
        await socket.accept(subprotocol="chat")
        async for message in socket:
            await socket.send(message)

    async def run() -> None:
        async with serve(WebSocketResource(talk)) as upstream:
            async with serve(mounted(ReverseProxy(f"http://127.0.0.1:{upstream.port}"))) as server:
                async with connect(f"ws://127.0.0.1:{server.port}/m/x", subprotocols=["chat"]) as client:  # type: ignore[list-item]
                    assert client.subprotocol == "chat"
                    for message in ("one", b"two", "x" * 300_000):
                        await client.send(message)
                        assert await client.recv() == message

    asyncio.run(run())


def test_any_protocol_goes_through_with_what_came_early_and_half_closes() -> None:
    """CH-20: bytes behind the request and behind the 101 are not lost, and each side ends by itself."""

    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await self.head(reader)
        assert b"\r\nUpgrade: echo\r\n" in head
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello "
        )
        content = await reader.read()
        writer.write(content)

    async def run() -> None:
        async with (
            Scripted(talk).serving() as port,
            serve(ReverseProxy(f"http://127.0.0.1:{port}")) as server,
        ):
            async with talking(server.port) as peer:
                peer.send(request("/", "Connection: Upgrade", "Upgrade: echo") + b"early ")
                head = await peer.head()
                assert head.startswith(b"HTTP/1.1 101 ")
                assert b"\r\nUpgrade: echo\r\n" in head
                peer.send(b"late")
                peer.writer.write_eof()
                assert await peer.rest() == b"hello early late"

    asyncio.run(run())


def test_an_upstream_that_does_not_switch_answers_as_ever() -> None:
    """CH-20."""
    upstream = saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert through(upstream, request("/m/", "Connection: Upgrade", "Upgrade: websocket"))[2] == b"ok"


def test_a_switch_that_nobody_asked_for_is_a_bad_answer() -> None:
    """CH-20."""
    upstream = saying(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
    assert through(upstream, request("/m/"))[0] == 502


def test_an_upstream_may_name_files(tmp_path: Path) -> None:
    """PX-01: X-Accel-Redirect, with ranges."""
    (tmp_path / "a.txt").write_bytes(b"0123456789")
    upstream = saying(
        b"HTTP/1.1 200 OK\r\nX-Accel-Redirect: /protected/a.txt\r\nX-A: 1\r\nContent-Length: 4\r\n\r\nnope"
    )

    async def run() -> None:
        async with upstream.serving() as port:
            proxy = SendfileFrom(ReverseProxy(f"http://127.0.0.1:{port}"), internal={"/protected/": tmp_path})
            async with serve(proxy) as server:
                status, fields, content = await fetch(server.port, request("/", "Range: bytes=2-4"))
                assert (status, fields[b"x-a"], content) == (206, b"1", b"234")

    asyncio.run(run())


def test_content_that_is_too_long_is_refused_and_the_upstream_let_go() -> None:
    """PX-01: limits of the site hold."""

    async def run() -> None:
        async with serve(Leaf(echo)) as upstream:
            site = Site(ReverseProxy(f"http://127.0.0.1:{upstream.port}"), limits=Limits(body=10))
            async with serve(site) as server:
                data = request("/", "Transfer-Encoding: chunked", method="POST")
                assert (await fetch(server.port, data + b"5\r\nabcde\r\nff\r\n"))[0] == 413

    asyncio.run(run())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost:80", "did you mean"),
        ("ftp://x", "expected"),
        ("http://", "host"),
        ("http://x/?q", "query"),
        ("http://u@x/", "host"),
        ("http://x:0", "port"),
        ("http://x:99999", "ort"),
        ("http://x/../y", "dot"),
        ("unix:x", "unix:/path"),
    ],
)
def test_a_bad_url_is_an_error_that_helps(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ReverseProxy(url)


def test_bad_options_are_errors() -> None:
    with pytest.raises(ValueError, match="at least one"):
        ReverseProxy()
    with pytest.raises(ValueError, match="forwarding"):
        ReverseProxy("http://a", forwarding="y")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="weight"):
        Upstream("http://a", weight=0)


def test_a_loop_ends() -> None:
    """PX-01: a proxy that asks itself."""

    async def run() -> None:
        root = Resource()
        async with serve(root) as server:
            proxy = ReverseProxy(f"http://127.0.0.1:{server.port}/m")
            root.mount("m", proxy)
            assert (await fetch(server.port, request("/m/x")))[0] == 508
            await proxy.stop()

    asyncio.run(run())


def test_a_chain_to_a_vhostmonster_tells_the_outer_host() -> None:
    """PX-06: as the base ends in a slash, without `//`; redirects of the inner tree lead to the outer one."""

    async def run() -> None:
        inner = Resource()
        inner.mount("vhost", VHostMonster())
        inner.mount("where", Leaf(lambda request: f"{request.scheme}://{request.host}{request.path}"))
        inner.mount("old", Redirect("/where"))
        async with serve(inner) as upstream:
            base = f"http://127.0.0.1:{upstream.port}/vhost/https/shop.example:8443/"
            async with serve(ReverseProxy(base)) as server:
                assert (await fetch(server.port, request("/where")))[2] == b"https://shop.example:8443/where"
                assert (await fetch(server.port, request("/old")))[1][b"location"].endswith(b"/where")

    asyncio.run(run())


def test_trace_and_max_forwards() -> None:
    """PX-01: RFC 9110 7.6.2."""
    assert asyncio.run(asked(request("/m/", method="TRACE"))) == 405
    assert asyncio.run(asked(request("/m/", "Max-Forwards: 0", method="OPTIONS"))) == 204
    seen = asyncio.run(asked(request("/m/", "Max-Forwards: 3", method="OPTIONS")))
    assert values(seen, "max-forwards") == ["2"]
