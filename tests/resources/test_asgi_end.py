"""ASGI over HTTP: how exchanges end, clients that leave, tasks that outlive an answer. AS-02, AS-03, AS-06."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from container.message.errors import ClientDisconnected
from container.resources.asgi import http
from container.testing import AsyncClient, Client
from container.tree.site import Site
from tests.leaf import GET, request
from tests.resources.asgi_apps import Scope, body, serve, start

if TYPE_CHECKING:
    from container.testing import ClientResponse

# The end of an exchange.


def test_receive_waits_until_the_answer_is_complete_and_then_says_disconnect() -> None:
    order: list[str] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await receive()

        async def listen() -> None:
            order.append((await receive())["type"])

        listeners = [asyncio.create_task(listen()) for _ in range(2)]
        await asyncio.sleep(0)
        listeners[0].cancel()
        await send(start())
        await send(body(b"x"))
        order.append("sent")
        await listeners[1]
        order.append((await receive())["type"])

    with Client(serve(app)) as client:
        assert client.get("/").body == b"x"
        client.settle()
    assert order == ["sent", "http.disconnect", "http.disconnect"]


@pytest.mark.parametrize("way", ["leave", "send_eof"])
def test_a_client_that_leaves_is_told_at_once(way: str) -> None:
    """CH-19."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await receive()
        await send(start())
        await send(body(b"x", more=True))
        seen.append((await receive())["type"])

    with Client(serve(app)) as client:
        connection = client.connect()
        connection.send(GET)
        getattr(connection, way)()
        assert seen == ["http.disconnect"]


def test_an_application_that_asks_on_and_on_does_not_keep_the_loop() -> None:
    """CH-19."""
    turns: list[str] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        asyncio.get_running_loop().call_soon(turns.append, "another's")
        await receive()
        turns.append("its own")

    with Client(serve(app)) as client:
        connection = client.connect()
        connection.send(GET)
        connection.leave()
        client.settle()
    assert turns == ["another's", "its own"]


def test_send_to_a_client_that_left_raises_oserror(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[OSError] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await receive()
        await send(start())
        await send(body(b"x", more=True))
        await receive()
        try:
            while True:
                await send(body(b"y", more=True))
        except OSError as error:
            errors.append(error)
            raise

    with Client(serve(app)) as client:
        connection = client.connect()
        connection.send(GET)
        connection.leave()
        client.wait_until(lambda: errors)
    assert isinstance(errors[0], ClientDisconnected)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_half_closed_client_still_gets_its_answer() -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        await send(start())
        await send(body(b"late"))

    with Client(serve(app)) as client:
        connection = client.connect()
        connection.send(GET)
        connection.send_eof()
        assert connection.receive().body == b"late"


def test_a_framework_s_own_exception_for_a_client_that_left_is_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Gone(Exception):
        pass

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        raise Gone

    caplog.set_level("INFO")
    with Client(serve(app)) as client:
        connection = client.connect()
        connection.send(GET)
        connection.leave()
        client.wait_until(lambda: "ended when its client had left" in caplog.text)
    assert "Traceback" not in caplog.text


def test_a_client_that_leaves_while_send_waits_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """CH-19: whether the application lets the error pass or has one of its own for it."""

    class Gone(Exception):
        pass

    errors: list[OSError] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await send(start())
        try:
            while True:
                await send(body(b"y" * 65536, more=True))
        except OSError as error:
            errors.append(error)
            if scope["path"] == "/own":
                raise Gone from error
            raise

    with Client(serve(app)) as client:
        for path in ("/", "/own"):
            connection = client.connect()
            connection.transport.hold()
            connection.send(request(path))
            client.settle()
            assert len(errors) == (path == "/own")
            connection.leave()
            client.wait_until(lambda path=path: len(errors) == 1 + (path == "/own"))  # type: ignore[misc]
            client.settle()
    assert "Traceback" not in caplog.text


def test_send_waits_for_a_client_that_does_not_read() -> None:
    """CH-15, AS-02."""
    sent: list[int] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await send(start())
        for number in range(100):
            await send(body(b"x" * 65536, more=True))
            sent.append(number)
        await send(body())

    with Client(serve(app)) as client:
        connection = client.connect()
        connection.transport.hold()
        connection.send(GET)
        client.settle()
        assert len(sent) < 5
        connection.transport.release()
        assert len(connection.receive().body) == 100 * 65536


def test_content_the_application_does_not_read_holds_the_client_back() -> None:
    """CH-15."""
    go = asyncio.Event()

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await go.wait()
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message["body"]), message["more_body"]
        await send(start())
        await send(body(b"%d" % size))

    with Client(serve(app)) as client:
        connection = client.connect()
        connection.send(request("/", "Content-Length: 1000000", method="POST"))
        connection.send(b"x" * 1_000_000)
        assert connection.transport.pending > 0
        go.set()
        assert connection.receive().body == b"1000000"


# Tasks.


def test_work_after_the_answer_is_not_cancelled_when_the_client_leaves() -> None:
    """What frameworks call a background task."""
    go = asyncio.Event()
    done: list[bool] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"x"))
        await go.wait()
        done.append(True)

    with Client(serve(app)) as client:
        connection = client.connect()
        connection.send(GET)
        connection.leave()
        go.set()
        client.settle()
        assert done == [True]


def test_an_application_that_takes_too_long_gets_a_504(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    with Client(serve(app, request_timeout=0.01)) as client:
        connection = client.connect()
        connection.send(GET)
        client.wait_until(lambda: ended)
        assert connection.receive().status == 504
    assert "took longer than 0.01 s to answer" in caplog.text


def test_a_stream_that_has_begun_is_in_time() -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"a", more=True))
        await asyncio.sleep(0.05)
        await send(body(b"b"))

    with Client(serve(app, request_timeout=0.01)) as client:
        assert client.get("/").body == b"ab"


def test_what_still_runs_at_the_end_is_cancelled() -> None:
    ended: list[str] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    with Client(serve(app)) as client:
        connection = client.connect()
        connection.send(GET)
    assert ended == ["cancelled"]


def test_streams_are_told_when_the_server_begins_to_stop() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await receive()
        if scope["path"] == "/stream":
            await send(start())
            await send(body(b"x", more=True))
        seen.append(scope["path"] + " " + (await receive())["type"])
        if scope["path"] == "/stream":
            await send(body(b"bye"))

    with Client(serve(app)) as client:
        stream, other = client.connect(), client.connect()
        stream.send(request("/stream"))
        other.send(request("/other"))
        client.site.drain()
        client.settle()
        assert seen == ["/stream http.disconnect"]
        assert stream.receive().body == b"xbye"


async def waits_for_something_to_send(scope: Scope, receive: Any, send: Any) -> None:
    await send(start(200, (b"content-type", b"text/event-stream")))
    await send(body(b"data: 1\n\n", more=True))
    await asyncio.Event().wait()


def test_a_stream_without_a_listener_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """CH-19: it asks for nothing and sends nothing, so it would never learn that its client has left."""
    monkeypatch.setattr(http, "SILENCE_S", 0.001)
    site = Site(serve(waits_for_something_to_send))
    with Client(site) as client:
        connection = client.connect()
        connection.send(GET)
        assert len(site.root._calls) == 1  # type: ignore[attr-defined]
        connection.send_eof()
        client.wait_until(lambda: not site.root._calls)  # type: ignore[attr-defined]


def test_a_half_closed_client_that_is_still_sent_to_is_no_lost_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SILENCE_S", 0.001)

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await send(start())
        for _ in range(500):  # each turn of the loop, so between any two looks
            await send(body(b"x", more=True))
            await asyncio.sleep(0)
        await send(body(b"end"))

    with Client(serve(app)) as client:
        connection = client.connect()
        connection.send(GET)
        connection.send_eof()
        assert connection.receive().body.endswith(b"xend")


def test_server_sent_events_end_when_the_server_begins_to_stop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(http, "DRAIN_S", 0.001)

    async def stopping() -> ClientResponse:
        async with AsyncClient(serve(waits_for_something_to_send)) as client:
            connection = client.connect()
            await connection.send(GET)
            client.site.drain()
            return await connection.receive()

    answer = asyncio.run(stopping())
    assert (answer.body, answer.complete) == (b"data: 1\n\n", True)
    assert caplog.text == ""
