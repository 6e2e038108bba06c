"""What clients get when the servers behind a proxy fail (PX-01, PX-03), and that nothing is left of it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import pytest

from container.client.pool import ClientTimeouts
from container.resources.proxy import Health, ReverseProxy, Upstream
from tests.certificates import Authority
from tests.leaf import request
from tests.upstreams import Scripted, fetch, nothing_left, saying, serve, silent, talking, unused_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from container.service.server import Server
    from tests.upstreams import Peer

LONG = ClientTimeouts(connect=10, answer=10)
SHORT = ClientTimeouts(connect=0.3, queue=0.3, answer=0.3, read=0.3, idle=0.3)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def proxied(*urls: str | Upstream, **options: Any) -> AsyncIterator[tuple[Server, ReverseProxy]]:
    proxy = ReverseProxy(*urls, **{"timeouts": SHORT, **options})
    async with serve(proxy) as server:
        yield server, proxy


def status_of(upstream: Scripted, data: bytes | None = None, **options: Any) -> int:
    async def run() -> int:
        async with (
            nothing_left(),
            upstream.serving() as port,
            proxied(f"http://127.0.0.1:{port}", **options) as (server, _),
        ):
            return (await fetch(server.port, data or request("/")))[0]

    return asyncio.run(run())


BAD_ANSWERS = {
    "garbage": b"\x00\x01garbage\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "status 099": b"HTTP/1.1 099 OK\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "bare LF in a field": b"HTTP/1.1 200 OK\r\nA: b\nC: d\r\nContent-Length: 0\r\n\r\n",
    "obs-fold": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "space before colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "control in a field": b"HTTP/1.1 200 OK\r\nA: b\x00\r\nContent-Length: 0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length list": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    "length +2": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "gzip, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "xchunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked 204": b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
    "10 000 fields": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 10_000 + b"Content-Length: 0\r\n\r\n",
    "600 fields": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 600 + b"Content-Length: 0\r\n\r\n",
    "an endless field": b"HTTP/1.1 200 OK\r\nA: " + b"b" * 200_000,
    "interim for ever": b"HTTP/1.1 102 Processing\r\n\r\n" * 100,
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_bad_answer_is_a_502(name: str) -> None:
    """PX-01: reject, never repair."""
    assert status_of(saying(BAD_ANSWERS[name])) == 502


def test_a_server_that_hangs_is_a_504() -> None:
    """PX-01."""
    assert status_of(silent()) == 504
    assert status_of(silent(), request("/", "Content-Length: 2", method="POST") + b"ok") == 504


@pytest.mark.parametrize("piece", [b"H", b"HTTP/1.1 200 OK\r\nA: ", b""])
def test_a_head_that_drips_is_a_504(piece: bytes) -> None:
    """PX-01: something always comes, an answer does not."""

    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.head(reader)
        writer.write(piece or b"HTTP/1.1 200 OK\r\nA: b")
        while not writer.is_closing():
            writer.write(b"b")
            await asyncio.sleep(0.02)

    assert status_of(Scripted(talk)) == (502 if piece == b"H" else 504)


def test_a_slow_answer_is_whole_as_long_as_it_moves() -> None:
    """PX-01: `read` is between two pieces; all of it takes longer."""

    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n")
        for _ in range(12):
            await asyncio.sleep(0.1)
            writer.write(b"x")

    async def run() -> None:
        timeouts = ClientTimeouts(connect=0.3, answer=0.3, read=1.0, idle=0.3)
        async with (
            nothing_left(),
            Scripted(talk).serving() as port,
            proxied(f"http://127.0.0.1:{port}", timeouts=timeouts) as (server, _),
        ):
            assert (await fetch(server.port, request()))[2] == b"x" * 12

    asyncio.run(run())


def test_a_request_that_is_not_taken_is_a_504() -> None:
    """PX-01: the server accepts, and never reads."""

    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        cast("asyncio.ReadTransport", writer.transport).pause_reading()
        await over.wait()

    async def run() -> None:
        nonlocal over
        over = asyncio.Event()
        async with (
            nothing_left(),
            Scripted(talk).serving() as port,
            proxied(f"http://127.0.0.1:{port}") as (server, proxy),
            talking(server.port) as peer,
        ):
            peer.send(request("/", f"Content-Length: {1 << 30}", method="POST"))
            sending = asyncio.create_task(send_for_ever(peer))
            assert (await peer.answer())[0] == 504
            assert not proxy.upstreams[0].active
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            over.set()

    over = asyncio.Event()
    asyncio.run(run())


async def send_for_ever(peer: Peer) -> None:
    with suppress(ConnectionError):
        while True:
            peer.send(b"x" * 65536)
            await peer.writer.drain()


def test_a_server_that_does_not_accept_is_a_504() -> None:
    """PX-01: its queue is full, so no connection comes about."""

    async def run() -> None:
        with socket.socket() as full, ExitStack() as waiting:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for _ in range(8):
                other = waiting.enter_context(socket.socket())
                other.setblocking(False)
                other.connect_ex(full.getsockname())
            async with nothing_left(), proxied(f"http://127.0.0.1:{full.getsockname()[1]}") as (server, _):
                assert (await fetch(server.port, request()))[0] == 504

    asyncio.run(run())


@pytest.mark.parametrize(
    ("said", "expected"), [(b"HTTP/1.1 400 Bad Request\r\n\r\n", 502), (b"", 502), (None, 504)]
)
def test_a_server_that_speaks_no_tls_is_a_bad_gateway(said: bytes | None, expected: int) -> None:
    """PX-01"""

    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if said is None:
            await reader.read()
        else:
            writer.write(said)

    async def run() -> None:
        async with (
            nothing_left(),
            Scripted(talk).serving() as port,
            proxied(f"https://127.0.0.1:{port}", timeouts=SHORT if said is None else LONG) as (server, _),
        ):
            assert (await fetch(server.port, request()))[0] == expected

    asyncio.run(run())


def test_a_certificate_that_nobody_vouches_for_is_a_502(tmp_path: Path) -> None:
    """PX-01: neither of an authority that is not known nor for another name."""
    known, other = Authority(tmp_path), Authority(tmp_path, "other")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(known.issue("a.pem", "127.0.0.1"))

    async def run() -> None:
        async with nothing_left(), keeping().serving(tls=context) as port:
            for url, trust, expected in (
                (f"https://127.0.0.1:{port}", known, 200),
                (f"https://127.0.0.1:{port}", other, 502),
                (f"https://localhost:{port}", known, 502),
            ):
                async with proxied(Upstream(url, tls=trust.client()), timeouts=LONG) as (server, _):
                    assert (await fetch(server.port, request()))[0] == expected

    asyncio.run(run())


def test_a_server_that_refuses_is_a_502() -> None:
    """PX-01: with a page that says so, and no word of the address."""

    async def run() -> None:
        async with nothing_left():
            port = await unused_port()
            async with proxied(f"http://127.0.0.1:{port}") as (server, _):
                status, _, page = await fetch(server.port, request())
                assert status == 502
                assert b"Bad Gateway</h1>" in page
                assert str(port).encode() not in page

    asyncio.run(run())


@pytest.mark.parametrize("name", ["known.to.nobody.example", "x" * 64 + ".example"])
@pytest.mark.parametrize(("answers", "expected"), [(True, 502), (False, 504)])
def test_a_name_that_is_not_known_is_a_502(name: str, expected: int, *, answers: bool) -> None:
    """PX-01: 504 when whoever knows names does not answer; some are no names at all."""

    async def look_up(*arguments: object, **options: object) -> Any:
        if not answers:
            await asyncio.get_running_loop().create_future()
        name.encode("idna")
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def run() -> None:
        asyncio.get_running_loop().getaddrinfo = look_up  # type: ignore[method-assign]  # no network in tests
        async with nothing_left(), proxied(f"http://{name}") as (server, _):
            assert (await fetch(server.port, request()))[0] == expected

    asyncio.run(run())


def test_a_missing_unix_socket_is_a_502() -> None:
    """PX-01, DI-03."""

    async def run() -> None:
        async with nothing_left(), proxied("unix:/nonexistent/app.sock") as (server, _):
            assert (await fetch(server.port, request()))[0] == 502

    asyncio.run(run())


CUT_SHORT = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
    "no last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
}


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("how", ["close", "reset", "hang"])
@pytest.mark.parametrize("name", CUT_SHORT)
def test_an_answer_that_was_cut_short_never_looks_complete(name: str, how: str, version: str) -> None:
    """PX-03."""

    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.head(reader)
        writer.write(CUT_SHORT[name])
        await writer.drain()
        if how == "reset":
            await asyncio.sleep(0.05)
            writer.transport.abort()
        elif how == "hang":
            await reader.read()

    async def run() -> None:
        async with (
            nothing_left(),
            Scripted(talk).serving() as port,
            proxied(f"http://127.0.0.1:{port}") as (server, _),
        ):
            async with talking(server.port) as peer:
                peer.send(request("/", "Connection: close", version=version))
                got, was_reset = b"", False
                try:
                    async with asyncio.timeout(5):
                        while data := await peer.reader.read(65536):
                            got += data
                except ConnectionResetError:
                    was_reset = True
                head, _, content = got.partition(b"\r\n\r\n")
                if b"Content-Length: 10" in head:
                    assert len(content) < 10
                elif b"chunked" in head:
                    assert not content.endswith(b"0\r\n\r\n")
                elif not head.startswith(b"HTTP/1.1 502"):
                    assert was_reset

    asyncio.run(run())


def test_an_answer_until_the_close_is_whole_for_either_kind_of_client() -> None:
    """PX-03: the one framing whose end is the close."""
    upstream = b"HTTP/1.1 200 OK\r\n\r\nabc"

    async def run() -> None:
        async with saying(upstream).serving() as port, proxied(f"http://127.0.0.1:{port}") as (server, _):
            assert (await fetch(server.port, request()))[2] == b"abc"
            async with talking(server.port) as peer:
                peer.send(request(version="1.0"))
                assert (await peer.rest()).endswith(b"\r\n\r\nabc")

    asyncio.run(run())


def test_a_client_that_leaves_ends_the_request_behind_the_proxy() -> None:
    """PX-01: whether it waits for the head, reads, or sends."""

    async def endless(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
            await writer.drain()

    async def run(upstream: Scripted, data: bytes) -> None:
        async with nothing_left(), upstream.serving() as port:
            # No timeout of the upstream's helps here.
            async with proxied(
                f"http://127.0.0.1:{port}", timeouts=ClientTimeouts(idle=0.2), client_grace=0.1
            ) as (
                server,
                proxy,
            ):
                async with talking(server.port) as peer:
                    peer.send(data)
                    while not upstream.heads:
                        await asyncio.sleep(0.01)
                async with asyncio.timeout(5):
                    await upstream.ended.wait()
                    while proxy.upstreams[0].active:
                        await asyncio.sleep(0.01)

    asyncio.run(run(silent(), request()))
    asyncio.run(run(silent(), request("/", "Content-Length: 99", method="POST") + b"abc"))
    asyncio.run(run(Scripted(endless), request()))


def keeping(limit: int = 1 << 30) -> Scripted:
    """An upstream that closes a connection without a word when a request comes after `limit` answers on it."""

    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(limit):
            await self.head(reader)
            writer.write(OK)
        await self.head(reader)

    return Scripted(talk)


def test_a_kept_connection_that_ends_is_no_failure() -> None:
    """PX-01: asked again on a new one, but nothing that must not be done twice."""

    async def run() -> None:
        upstream = keeping(1)
        async with (
            nothing_left(),
            upstream.serving() as port,
            proxied(f"http://127.0.0.1:{port}") as (server, _),
        ):
            assert [(await fetch(server.port, request()))[0] for _ in range(3)] == [200, 200, 200]
            post = request("/", "Content-Length: 2", method="POST") + b"ok"
            assert (await fetch(server.port, post))[0] == 502

    asyncio.run(run())


def test_another_upstream_is_asked_when_one_fails() -> None:
    """PX-01: idempotent requests always, others only when nothing was sent."""

    async def run() -> None:
        good, bad = keeping(), saying(b"")
        async with nothing_left(), good.serving() as port, bad.serving() as bad_port:
            down = await unused_port()
            post = request("/", "Content-Length: 2", method="POST") + b"ok"
            async with proxied(f"http://127.0.0.1:{bad_port}", f"http://127.0.0.1:{port}", max_fails=99) as (
                server,
                _,
            ):
                assert [(await fetch(server.port, request()))[0] for _ in range(4)] == [200] * 4
                assert bad.connections
                assert sorted([(await fetch(server.port, post))[0] for _ in range(2)])[-1] == 502
            async with proxied(f"http://127.0.0.1:{down}", f"http://127.0.0.1:{port}", max_fails=99) as (
                server,
                _,
            ):
                assert [(await fetch(server.port, post))[0] for _ in range(4)] == [200] * 4

    asyncio.run(run())


def test_an_upstream_that_fails_is_left_alone_for_a_while() -> None:
    """PX-01: passive health."""

    async def run() -> None:
        good, bad = keeping(), saying(b"")
        now = 0.0
        async with nothing_left(), good.serving() as port, bad.serving() as bad_port:
            urls = f"http://127.0.0.1:{bad_port}", f"http://127.0.0.1:{port}"
            async with proxied(*urls, max_fails=2, cool_down=10, clock=lambda: now) as (server, _):
                for _ in range(10):
                    assert (await fetch(server.port, request()))[0] == 200
                assert bad.connections == 2
                now = 11.0
                for _ in range(4):
                    assert (await fetch(server.port, request()))[0] == 200
                assert bad.connections == 3

    asyncio.run(run())


def test_all_upstreams_down_and_back() -> None:
    """PX-01: answered at once, and as soon as one is back."""

    async def run() -> None:
        ports = [await unused_port(), await unused_port()]
        async with nothing_left():
            async with proxied(*[f"http://127.0.0.1:{port}" for port in ports], max_fails=1) as (server, _):
                assert [(await fetch(server.port, request()))[0] for _ in range(4)] == [502] * 4
                async with keeping().serving(ports[0]), keeping().serving(ports[1]):
                    assert [(await fetch(server.port, request()))[0] for _ in range(4)] == [200] * 4

    asyncio.run(run())


def test_active_health_takes_upstreams_away_and_brings_them_back() -> None:
    """PX-01."""

    async def run() -> None:
        port = await unused_port()
        health = Health("/health", interval=0.02, timeout=0.2, rise=2, fall=2)
        async with nothing_left(), proxied(f"http://127.0.0.1:{port}", health=health) as (server, proxy):
            upstream = proxy.upstreams[0]
            async with asyncio.timeout(5):
                while not upstream.is_down:
                    await asyncio.sleep(0.01)
                status, fields, _ = await fetch(server.port, request())
                assert (status, fields[b"retry-after"]) == (503, b"5")
                async with keeping().serving(port):
                    while upstream.is_down:
                        await asyncio.sleep(0.01)
                    assert (await fetch(server.port, request()))[0] == 200

    asyncio.run(run())


def test_more_requests_than_connections_wait_in_a_queue_and_not_for_ever() -> None:
    """PX-01: 503 with Retry-After."""

    async def run() -> None:
        async with nothing_left(), silent().serving() as port:
            timeouts = ClientTimeouts(answer=2, queue=0.2)
            one = Upstream(f"http://127.0.0.1:{port}", max_connections=1)
            async with proxied(one, timeouts=timeouts) as (server, _):
                first = asyncio.create_task(fetch(server.port, request()))
                while not one.active:
                    await asyncio.sleep(0.01)
                status, fields, _ = await fetch(server.port, request())
                assert (status, fields[b"retry-after"]) == (503, b"5")
                assert (await first)[0] == 504

    asyncio.run(run())


def test_a_queue_is_served_when_a_connection_gets_free() -> None:
    """PX-01."""

    async def run() -> None:
        upstream = keeping()
        async with nothing_left(), upstream.serving() as port:
            one = Upstream(f"http://127.0.0.1:{port}", max_connections=1)
            async with proxied(one) as (server, _):
                answers = await asyncio.gather(*(fetch(server.port, request()) for _ in range(20)))
                assert [answer[0] for answer in answers] == [200] * 20
                assert upstream.connections == 1

    asyncio.run(run())


def test_idle_connections_are_closed_in_time() -> None:
    """PX-01."""

    async def run() -> None:
        upstream = keeping()
        async with (
            nothing_left(),
            upstream.serving() as port,
            proxied(f"http://127.0.0.1:{port}") as (server, _),
        ):
            assert (await fetch(server.port, request()))[0] == 200
            async with asyncio.timeout(5):
                await upstream.ended.wait()

    asyncio.run(run())


def test_a_tunnel_in_which_nothing_moves_is_cut() -> None:
    """CH-20: idle timeout; with it both connections are gone."""

    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.head(reader)
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        await reader.read()

    async def run() -> None:
        async with nothing_left(), Scripted(talk).serving() as port:
            async with proxied(f"http://127.0.0.1:{port}", tunnel_timeout=0.1) as (server, proxy):
                async with talking(server.port) as peer:
                    peer.send(request("/", "Connection: Upgrade", "Upgrade: x"))
                    await peer.head()
                    assert await peer.rest() == b""
                    assert proxy.upstreams[0].active == 0

    asyncio.run(run())
