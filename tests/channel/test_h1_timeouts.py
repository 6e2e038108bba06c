"""How long a connection may wait for its peer, and what it is never blamed for; all by a clock of the test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from container.message.errors import ClientDisconnected, ProtocolError
from container.message.limits import Timeouts
from container.message.response import Response
from container.testing import Client
from container.tree.site import Site
from tests.leaf import GET, Held, Leaf, MemoryLog, request

if TYPE_CHECKING:
    from container.message.request import Request

NONE = Response(b"").block()
TIMES = Timeouts()


def hello(_: object) -> Response:
    return Response.text("hello")


def post(length: int, sent: bytes = b"", *fields: str) -> bytes:
    return request("/", f"Content-Length: {length}", *fields, method="POST") + sent


# Heads.


def test_a_silent_connection_is_closed_without_a_word() -> None:
    with Client(Leaf(hello)) as client:
        connection = client.connect()
        client.clock.advance(TIMES.head - 1)
        assert not connection.closed
        client.clock.advance(2)
        assert connection.transport.lost
        assert connection.data == b""


@pytest.mark.parametrize("before", [b"", GET])
def test_a_head_has_its_time_from_its_first_byte_however_it_trickles(before: bytes) -> None:
    log = MemoryLog()
    with Client(Site(Leaf(hello), access_log=log)) as client:
        connection = client.connect()
        connection.send(before)
        client.clock.advance(25)
        for byte in b"GET / HTTP/1.1\r\nHost: abc":
            connection.send(bytes([byte]))
            client.clock.advance(1)
        assert not connection.closed
        client.clock.advance(TIMES.head - 24)
        answers = connection.receive_all()
        assert answers.closed
        assert answers.responses[-1].status == 408
        assert '"-" 408 ' in log.lines[-1]


def test_an_idle_connection_is_closed_without_a_word() -> None:
    with Client(Leaf(hello)) as client:
        connection = client.connect()
        connection.send(GET)
        connection.receive()
        size = len(connection.data)
        client.clock.advance(TIMES.keep_alive - 1)
        assert not connection.closed
        client.clock.advance(2)
        assert connection.transport.lost
        assert len(connection.data) == size


def test_every_answer_begins_the_idle_time_anew() -> None:
    with Client(Leaf(hello)) as client:
        connection = client.connect()
        for _ in range(3):
            connection.send(GET)
            client.clock.advance(TIMES.keep_alive - 5)
        assert not connection.closed


def test_an_application_has_all_the_time_it_wants() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(GET)
        client.clock.advance(1000)
        held.last.respond(Response.text("at last"))
        assert connection.receive().text == "at last"


# Content.


def test_content_must_go_on_coming() -> None:
    held = Held()
    log = MemoryLog()
    with Client(Site(held, access_log=log)) as client:
        connection = client.connect()
        connection.send(post(100_000))
        for _ in range(5):
            connection.send(b"x" * 10_000)
            client.clock.advance(TIMES.body - 2)
        assert not connection.closed
        client.clock.advance(4)
        answers = connection.receive_all()
        assert answers.closed
        assert [answer.status for answer in answers.responses] == [408]
        assert isinstance(held.last.request.body.error, ProtocolError)
        assert '"POST / HTTP/1.1" 408 ' in log.lines[-1]


def test_content_must_not_trickle() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(post(100_000))
        for _ in range(40):
            connection.send(b"x" * 10)
            client.clock.advance(1)
        assert connection.receive_all().responses[0].status == 408


def test_content_that_nobody_reads_must_not_trickle_either() -> None:
    """Of a request that has been answered: what is left of it comes within the time for content, or never."""
    with Client(Leaf(hello)) as client:
        connection = client.connect()
        connection.send(post(100_000))
        assert connection.receive().text == "hello"
        for _ in range(int(TIMES.body) + 2):
            if not connection.closed:
                connection.send(b"x")
            client.clock.advance(1)
        assert connection.closed


def test_content_that_keeps_up_the_rate_may_take_its_time() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(post(1_000_000))
        for _ in range(200):
            connection.send(b"x" * 300)
            client.clock.advance(1)
            held.last.request.body.take()
        assert not connection.closed


def test_late_content_of_an_answer_that_has_begun_is_an_error_of_the_reader_only() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(post(10, b"x"))
        held.last.start(200, NONE)
        held.last.write(b"begun ")
        client.clock.advance(TIMES.body + 1)
        assert not connection.closed
        held.last.write(b"and ended")
        held.last.end()
        answer = connection.receive()
        assert (answer.text, answer.complete) == ("begun and ended", True)
        assert connection.closed


def test_a_reader_of_late_content_wakes_with_an_error() -> None:
    errors: list[Exception] = []

    async def read(request_: Request) -> Response:
        try:
            await request_.read()
        except (ClientDisconnected, ProtocolError) as error:
            errors.append(error)
            raise
        return Response(b"")

    with Client(Leaf(read)) as client:
        connection = client.connect()
        connection.send(post(10, b"x"))
        client.clock.advance(TIMES.body + 1)
        answers = connection.receive_all()
    assert len(errors) == 1
    assert [answer.status for answer in answers.responses] == [408]


# What the client is not to blame for.


def resume(client: Client, held: Held) -> None:
    """Take what has come, and ask for more."""
    held.last.request.body.take()
    held.last.when_readable(lambda: None)
    client.settle()


def test_while_the_application_does_not_read_nobody_is_late() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(post(1_000_000))
        connection.send(b"x" * 70_000)
        assert not connection.transport.is_reading()
        client.clock.advance(1000)
        resume(client, held)
        assert connection.transport.is_reading()
        client.clock.advance(TIMES.body - 2)
        assert not connection.closed
        connection.send(b"x" * 1000)
        client.clock.advance(TIMES.body + 1)
        assert connection.receive_all().responses[0].status == 408


def test_the_time_of_held_back_content_begins_when_it_is_asked_for() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.send(post(100, b"", "Expect: 100-continue"))
        client.clock.advance(1000)
        assert connection.data == b""
        resume(client, held)
        assert connection.data == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.clock.advance(TIMES.body - 2)
        assert connection.data == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.clock.advance(3)
        assert connection.receive_all().responses[0].status == 408


# Clients that do not read.


def test_a_client_that_takes_nothing_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with Client(Leaf(lambda _: Response(b"x" * 1_000_000))) as client:
        connection = client.connect()
        connection.transport.hold()
        connection.send(GET)
        client.clock.advance(TIMES.write - 1)
        assert not connection.closed
        client.clock.advance(TIMES.write + 1)
        assert connection.transport.reset_seen
    assert "does not read" in caplog.text


def test_a_client_that_takes_a_little_now_and_then_is_served() -> None:
    with Client(Leaf(lambda _: Response(b"x" * 1_000_000))) as client:
        connection = client.connect()
        connection.send(GET)
        for _ in range(6):
            client.clock.advance(TIMES.write - 1)
            assert connection.transport.take()
        assert not connection.closed


def test_pipelined_requests_do_not_hide_that_nothing_is_taken() -> None:
    with Client(Leaf(lambda _: Response(b"x" * 1_000_000))) as client:
        connection = client.connect()
        connection.transport.hold()
        connection.send(GET * 50)
        client.clock.advance(2 * TIMES.write + 2)
        assert connection.transport.reset_seen


def test_content_that_comes_does_not_hide_that_nothing_is_taken() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.transport.hold()
        connection.send(post(10, b"x"))
        held.last.start(200, NONE)
        held.last.write(b"x" * 200_000)
        connection.send(b"x" * 9)
        client.clock.advance(2 * TIMES.write + 2)
        assert connection.transport.reset_seen


def test_content_is_waited_for_again_when_the_client_has_read() -> None:
    held = Held()
    with Client(held) as client:
        connection = client.connect()
        connection.transport.hold()
        connection.send(post(10, b"x"))
        held.last.start(200, NONE)
        held.last.write(b"x" * 200_000)
        client.clock.advance(TIMES.write - 10)
        connection.transport.release()
        assert len(connection.data) > 200_000
        client.clock.advance(TIMES.body + 1)
        assert held.last.request.body.error is not None


@pytest.mark.parametrize("size", [50_000, 1_000_000])
@pytest.mark.parametrize("fields", [(), ("Connection: close",)])
def test_no_answer_is_kept_for_ever_after_the_close(size: int, fields: tuple[str, ...]) -> None:
    with Client(Leaf(lambda _: Response(b"x" * size))) as client:
        connection = client.connect()
        connection.transport.hold()
        connection.send(request("/", *fields))
        client.clock.advance(TIMES.keep_alive + 2 * TIMES.write + 2)
        assert connection.transport.lost


def test_no_answer_is_kept_for_ever_for_a_client_that_has_ended() -> None:
    with Client(Leaf(lambda _: Response(b"x" * 50_000))) as client:
        connection = client.connect()
        connection.transport.hold()
        connection.send(GET)
        connection.send_eof()
        client.clock.advance(3 * TIMES.write)
        assert connection.transport.lost


# After the last answer.


def test_a_client_that_does_not_close_its_side_is_not_waited_for() -> None:
    with Client(Leaf(hello)) as client:
        connection = client.connect()
        connection.send(request("/", "Connection: close"))
        client.clock.advance(TIMES.linger - 1)
        assert not connection.transport.lost
        client.clock.advance(2)
        assert connection.transport.lost


def test_after_the_last_answer_a_client_that_reads_slowly_is_waited_for() -> None:
    with Client(Leaf(lambda _: Response(b"x" * 1_000_000))) as client:
        connection = client.connect()
        connection.transport.hold()
        connection.send(request("/", "Connection: close"))
        connection.transport.release()
        taken = 0
        for _ in range(5):
            client.clock.advance(TIMES.write - 1)
            taken += len(connection.transport.take())
        while piece := connection.transport.take():
            taken += len(piece)
        assert taken > 1_000_000
        assert connection.transport.eof_seen
        client.clock.advance(TIMES.linger + 1)
        assert connection.transport.lost


def test_a_backlog_too_small_to_block_has_the_linger_time_while_it_shrinks() -> None:
    with Client(Leaf(lambda _: Response(b"x" * 60_000))) as client:
        connection = client.connect()
        connection.transport.hold()
        connection.send(request("/", "Connection: close"))
        client.clock.advance(TIMES.linger + 1)
        assert not connection.transport.lost
        client.clock.advance(TIMES.linger + 1)
        assert connection.transport.lost
