"""The verbs that answer: framing, order, late verbs, hooks, interim responses, aborts."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from container.channel.group import ChannelGroup
from container.channel.h1 import H1Channel
from container.message.errors import ClientDisconnected, ExchangeStateError
from container.message.fields import NO_FIELDS, encode_fields
from container.message.headers import Headers
from container.message.response import Response
from container.testing import Client, MockTransport, NoResponse
from container.tree.site import Site
from tests.leaf import GET, Held, Leaf, MemoryLog, request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from container.message.exchange import Exchange
    from container.testing import ClientResponse
    from container.testing.client import Connection

FIVE = encode_fields([("Content-Length", "5")])


@contextlib.contextmanager
def held(
    data: bytes = GET, *, site: Callable[[Held], Site] = Site
) -> Iterator[tuple[Exchange, Connection, Client]]:
    """An exchange to be answered by hand, and the client that waits for it."""
    resource = Held()
    with Client(site(resource)) as client:
        connection = client.connect()
        connection.send(data)
        yield resource.last, connection, client


def stream(exchange: Exchange, *pieces: bytes, status: int = 200, fields: object = NO_FIELDS) -> None:
    exchange.start(status, fields)  # type: ignore[arg-type]
    for piece in pieces:
        exchange.write(piece)
    exchange.end()


def framing(answer: ClientResponse) -> tuple[str | None, str | None]:
    return answer.headers.get("content-length"), answer.headers.get("transfer-encoding")


# How the end of the content is told (RFC 9112 6).


@pytest.mark.parametrize(
    ("method", "status", "body", "expected", "sent"),
    [
        ("GET", 200, b"hello", ("5", None), b"hello"),
        ("GET", 200, b"", ("0", None), b""),
        ("HEAD", 200, b"hello", ("5", None), b""),
        ("HEAD", 200, b"", (None, None), b""),
        ("GET", 404, b"hello", ("5", None), b"hello"),
        ("GET", 799, b"hello", ("5", None), b"hello"),
        ("GET", 204, b"hello", (None, None), b""),
        ("GET", 304, b"hello", (None, None), b""),
        ("GET", 205, b"", ("0", None), b""),
        ("HEAD", 204, b"", (None, None), b""),
    ],
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_whole_answer_says_its_length(
    method: str, status: int, body: bytes, expected: tuple[object, object], sent: bytes, version: str
) -> None:
    data = request("/", "Connection: keep-alive", method=method, version=version)
    with held(data) as (exchange, connection, _):
        exchange.reply(status, NO_FIELDS, body)
        answer = connection.receive()
        assert (framing(answer), answer.body, answer.complete) == (expected, sent, True)
        assert exchange.bytes_sent == len(sent)
        connection.send(GET)  # the connection is in step
        assert not connection.closed


@pytest.mark.parametrize(
    ("method", "version", "status", "fields", "expected", "sent", "persists"),
    [
        ("GET", "1.1", 200, NO_FIELDS, (None, "chunked"), b"ab", True),
        ("GET", "1.0", 200, NO_FIELDS, (None, None), b"ab", False),
        ("GET", "1.1", 200, encode_fields([("Content-Length", "2")]), ("2", None), b"ab", True),
        ("GET", "1.0", 200, encode_fields([("Content-Length", "2")]), ("2", None), b"ab", True),
        ("HEAD", "1.1", 200, NO_FIELDS, (None, None), b"", True),
        ("HEAD", "1.0", 200, NO_FIELDS, (None, None), b"", True),
        ("HEAD", "1.1", 200, FIVE, ("5", None), b"", True),
        ("GET", "1.1", 204, NO_FIELDS, (None, None), b"", True),
        ("GET", "1.1", 204, FIVE, (None, None), b"", True),
        ("GET", "1.1", 304, NO_FIELDS, (None, None), b"", True),
    ],
)
def test_a_streamed_answer_has_the_framing_its_client_understands(
    method: str, version: str, status: int, fields: object, expected: object, sent: bytes, persists: bool
) -> None:
    data = request("/", "Connection: keep-alive", method=method, version=version)
    with held(data) as (exchange, connection, _):
        stream(exchange, b"a", b"b", status=status, fields=fields)
        answer = connection.receive()
        assert (framing(answer), answer.body, answer.complete) == (expected, sent, True)
        assert connection.closed is not persists


def test_a_205_has_no_content_whatever_is_written(caplog: pytest.LogCaptureFixture) -> None:
    with held() as (exchange, connection, _):
        stream(exchange, b"ab", status=205)
        answer = connection.receive()
        assert (framing(answer), answer.body) == (("0", None), b"")
    assert "cut off" in caplog.text


def test_a_streamed_answer_without_content_has_a_length_after_all() -> None:
    with held() as (exchange, connection, _):
        stream(exchange)
        assert framing(connection.receive()) == ("0", None)


def test_the_head_of_a_stream_leaves_with_its_first_content() -> None:
    with held() as (exchange, connection, _):
        exchange.start(200, NO_FIELDS)
        assert connection.data == b""
        exchange.write(b"")
        assert connection.data.endswith(b"\r\n\r\n")
        exchange.write(b"abc")
        assert connection.data.endswith(b"\r\n\r\n3\r\nabc\r\n")
        exchange.end()
        assert connection.receive().body == b"abc"


def test_an_unstreamed_answer_is_one_write() -> None:
    async def writes(data: bytes) -> list[bytes]:
        group = ChannelGroup(Site(Leaf(lambda _: Response.text("hello"))), asyncio.get_running_loop())
        transport = MockTransport(H1Channel(group))
        transport.feed(data)
        transport.reset()
        await asyncio.sleep(0)
        return transport.writes

    for data in (GET, request("/", "Connection: close"), request(method="HEAD"), request(version="1.0")):
        assert len(asyncio.run(writes(data))) == 1


def test_content_beyond_its_announced_length_is_cut_off_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with held() as (exchange, connection, _):
        stream(exchange, b"123", b"456789", fields=FIVE)
        connection.send(GET)
        assert connection.receive().body == b"12345"
        assert exchange.bytes_sent == 5
        assert not connection.closed
    assert "expected 5 bytes of content, got more" in caplog.text


@pytest.mark.parametrize("pieces", [(), (b"123",)])
def test_content_short_of_its_announced_length_cuts_the_connection(
    pieces: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    with held(GET + GET) as (exchange, connection, _):
        stream(exchange, *pieces, fields=FIVE)
        answer = connection.receive()
        assert (answer.body, answer.complete) == (b"".join(pieces), False)
        assert connection.receive_all().closed
    assert "more bytes of content" in caplog.text


# Fields.


def test_every_answer_has_a_date_and_names_the_server() -> None:
    with held() as (exchange, connection, _):
        exchange.respond(Response(b""))
        headers = connection.receive().headers
    assert headers["date"].endswith(" GMT")
    assert headers["server"] == "container"


@pytest.mark.parametrize("name", ["Date", "Server"])
def test_a_default_field_gives_way_to_the_answers_own(name: str) -> None:
    with held() as (exchange, connection, _):
        exchange.respond(Response(b"", headers={name: "mine"}))
        headers = connection.receive().headers
    assert headers.get_all(name) == ["mine"]
    assert {"date", "server"} <= set(headers)


def test_framing_fields_of_an_answer_are_the_channels_business() -> None:
    fields = {"Transfer-Encoding": "chunked", "Keep-Alive": "x", "Upgrade": "y", "Trailer": "z", "X-Own": "1"}
    with held() as (exchange, connection, _):
        exchange.respond(Response(b"abc", headers=fields))
        answer = connection.receive()
    assert framing(answer) == ("3", None)
    assert not {"keep-alive", "upgrade", "trailer"} & set(answer.headers)
    assert answer.headers["x-own"] == "1"


def test_an_answer_can_have_a_phrase_of_its_own() -> None:
    with held() as (exchange, connection, _):
        with pytest.raises(ValueError, match="reason phrase"):
            exchange.reply(200, NO_FIELDS, b"", "OK\r\nX-Injected: 1")
        exchange.respond(Response(b"", 299, reason="Quite Fine"))
        answer = connection.receive()
    assert (answer.status, answer.reason) == (299, "Quite Fine")


# Interim responses (RFC 9110 15.2).


def test_interim_responses_come_before_the_answer() -> None:
    with held() as (exchange, connection, _):
        exchange.inform(102)
        exchange.inform(103, Headers({"Link": "</a>"}))
        assert connection.data.startswith(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n")
        exchange.respond(Response.text("done"))
        answer = connection.receive()
    assert [(head.status, head.headers.get("link")) for head in answer.interim] == [
        (102, None),
        (103, "</a>"),
    ]
    assert answer.text == "done"


def test_an_old_client_gets_no_interim_response() -> None:
    with held(request(version="1.0")) as (exchange, connection, _):
        exchange.inform(103)
        assert connection.data == b""


@pytest.mark.parametrize("status", [99, 101, 200])
def test_only_interim_statuses_inform(status: int) -> None:
    with held() as (exchange, _, _), pytest.raises(ValueError, match="interim status"):
        exchange.inform(status)


# Order.

_DISORDER: list[tuple[str, Callable[[Exchange], object]]] = [
    ("new", lambda exchange: exchange.write(b"x")),
    ("new", lambda exchange: exchange.end()),
    ("started", lambda exchange: exchange.start(200, NO_FIELDS)),
    ("started", lambda exchange: exchange.reply(200, NO_FIELDS)),
    ("started", lambda exchange: exchange.respond(Response(b""))),
    ("started", lambda exchange: exchange.inform(103)),
    ("ended", lambda exchange: exchange.start(200, NO_FIELDS)),
    ("ended", lambda exchange: exchange.write(b"x")),
    ("ended", lambda exchange: exchange.end()),
    ("ended", lambda exchange: exchange.reply(200, NO_FIELDS)),
    ("ended", lambda exchange: exchange.inform(103)),
]


@pytest.mark.parametrize(("state", "verb"), _DISORDER)
def test_verbs_out_of_order_are_errors_and_send_nothing(
    state: str, verb: Callable[[Exchange], object]
) -> None:
    with held() as (exchange, connection, _):
        if state != "new":
            exchange.start(200, NO_FIELDS)
        if state == "ended":
            exchange.end()
        before = connection.data
        with pytest.raises(ExchangeStateError):
            verb(exchange)
        assert connection.data == before


@pytest.mark.parametrize("state", ["new", "started"])
def test_late_verbs_do_nothing_when_the_client_has_left(state: str) -> None:
    with held() as (exchange, connection, client):
        if state == "started":
            exchange.start(200, NO_FIELDS)
        connection.transport.reset()
        client.settle()
        assert exchange.gone
        assert exchange.disconnected
        exchange.inform(103)
        exchange.respond(Response(b"x"))
        exchange.start(200, NO_FIELDS)
        assert exchange.write(b"x")
        exchange.end()
        exchange.abort(ValueError())
        called: list[object] = []
        exchange.when_writable(lambda: called.append("writable"))
        exchange.when_readable(lambda: called.append("readable"))
        exchange.on_close(lambda error: called.append(type(error)))
        assert called == ["writable", "readable", ClientDisconnected]
        assert not exchange.expects_continue


def test_what_a_request_has_left_when_it_was_answered_takes_every_verb() -> None:
    with held() as (exchange, connection, _):
        of_request = exchange.request
        exchange.respond(Response(b""))
        late = of_request.exchange
        before = connection.data
        late.inform(103)
        late.respond(Response(b"x"))
        late.start(200, NO_FIELDS)
        late.write(b"x")
        late.end()
        late.abort()
        late.when_complete(lambda: pytest.fail("nothing will complete"))
        assert (connection.data, late.gone, late.ended) == (before, True, True)


# Hooks.


def test_hooks_change_the_fields_of_every_kind_of_answer_in_their_order() -> None:
    def first(status: int, headers: Headers) -> None:
        headers.set("X-Status", str(status))

    for answer in (
        lambda exchange: exchange.respond(Response.text("x", 404)),
        lambda exchange: exchange.respond(Response(iter([b"x"]), 404)),
        lambda exchange: stream(exchange, b"x", status=404),
        lambda exchange: exchange.reply(404, NO_FIELDS),
    ):
        with held() as (exchange, connection, _):
            exchange.before_head(first)
            exchange.before_head(lambda _, headers: headers.set("X-Twice", headers["x-status"] * 2))
            answer(exchange)
            got = connection.receive()
            assert (got.headers["x-status"], got.headers["x-twice"]) == ("404", "404404")


@pytest.mark.parametrize("fields", [{}, {"Content-Length": "5"}])
def test_a_hook_does_not_lose_the_length(fields: dict[str, str]) -> None:
    with held(request(method="HEAD")) as (exchange, connection, _):
        exchange.before_head(lambda _, headers: headers.set("X-A", "1"))
        exchange.respond(Response(b"hello", headers=fields))
        assert connection.receive().headers["content-length"] == "5"


def test_a_hook_that_raises_is_not_asked_again() -> None:
    def broken(status: int, headers: Headers) -> None:
        raise RuntimeError("broken")

    with held() as (exchange, connection, _):
        exchange.before_head(broken)
        exchange.before_head(lambda _, headers: headers.set("X-A", "1"))
        with pytest.raises(RuntimeError):
            exchange.respond(Response.text("x"))
        assert connection.data == b""
        exchange.respond(Response.text("error page", 500))
        answer = connection.receive()
    assert (answer.text, answer.headers["x-a"]) == ("error page", "1")


# Giving up.


@pytest.mark.parametrize(
    ("data", "fields", "complete"),
    [(GET, NO_FIELDS, False), (GET, FIVE, False), (request(version="1.0"), NO_FIELDS, False)],
)
def test_an_answer_that_was_given_up_does_not_look_complete(
    data: bytes, fields: object, complete: bool
) -> None:
    with held(data) as (exchange, connection, client):
        exchange.start(200, fields)  # type: ignore[arg-type]
        exchange.write(b"abc")
        taken = connection.data
        exchange.abort()
        client.settle()
        assert connection.closed
        assert connection.data == taken
        assert connection.receive().complete is complete


def test_what_was_written_before_still_reaches_a_client_that_can_count() -> None:
    with held() as (exchange, connection, _client):
        connection.transport.hold()
        exchange.start(200, NO_FIELDS)
        exchange.write(b"x" * 200_000)
        exchange.abort()
        connection.transport.release()
        answer = connection.receive()
        assert (len(answer.body), answer.complete) == (200_000, False)


def test_nothing_is_sent_when_an_exchange_is_given_up_before_its_head() -> None:
    log = MemoryLog()
    with held(site=lambda resource: Site(resource, access_log=log)) as (exchange, connection, client):
        exchange.abort()
        client.settle()
        assert connection.transport.reset_seen
        with pytest.raises(NoResponse):
            connection.receive()
    assert '" 500 - ' in log.lines[0]


def test_the_reason_for_giving_up_is_logged_and_told_to_observers(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Exception | None] = []
    with held() as (exchange, connection, client):
        exchange.on_close(seen.append)
        exchange.abort(ValueError("enough"))
        client.settle()
        assert connection.data == b""
    assert [str(error) for error in seen] == ["enough"]
    assert "enough" in caplog.text


def test_a_request_given_up_after_its_client_ended_is_the_clients_doing() -> None:
    log = MemoryLog()
    with held(site=lambda resource: Site(resource, access_log=log)) as (exchange, connection, _):
        connection.send_eof()
        exchange.abort()
    assert '" 499 - ' in log.lines[0]


# Observers.


def test_every_observer_is_told_once_and_one_that_fails_does_not_matter(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[object] = []

    def broken(error: Exception | None) -> None:
        raise RuntimeError("observer broken")

    with held(GET + GET) as (exchange, connection, _):
        exchange.on_close(lambda error: seen.append((1, error)))
        exchange.on_close(broken)
        exchange.on_close(lambda error: seen.append((2, error)))
        exchange.respond(Response(b""))
        assert seen == [(1, None), (2, None)]
        exchange.on_close(lambda error: seen.append((3, error)))
        assert seen[2:] == [(3, None)]
        connection.receive()
    assert "observer broken" in caplog.text


def test_observers_learn_that_the_client_has_left() -> None:
    seen: list[Exception | None] = []
    log = MemoryLog()
    with held(site=lambda resource: Site(resource, access_log=log)) as (exchange, connection, client):
        exchange.on_close(seen.append)
        connection.transport.reset(ConnectionResetError("gone"))
        client.settle()
    assert [str(error) for error in seen] == ["gone"]
    assert '" 499 - ' in log.lines[0]
