"""Files that leave by sendfile, over real sockets and on both loops: ST-01, ST-27."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from container.channel import sendfile
from container.message.file_body import FileBody
from container.message.limits import Timeouts
from container.message.response import Response
from container.service.server import serving
from container.tree.site import Site
from tests.leaf import Leaf, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

LOOPS = ["asyncio", *(["uvloop"] if importlib.util.find_spec("uvloop") else [])]
SIZE = 24 * 1024 * 1024 + 17
PATIENCE_S = 30.0


def run(loop: str, drill: Callable[[], Awaitable[Any]]) -> Any:
    async def patient() -> Any:
        async with asyncio.timeout(PATIENCE_S):
            return await drill()

    factory = None
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(patient())


@pytest.fixture(scope="module")
def content() -> bytes:
    return os.urandom(1024) * (SIZE // 1024) + b"x" * (SIZE % 1024)


@pytest.fixture
def big(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "big.bin"
    path.write_bytes(content)
    return path


def sending(path: Path) -> Site:
    return Site(Leaf(lambda request: Response(FileBody.of(path), content_type="x/y")))


@contextlib.asynccontextmanager
async def connected(site: Site) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client of `site` whose kernel keeps little, so that it is soon a slow one."""
    async with serving(site, "127.0.0.1:0", graceful_timeout=1.0) as server:
        own = socket.socket()
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        own.setblocking(False)
        await asyncio.get_running_loop().sock_connect(own, ("127.0.0.1", server.port))
        reader, writer = await asyncio.open_connection(sock=own, limit=256 * 1024)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def read_answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head, await reader.readexactly(length)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def sent_by_system(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much each call of sendfile has sent."""
    calls: list[int] = []
    real = os.sendfile

    def spy(*args: int) -> int:
        sent = real(*args)
        calls.append(sent)
        return sent

    monkeypatch.setattr(os, "sendfile", spy)
    return calls


@pytest.mark.parametrize("loop", LOOPS)
def test_a_large_file_leaves_by_sendfile_and_the_connection_stays(
    loop: str, big: Path, content: bytes, sent_by_system: list[int]
) -> None:
    """ST-01"""

    async def drill() -> None:
        async with connected(sending(big)) as (reader, writer):
            before = open_files()
            for _ in range(2):
                writer.write(request())
                head, body = await read_answer(reader)
                assert head.startswith(b"HTTP/1.1 200 OK\r\n")
                assert body == content
            assert open_files() == before
        assert sum(sent_by_system) == 2 * SIZE

    run(loop, drill)


@pytest.mark.parametrize("loop", LOOPS)
def test_pipelined_files_come_in_order(loop: str, tmp_path: Path) -> None:
    contents = {}
    for size in (10, 70_000, 3_000_000, 65_536):
        contents[f"/{size}"] = os.urandom(size)
        (tmp_path / str(size)).write_bytes(contents[f"/{size}"])
    site = Site(Leaf(lambda request: Response(FileBody.of(tmp_path / request.path[1:]), content_type="x/y")))
    order = ["/10", "/3000000", "/70000", "/10", "/65536", "/3000000"]

    async def drill() -> None:
        async with connected(site) as (reader, writer):
            writer.write(b"".join(map(request, order)))
            for target in order:
                assert (await read_answer(reader))[1] == contents[target]

    run(loop, drill)


@pytest.mark.parametrize("loop", LOOPS)
def test_the_client_may_close_its_side_and_still_gets_all(loop: str, big: Path, content: bytes) -> None:
    async def drill() -> None:
        async with connected(sending(big)) as (reader, writer):
            writer.write(request("/", "Connection: close"))
            writer.write_eof()
            _, body = await read_answer(reader)
            assert body == content
            assert await reader.read() == b""

    run(loop, drill)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_part_of_a_file_is_just_that_part(loop: str, big: Path, content: bytes) -> None:
    site = Site(
        Leaf(lambda request: Response(FileBody.of(big, offset=1001, count=9_000_000), content_type="x/y"))
    )

    async def drill() -> None:
        async with connected(site) as (reader, writer):
            writer.write(request())
            assert (await read_answer(reader))[1] == content[1001:9_001_001]

    run(loop, drill)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_file_that_shrinks_while_it_is_sent_cuts_the_connection(
    loop: str, big: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """ST-27"""

    async def drill() -> None:
        async with connected(sending(big)) as (reader, writer):
            before = open_files()
            writer.write(request())
            await reader.readuntil(b"\r\n\r\n")
            os.truncate(big, 20 * 1024 * 1024)
            rest = await reader.read(-1)
            assert 0 < len(rest) < SIZE
            assert content.startswith(rest)
            while open_files() > before - 1:  # the server's end of the connection, too
                await asyncio.sleep(0)

    run(loop, drill)
    assert "EOFError" in caplog.text


@pytest.mark.parametrize("loop", LOOPS)
def test_a_file_that_grows_is_cut_at_the_announced_length(loop: str, big: Path, content: bytes) -> None:
    """ST-27"""

    async def drill() -> None:
        async with connected(sending(big)) as (reader, writer):
            writer.write(request())
            await reader.readuntil(b"\r\n\r\n")
            with big.open("ab") as file:
                file.write(b"more")
            assert await reader.readexactly(SIZE) == content
            writer.write(request())
            assert (await read_answer(reader))[1] == content + b"more"

    run(loop, drill)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_leaves_gives_the_file_back(loop: str, big: Path) -> None:
    """ST-01"""
    seen: list[Any] = []

    def answer(request: Any) -> Response:
        request.exchange.on_close(seen.append)
        return Response(FileBody.of(big), content_type="x/y")

    async def drill() -> None:
        async with serving(Site(Leaf(answer)), "127.0.0.1:0", graceful_timeout=1.0) as server:
            before = open_files()
            for _ in range(20):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(request())
                await reader.readuntil(b"\r\n\r\n")
                writer.transport.abort()
            while len(seen) < 20 or open_files() > before:
                await asyncio.sleep(0)

    run(loop, drill)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_does_not_read_is_cut_after_the_write_timeout(loop: str, big: Path) -> None:
    site = sending(big)
    site.timeouts = Timeouts(write=0.1)

    async def drill() -> None:
        async with connected(site) as (reader, writer):
            before = open_files()
            writer.write(request())
            await reader.readuntil(b"\r\n\r\n")
            writer.transport.pause_reading()
            while open_files() > before - 1:
                await asyncio.sleep(0)
            writer.transport.resume_reading()
            with contextlib.suppress(ConnectionError):
                assert len(await reader.read(-1)) < SIZE

    run(loop, drill)


@pytest.mark.parametrize("loop", LOOPS)
def test_others_are_served_while_a_file_leaves(loop: str, big: Path, tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"small")
    site = Site(
        Leaf(
            lambda request: Response(
                FileBody.of(big if request.path == "/" else tmp_path / "small"), content_type="x/y"
            )
        )
    )

    async def drill() -> None:
        async with serving(site, "127.0.0.1:0", graceful_timeout=1.0) as server:
            slow_reader, slow = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
            slow.write(request())
            await slow_reader.readuntil(b"\r\n\r\n")
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            for _ in range(50):
                writer.write(request("/small"))
                assert (await read_answer(reader))[1] == b"small"
            slow.transport.abort()
            writer.close()

    run(loop, drill)


@pytest.mark.parametrize("loop", LOOPS)
def test_what_cannot_be_sent_by_the_system_is_read(
    loop: str, big: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: int) -> int:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "sendfile", refuse)

    async def drill() -> None:
        async with connected(sending(big)) as (reader, writer):
            writer.write(request())
            assert (await read_answer(reader))[1] == content

    run(loop, drill)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_small_file_is_read_and_leaves_at_once(
    loop: str, tmp_path: Path, sent_by_system: list[int]
) -> None:
    (tmp_path / "f").write_bytes(b"x" * sendfile.SMALL)

    async def drill() -> None:
        async with connected(sending(tmp_path / "f")) as (reader, writer):
            writer.write(request() + request(method="HEAD"))
            assert (await read_answer(reader))[1] == b"x" * sendfile.SMALL
            assert b"Content-Length: 65536" in await reader.readuntil(b"\r\n\r\n")

    run(loop, drill)
    assert sent_by_system == []
