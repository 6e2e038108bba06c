"""Requests that two servers might read differently: the one behind the proxy never sees another than the proxy.

Each case goes through the proxy to two kinds of servers, one of them built on h11, which was written by others:
both have to see the one request with the content that is meant, or nothing at all because it was refused (PX-01).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import h11
import pytest

from container.message.response import Response
from container.resources.proxy import ReverseProxy
from tests.leaf import Leaf
from tests.upstreams import PATIENCE_S, Scripted, serve, talking

if TYPE_CHECKING:
    from container.message.request import Request

# What would be a request of its own, if the content before it ended early.
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKS = b"5\r\nabcde\r\n0\r\n\r\n"

Seen = list[tuple[str, bytes]]

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


async def h11_server(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Notes every request it sees, read by h11."""
    connection = h11.Connection(h11.SERVER)
    content, method = b"", ""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Request):
            method, content = f"{event.method.decode()} {event.target.decode()}", b""
        elif isinstance(event, h11.Data):
            content += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            self.seen.append((method, content))  # type: ignore[attr-defined]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            connection.send(h11.Response(status_code=200, headers=[("Content-Length", "2")]))
            connection.send(h11.Data(data=b"ok"))
            connection.send(h11.EndOfMessage())
            connection.start_next_cycle()
        else:
            return


async def through_proxy(port: int, data: bytes) -> bytes:
    """What comes back when `data` and one good request are sent to the proxy in one go."""
    async with serve(ReverseProxy(f"http://127.0.0.1:{port}")) as server, talking(server.port) as peer:
        peer.send(data + b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return await peer.rest()


def check(seen: Seen, answer: bytes, content: bytes | None) -> None:
    if content is None:
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 "))
        assert answer.count(b"HTTP/1.1 ") == 1
        assert seen == []
    else:
        assert seen == [("POST /x", content), ("GET /last", b"")]
        assert answer.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("name", CASES)
def test_a_server_of_h11_sees_what_the_proxy_has_read(name: str) -> None:
    """PX-01."""
    fields, rest, content = CASES[name]

    async def run() -> None:
        upstream = Scripted(h11_server)
        upstream.seen = []  # type: ignore[attr-defined]
        async with upstream.serving() as port:
            answer = await through_proxy(
                port, b"POST /x HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n%b" % (fields, rest)
            )
            check(upstream.seen, answer, content)  # type: ignore[attr-defined]

    asyncio.run(asyncio.wait_for(run(), PATIENCE_S))


@pytest.mark.parametrize("name", CASES)
def test_a_server_of_ours_sees_what_the_proxy_has_read(name: str) -> None:
    """PX-01."""
    fields, rest, content = CASES[name]
    seen: Seen = []

    async def note(request: Request) -> Response:
        text = await request.read()
        seen.append((f"{request.method} {request.raw_target.decode()}", text))
        return Response(b"ok")

    async def run() -> None:
        async with serve(Leaf(note)) as upstream:
            data = b"POST /x HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n%b" % (fields, rest)
            check(seen, await through_proxy(upstream.port, data), content)

    asyncio.run(asyncio.wait_for(run(), PATIENCE_S))
