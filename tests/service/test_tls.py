"""TLS and PROXY headers on real sockets, with asyncio and uvloop: EP-04, EP-05, EP-07, CH-16."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import ssl
import struct
import threading
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from container import Resource, Response, Site
from container.channel import listener
from container.channel.endpoints import Endpoint, ProxiedEndpoint, ProxyPolicy, parse_endpoint
from container.message.limits import Timeouts
from container.resources.asgi import ASGIResource
from container.resources.wsgi import WSGIResource
from container.service.server import Server, as_endpoints
from tests.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from pathlib import Path

    from container.message.request import Request

    Run = Callable[[Coroutine[object, object, None]], None]

from contextlib import asynccontextmanager

PATIENCE_S = 20.0
GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"
V1 = b"PROXY TCP4 192.0.2.1 198.51.100.2 4321 443\r\n"


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    factory = uvloop.new_event_loop if request.param == "uvloop" else None

    def run(coroutine: Coroutine[object, object, None]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(PATIENCE_S):
                await coroutine

        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(bounded())

    return run


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


class Ends(Resource):
    """Tells who is connected."""

    is_leaf = True

    def get(self, request: Request) -> Response:
        connection = request.connection
        tls = connection.tls.version if connection.tls is not None else None
        return Response.text(f"{connection.client} {connection.server} {request.scheme} {tls}")


class Large(Resource):
    is_leaf = True

    def get(self, request: Request) -> Response:
        return Response(b"x" * 3_000_000)


@asynccontextmanager
async def serving(root: Resource, address: str | Endpoint, **timeouts: float) -> AsyncIterator[Server]:
    site = Site(root)
    if timeouts:
        site.timeouts = Timeouts(**timeouts)
    server = Server([(site, as_endpoints([address]))])
    await server.start()
    try:
        yield server
    finally:
        await server.stop(5)


def at(path: Path, **more: object) -> str:
    fields = "".join(f":{key}={value}" for key, value in more.items())
    return f"tls:0:interface=127.0.0.1:cert={path}{fields}"


async def ask(
    server: Server,
    context: ssl.SSLContext | None,
    data: bytes = LAST,
    *,
    before: bytes = b"",
    name: str = "a.example",
) -> bytes:
    """Send `before` in the clear, then `data`, behind TLS if there is a context; all that comes back."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    await loop.sock_connect(sock, ("127.0.0.1", server.port))
    if before:
        await loop.sock_sendall(sock, before)
    reader, writer = await asyncio.open_connection(
        sock=sock, ssl=context, server_hostname=name if context is not None else None
    )
    try:
        writer.write(data)
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("name", ["asgi", "wsgi", "native"])
def test_every_kind_of_resource_knows_of_tls_and_the_client(
    run: Run, authority: Authority, name: str
) -> None:
    """CH-16, EP-04: the client's certificate reaches WSGI, ASGI and native code."""
    path = authority.issue("server.pem", "a.example")
    shown = authority.issue("client.pem", "client@example.org", common_name="Ada, Countess")
    seen: dict[str, Any] = {}

    def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        start_response("200 OK", [("Content-Length", "0")])
        return []

    async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen.update(scope)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    class Native(Resource):
        is_leaf = True

        def get(self, request: Request) -> Response:
            seen["tls"] = request.connection.tls
            return Response.text(request.scheme)

    root = {"asgi": lambda: ASGIResource(asgi, lifespan="off"), "wsgi": lambda: WSGIResource(wsgi, threads=1),
            "native": Native}[name]()  # fmt: skip

    async def main() -> None:
        async with serving(root, at(path, ca=authority.path, client="optional")) as server:
            assert b" 200 " in await ask(server, authority.client(shown))

    run(main())
    certificate = path.read_text()
    certificate = certificate[certificate.index("-----BEGIN CERT") :]
    if name == "asgi":
        assert seen["scheme"] == "https"
        tls = seen["extensions"]["tls"]
        assert tls.keys() == {
            "server_cert", "client_cert_chain", "client_cert_name", "client_cert_error", "tls_version", "cipher_suite",
        }  # fmt: skip
        assert tls["server_cert"] == certificate
        assert tls["client_cert_name"].startswith("CN=Ada\\, Countess,")
        assert tls["client_cert_chain"][0] in shown.read_text()
        assert tls["client_cert_error"] is None
        assert tls["tls_version"] == 0x0304
        assert tls["cipher_suite"] in (0x1301, 0x1302, 0x1303)
    elif name == "wsgi":
        assert (seen["wsgi.url_scheme"], seen["HTTPS"]) == ("https", "on")
        assert (seen["SSL_PROTOCOL"], seen["SSL_CLIENT_VERIFY"]) == ("TLSv1.3", "SUCCESS")
        assert seen["SSL_CLIENT_S_DN_CN"] == "Ada, Countess"
        assert seen["SSL_CLIENT_CERT"] in shown.read_text()
        assert seen["SSL_CLIENT_M_SERIAL"]
        assert "trustme" in seen["SSL_CLIENT_I_DN"]
    else:
        assert seen["tls"].client_facts["subject"]
        assert seen["tls"].client_certificate in shown.read_text()


def test_plain_connections_say_nothing_of_tls(run: Run) -> None:
    """CH-16"""
    seen: list[dict[str, Any]] = []

    async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen.append(scope)
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    async def main() -> None:
        async with serving(ASGIResource(asgi, lifespan="off"), "127.0.0.1:0") as server:
            assert b" 204 " in await ask(server, None)

    run(main())
    assert "tls" not in seen[0]["extensions"]


async def refused(server: Server, context: ssl.SSLContext) -> bool:
    """Does the client get nothing? An alert, a reset or an end, as loop and kernel like."""
    try:
        return await ask(server, context) == b""
    except OSError:
        return True


def test_a_client_without_the_certificate_it_needs_gets_no_answer(
    run: Run, authority: Authority, tmp_path: Path
) -> None:
    """EP-04: none at all, one of a stranger, and the right one."""
    path = authority.issue("server.pem", "a.example")
    own = authority.issue("client.pem", "client.example")
    stranger = Authority(tmp_path, "stranger").issue("stranger.pem", "client.example")

    async def main() -> None:
        async with serving(Ends(), at(path, ca=authority.path)) as server:
            for wrong in (None, stranger):
                assert await refused(server, authority.client(wrong))
            assert b" 200 " in await ask(server, authority.client(own))
        async with serving(Ends(), at(path, ca=authority.path, client="optional")) as server:
            assert await refused(server, authority.client(stranger))
            assert b" 200 " in await ask(server, authority.client())

    run(main())


TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("options", "version", "ciphers", "accepted"),
    [
        ({}, ssl.TLSVersion.TLSv1, None, False),
        ({}, ssl.TLSVersion.TLSv1_1, None, False),
        ({}, TLS12, None, True),
        ({}, TLS13, None, True),
        ({"min": "1.3"}, TLS12, None, False),
        ({"min": "1.3"}, TLS13, None, True),
        ({}, TLS12, "ECDHE+AESGCM", True),
        ({}, TLS12, "ECDHE+CHACHA20", True),
        ({}, TLS12, "kRSA+AES", False),  # no forward secrecy
        ({}, TLS12, "aNULL", False),
        ({}, TLS12, "NULL", False),
        ({}, TLS12, "ECDHE+AESGCM+AES256", True),
        ({"ciphers": "ECDHE+CHACHA20"}, TLS12, "ECDHE+AESGCM", False),
        ({"ciphers": "ECDHE+CHACHA20"}, TLS12, "ECDHE+CHACHA20", True),
    ],
)
def test_versions_and_ciphers(
    authority: Authority,
    options: dict[str, str],
    version: ssl.TLSVersion,
    ciphers: str | None,
    accepted: bool,
) -> None:
    """CH-16, EP-04: what a scanner would find; uvloop only, OpenSSL is the same."""
    path = authority.issue("server.pem", "a.example")
    client = authority.client()
    client.set_ciphers("ALL:@SECLEVEL=0" if ciphers is None else f"{ciphers}:@SECLEVEL=0")
    client.minimum_version = client.maximum_version = version

    async def main() -> None:
        async with asyncio.timeout(PATIENCE_S), serving(Ends(), at(path, **options)) as server:
            if accepted:
                answer = await ask(server, client)
                assert answer.endswith(b"TLSv1.3" if version is TLS13 else b"TLSv1.2")
            else:
                assert await refused(server, client)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def test_http_1_1_is_what_is_agreed_on(run: Run, authority: Authority) -> None:
    """CH-16: ALPN; a client that knows nothing of it, or only of HTTP/2, is served too."""
    path = authority.issue("server.pem", "a.example")

    async def main() -> None:
        async with serving(Ends(), at(path)) as server:
            for offered, expected in ((["h2", "http/1.1"], "http/1.1"), (["h2"], None), ([], None)):
                context = authority.client()
                if offered:
                    context.set_alpn_protocols(offered)
                _, writer = await asyncio.open_connection(
                    "127.0.0.1", server.port, ssl=context, server_hostname="a.example"
                )
                assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == expected
                writer.close()

    run(main())


def test_plain_http_at_a_tls_port_is_told_so(run: Run, authority: Authority) -> None:
    """CH-16"""
    path = authority.issue("server.pem", "a.example")

    async def main() -> None:
        async with serving(Ends(), at(path)) as server:
            answer = await ask(server, None, GET)
            assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
            assert answer.endswith(b"has to begin with https://.\n")

    run(main())


@pytest.mark.parametrize(
    "junk",
    [b"\x00", b"\x80\x2e\x01\x03\x01", b"\x16\x03\x01\x00\x05hello", b"\x16\x03\x01\xff\xff" + bytes(70000),
     b"\x15\x03\x01\x00\x02\x02\x28", b"SSH-2.0-x\r\n", b"\xff" * 5000],
)  # fmt: skip
def test_junk_ends_in_silence(
    run: Run, authority: Authority, junk: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """CH-16: neither a traceback nor a connection that stays."""
    path = authority.issue("server.pem", "a.example")

    async def main() -> None:
        async with serving(Ends(), at(path)) as server:
            try:
                await ask(server, None, junk)
            except ConnectionResetError:
                pass
            assert b" 200 " in await ask(server, authority.client())

    with caplog.at_level(logging.INFO):
        run(main())
    assert not [record for record in caplog.records if record.exc_info or record.levelno > logging.INFO]


def test_a_large_answer_arrives_whole_before_the_end(run: Run, authority: Authority) -> None:
    """CH-16: closing waits for what was written, also when the client reads late."""
    path = authority.issue("server.pem", "a.example")

    async def main() -> None:
        async with serving(Large(), at(path)) as server:
            answer = await ask(server, authority.client())
            assert len(answer.partition(b"\r\n\r\n")[2]) == 3_000_000

    run(main())


def test_idle_connections_do_not_hold_up_the_end(run: Run, authority: Authority) -> None:
    """LC-01: clients that are silent before, in, and after the handshake, and never answer its end."""
    path = authority.issue("server.pem", "a.example")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with serving(Ends(), at(path), linger=0.1) as server:
            silent, half = socket.create_connection(("127.0.0.1", server.port)), socket.socket()
            half.connect(("127.0.0.1", server.port))
            half.sendall(b"\x16\x03\x01")
            idle = await loop.run_in_executor(None, connect, server.port, authority)
            idle.sendall(GET)
            assert b" 200 " in await loop.run_in_executor(None, idle.recv, 1000)
            begun = loop.time()
            await server.stop(60)
            assert loop.time() - begun < 59
            for each in (silent, half, idle):
                each.close()

    run(main())


def test_a_handshake_that_ends_after_the_end_has_begun_does_not_hold_it_up(
    run: Run, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """LC-01: the client says nothing after it."""
    path = authority.issue("server.pem", "a.example")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = authority.client().wrap_bio(coming, going, server_hostname="a.example")

        def shake_hands() -> None:
            while True:
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    client.sendall(going.read())
                    coming.write(client.recv(10_000))
                else:
                    client.sendall(going.read())
                    return

        async with serving(Ends(), at(path), linger=5) as server:
            client = socket.create_connection(("127.0.0.1", server.port), PATIENCE_S)
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            hello = going.read()
            client.sendall(hello[:3])
            (group,) = server._groups.values()
            while not [each for each in group.channels if getattr(each, "_has_begun", False)]:
                await asyncio.sleep(0)
            stopping = asyncio.create_task(server.stop(60, idle_grace=0))
            for _ in range(20):  # the connections that are idle have been closed by then
                await asyncio.sleep(0)
            client.sendall(hello[3:])
            await loop.run_in_executor(None, shake_hands)
            await stopping
            client.close()

    run(main())
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def connect(port: int, authority: Authority) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    return authority.client().wrap_socket(plain, server_hostname="a.example")


def test_a_handshake_that_takes_too_long_is_cut_off(run: Run, authority: Authority) -> None:
    """CH-16"""
    path = authority.issue("server.pem", "a.example")

    async def main() -> None:
        async with serving(Ends(), at(path), handshake=0.01) as server:
            for begin in (b"", b"\x16\x03\x01"):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(begin)
                try:
                    assert await reader.read() == b""
                except ConnectionResetError:
                    pass
                writer.close()

    run(main())


def test_many_may_arrive_at_a_time(run: Run, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """EP-04: also more than may be under way at once."""
    monkeypatch.setattr(listener, "PENDING_MAX", 2)
    path = authority.issue("server.pem", "a.example")

    async def main() -> None:
        async with serving(Ends(), at(path)) as server:
            answers = await asyncio.gather(*(ask(server, authority.client()) for _ in range(20)))
            assert all(b" 200 " in answer for answer in answers)

    run(main())


def v2(rest: bytes = b"", family: int = 0x11) -> bytes:
    addresses = bytes([192, 0, 2, 1, 198, 51, 100, 2]) + struct.pack("!HH", 4321, 443) + rest
    return b"\r\n\r\n\x00\r\nQUIT\n" + bytes([0x21, family]) + struct.pack("!H", len(addresses)) + addresses


PROXIED = b"('192.0.2.1', 4321) ('198.51.100.2', 443) "


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (V1, PROXIED + b"http None"),
        (v2(), PROXIED + b"http None"),
        (v2(b"\x20\x00\x05\x01\x00\x00\x00\x00"), PROXIED + b"https None"),
    ],
)
def test_a_proxy_header_tells_the_client(run: Run, header: bytes, expected: bytes) -> None:
    """EP-07: with the request right behind it, and byte by byte."""

    async def main() -> None:
        async with serving(Ends(), "haproxy:127.0.0.1:0") as server:
            assert (await ask(server, None, header + LAST)).endswith(expected)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in header:
                writer.write(bytes([byte]))
                await asyncio.sleep(0)
            writer.write(LAST)
            assert (await reader.read()).endswith(expected)
            writer.close()

    run(main())


def test_a_proxy_header_may_come_before_tls(run: Run, authority: Authority) -> None:
    """EP-07: as HAProxy sends it to a server that is to check certificates itself."""
    path = authority.issue("server.pem", "a.example")

    async def main() -> None:
        async with serving(Ends(), "haproxy:" + at(path)) as server:
            answer = await ask(server, authority.client(), before=V1)
            assert answer.endswith(PROXIED + b"https TLSv1.3")

    run(main())


@pytest.mark.parametrize(
    "begin", [GET, b"PROXY TCP4 nonsense\r\n" + GET, b"PROXY UNKNOWN " + b"x" * 200, b"\x16\x03\x01"]
)
def test_a_connection_without_a_header_is_closed(run: Run, begin: bytes) -> None:
    """EP-07"""

    async def main() -> None:
        async with serving(Ends(), "haproxy:127.0.0.1:0") as server:
            try:
                assert await ask(server, None, begin) == b""
            except ConnectionResetError:
                pass

    run(main())


def test_a_header_where_none_is_expected_is_a_bad_request(run: Run) -> None:
    """EP-07: nobody claims another address at an ordinary port."""

    async def main() -> None:
        async with serving(Ends(), "127.0.0.1:0") as server:
            assert b" 400 " in (await ask(server, None, V1 + LAST)).partition(b"\r\n")[0]

    run(main())


NOBODY = ipaddress.ip_network("192.0.2.0/24")


@pytest.mark.parametrize(
    ("policy", "begin", "expected"),
    [
        (ProxyPolicy(required=False), V1, PROXIED),
        (ProxyPolicy(required=False), v2(), PROXIED),
        (ProxyPolicy(required=False), b"", b"('127.0.0.1', "),
        (ProxyPolicy(required=False), b"\r\n", b"('127.0.0.1', "),
        (ProxyPolicy(frozenset({1}), required=False), v2(), None),
        (ProxyPolicy(frozenset({2}), required=False), V1, None),
        (ProxyPolicy(peers=(NOBODY,)), b"", b"('127.0.0.1', "),
        (ProxyPolicy(peers=(NOBODY,)), V1, None),
        (ProxyPolicy(peers=(NOBODY, ipaddress.ip_network("127.0.0.0/8"))), V1, PROXIED),
    ],
)
def test_a_policy_says_who_may_send_which_header(
    run: Run, policy: ProxyPolicy, begin: bytes, expected: bytes | None
) -> None:
    """EP-07: what is not a header is HTTP, and a bad request when it is neither."""

    async def main() -> None:
        endpoint = ProxiedEndpoint(parse_endpoint("127.0.0.1:0"), policy)
        async with serving(Ends(), endpoint) as server:
            answer = await ask(server, None, begin + LAST)
        if expected is None:
            assert answer.startswith(b"HTTP/1.1 400 ")
        else:
            assert answer.partition(b"\r\n\r\n")[2].startswith(expected)

    run(main())


class Waiting(Resource):
    is_leaf = True

    def __init__(self) -> None:
        self.asked, self.left = asyncio.Event(), asyncio.Event()

    async def get(self, request: Request) -> Response:
        request.exchange.on_close(lambda error: self.left.set())
        self.asked.set()
        await self.left.wait()
        return Response.text("too late")


def test_a_client_that_leaves_is_noticed_and_nothing_is_logged(
    run: Run, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """CH-16: TLS has no half-close; loops warn when a protocol wants one."""
    path = authority.issue("server.pem", "a.example")
    waiting = Waiting()

    async def main() -> None:
        async with serving(waiting, at(path)) as server:
            _, writer = await asyncio.open_connection(
                "127.0.0.1", server.port, ssl=authority.client(), server_hostname="a.example"
            )
            writer.write(GET)
            await waiting.asked.wait()
            writer.close()
            await waiting.left.wait()

    run(main())
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_slow_client_gets_the_end_of_its_answer(run: Run, authority: Authority) -> None:
    """CH-16: it reads later than the close, and longer than the loop would wait for its goodbye."""
    path = authority.issue("server.pem", "a.example")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with serving(Large(), at(path), linger=0.5) as server:
            plain = socket.socket()
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
            plain.settimeout(PATIENCE_S)

            def read() -> int:
                plain.connect(("127.0.0.1", server.port))
                with authority.client().wrap_socket(plain, server_hostname="a.example") as sock:
                    sock.sendall(LAST)
                    total = 0
                    while data := sock.recv(65536):
                        total += len(data)
                        gate.wait(0.01)  # it takes its time
                    return total

            gate = threading.Event()
            assert await loop.run_in_executor(None, read) > 3_000_000

    run(main())
