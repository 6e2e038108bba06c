"""Where ASGI servers differ, line by line: what an application and its client see of ours.

| what                                        | ours                                                    |
|---------------------------------------------|---------------------------------------------------------|
| extensions on HTTP/1.1                      | what works, nothing else                                |
| the application returns without an answer   | 500                                                     |
| content beyond Content-Length               | cut off, the connection stays in step                   |
| status 42                                   | 500, the server lives                                   |
| `send()` after the end                      | RuntimeError                                            |
| the client leaves a stream                  | `send()` raises OSError: the application stops          |
| a client that does not read                 | `send()` waits, a few pieces are held                   |
| content cut short                           | `http.disconnect`, never an end                         |
| CL + TE, no Host, two Hosts, bare LF        | 400                                                     |
| a head that never ends                      | 408 after 30 s                                          |
| the client's port                           | a number                                                |
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from container.message.limits import Timeouts
from container.resources.asgi import ASGIResource
from container.testing import Client
from container.tree.site import Site
from tests.conformance.leaves import Stage
from tests.leaf import GET, request

if TYPE_CHECKING:
    from container.tree.resource import Resource
    from tests.conformance.conftest import Tree
    from tests.conformance.leaves import Marks

WORKING: Final = {
    "http.response.trailers",
    "http.response.early_hint",
    "http.response.pathsend",
    "http.response.zerocopysend",
}
TIMEOUTS: Final = Timeouts(head=30)


class App:
    """Behaves, or misbehaves, as its path says; tells the stage what it saw."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        name = scope["path"].strip("/") or "hello"
        marks = self._stage.take()
        marks.call(name)
        await getattr(self, name)(marks, scope, receive, send)

    async def hello(self, marks: Marks, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await self.answer(send, b"ok")

    async def tell(self, marks: Marks, scope: dict[str, Any], receive: Any, send: Any) -> None:
        told = {"extensions": list(scope["extensions"]), "client": scope["client"]}
        await self.answer(send, json.dumps(told).encode())

    async def answer(self, send: Any, body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def nothing(self, marks: Marks, scope: dict[str, Any], receive: Any, send: Any) -> None:
        pass

    async def long(self, marks: Marks, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await self.answer(send, b"01234EXCESS", (b"content-length", b"5"))

    async def status(self, marks: Marks, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await self.answer(send, b"", status=42)

    async def again(self, marks: Marks, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await self.answer(send, b"ok")
        try:
            await send({"type": "http.response.body", "body": b"more"})
        except RuntimeError as error:
            marks.note(type(error).__name__)

    async def stream(self, marks: Marks, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        try:
            while True:
                await send({"type": "http.response.body", "body": marks.make(), "more_body": True})
        except OSError:
            marks.leave()

    async def upload(self, marks: Marks, scope: dict[str, Any], receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            marks.note(message["type"])
            if message["type"] == "http.disconnect" or not message["more_body"]:
                return


def make_tree(stage: Stage) -> Resource:
    return Site(ASGIResource(App(stage), lifespan="off"), timeouts=TIMEOUTS)


@pytest.fixture
def client(tree: Tree, marks: Marks) -> Client:
    return tree.client


def test_extensions(client: Client) -> None:
    assert set(client.get("/tell").json()["extensions"]) <= WORKING


def test_no_answer(client: Client) -> None:
    assert client.get("/nothing").status == 500


def test_content_beyond_its_length(client: Client) -> None:
    answers = client.send_raw(request("/long") + GET).responses
    assert [answer.body for answer in answers] == [b"01234", b"ok"]


def test_a_status_that_is_none(client: Client) -> None:
    answers = client.send_raw(request("/status") + GET).responses
    assert [answer.status for answer in answers] == [500, 200]


def test_send_after_the_end(marks: Marks, client: Client) -> None:
    assert client.get("/again").body == b"ok"
    client.wait_until(lambda: marks.notes == ["RuntimeError"])


def test_the_client_leaves_a_stream(marks: Marks, client: Client) -> None:
    connection = client.connect()
    connection.transport.hold()
    connection.send(request("/stream"))
    client.wait_until(marks.called.is_set)
    connection.transport.reset()
    client.wait_until(marks.left.is_set)


def test_a_client_that_does_not_read(tree: Tree, marks: Marks, client: Client) -> None:
    connection = client.connect()
    connection.transport.hold()
    connection.send(request("/stream"))
    if tree.host is None:
        client.settle()
        assert 0 < marks.made <= 3
    else:
        marks.stall()  # what kernels hold is in between
    assert not marks.left.is_set()
    connection.transport.reset()
    client.wait_until(marks.left.is_set)


def test_content_cut_short(marks: Marks, client: Client) -> None:
    connection = client.connect()
    connection.send(request("/upload", "Content-Length: 100", method="POST") + b"12345")
    connection.leave()
    client.wait_until(lambda: marks.notes[-1:] == ["http.disconnect"])


@pytest.mark.parametrize(
    "sent",
    [
        request("/", "Content-Length: 5", "Transfer-Encoding: chunked", method="POST") + b"0\r\n\r\n",
        request(host=None),
        request("/", "Host: b"),
        b"GET / HTTP/1.1\nHost: a\n\n",
    ],
    ids=["CL+TE", "no Host", "two Hosts", "bare LF"],
)
def test_what_is_ambiguous(sent: bytes, marks: Marks, client: Client) -> None:
    raw = client.send_raw(sent)
    assert [answer.status for answer in raw.responses] == [400]
    assert raw.closed
    assert marks.calls == []


def test_a_head_that_never_ends() -> None:
    """In memory, where time can be told to pass; test_channel.py waits for shorter ones under gunicorn too."""
    with Client(make_tree(Stage())) as client:
        connection = client.connect()
        connection.send(b"GET / HTTP/1.1\r\nHost:")
        client.clock.advance(29)
        assert not connection.closed
        client.clock.advance(3)
        assert connection.receive().status == 408


def test_the_client_s_port(client: Client) -> None:
    host, port = client.get("/tell").json()["client"]
    assert host == "127.0.0.1"
    assert type(port) is int
    assert port > 1023


def test_the_loop_goes_on_whatever_an_application_does(client: Client) -> None:
    for path in ("/nothing", "/status", "/again", "/missing"):
        client.get(path)
    assert client.get("/").body == b"ok"
