"""Connections to other servers: kept, bounded, waited for; TLS, and names that lead where they may not."""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from container.client.address import Address, parse_url
from container.client.errors import UpstreamError
from container.client.pool import ClientTimeouts, Pool
from tests.upstreams import Scripted, saying

if TYPE_CHECKING:
    from pathlib import Path

    from container.client.connection import ClientConnection
    from container.message.body import Trailers
    from container.protocol.response_head import ResponseHead


class Asking:
    """A receiver that asks for / and notes what it is told."""

    may_repeat = True

    def __init__(self) -> None:
        self.content = b""
        self.status = 0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gone = False

    def connected(self, connection: ClientConnection) -> None:
        self.reused = connection.is_reused
        connection.send(self, "GET", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", complete=True)

    def informed(self, head: ResponseHead) -> None:
        self.status = head.status

    def answered(self, head: ResponseHead, content: bytes, *, complete: bool) -> None:
        self.status = head.status
        self.content = content
        if complete:
            self.over.set_result(None)

    def more(self, data: bytes) -> None:
        self.content += data

    def completed(self, trailers: Trailers) -> None:
        self.over.set_result(None)

    def broke(self, error: UpstreamError) -> None:
        self.over.set_exception(error)

    def switched(self, head: ResponseHead) -> None:
        raise AssertionError("expected no other protocol")

    def writable(self) -> None:
        """Nothing is left to write."""

    def is_gone(self) -> bool:
        return self.gone


async def ask(pool: Pool) -> Asking:
    asking = Asking()
    pool.request(asking)
    async with asyncio.timeout(5):
        await asking.over
    return asking


def keeping() -> Scripted:
    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await self.head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    return Scripted(talk)


def test_https_is_checked_against_the_name() -> None:
    """PX-01: TLS upstreams; a certificate nobody vouches for is refused."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def run() -> None:
        async with keeping().serving(tls=server) as port:
            for tls, works in ((trusting, True), (None, False)):
                address, _ = parse_url(f"https://localhost:{port}", tls)
                pool = Pool(address)
                if works:
                    assert (await ask(pool)).content == b"ok"
                    assert (await ask(pool)).reused
                else:
                    with pytest.raises(UpstreamError, match="CERTIFICATE_VERIFY_FAILED"):
                        await ask(pool)
                await pool.close()
                assert pool.is_unused

    asyncio.run(run())


def test_a_name_may_be_kept_from_leading_somewhere() -> None:
    """PX-04: before anything is connected."""

    async def run() -> None:
        async with keeping().serving() as port:
            seen: list[str] = []
            pool = Pool(Address("http", "localhost", port), permit=lambda host: bool(seen.append(host)))
            with pytest.raises(UpstreamError) as caught:
                await ask(pool)
            assert (caught.value.status, caught.value.was_sent) == (403, False)
            assert "127.0.0.1" in seen
            await pool.close()

    asyncio.run(run())


def test_no_more_connections_are_opened_than_allowed() -> None:
    """PX-01: those that wait get the next free one, and too many are refused at once."""

    async def run() -> None:
        upstream = keeping()
        async with upstream.serving() as port:
            pool = Pool(Address("http", "127.0.0.1", port), max_connections=2, max_waiting=4)
            asked = [Asking() for _ in range(7)]
            for each in asked:
                pool.request(each)
            results = await asyncio.gather(*(each.over for each in asked), return_exceptions=True)
            assert [isinstance(each, UpstreamError) for each in results].count(True) == 3
            assert upstream.connections <= 2
            await pool.close()

    asyncio.run(run())


def test_one_that_waits_no_longer_is_passed_over() -> None:
    async def run() -> None:
        async with keeping().serving() as port:
            pool = Pool(Address("http", "127.0.0.1", port), max_connections=1)
            first, second, third = Asking(), Asking(), Asking()
            for each in (first, second, third):
                pool.request(each)
            second.gone = True
            await first.over
            await third.over
            assert not second.over.done()
            pool.cancel(second)
            await pool.close()

    asyncio.run(run())


def test_nobody_is_given_up_before_the_time() -> None:
    """PX-01: what happens between two sweeps bears the time of the first."""

    async def run() -> None:
        async with saying(b"", close=False).serving() as port:
            pool = Pool(Address("http", "127.0.0.1", port), ClientTimeouts(answer=60), max_connections=1)
            asking = Asking()
            pool.request(asking)
            while not pool.connections:
                await asyncio.sleep(0)
            (connection,) = pool._open
            connection.sweep(pool.now + 60)
            assert not asking.over.done()
            connection.sweep(pool.now + 60 + pool.sweep_s)
            with pytest.raises(UpstreamError, match="no answer within 60 s"):
                await asking.over
            await pool.close()

    asyncio.run(run())


def test_a_server_is_not_blamed_for_what_this_one_has_no_more_of() -> None:
    """PX-01: where it has all the descriptors it may have."""

    async def run() -> None:
        async with keeping().serving() as port:
            pool = Pool(Address("http", "127.0.0.1", port))
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            asking = Asking()
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
                pool.request(asking)
                with pytest.raises(UpstreamError, match="Too many open files") as caught:
                    await asking.over
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            assert (caught.value.status, caught.value.blames) == (503, False)
            await pool.close()

    asyncio.run(run())


def test_a_full_queue_of_a_unix_socket_is_waited_for(tmp_path: Path) -> None:
    """PX-01: as that of TCP is."""

    async def run() -> None:
        upstream = keeping()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "s"))
        listener.listen(0)
        pool = Pool(Address("http", "localhost", 80, path=str(tmp_path / "s")))
        asked = [Asking() for _ in range(8)]
        for each in asked:
            pool.request(each)
        while pool.connections == 0:
            await asyncio.sleep(0)
        async with await asyncio.start_unix_server(upstream, sock=listener), asyncio.timeout(5):
            await asyncio.gather(*(each.over for each in asked))
            await pool.close()
            await upstream.ended.wait()

    asyncio.run(run())


def test_the_end_tells_those_that_wait() -> None:
    """PX-01."""

    async def run() -> None:
        async with saying(b"", close=False).serving() as port:
            pool = Pool(Address("http", "127.0.0.1", port), max_connections=1)
            first, second = Asking(), Asking()
            pool.request(first)
            pool.request(second)
            while not pool.connections:
                await asyncio.sleep(0)
            await pool.close()
            for each in (first, second):
                with pytest.raises(UpstreamError):
                    await each.over

    asyncio.run(run())


def test_timeouts_are_above_zero() -> None:
    with pytest.raises(ValueError, match="read"):
        ClientTimeouts(read=0)


@pytest.mark.parametrize(
    ("url", "authority", "text", "base"),
    [
        ("http://a", "a", "http://a", ""),
        ("http://a:8080/x/", "a:8080", "http://a:8080", "/x"),
        ("https://a:443", "a", "https://a", ""),
        ("https://a:80", "a:80", "https://a:80", ""),
        ("http://[::1]:81/", "[::1]:81", "http://[::1]:81", ""),
        ("unix:/run/a.sock", "localhost", "unix:/run/a.sock", ""),
        ("unix:/run/a.sock:/x", "localhost", "unix:/run/a.sock", "/x"),
    ],
)
def test_addresses(url: str, authority: str, text: str, base: str) -> None:
    address, path = parse_url(url)
    assert (address.authority, str(address), path) == (authority, text, base)
