"""Requests that two servers might read differently: the one behind the proxy never sees another than the proxy.

Each case goes through the proxy to every back: one that keeps the octets that arrive and reads them with no mercy,
one built on h11, ours, nginx in front of h11, and servers of others for WSGI and ASGI. All have to see the one request
with the content that is meant, or nothing at all because it was refused (PX-01).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import h11
import pytest

from container.message.response import Response
from container.resources.proxy import ReverseProxy
from tests.conformance.board import Board
from tests.conformance.conftest import DRILLS, WORKERS, gunicorn
from tests.conformance.hosts import Leaf as HostedLeaf
from tests.conformance.hosts import start
from tests.leaf import Leaf
from tests.system.front_servers import front_server, program
from tests.upstreams import PATIENCE_S, Scripted, serve, talking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from container.message.request import Request

# What would be a request of its own, if the content before it ended early.
HIDDEN = b"GET /native/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKS = b"5\r\nabcde\r\n0\r\n\r\n"

Seen = list[tuple[str, bytes]]
# The proxy before the server at a port: its own port.
Front = Callable[[int], AbstractAsyncContextManager[int]]

# Fields of a POST, what follows them, and the content that is meant; None: it has to be refused.
CASES: dict[str, tuple[bytes, bytes, bytes | None]] = {
    "length": (b"Content-Length: 5", b"abcde", b"abcde"),
    "length 0": (b"Content-Length: 0", b"", b""),
    "length 00005": (b"Content-Length: 00005", b"abcde", b"abcde"),
    "chunked": (b"Transfer-Encoding: chunked", CHUNKS, b"abcde"),
    "Chunked": (b"Transfer-Encoding: Chunked", CHUNKS, b"abcde"),
    "chunked TAB": (b"Transfer-Encoding: chunked\t", CHUNKS, b"abcde"),
    "chunk extension": (b"Transfer-Encoding: chunked", b'5;a="b;c"\r\nabcde\r\n0\r\n\r\n', b"abcde"),
    "hidden in a length": (b"Content-Length: %d" % len(HIDDEN), HIDDEN, HIDDEN),
    "hidden in a chunk": (
        b"Transfer-Encoding: chunked",
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN),
        HIDDEN,
    ),
    "hidden in an upgrade": (
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: %d" % len(HIDDEN),
        HIDDEN,
        HIDDEN,
    ),
    "Connection names Content-Length": (
        b"Connection: Content-Length\r\nContent-Length: %d" % len(HIDDEN),
        HIDDEN,
        HIDDEN,
    ),
    "Connection names Transfer-Encoding": (
        b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN),
        HIDDEN,
    ),
    "an underscore": (b"Content_Length: 99\r\nContent-Length: 5", b"abcde", b"abcde"),
    "an underscore for TE": (b"Transfer_Encoding: chunked\r\nContent-Length: 5", b"abcde", b"abcde"),
    "CL.TE": (b"Content-Length: 4\r\nTransfer-Encoding: chunked", b"0\r\n\r\n" + HIDDEN, None),
    "TE.CL": (b"Transfer-Encoding: chunked\r\nContent-Length: 4", b"0\r\n\r\n" + HIDDEN, None),
    "two lengths": (b"Content-Length: 5\r\nContent-Length: 0", b"abcde", None),
    "the same length twice": (b"Content-Length: 5\r\nContent-Length: 5", b"abcde", None),
    "length list": (b"Content-Length: 5, 5", b"abcde", None),
    "length +5": (b"Content-Length: +5", b"abcde", None),
    "length -5": (b"Content-Length: -5", b"abcde", None),
    "length 0x5": (b"Content-Length: 0x5", b"abcde", None),
    "length 5 5": (b"Content-Length: 5 5", b"abcde", None),
    "length empty": (b"Content-Length: ", b"abcde", None),
    "length CR": (b"Content-Length: 5\rX: y", b"abcde", None),
    "space before colon": (b"Content-Length : 5", b"abcde", None),
    "space before TE's colon": (b"Transfer-Encoding : chunked", CHUNKS, None),
    "folded TE": (b"Transfer-Encoding:\r\n chunked", CHUNKS, None),
    "folded length": (b"X: y\r\n Content-Length: 5", b"abcde", None),
    "xchunked": (b"Transfer-Encoding: xchunked", CHUNKS, None),
    "chunked, identity": (b"Transfer-Encoding: chunked, identity", CHUNKS, None),
    "identity": (b"Transfer-Encoding: identity", CHUNKS, None),
    "gzip, chunked": (b"Transfer-Encoding: gzip, chunked", CHUNKS, None),
    "chunked twice": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", CHUNKS, None),
    "chunked and identity": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", CHUNKS, None),
    "quoted chunked": (b'Transfer-Encoding: "chunked"', CHUNKS, None),
    "chunked VT": (b"Transfer-Encoding: \x0bchunked", CHUNKS, None),
    "bare LF": (b"X: y\nTransfer-Encoding: chunked", CHUNKS, None),
    "NUL": (b"X: y\x00\r\nContent-Length: 5", b"abcde", None),
    "chunk size 0x5": (b"Transfer-Encoding: chunked", b"0x5\r\nabcde\r\n0\r\n\r\n", None),
    "chunk size -5": (b"Transfer-Encoding: chunked", b"-5\r\nabcde\r\n0\r\n\r\n", None),
    "chunk size LF": (b"Transfer-Encoding: chunked", b"5\nabcde\r\n0\r\n\r\n", None),
    "chunk data LF": (b"Transfer-Encoding: chunked", b"5\r\nabcde\n0\r\n\r\n", None),
    "chunk too long": (b"Transfer-Encoding: chunked", b"5\r\nabcdef\r\n0\r\n\r\n", None),
    "chunk size 2^64+5": (b"Transfer-Encoding: chunked", b"10000000000000005\r\nabcde\r\n0\r\n\r\n", None),
    "extension LF": (b"Transfer-Encoding: chunked", b"5;a\nabcde\r\n0\r\n\r\n", None),
    "smuggling trailer": (
        b"Transfer-Encoding: chunked",
        b"5\r\nabcde\r\n0\r\nContent-Length: 99\r\n\r\n",
        b"abcde",
    ),
}


# Methods whose content some servers do not expect: where it ends must be said all the same.
METHODS = ["GET", "HEAD", "DELETE", "OPTIONS", "PUT", "PATCH"]
LAST = b"GET /native/hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def spelt(name: str) -> bytes:
    fields, rest, _ = CASES[name]
    return b"POST /native/echo HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n%b" % (fields, rest)


@asynccontextmanager
async def in_this_process(back: int) -> AsyncIterator[int]:
    async with serve(ReverseProxy(f"http://127.0.0.1:{back}")) as server:
        yield server.port


@pytest.fixture(scope="module", params=["here", *DRILLS])
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """The proxy, in this process and in gunicorn's workers."""
    if request.param not in WORKERS:
        yield in_this_process
        return
    folder = tmp_path_factory.mktemp("front")
    with gunicorn(request.param, Board({}), application="proxy()", CONFORMANCE_FOLDER=str(folder)) as host:

        @asynccontextmanager
        async def in_workers(back: int) -> AsyncIterator[int]:
            (folder / "back").write_text(str(back))
            yield host.port

        yield in_workers


async def through_proxy(front: Front, back: int, data: bytes) -> bytes:
    """What comes back when `data` and one good request are sent to the proxy in one go."""
    async with front(back) as port, talking(port) as peer:
        peer.send(data + LAST)
        return await peer.rest()


def check(seen: Seen, answer: bytes, content: bytes | None, method: str = "POST") -> None:
    if content is None:
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))
        assert answer.count(b"HTTP/1.1 ") == 1
        assert seen == []
    else:
        assert seen == [(f"{method} echo", content), ("GET hello", b"")]
        assert answer.count(b"HTTP/1.1 200 OK") == 2


# Backs that tell what they have seen.


class Recorder(Scripted):
    """A back in this process; `seen` is what it took for requests."""

    def __init__(self, talk: Any) -> None:
        super().__init__(talk)
        self.seen: Seen = []

    def saw(self, method: bytes, target: bytes, content: bytes) -> None:
        self.seen.append((f"{method.decode()} {target.decode().rpartition('/')[2]}", content))


_LINE: Final = re.compile(rb"(\w+) (/\S*) HTTP/1\.1")
_FIELD: Final = re.compile(rb"([!-9;-~]+): ([ -~]*)")


async def merciless(self: Recorder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads octets as they arrive; there must be one way to read them only."""
    while not reader.at_eof():
        start, *lines = (await self.head(reader)).removesuffix(b"\r\n\r\n").split(b"\r\n")
        line = _LINE.fullmatch(start)
        fields = [found for each in lines if (found := _FIELD.fullmatch(each))]
        assert line is not None, start
        assert len(fields) == len(lines), lines
        framing = [(each[1].lower(), each[2]) for each in fields if each[1].lower() in FRAMING]
        assert len(framing) <= 1, framing
        content = b""
        if framing and framing[0][0] == b"content-length":
            assert framing[0][1].isdigit()
            content = await reader.readexactly(int(framing[0][1]))
        elif framing:
            assert framing[0] == (b"transfer-encoding", b"chunked")
            while size := int(re.fullmatch(rb"([0-9a-f]+)\r\n", await reader.readline())[1], 16):  # type: ignore[index]
                content += await reader.readexactly(size)
                assert await reader.readexactly(2) == b"\r\n"
            assert await reader.readexactly(2) == b"\r\n", "trailers that went on"
        self.saw(line[1], line[2], content)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + (b"" if line[1] == b"HEAD" else b"ok"))


FRAMING: Final = (b"content-length", b"transfer-encoding")


async def h11_server(self: Recorder, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads by h11, which was written by others."""
    connection = h11.Connection(h11.SERVER)
    content, method, target = b"", b"", b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Request):
            method, target, content = event.method, event.target, b""
        elif isinstance(event, h11.Data):
            content += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            self.saw(method, target, content)
            data = connection.send(
                h11.Response(status_code=200, headers=[("Content-Length", "2")], reason="OK")
            )
            data += connection.send(h11.Data(data=b"" if method == b"HEAD" else b"ok"))
            data += connection.send(h11.EndOfMessage())
            writer.write(data)
            connection.start_next_cycle()
        else:
            return


@asynccontextmanager
async def ours() -> AsyncIterator[tuple[int, Recorder]]:
    recorder = Recorder(None)

    async def note(request: Request) -> Response:
        content = await request.read()
        recorder.saw(request.method.encode(), request.raw_path, content)
        return Response(b"ok")

    async with serve(Leaf(note)) as server:
        yield server.port, recorder


@asynccontextmanager
async def scripted(talk: Any) -> AsyncIterator[tuple[int, Recorder]]:
    recorder = Recorder(talk)
    async with recorder.serving() as port:
        yield port, recorder


HERE: Final = {"merciless": lambda: scripted(merciless), "h11": lambda: scripted(h11_server), "ours": ours}


@pytest.mark.parametrize("back", HERE)
@pytest.mark.parametrize("name", CASES)
def test_a_back_sees_what_the_proxy_has_read(name: str, back: str, front: Front) -> None:
    """PX-01."""

    async def run() -> None:
        async with HERE[back]() as (port, recorder):
            check(recorder.seen, await through_proxy(front, port, spelt(name)), CASES[name][2])

    asyncio.run(asyncio.wait_for(run(), PATIENCE_S))


@pytest.mark.parametrize("back", HERE)
@pytest.mark.parametrize("method", METHODS)
def test_content_of_every_method_ends_where_it_is_said_to(method: str, back: str, front: Front) -> None:
    """PX-01."""

    async def run() -> None:
        for name in ("hidden in a length", "hidden in a chunk"):
            data = spelt(name).replace(b"POST", method.encode(), 1)
            async with HERE[back]() as (port, recorder):
                check(recorder.seen, await through_proxy(front, port, data), HIDDEN, method)

    asyncio.run(asyncio.wait_for(run(), PATIENCE_S))


# Servers of others, as processes of their own: all cases to one process.


def wrong_of(results: dict[str, tuple[Seen, bytes]]) -> dict[str, AssertionError]:
    wrong = {}
    for name, (seen, answer) in results.items():
        try:
            check(seen, answer, CASES[name][2])
        except AssertionError as error:
            wrong[name] = error
    return wrong


@pytest.mark.parametrize("host", ["gunicorn", "waitress", "uvicorn", "granian"])
def test_servers_of_others_see_what_the_proxy_has_read(host: str, front: Front) -> None:
    """PX-01: the parsers of gunicorn, waitress, httptools under uvicorn, hyper under granian."""
    running = start(host)
    results = {}
    try:
        for name in CASES:
            leaf = HostedLeaf(running, "native")
            leaf.reset()
            answer = asyncio.run(through_proxy(front, running.port, spelt(name)))
            contents = [*leaf.marks.uploads, b""]
            results[name] = (list(zip(leaf.marks.calls, contents, strict=False)), answer)
    finally:
        running.end()
    assert wrong_of(results) == {}


NGINX: Final = """
    server {{
        listen 127.0.0.1:{port}; access_log off;
        location / {{ proxy_pass http://127.0.0.1:{behind}; proxy_http_version 1.1; }}
    }}
"""


@pytest.mark.skipif(program("nginx") is None, reason="needs the Debian package nginx")
def test_nginx_sees_what_the_proxy_has_read(tmp_path: Path, front: Front) -> None:
    """PX-01: nginx passes on what it saw."""

    async def run() -> dict[str, tuple[Seen, bytes]]:
        results = {}
        async with scripted(h11_server) as (behind, recorder):
            sites = partial(NGINX.format, behind=behind)
            with front_server("nginx", tmp_path / "nginx", lambda port: sites(port=port)) as port:
                for name in CASES:
                    answer = await through_proxy(front, port, spelt(name))
                    results[name] = recorder.seen, answer
                    recorder.seen = []
        return results

    assert wrong_of(asyncio.run(run())) == {}
