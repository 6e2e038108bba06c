"""Connections to responders: the usual answer, pieces of one, ends that are none, what makes one unfit to be kept."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from container.client.address import Address
from container.client.errors import UpstreamError
from container.client.pool import ClientTimeouts
from container.client.responder import PlainBytes, ResponderPool
from container.protocol import fastcgi
from tests.upstreams import Scripted

if TYPE_CHECKING:
    from container.client.responder import ResponderConnection
    from container.protocol.answer import AnswerHead

HELLO = b"Content-Type: text/plain\r\n\r\nhello"
END = fastcgi.encode_record(fastcgi.END_REQUEST, bytes(8))
REQUEST = fastcgi.BEGIN + fastcgi.END_OF_PARAMS + fastcgi.END_OF_CONTENT


def out(content: bytes) -> bytes:
    return fastcgi.encode_stream(fastcgi.STDOUT, content)


class Asking:
    """A receiver that notes what it is told."""

    may_repeat = True

    def __init__(self, method: str = "GET", *, complete: bool = True) -> None:
        self.told: list[object] = []
        self.reused = False
        self.gone = False
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._method = method
        self._complete = complete

    def connected(self, connection: ResponderConnection) -> None:
        self.reused = connection.is_reused
        connection.send(self, self._method, REQUEST, complete=self._complete)

    def answered(self, head: AnswerHead, content: bytes, *, complete: bool) -> None:
        self.told.append((head.status, content, complete))
        if complete:
            self.over.set_result(None)

    def more(self, data: bytes) -> None:
        self.told.append(data)

    def completed(self) -> None:
        self.told.append("completed")
        self.over.set_result(None)

    def complained(self, data: bytes) -> None:
        self.told.append(("complained", data))

    def broke(self, error: UpstreamError) -> None:
        self.over.set_exception(error)

    def writable(self) -> None:
        """Nothing is left to write."""

    def is_gone(self) -> bool:
        return self.gone


async def ask(pool: ResponderPool, asking: Asking) -> Asking:
    pool.request(asking)
    async with asyncio.timeout(5):
        await asking.over
    return asking


def saying(*answers: tuple[bytes, ...], close: bool = False) -> Scripted:
    """A responder that answers the first request of a connection with the pieces of the first answer, and so on."""

    async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for pieces in answers:
            self.heads.append(await reader.readexactly(len(REQUEST)))
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                for _ in range(5):
                    await asyncio.sleep(0)  # each piece is read by itself
        if not close:
            self.heads.append(await reader.read())

    return Scripted(talk)


def pooled(port: int, *, plain: bool = False, timeouts: ClientTimeouts | None = None) -> ResponderPool:
    return ResponderPool(
        Address("", "127.0.0.1", port),
        timeouts or ClientTimeouts(),
        connections=1,
        queue_limit=10,
        reader=PlainBytes if plain else fastcgi.RecordReader,
        whole=(lambda data: b"") if plain else fastcgi.whole_answer,
        abort=b"" if plain else fastcgi.ABORT,
    )


def test_a_connection_is_kept_whether_its_answers_come_whole_or_in_pieces() -> None:
    """A head that came before is looked up, in the same bytes and in others."""
    whole, stream = out(HELLO) + END, out(HELLO[:10]) + out(HELLO[10:]) + END

    async def run() -> None:
        upstream = saying(
            (whole,), (whole,), (stream,), (stream[:30], stream[30:]), (whole,), (whole[:-3], whole[-3:])
        )
        async with upstream.serving() as port:
            pool = pooled(port)
            asked = [await ask(pool, Asking()) for _ in range(6)]
            assert [each.told for each in asked[:3]] == [[(200, b"hello", True)]] * 3
            assert b"".join(each for each in asked[3].told[1:] if isinstance(each, bytes)) in (b"hello", b"")
            assert [each.reused for each in asked] == [False, True, True, True, True, True]
            assert upstream.connections == 1
            await pool.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (HELLO.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n"), "hello"),
        (HELLO.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n") + b"1234", None),
        (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "hello"),
    ],
)
def test_a_head_that_came_before_keeps_its_meaning(first: bytes, second: str | None) -> None:
    """A length that was announced holds for the next answer too, and chunks are undone there too."""

    async def run() -> None:
        short = first if second else first[:-4]
        async with saying((out(first) + END,), (out(short) + END,)).serving() as port:
            pool = pooled(port)
            await ask(pool, Asking())
            if second is None:
                with pytest.raises(UpstreamError, match="expected 4 more bytes"):
                    await ask(pool, Asking())
            else:
                assert (await ask(pool, Asking())).told == [(200, second.encode(), True)]
            await pool.close()

    asyncio.run(run())


def test_an_answer_to_head_and_words_for_the_log() -> None:
    async def run() -> None:
        said = fastcgi.encode_record(fastcgi.STDERR, b"oh") + out(HELLO.removesuffix(b"hello")) + END
        async with saying((said,)).serving() as port:
            pool = pooled(port)
            assert (await ask(pool, Asking("HEAD"))).told == [("complained", b"oh"), (200, b"", True)]
            await pool.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("answer", "complete"),
    [(out(HELLO) + END + b"x", True), (out(HELLO) + END, False), (out(HELLO) + END + END, True)],
)
def test_one_that_says_too_much_or_has_not_read_all_is_not_kept(answer: bytes, complete: bool) -> None:
    async def run() -> None:
        upstream = saying((answer,), (answer,))
        async with upstream.serving() as port:
            pool = pooled(port)
            for _ in range(2):
                assert not (await ask(pool, Asking(complete=complete))).reused
            assert upstream.connections == 2
            await pool.close()

    asyncio.run(run())


def test_one_that_speaks_unasked_is_not_used_again() -> None:
    async def run() -> None:
        async def talk(self: Scripted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(len(REQUEST))
            writer.write(out(HELLO) + END)
            with contextlib.suppress(asyncio.IncompleteReadError):
                await reader.readexactly(1)
                writer.write(b"unasked")

        upstream = Scripted(talk)
        async with upstream.serving() as port:
            pool = pooled(port)
            await ask(pool, Asking())
            (connection,) = pool._idle
            connection.transport.write(b"?")
            while pool.connections:
                await asyncio.sleep(0)
            assert not (await ask(pool, Asking())).reused
            await pool.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("pieces", "plain", "said"),
    [
        ((), False, "without an answer"),
        ((out(HELLO),), False, "ended before the answer did"),
        ((b"no head",), True, "expected the head of a response"),
        ((b"Content-Length: 9\r\n\r\nhello",), True, "expected 4 more bytes"),
    ],
)
def test_a_connection_that_ends(pieces: tuple[bytes, ...], plain: bool, said: str) -> None:
    async def run() -> None:
        async with saying(pieces, close=True).serving() as port:
            pool = pooled(port, plain=plain)
            with pytest.raises(UpstreamError, match=said):
                await ask(pool, Asking())
            await pool.close()

    asyncio.run(run())


def test_the_end_of_the_connection_is_the_end_of_an_answer_by_scgi() -> None:
    async def run() -> None:
        async with saying((HELLO, b" again"), close=True).serving() as port:
            pool = pooled(port, plain=True)
            told = (await ask(pool, Asking())).told
            assert told[-1] == "completed"
            assert told[0] in ((200, b"hello", False), (200, b"hello again", False))
            assert not pool.connections
            await pool.close()

    asyncio.run(run())


def test_one_that_falls_silent_and_one_that_nobody_waits_for_are_told_to_stop() -> None:
    """ABORT_REQUEST, then the end of the connection."""

    async def run() -> None:
        for pieces, gone in (((), False), ((out(HELLO),), False), ((), True)):
            upstream = saying(pieces)
            async with upstream.serving() as port:
                pool = pooled(port, timeouts=ClientTimeouts(answer=0.05, read=0.05))
                asking = Asking()
                asking.gone = gone
                pool.request(asking)
                if gone:  # from the moment on that it has asked
                    asking.gone = False
                    while not pool.connections:
                        await asyncio.sleep(0)
                    asking.gone = True
                else:
                    with pytest.raises(UpstreamError) as caught:
                        await asking.over
                    assert caught.value.status == 504
                async with asyncio.timeout(5):
                    await upstream.ended.wait()
                assert upstream.heads[1] == fastcgi.ABORT
                assert asking.over.done() is not gone
                await pool.close()

    asyncio.run(run())
