"""WebSocketResource: what may be given to it, and how it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from container import Resource, Site, WebSocketOptions, WebSocketResource
from container.testing import Client
from container.testing.websocket import WebSocketDenied

if TYPE_CHECKING:
    from container import WebSocket


class Shout(WebSocketResource):
    """A subclass with a method of its own."""

    options = WebSocketOptions(max_message=10)
    origins = frozenset({"https://a.example"})

    async def websocket(self, socket: WebSocket) -> None:
        await socket.accept()
        async for message in socket:
            assert isinstance(message, str)
            await socket.send(message.upper())


def test_a_subclass_serves_with_its_method_and_its_options() -> None:
    """CH-20: at any mount point, and below it."""
    root = Resource()
    root.mount("m/ws", Shout())
    with Client(Site(root), headers={"Origin": "https://a.example"}) as client:
        for path in ("/m/ws", "/m/ws/below"):
            with client.websocket(path) as socket:
                socket.send("hello")
                assert socket.receive() == "HELLO"
        with client.websocket("/m/ws") as socket:
            socket.send("x" * 11)
            client.settle()
            assert socket.close_code == 1009


def test_other_requests_are_told_to_upgrade() -> None:
    with Client(Site(Shout())) as client:
        for method in ("GET", "POST", "HEAD"):
            response = client.request(method, "/")
            assert (response.status, response.headers["Upgrade"]) == (426, "websocket")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"handler": 1}, "expected a coroutine function that serves a WebSocket, got 1"),
        ({"origins": "https://a.example"}, "expected a list of origins, got the text"),
    ],
)
def test_what_makes_no_resource_is_an_error(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        WebSocketResource(**arguments)


def test_without_a_handler_it_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    with Client(Site(WebSocketResource())) as client:
        with pytest.raises(WebSocketDenied, match="got 500"), client.websocket("/"):
            pytest.fail("expected a denial")
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [NotImplementedError]
