"""WebSockets of ASGI applications: scope, events, denial, order and errors (ASGI WebSocket)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from container.message.errors import ExchangeStateError
from container.resources.asgi import ASGIResource
from container.testing import AsyncClient, Client
from container.testing.websocket import WebSocketDenied
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

ACCEPT = {"type": "websocket.accept"}
CONNECT = {"type": "websocket.connect"}
START = "websocket.http.response.start"
BODY = "websocket.http.response.body"


def mounted(app: App, path: str = "m") -> Site:
    root = Resource()
    root.mount(path, ASGIResource(app, lifespan="off"))
    return Site(root)


def test_the_scope_is_that_of_a_websocket() -> None:
    """AS-05: mounted anywhere, root_path is the mount point."""
    scopes: list[dict[str, Any]] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        scopes.append(scope)
        assert await receive() == CONNECT
        await send(ACCEPT)

    with Client(mounted(app), secure=True) as client:
        with client.websocket("/m/%77s?a=1", subprotocols=["b", "c"], headers={"X-Own": "1"}):
            pass
        with client.websocket("/m/"):
            pass
    scope = scopes[0]
    assert {name: scope[name] for name in ("type", "scheme", "path", "raw_path", "root_path", "query_string")} == {
        "type": "websocket", "scheme": "wss", "path": "/m/ws", "raw_path": b"/m/%77s", "root_path": "/m",
        "query_string": b"a=1",
    }  # fmt: skip
    assert scope["subprotocols"] == ["b", "c"]
    assert scope["http_version"] == "1.1"
    assert scope["extensions"] == {"websocket.http.response": {}}
    assert (b"x-own", b"1") in scope["headers"]
    assert "method" not in scope
    assert scopes[1]["subprotocols"] == []


def test_messages_and_the_end_are_events() -> None:
    events: list[dict[str, Any]] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        events.append(await receive())
        await send({"type": "websocket.accept", "subprotocol": "b", "headers": [(b"x-own", b"1")]})
        await send({"type": "websocket.send", "text": "ü", "bytes": None})
        await send({"type": "websocket.send", "bytes": b"\xff"})
        while events[-1]["type"] != "websocket.disconnect":
            events.append(await receive())
        events.append(await receive())
        with pytest.raises(OSError, match="3001"):
            await send({"type": "websocket.send", "text": "late"})
        await send({"type": "websocket.close"})
        events.append({"type": "done"})

    with Client(mounted(app)) as client, client.websocket("/m/", subprotocols=["a", "b"]) as socket:
        assert (socket.subprotocol, socket.headers["x-own"]) == ("b", "1")
        assert [socket.receive(), socket.receive()] == ["ü", b"\xff"]
        socket.send("text")
        socket.send(b"bytes")
        socket.close(3001, "bye")
        client.settle()
    gone = {"type": "websocket.disconnect", "code": 3001, "reason": "bye"}
    assert events == [
        CONNECT, {"type": "websocket.receive", "text": "text"}, {"type": "websocket.receive", "bytes": b"bytes"},
        gone, gone, {"type": "done"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("event", "code"), [({}, 1000), ({"code": 4001, "reason": "x"}, 4001), ({"reason": None}, 1000)]
)
def test_an_application_closes(event: dict[str, Any], code: int) -> None:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await send({"type": "websocket.close"} | event)

    with Client(mounted(app)) as client, client.websocket("/m/") as socket:
        client.settle()
        assert socket.close_code in (None, code)
        socket.close()
        assert socket.close_code == code


def test_leaving_and_failing_have_their_codes(caplog: pytest.LogCaptureFixture) -> None:
    """AS-05: 1000 for an application that returns, 1011 and a line in the log for one that raises."""

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        if scope["path"] == "/m/fail":
            raise LookupError("broken")

    codes = []
    with Client(mounted(app)) as client:
        for path in ("/m/", "/m/fail"):
            with client.websocket(path) as socket:
                pass
            codes.append(socket.close_code)
    assert codes == [1000, 1011]
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [LookupError]


# Before accept.


async def _close(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 4000})
    assert (await receive())["type"] == "websocket.disconnect"


async def _deny(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await receive()
    await send({"type": START, "status": 404, "headers": [(b"x-own", b"1")]})
    for event in (ACCEPT, {"type": "websocket.close"}, {"type": START, "status": 200}):
        with pytest.raises(ExchangeStateError):
            await send(event)
    await send({"type": BODY, "body": b"not ", "more_body": True})
    await send({"type": BODY, "body": b"here"})
    with pytest.raises(ExchangeStateError):
        await send({"type": BODY, "body": b"more"})
    assert await receive() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}


async def _return(scope: dict[str, Any], receive: Any, send: Any) -> None: ...


async def _raise(scope: dict[str, Any], receive: Any, send: Any) -> None:
    raise LookupError("broken")


@pytest.mark.parametrize(("app", "status"), [(_close, 403), (_deny, 404), (_return, 403), (_raise, 500)])
def test_what_is_not_accepted_is_denied(app: App, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """AS-05: 403, or the answer of the denial response extension."""
    with Client(mounted(app)) as client:
        with pytest.raises(WebSocketDenied) as denied, client.websocket("/m/"):
            pytest.fail("expected a denial")
        client.settle()
    assert denied.value.status == status
    if status == 404:
        assert (denied.value.body, denied.value.headers["x-own"]) == (b"not here", "1")
    assert len([record for record in caplog.records if record.exc_info]) == (status == 500)


def test_a_client_that_leaves_before_the_answer_is_a_disconnect() -> None:
    events: list[dict[str, Any]] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        events.append(await receive())
        for event in (ACCEPT, {"type": "websocket.close"}):
            with pytest.raises(OSError, match="1006"):
                await send(event)
            events.append(event)

    async def main() -> None:
        async with AsyncClient(mounted(app)) as client:
            connection = client.connect()
            await connection.send(
                request(
                    "/m/", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                )
            )  # fmt: skip
            await connection.leave()
            await client.settle()
            assert [event["type"] for event in events] == [
                "websocket.disconnect", "websocket.accept", "websocket.close",
            ]  # fmt: skip

    asyncio.run(main())


@pytest.mark.parametrize(
    ("event", "kind", "problem"),
    [
        (
            {"type": "http.response.start"},
            ValueError,
            "expected an event of a WebSocket, got 'http.response.start'",
        ),
        ({"type": "websocket.send"}, ValueError, "expected either text or bytes"),
        ({"type": "websocket.send", "text": "a", "bytes": b"b"}, ValueError, "expected either text or bytes"),
        ({"type": "websocket.send", "text": b"a"}, TypeError, "expected str as text, got bytes"),
        ({"type": "websocket.send", "bytes": "a"}, TypeError, "expected bytes as bytes, got str"),
        ({"type": "websocket.close", "code": 1006}, ValueError, "expected a close code"),
        ({"type": "websocket.accept"}, ExchangeStateError, "expected one accept"),
        ({"type": START, "status": 403}, ExchangeStateError, "expected websocket.http.response.start once"),
        ({"type": BODY}, ExchangeStateError, "expected websocket.http.response.body after"),
    ],
)
def test_what_cannot_be_sent_is_a_clear_error(
    event: dict[str, Any], kind: type[Exception], problem: str
) -> None:
    told: list[bool] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        with pytest.raises(kind, match=problem):
            await send(event)
        told.append(True)

    with Client(mounted(app)) as client, client.websocket("/m/"):
        client.settle()
    assert told == [True]


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        ({"type": "websocket.accept", "subprotocol": "z"}, "expected a subprotocol that was offered"),
        ({"type": "websocket.accept", "headers": [("x", "y")]}, "expected headers as pairs of bytes"),
        ({"type": START, "status": 101, "headers": []}, "expected a final status"),
    ],
)
def test_an_answer_that_cannot_be_given_is_a_clear_error(event: dict[str, Any], problem: str) -> None:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        with pytest.raises((ValueError, TypeError), match=problem):
            await send(event)
        await send(ACCEPT)

    with Client(mounted(app)) as client, client.websocket("/m/") as socket:
        socket.close()
        assert socket.close_code == 1000


def test_a_connection_that_is_no_websocket_stays_http() -> None:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["type"].encode()})

    with Client(mounted(app)) as client:
        assert client.get("/m/", headers={"Upgrade": "h2c", "Connection": "Upgrade"}).body == b"http"


def test_an_application_that_goes_on_after_the_end_is_cancelled_when_the_server_stops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("container.resources.asgi.resource._CANCEL_S", 0.01)
    ends: list[str] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    with Client(mounted(app)) as client, client.websocket("/m/"):
        pass
    assert ends == ["cancelled"]


def test_an_application_that_asks_on_and_on_does_not_keep_the_loop() -> None:
    turns: list[str] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        while (await receive())["type"] != "websocket.disconnect":
            pass
        asyncio.get_running_loop().call_soon(turns.append, "another's")
        await receive()
        turns.append("its own")

    with Client(mounted(app)) as client, client.websocket("/m/"):
        pass
    assert turns == ["another's", "its own"]
