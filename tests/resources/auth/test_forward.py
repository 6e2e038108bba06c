"""A guard that asks another server, over the loopback: what that is asked, and what becomes of its verdict."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from container.message.response import Response
from container.resources.asgi import ASGIResource
from container.resources.auth import ForwardAuth
from container.resources.proxy import ReverseProxy
from container.resources.websocket import WebSocketResource
from container.resources.wsgi import WSGIResource
from container.service.server import serving
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import Leaf, request
from tests.upstreams import Scripted, fetch, nothing_left, saying, serve, silent, talking, unused_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from container.message.request import Request
    from container.message.websocket import WebSocket
    from container.service.server import Server

Answer = "tuple[int, dict[bytes, bytes], bytes]"


def seen(request: Request) -> Response:
    """What is behind the guard: who it is, and what fields came."""
    return Response.json(
        {
            "user": request.user,
            "fields": [[name.decode(), value.decode("latin-1")] for name, value in request.raw_headers],
        }
    )


@asynccontextmanager
async def guarded(url: str, child: Resource | None = None, **options: Any) -> AsyncIterator[Server]:
    root = Resource()
    root.mount("in", ForwardAuth(child or Leaf(seen), url, **options))
    async with nothing_left(), serve(root) as server:
        yield server


def verdict(*fields: tuple[str, str], status: int = 200, content: str = "") -> Resource:
    return Leaf(lambda request: Response(content, status, fields))


def ask(decide: Resource, data: bytes, **options: Any) -> Answer:
    """The answer to `data` when the other server is `decide`."""

    async def run() -> Answer:
        async with serve(decide) as other, guarded(f"http://127.0.0.1:{other.port}/v", **options) as server:
            return await fetch(server.port, data)

    return asyncio.run(run())


def values(content: bytes, name: str) -> list[str]:
    return [value for each, value in json.loads(content)["fields"] if each == name]


def test_the_server_is_asked_with_what_the_client_has_sent() -> None:
    """AU-04: all but content, conditions, fields of the connection, and claims that are not the client's to make."""
    asked: list[Request] = []

    def decide(request: Request) -> Response:
        asked.append(request)
        return Response(b"", 204)

    data = request(
        "/in/a%20b?x=1&y", "Cookie: s=1", "Authorization: Bearer abc", "Accept: text/html", "Content-Type: text/plain",
        "Content-Length: 5", "Connection: close, X-Hop", "X-Hop: 1", "If-None-Match: *", "Range: bytes=0-1",
        "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Uri: /public", "X_Forwarded_Method: GET", "X-Original-URL: /public",
        "Forwarded: for=192.0.2.1", method="POST", host="shop.example:81",
    )  # fmt: skip
    status, _, content = ask(Leaf(decide), data + b"12345")
    assert (status, json.loads(content)["user"]) == (200, None)
    [question] = asked
    assert (question.method, question.raw_target, question.body.length) == ("GET", b"/v", 0)
    fields = dict(question.raw_headers)
    assert len(fields) == len(question.raw_headers)
    host = fields.pop(b"host")
    assert host.startswith(b"127.0.0.1:")
    assert fields == {
        b"cookie": b"s=1",
        b"authorization": b"Bearer abc",
        b"accept": b"text/html",
        b"via": b"1.1 container",
        b"x-forwarded-method": b"POST",
        b"x-forwarded-proto": b"http",
        b"x-forwarded-host": b"shop.example:81",
        b"x-forwarded-port": b"81",
        b"x-forwarded-uri": b"/in/a%20b?x=1&y",
        b"x-forwarded-for": b"127.0.0.1",
        b"x-original-method": b"POST",
        b"x-original-uri": b"/in/a%20b?x=1&y",
        b"x-original-url": b"http://shop.example:81/in/a%20b?x=1&y",
    }


def test_it_may_be_shown_some_fields_only() -> None:
    def decide(request: Request) -> Response:
        names = [name.decode() for name, _ in request.raw_headers]
        return Response.text("", 200 if "cookie" in names and "authorization" not in names else 403)

    data = request("/in", "Cookie: s=1", "Authorization: Basic x")
    assert ask(Leaf(decide), data, sends=["Cookie"])[0] == 200
    assert ask(Leaf(decide), data)[0] == 403


@pytest.mark.parametrize("status", [200, 202, 204])
def test_who_is_let_in_is_who_the_server_says(status: int) -> None:
    """AU-04: never who the client says, however that is spelt."""
    told = [
        ("Remote-User", "märy".encode().decode("latin-1")),
        ("Remote-Groups", "a"),
        ("Remote-Groups", "b"),
    ]
    forged = ["Remote-User: root", "Remote_User: root", "REMOTE-GROUPS: admin", "remote_email: root@x"]
    data = request("/in/x", *forged, "X-Other: kept")
    code, _, content = ask(verdict(*told, status=status), data)
    assert code == 200
    assert json.loads(content)["user"] == ["märy", "Forward"]
    assert values(content, "remote-groups") == ["a", "b"]
    assert values(content, "x-other") == ["kept"]
    assert b"root" not in content
    assert b"admin" not in content


def test_a_client_cannot_have_a_proxy_leave_out_who_it_is() -> None:
    """AU-04: by calling that a field of its connection."""

    async def run() -> Answer:
        async with (
            serve(verdict(("Remote-User", "mary"), ("Remote-Groups", "guests"))) as other,
            serve(Leaf(seen)) as upstream,
            guarded(
                f"http://127.0.0.1:{other.port}", ReverseProxy(f"http://127.0.0.1:{upstream.port}")
            ) as server,
        ):
            return await fetch(
                server.port, request("/in", "Connection: Remote-Groups, Remote-User, X-A", "X-A: 1")
            )

    content = asyncio.run(run())[2]
    assert [values(content, name) for name in ("remote-user", "remote-groups", "x-a")] == [
        ["mary"],
        ["guests"],
        [],
    ]


def test_names_of_fields_are_the_operators_choice() -> None:
    data = request("/in", "X-Auth-Request-User: root", "X-Team: root", "Remote-User: joe")
    code, _, content = ask(
        verdict(("X-Auth-Request-User", "mary"), ("X-Secret", "1")),
        data,
        user="X-Auth-Request-User",
        fields=["X-Team"],
    )
    assert (code, json.loads(content)["user"]) == (200, ["mary", "Forward"])
    assert values(content, "x-auth-request-user") == ["mary"]
    assert values(content, "x-team") == values(content, "x-secret") == []
    assert values(content, "remote-user") == ["joe"]


def test_applications_see_the_user() -> None:
    """AU-04: REMOTE_USER and AUTH_TYPE of WSGI, user of ASGI, and the fields."""

    def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        names = ("REMOTE_USER", "AUTH_TYPE", "HTTP_REMOTE_USER", "HTTP_REMOTE_GROUPS")
        return [" ".join(environ.get(name, "-") for name in names).encode()]

    async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["user"].display_name.encode()})

    data = request("/in", "Remote_User: root")
    decide = verdict(("Remote-User", "mary"))
    assert ask(decide, data, child=WSGIResource(wsgi))[2] == b"mary Forward mary -"
    assert ask(decide, data, child=ASGIResource(asgi, lifespan="off"))[2] == b"mary"


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (401, [("WWW-Authenticate", 'Basic realm="x"'), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]),
        (403, []),
        (429, [("Retry-After", "7")]),
        (302, [("Location", "https://login.example/?rd=%2Fin"), ("Set-Cookie", "state=1; HttpOnly")]),
        (303, [("Location", "/login")]),
    ],
)
def test_a_refusal_is_the_clients_to_see(status: int, fields: list[tuple[str, str]]) -> None:
    """With its fields and its content, and nothing is asked of what is inside."""

    async def run() -> None:
        inside: list[Request] = []
        async with (
            serve(verdict(*fields, status=status, content="go away")) as other,
            guarded(f"http://127.0.0.1:{other.port}", Leaf(inside.append)) as server,
            talking(server.port) as peer,
        ):
            peer.send(request("/in/x", "Content-Length: 3", method="POST") + b"abc")
            head = (await peer.head()).decode().split("\r\n")
            assert head[0].split()[1] == str(status)
            for name, value in [*fields, ("Content-Length", "7"), ("Cache-Control", "no-store")]:
                assert f"{name}: {value}" in head
            assert await peer.reader.readexactly(7) == b"go away"
            peer.send(request("/in/x", "Connection: close", method="HEAD"))
            again = await peer.rest()
            assert again.startswith(f"HTTP/1.1 {status}".encode())
            assert again.endswith(b"\r\n\r\n")
        assert not inside

    asyncio.run(run())


def test_cookies_of_a_yes_go_to_the_client() -> None:
    """A session that was renewed; the answer's own cookies stay."""
    inside = Leaf(lambda request: Response(b"", headers=[("Set-Cookie", "own=1")]))

    async def run() -> None:
        decide = verdict(("Set-Cookie", "sso=2"), ("Set-Cookie", "sso=3"), ("X-Other", "1"))
        async with (
            serve(decide) as other,
            guarded(f"http://127.0.0.1:{other.port}", inside) as server,
            talking(server.port) as peer,
        ):
            peer.send(request("/in"))
            lines = (await peer.head()).decode().split("\r\n")
            assert [line for line in lines if line.startswith("Set-Cookie")] == [
                "Set-Cookie: own=1", "Set-Cookie: sso=2", "Set-Cookie: sso=3",
            ]  # fmt: skip
            assert "X-Other: 1" not in lines

    asyncio.run(run())


ANSWERS = {
    "404": (verdict(status=404), 502),
    "400": (verdict(status=400), 502),
    "500": (verdict(status=500), 502),
    "304": (verdict(status=304), 502),
    "503": (verdict(status=503), 503),
    "two users": (verdict(("Remote-User", "a"), ("Remote-User", "b")), 502),
    "too much": (verdict(status=200, content="x" * (1 << 21)), 502),
    "endless refusal": (verdict(status=401, content="x" * (1 << 21)), 502),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_is_no_verdict_lets_nobody_in(name: str) -> None:
    decide, expected = ANSWERS[name]
    status, fields, content = ask(decide, request("/in"))
    assert status == expected
    assert (b"retry-after" in fields) is (expected == 503)
    assert b"user" not in content


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (lambda: saying(b""), 502),
        (lambda: saying(b"\x00garbage\r\n\r\n"), 502),
        (lambda: saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"), 502),
        (
            lambda: saying(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
            502,
        ),
        (lambda: saying(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 10_000 + b"\r\n"), 502),
        (lambda: saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", close=False), 504),
        (silent, 504),
    ],
)
def test_a_server_that_fails_lets_nobody_in(other: Callable[[], Scripted], expected: int) -> None:
    """Within its time, and nothing is left of it."""

    async def run() -> None:
        async with (
            other().serving() as port,
            guarded(f"http://127.0.0.1:{port}", timeout=0.3) as server,
        ):
            assert (await fetch(server.port, request("/in")))[0] == expected

    asyncio.run(run())


def test_a_server_that_is_not_there_lets_nobody_in() -> None:
    async def run() -> None:
        for url in (
            f"http://127.0.0.1:{await unused_port()}",
            "unix:/nonexistent.sock",
            "http://no.such.invalid",
        ):
            async with guarded(url, timeout=5) as server:
                assert (await fetch(server.port, request("/in")))[0] in (502, 504)

    asyncio.run(run())


def test_connections_are_kept_and_ends_of_them_are_no_failures() -> None:
    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await self.head(reader)
            writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
        await self.head(reader)  # and closes without a word

    async def run() -> None:
        other = Scripted(talk)
        async with other.serving() as port, guarded(f"http://127.0.0.1:{port}/?q=1") as server:
            for _ in range(4):
                assert (await fetch(server.port, request("/in")))[0] == 200
        assert other.connections == 2
        assert {head.split(b"\r\n")[0] for head in other.heads} == {b"GET /?q=1 HTTP/1.1"}

    asyncio.run(run())


def test_websockets_are_let_in_or_not() -> None:
    """AU-04, CH-20: the handshake is what the other server is asked about, and it sees none of it."""
    decide = Leaf(
        lambda request: Response(
            b"", 200 if b"s=1" in (request.raw_header(b"cookie") or b"") else 401, {"Remote-User": "mary"}
        )
    )

    async def chat(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send(str(socket.request.user))

    async def run() -> None:
        async with (
            serve(decide) as other,
            guarded(f"http://127.0.0.1:{other.port}", WebSocketResource(chat)) as server,
        ):
            url = f"ws://127.0.0.1:{server.port}/in/ws"
            async with connect(url, additional_headers={"Cookie": "s=1"}) as client:
                assert await client.recv() == "('mary', 'Forward')"
            with pytest.raises(InvalidStatus) as refused:
                await connect(url)
            assert refused.value.response.status_code == 401

    asyncio.run(run())


def test_a_server_that_asks_itself_is_found_out() -> None:
    """508, not for ever: it is behind the guard that asks it."""

    async def run() -> None:
        port = await unused_port()
        guard = ForwardAuth(Leaf(seen), f"http://127.0.0.1:{port}/verify", timeout=5)
        async with nothing_left(), serving(Site(guard), f"tcp:{port}:interface=127.0.0.1") as server:
            assert (await fetch(server.port, request("/x")))[0] == 502

    asyncio.run(run())


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("127.0.0.1:80", {}),
        ("http://a/x#y", {}),
        ("http://a/x?a b", {}),
        ("http://a", {"user": "Remote User"}),
        ("http://a", {"fields": ["Host"]}),
        ("http://a", {"timeout": 0}),
    ],
)
def test_what_cannot_be_asked_is_an_error_at_once(url: str, options: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        ForwardAuth(Leaf(seen), url, **options)


def test_several_names_are_a_list() -> None:
    with pytest.raises(TypeError, match="several names"):
        ForwardAuth(Leaf(seen), "http://a", fields="Remote-Groups")
