"""Hooks that have to wait: the head and all that follows are held back until they are done (EN-04, SE rows)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from container.message.errors import ClientDisconnected, ExchangeStateError, HTTPError
from container.message.fields import NO_FIELDS, encode_fields
from container.message.limits import Timeouts
from container.message.response import Response
from container.resources.wsgi import WSGIResource
from container.testing import Client, NoResponse
from container.tree.site import Site
from tests.leaf import GET, Held, Leaf, MemoryLog, request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from container.message.exchange import Exchange
    from container.message.headers import Headers
    from container.message.request import Request
    from container.testing.client import Connection


class Gate:
    """A hook that waits until it is opened, then sets a field, or raises."""

    def __init__(self, name: str = "X-Gate", error: Exception | None = None) -> None:
        self.name = name
        self.error = error
        self.asked: list[int] = []
        self.passed = 0
        self.is_open = False
        self._opened: asyncio.Future[None] | None = None

    def __call__(self, status: int, headers: Headers) -> Any:
        self.asked.append(status)
        return self._wait(headers)

    async def _wait(self, headers: Headers) -> None:
        if not self.is_open:
            self._opened = asyncio.get_running_loop().create_future()
            await self._opened
        self.passed += 1
        if self.error is not None:
            raise self.error
        headers.set(self.name, str(self.passed))

    def open(self) -> None:
        self.is_open = True
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)


class Pieces:
    """An iterable that tells whether it was taken and closed."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.taken = self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            self.taken += 1
            yield piece

    def close(self) -> None:
        self.closed += 1


@contextlib.contextmanager
def gated(
    *gates: Gate, data: bytes = GET, site: Callable[[Held], Site] = Site
) -> Iterator[tuple[Exchange, Connection, Client]]:
    """An exchange to be answered by hand, whose head waits for `gates`."""
    resource = Held()
    with Client(site(resource)) as client:
        connection = client.connect()
        connection.send(data)
        for gate in gates:
            resource.last.before_head(gate)
        yield resource.last, connection, client


def opened(gate: Gate, client: Client) -> None:
    gate.open()
    client.settle()


def by_hand(exchange: Exchange) -> None:
    exchange.start(200, NO_FIELDS)
    for piece in (b"a", b"", b"bc"):
        assert exchange.write(piece) is False
    exchange.end()


def iterated(exchange: Exchange) -> None:
    exchange.respond(Response(Pieces(b"a", b"bc"), content_type="text/plain"))


ANSWERS: dict[str, Callable[[Exchange], None]] = {
    "respond": lambda exchange: exchange.respond(Response.text("abc")),
    "reply": lambda exchange: exchange.reply(200, NO_FIELDS, b"abc"),
    "by hand": by_hand,
    "iterated": iterated,
}


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_nothing_leaves_before_the_hook_is_done(kind: str, version: str) -> None:
    gate = Gate()
    with gated(gate, data=request(version=version)) as (exchange, connection, client):
        ANSWERS[kind](exchange)
        client.settle()
        assert (connection.data, exchange.started, exchange.ended) == (b"", True, False)
        opened(gate, client)
        answer = connection.receive()
        assert (answer.status, answer.body, answer.complete) == (200, b"abc", True)
        assert (answer.headers["x-gate"], gate.asked) == ("1", [200])
        assert exchange.ended


def test_a_whole_answer_still_has_its_length_and_leaves_in_one_write() -> None:
    gate = Gate()
    with gated(gate) as (exchange, connection, client):
        exchange.respond(Response.text("abc"))
        opened(gate, client)
        answer = connection.receive()
    assert (answer.headers["content-length"], answer.headers.get("transfer-encoding")) == ("3", None)


@pytest.mark.parametrize("kind", ANSWERS)
def test_head_gets_the_same_fields_and_no_content(kind: str) -> None:
    gate = Gate()
    with gated(gate, data=request(method="HEAD")) as (exchange, connection, client):
        ANSWERS[kind](exchange)
        opened(gate, client)
        client.settle()
        assert connection.data.endswith(b"\r\n\r\n")
        assert b"X-Gate: 1\r\n" in connection.data


def test_hooks_run_one_after_the_other() -> None:
    seen: list[str] = []
    first, last = Gate("X-First"), Gate("X-Last")
    with gated() as (exchange, connection, client):
        exchange.before_head(first)
        exchange.before_head(lambda _, headers: seen.append(headers["x-first"]))
        exchange.before_head(last)
        exchange.respond(Response.text("abc"))
        client.settle()
        assert (last.asked, seen) == ([], [])
        opened(first, client)
        assert (last.asked, seen, connection.data) == ([200], ["1"], b"")
        opened(last, client)
        assert connection.receive().headers["x-last"] == "1"


def test_a_pipelined_request_waits_for_its_turn() -> None:
    gate = Gate()
    with Client(Leaf(lambda each: waits_for(each, gate))) as client:
        connection = client.connect()
        connection.send(request("/a") + request("/b"))
        assert gate.asked == [200]
        opened(gate, client)
        assert [connection.receive().text for _ in "ab"] == ["/a", "/b"]


def waits_for(each: Request, gate: Gate) -> Response:
    each.exchange.before_head(gate)
    return Response.text(each.path)


def test_an_early_hint_after_the_head_was_given_is_out_of_order() -> None:
    gate = Gate()
    with gated(gate) as (exchange, _connection, client):
        exchange.respond(Response.text("abc"))
        for late in (
            lambda: exchange.inform(103),
            lambda: exchange.respond(Response()),
            lambda: exchange.write(b"x"),
            exchange.end,
        ):
            with pytest.raises(ExchangeStateError):
                late()
        opened(gate, client)
        assert exchange.ended


def test_what_is_no_bytes_is_refused_at_once() -> None:
    gate = Gate()
    with gated(gate) as (exchange, connection, client):
        exchange.start(200, NO_FIELDS)
        with pytest.raises(TypeError):
            exchange.write("text")  # type: ignore[arg-type]
        mutable = bytearray(b"abc")
        exchange.write(mutable)
        mutable[:] = b"xyz"
        exchange.end()
        opened(gate, client)
        assert connection.receive().body == b"abc"


# Whoever writes waits.


def test_a_writer_waits_until_the_head_has_left() -> None:
    gate = Gate()
    steps: list[str] = []

    async def answer(each: Request) -> Exchange:
        exchange = each.exchange
        exchange.before_head(gate)
        exchange.start(200, NO_FIELDS)
        while not exchange.write(b"abc"):
            steps.append("drain")
            await exchange.drain()
            steps.append("drained")
            break
        exchange.write(b"def")
        exchange.end()
        return exchange

    with Client(Leaf(answer)) as client:
        connection = client.connect()
        connection.send(GET)
        assert steps == ["drain"]
        opened(gate, client)
        assert connection.receive().body == b"abcdef"
    assert steps == ["drain", "drained"]


def test_whoever_wants_to_be_called_is_called_when_the_head_has_left() -> None:
    gate = Gate()
    called: list[bool] = []
    with gated(gate) as (exchange, connection, client):
        exchange.start(200, NO_FIELDS)
        exchange.when_writable(lambda: called.append(exchange.write(b"abc")))
        assert called == []
        opened(gate, client)
        assert called == [True]
        exchange.end()
        assert connection.receive().body == b"abc"


def test_whoever_raises_when_called_ends_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise RuntimeError("called and failed")

    gate = Gate()
    with gated(gate) as (exchange, connection, client):
        exchange.start(200, NO_FIELDS)
        exchange.when_writable(broken)
        opened(gate, client)
        assert (connection.data, connection.closed, exchange.gone) == (b"", True, True)
    assert "called and failed" in caplog.text


@pytest.mark.parametrize("threads", [0, 1])
@pytest.mark.parametrize("is_list", [False, True])
def test_wsgi_waits_too(threads: int, is_list: bool) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"a" * 9] if is_list else (b"a" for _ in range(9))

    gate = Gate()
    wsgi = WSGIResource(app, threads=threads)

    def answer(each: Request) -> Any:
        each.exchange.before_head(gate)
        return wsgi.render(each)

    root = Leaf(answer)
    root.mount("wsgi", wsgi)
    with Client(root) as client:
        connection = client.connect()
        connection.send(GET)
        client.wait_until(lambda: gate.asked)
        client.settle()
        assert connection.data == b""
        opened(gate, client)
        assert connection.receive().body == b"a" * 9


# What was announced.


def test_content_beyond_the_announced_length_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    with gated(gate) as (exchange, connection, client):
        exchange.start(200, encode_fields([("Content-Length", "2")]))
        exchange.write(b"abc")
        exchange.write(b"def")
        exchange.end()
        opened(gate, client)
        answer = connection.receive()
        assert (answer.body, answer.complete) == (b"ab", True)
    assert "expected 2 bytes" in caplog.text


def test_content_that_falls_short_cuts_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    with gated(gate) as (exchange, connection, client):
        exchange.start(200, encode_fields([("Content-Length", "5")]))
        exchange.write(b"abc")
        exchange.end()
        opened(gate, client)
        assert (connection.receive().complete, connection.closed) == (False, True)
    assert "expected 2 more bytes" in caplog.text


# Hooks that fail.


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_hook_that_fails_leads_to_the_error_page(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    gate, fine = Gate(error=RuntimeError("store is down")), Gate("X-Fine")
    fine.open()
    log = MemoryLog()
    with gated(gate, fine, site=lambda root: Site(root, headers={"X-Site": "1"}, access_log=log)) as (
        exchange, connection, client,
    ):  # fmt: skip
        ANSWERS[kind](exchange)
        opened(gate, client)
        answer = connection.receive()
        assert (answer.status, answer.complete, answer.headers["x-site"]) == (500, True, "1")
        # Nothing of the first answer, and the hook that failed was not asked again.
        assert b"abc" not in answer.body
        assert (gate.asked, fine.asked, answer.headers["x-fine"]) == ([200], [500], "1")
        connection.send(GET)
        assert not connection.closed
    assert "store is down" in caplog.text
    assert [line.split('"')[2].split()[0] for line in log.lines] == ["500", "499"]


def test_a_hook_can_decline() -> None:
    gate = Gate(error=HTTPError(503, headers={"Retry-After": "1"}))
    with gated(gate) as (exchange, connection, client):
        exchange.respond(Response.text("abc"))
        opened(gate, client)
        answer = connection.receive()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


def test_who_still_writes_to_an_answer_that_was_replaced_does_no_harm() -> None:
    gate = Gate(error=HTTPError(503))
    told: list[Exception | None] = []
    with gated(gate) as (exchange, connection, client):
        exchange.on_close(told.append)
        exchange.start(200, NO_FIELDS)
        exchange.write(b"abc")
        exchange.when_writable(lambda: exchange.write(b"more"))
        opened(gate, client)
        exchange.write(b"late")
        exchange.end()
        assert (exchange.gone, exchange.ended, told) == (True, True, [gate.error])
        answer = connection.receive()
        assert answer.status == 503
        assert connection.data.endswith(answer.body)


def test_a_writer_that_waits_is_told_that_its_answer_is_over() -> None:
    gate = Gate(error=HTTPError(503))
    told: list[Exception] = []

    async def answer(each: Request) -> Exchange:
        each.exchange.before_head(gate)
        each.exchange.start(200, NO_FIELDS)
        each.exchange.write(b"abc")
        try:
            await each.exchange.drain()
        except ClientDisconnected as error:
            told.append(error)
            raise
        return each.exchange

    with Client(Leaf(answer)) as client:
        connection = client.connect()
        connection.send(GET)
        opened(gate, client)
        assert connection.receive().status == 503
    assert len(told) == 1


def test_content_is_closed_when_a_hook_fails() -> None:
    gate, pieces = Gate(error=HTTPError(503)), Pieces(b"abc")
    with gated(gate) as (exchange, connection, client):
        exchange.respond(Response(pieces))
        opened(gate, client)
        assert connection.receive().status == 503
        client.settle()
    assert (pieces.taken, pieces.closed) == (0, 1)


def test_every_hook_that_fails_is_asked_once(caplog: pytest.LogCaptureFixture) -> None:
    gates = [Gate(error=RuntimeError(f"gate {number}")) for number in range(3)]
    with gated(*gates) as (exchange, connection, client):
        exchange.respond(Response.text("abc"))
        for gate in gates:
            opened(gate, client)
        assert connection.receive().status == 500
    assert [len(gate.asked) for gate in gates] == [1, 1, 1]
    assert "gate 2" in caplog.text


def test_a_field_that_cannot_be_sent_is_an_error_page_too(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate("X\r\nEvil")
    with gated(gate) as (exchange, connection, client):
        exchange.respond(Response.text("abc"))
        opened(gate, client)
        answer = connection.receive()
        assert (answer.status, len(gate.asked)) == (500, 1)
    assert "expected a token" in caplog.text


def test_a_hook_that_takes_too_long_is_an_error_page(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    with gated(gate, site=lambda root: Site(root, timeouts=Timeouts(hooks=0.01))) as (
        exchange,
        connection,
        _,
    ):
        exchange.respond(Response.text("abc"))
        assert connection.receive().status == 500
    assert "TimeoutError" in caplog.text


def test_a_hook_that_is_cancelled_is_an_error_page(caplog: pytest.LogCaptureFixture) -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    with gated() as (exchange, connection, _):
        exchange.before_head(lambda _status, _headers: cancelled())
        exchange.respond(Response.text("abc"))
        assert connection.receive().status == 500
    assert "cancelled" in caplog.text


# Clients that leave, applications that give up.


@pytest.mark.parametrize("error", [None, RuntimeError("store is down")])
@pytest.mark.parametrize("kind", ANSWERS)
def test_a_client_that_leaves_does_not_stop_the_hook(
    kind: str, error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    gate, log = Gate(error=error), MemoryLog()
    told: list[Exception | None] = []
    with gated(gate, site=lambda root: Site(root, access_log=log)) as (exchange, connection, client):
        exchange.on_close(told.append)
        ANSWERS[kind](exchange)
        connection.transport.reset()
        client.settle()
        assert (exchange.gone, gate.passed, len(told)) == (True, 0, 1)
        opened(gate, client)
        assert (gate.passed, connection.data) == (1, b"")
    assert len(log.lines) == 1
    assert [record.getMessage().endswith("after the client had left") for record in caplog.records] == (
        [True] if error else []
    )


def test_content_is_closed_when_the_client_leaves() -> None:
    gate, pieces = Gate(), Pieces(b"abc")
    with gated(gate) as (exchange, connection, client):
        exchange.respond(Response(pieces))
        connection.transport.reset()
        client.settle()
        assert (pieces.taken, pieces.closed) == (0, 1)
        opened(gate, client)
    assert (pieces.taken, pieces.closed) == (0, 1)


def test_a_client_that_only_half_closed_gets_its_answer() -> None:
    gate = Gate()
    with gated(gate) as (exchange, connection, client):
        exchange.respond(Response.text("abc"))
        connection.send_eof()
        opened(gate, client)
        assert connection.receive().text == "abc"


def test_an_answer_that_is_given_up_while_it_is_held_back_is_cut() -> None:
    gate = Gate()
    with gated(gate) as (exchange, connection, client):
        exchange.start(200, NO_FIELDS)
        exchange.write(b"abc")
        exchange.abort()
        client.settle()
        assert (connection.closed, exchange.gone) == (True, True)
        opened(gate, client)
        with pytest.raises(NoResponse):
            connection.receive()


def test_content_that_times_out_meanwhile_changes_nothing() -> None:
    gate = Gate()
    data = request("/", "Content-Length: 5", method="POST") + b"ab"
    with gated(gate, data=data) as (exchange, connection, client):
        exchange.respond(Response.text("abc"))
        client.clock.advance(40)
        client.settle()
        opened(gate, client)
        answer = connection.receive()
        assert (answer.text, answer.headers["connection"]) == ("abc", "close")
