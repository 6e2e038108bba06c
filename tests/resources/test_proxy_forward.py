"""A forward proxy: absolute-form and CONNECT, who may use it and for what (PX-04)."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from runpy import run_path
from typing import TYPE_CHECKING, Any

import pytest

from container.message.response import Response
from container.resources.data import Data
from container.resources.proxy import ForwardProxy
from container.resources.proxy.access import Access
from tests.leaf import Leaf, request
from tests.resources.test_proxy import echo, values
from tests.upstreams import Scripted, fetch, nothing_left, saying, serve, talking

if TYPE_CHECKING:
    from container.message.headers import Headers
    from container.message.request import Request

APPS = Path(__file__).resolve().parents[2] / "apps"
LOOPBACK = ("127.0.0.0/8",)


def allowing(*ports: int, **options: Any) -> ForwardProxy:
    return ForwardProxy(**{"networks": LOOPBACK, "ports": ports, "connect_ports": ports, **options})


def test_absolute_form_is_passed_on() -> None:
    """PX-04: the target decides, not the Host field."""

    async def run() -> None:
        async with serve(Leaf(echo)) as origin, serve(allowing(origin.port)) as proxy:
            authority = f"127.0.0.1:{origin.port}"
            data = request(
                f"http://{authority}/a%20b?q", "Proxy-Connection: keep-alive", "Proxy-Authorization: x", "A: 1", "A: 2",
                host="other.example",
            )  # fmt: skip
            _, fields, content = await fetch(proxy.port, data)
            seen = json.loads(content)
            assert seen["target"] == "/a%20b?q"
            assert values(seen, "host") == [authority]
            assert values(seen, "a") == ["1", "2"]
            assert {name for name, _ in seen["fields"]} == {"host", "a", "via"}
            assert fields[b"via"] == b"1.1 container"
            _, _, content = await fetch(proxy.port, request(f"http://{authority}"))
            assert json.loads(content)["target"] == "/"
            # `OPTIONS *` of the other server, which answers that without its tree.
            answer = await fetch(proxy.port, request(f"http://{authority}", method="OPTIONS"))
            assert (answer[0], answer[2]) == (200, b"")

    asyncio.run(run())


def test_connect_opens_a_tunnel() -> None:
    """PX-04: bytes both ways, and half-close."""

    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello ")
        writer.write(await reader.read())

    async def run() -> None:
        async with (
            Scripted(talk).serving() as port,
            serve(allowing(port)) as proxy,
            talking(proxy.port) as peer,
        ):
            peer.send(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: x\r\n\r\nearly ".encode())
            head = await peer.head()
            assert head.startswith(b"HTTP/1.1 200 ")
            assert b"Content-Length" not in head
            assert b"chunked" not in head
            peer.send(b"late")
            peer.writer.write_eof()
            assert await peer.rest() == b"hello early late"

    asyncio.run(run())


def test_much_goes_through_a_tunnel_both_ways() -> None:
    """PX-04: with back-pressure."""
    size = 8 << 20

    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()

    async def run() -> None:
        async with (
            Scripted(talk).serving() as port,
            serve(allowing(port)) as proxy,
            talking(proxy.port) as peer,
        ):
            peer.send(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            await peer.head()
            peer.send(b"x" * size)
            peer.writer.write_eof()
            assert len(await peer.rest()) == size

    asyncio.run(run())


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_it_can_ask_another_proxy(method: str) -> None:
    """PX-04: a chain of two."""

    async def run() -> None:
        async with serve(Leaf(echo)) as origin, serve(allowing(origin.port)) as second:
            async with serve(allowing(origin.port, parent=f"http://127.0.0.1:{second.port}")) as first:
                authority = f"127.0.0.1:{origin.port}"
                async with talking(first.port) as peer:
                    if method == "CONNECT":
                        peer.send(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
                        assert (await peer.head()).startswith(b"HTTP/1.1 200 ")
                        peer.send(request("/x", host=authority))
                    else:
                        peer.send(request(f"http://{authority}/x"))
                    seen = json.loads((await peer.answer())[2])
                    assert seen["target"] == "/x"
                    assert values(seen, "via") == (["1.1 container"] * 2 if method == "GET" else [])

    asyncio.run(run())


def test_the_first_word_may_be_that_of_the_server_behind_a_parent() -> None:
    """PX-04: it may come with the parent's own."""

    async def run() -> None:
        parent = saying(b"HTTP/1.1 200 OK\r\n\r\nSSH-2.0", close=False)
        async with (
            nothing_left(),
            parent.serving() as port,
            serve(ForwardProxy(parent=f"http://127.0.0.1:{port}")) as proxy,
            talking(proxy.port) as peer,
        ):
            peer.send(b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n")
            await peer.head()
            async with asyncio.timeout(5):
                assert await peer.reader.readexactly(7) == b"SSH-2.0"

    asyncio.run(run())


def test_a_parent_that_refuses_a_tunnel_is_passed_on() -> None:
    """PX-04."""

    async def run() -> None:
        parent = saying(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 2\r\n\r\nno")
        async with parent.serving() as port, serve(ForwardProxy(parent=f"http://127.0.0.1:{port}")) as proxy:
            status, _, content = await fetch(proxy.port, b"CONNECT a.example:443 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (status, content) == (407, b"no")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("http://127.0.0.1:80/"), 403),
        (request("http://127.0.0.1:8080/"), 403),
        (request("http://[::1]/"), 403),
        (request("http://[::ffff:127.0.0.1]/"), 403),
        (request("http://localhost/"), 403),
        (request("http://10.0.0.1/"), 403),
        (request("http://169.254.169.254/latest"), 403),
        (request("http://0.0.0.0/"), 403),
        (request("http://[64:ff9b::a9fe:a9fe]/"), 403),
        (request("http://[64:ff9b:1::a00:1]/"), 403),
        (request("http://[::a00:1]/"), 403),
        (request("http://[2002:7f00:1::]/"), 403),
        (request("https://a.example/"), 400),
        (b"CONNECT localhost:443 HTTP/1.1\r\nHost: x\r\n\r\n", 403),
        (b"CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: x\r\n\r\n", 403),
        (b"CONNECT a.example:25 HTTP/1.1\r\nHost: x\r\n\r\n", 403),
        (b"CONNECT a.example:0 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (request("/"), 400),
    ],
)
def test_by_default_nothing_private_can_be_reached(data: bytes, status: int) -> None:
    """PX-04: nor by a name that leads there."""

    async def run() -> int:
        async with serve(ForwardProxy()) as proxy:
            return (await fetch(proxy.port, data))[0]

    assert asyncio.run(run()) == status


def test_rules_for_clients_names_and_ports() -> None:
    """PX-04."""
    rules = Access(["10.0.0.0/8"], ["*.example.com", "1.1.1.1"], ["bad.*"], ["192.168.0.0/16"], [80], [443])
    assert rules.admits(("10.1.2.3", 1))
    assert rules.permits("2606:4700::1111")
    assert rules.permits("64:ff9b::101:101")
    assert not rules.permits("64:ff9b::a00:1")
    assert rules.admits(None)
    assert not rules.admits(("127.0.0.1", 1))
    assert rules.allows("WWW.example.com.", 80, tunnel=False)
    assert not rules.allows("www.example.com", 80, tunnel=True)
    assert rules.allows("www.example.com", 443, tunnel=True)
    assert not rules.allows("example.org", 80, tunnel=False)
    assert not rules.allows("bad.example.com", 80, tunnel=False)
    assert rules.allows("1.1.1.1", 80, tunnel=False)
    assert rules.permits("8.8.8.8")
    assert rules.permits("192.168.1.1")
    assert not rules.permits("192.0.2.1")
    assert not rules.permits("224.0.0.1")
    assert not rules.permits("name")
    with pytest.raises(TypeError, match="list"):
        Access("10.0.0.0/8", [], [], [], [], [])
    with pytest.raises(ValueError, match="10"):
        Access(["10.0.0.0/99"], [], [], [], [], [])


def test_a_client_from_elsewhere_is_refused() -> None:
    """PX-04."""

    async def run() -> None:
        async with serve(ForwardProxy(clients=["10.0.0.0/8"])) as proxy:
            assert (await fetch(proxy.port, request("http://a.example/")))[0] == 403

    asyncio.run(run())


class Filter(ForwardProxy):
    """No cookies in either direction."""

    def change_request(self, request: Request, headers: Headers) -> None:
        headers.remove("Cookie")

    def change_response(self, request: Request, status: int, headers: Headers) -> None:
        headers.remove("Set-Cookie")


def test_fields_can_be_filtered() -> None:
    """PX-04, PX-07."""

    async def run() -> None:
        upstream = saying(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: 2\r\n\r\nok")
        async with upstream.serving() as port:
            async with serve(Filter(networks=LOOPBACK, ports=[port])) as proxy:
                data = request(f"http://127.0.0.1:{port}/", "Cookie: a=1", "X: 1")
                _, fields, content = await fetch(proxy.port, data)
                assert (b"set-cookie" in fields, content) == (False, b"ok")
                assert b"\r\nx: 1\r\n" in upstream.heads[0]
                assert b"ookie" not in upstream.heads[0]

    asyncio.run(run())


def test_what_is_asked_of_the_proxy_itself_has_an_answer() -> None:
    """PX-04: origin-form."""

    async def run() -> None:
        async with serve(ForwardProxy(here=Data(b"a page", "text/plain"))) as proxy:
            assert (await fetch(proxy.port, request("/")))[2] == b"a page"

    asyncio.run(run())


def test_other_servers_are_no_proxies() -> None:
    """PX-04: off unless it is made."""

    async def run() -> None:
        async with serve(Leaf(echo)) as server:
            assert (await fetch(server.port, b"CONNECT a.example:443 HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 501

    asyncio.run(run())


def test_the_proxies_of_the_examples_filter_one_after_the_other() -> None:
    """PX-04, PX-07: the ad-cutting one asks the one without cookies."""
    without_cookies = run_path(str(APPS / "cookieproxy.tac"))["CookieProxy"]
    without_ads = run_path(str(APPS / "adproxy.tac"))
    seen: list[dict[bytes, bytes]] = []

    def answer(request: Request) -> Response:
        seen.append(dict(request.raw_headers))
        return Response.text("a page", headers=[("Set-Cookie", "a=1"), ("X-Kept", "1")])

    async def run() -> None:
        loopback: dict[str, Any] = {"networks": ["127.0.0.0/8"]}
        async with serve(Leaf(answer)) as web:
            ports = [web.port]
            async with serve(without_cookies(ports=ports, **loopback)) as second:
                parent = f"http://127.0.0.1:{second.port}"
                first = without_ads["AdProxy"](
                    deny=without_ads["HOSTS"], parent=parent, ports=ports, **loopback
                )
                async with serve(first) as proxy:
                    for path, expected in (("/page", 200), ("/ads/x.png", 403), ("/track.gif", 403)):
                        there = f"127.0.0.1:{web.port}"
                        data = request(
                            f"http://{there}{path}", "Cookie: a=1", "Referer: http://b/", host=there
                        )
                        status, fields, _ = await fetch(proxy.port, data)
                        assert status == expected
                        assert b"set-cookie" not in fields
                        assert (b"x-kept" in fields) is (expected == 200)
                    there = f"ads.example:{web.port}"
                    assert (await fetch(proxy.port, request(f"http://{there}/", host=there)))[0] == 403
        assert len(seen) == 1
        assert not {b"cookie", b"referer"} & set(seen[0])

    asyncio.run(run())
