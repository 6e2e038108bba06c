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

from typing import TYPE_CHECKING, Any

import pytest

from container.message.limits import Timeouts
from container.resources.asgi import ASGIResource
from container.testing import Client
from container.tree.site import Site
from tests.leaf import GET, request

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKING = {
    "http.response.trailers",
    "http.response.early_hint",
    "http.response.pathsend",
    "http.response.zerocopysend",
}


class App:
    """Behaves, or misbehaves, as its path says; `log` is what it saw."""

    def __init__(self) -> None:
        self.log: list[Any] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await getattr(self, scope["path"].strip("/") or "tell")(scope, receive, send)

    async def tell(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.log.append(scope)
        await self.answer(send, b"ok")

    async def answer(self, send: Any, body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def nothing(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        pass

    async def long(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await self.answer(send, b"01234EXCESS", (b"content-length", b"5"))

    async def status(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await self.answer(send, b"", status=42)

    async def again(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await self.answer(send, b"ok")
        try:
            await send({"type": "http.response.body", "body": b"more"})
        except RuntimeError as error:
            self.log.append(error)

    async def stream(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
                self.log.append(len(self.log))
        except OSError as error:
            self.log.append(error)

    async def upload(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            self.log.append(message["type"])
            if message["type"] == "http.disconnect" or not message["more_body"]:
                return


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def client(app: App) -> Iterator[Client]:
    site = Site(ASGIResource(app, lifespan="off"), timeouts=Timeouts(head=30))
    with Client(site) as client:
        yield client


def test_extensions(app: App, client: Client) -> None:
    client.get("/")
    assert set(app.log[0]["extensions"]) <= WORKING


def test_no_answer(client: Client) -> None:
    assert client.get("/nothing").status == 500


def test_content_beyond_its_length(client: Client) -> None:
    answers = client.send_raw(request("/long") + GET).responses
    assert [answer.body for answer in answers] == [b"01234", b"ok"]


def test_a_status_that_is_none(client: Client) -> None:
    answers = client.send_raw(request("/status") + GET).responses
    assert [answer.status for answer in answers] == [500, 200]


def test_send_after_the_end(app: App, client: Client) -> None:
    assert client.get("/again").body == b"ok"
    client.settle()
    assert [type(entry) for entry in app.log] == [RuntimeError]


def test_the_client_leaves_a_stream(app: App, client: Client) -> None:
    connection = client.connect()
    connection.transport.hold()
    connection.send(request("/stream"))
    connection.transport.reset()
    client.wait_until(lambda: app.log and isinstance(app.log[-1], OSError))


def test_a_client_that_does_not_read(app: App, client: Client) -> None:
    connection = client.connect()
    connection.transport.hold()
    connection.send(request("/stream"))
    client.settle()
    assert len(app.log) <= 3
    connection.transport.reset()


def test_content_cut_short(app: App, client: Client) -> None:
    connection = client.connect()
    connection.send(request("/upload", "Content-Length: 100", method="POST") + b"12345")
    connection.leave()
    client.wait_until(lambda: app.log and app.log[-1] == "http.disconnect")


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
def test_what_is_ambiguous(sent: bytes, app: App, client: Client) -> None:
    raw = client.send_raw(sent)
    assert [answer.status for answer in raw.responses] == [400]
    assert raw.closed
    assert app.log == []


def test_a_head_that_never_ends(client: Client) -> None:
    connection = client.connect()
    connection.send(b"GET / HTTP/1.1\r\nHost:")
    client.clock.advance(29)
    assert not connection.closed
    client.clock.advance(3)
    assert connection.receive().status == 408


def test_the_client_s_port(app: App, client: Client) -> None:
    client.get("/")
    assert app.log[0]["client"] == ("127.0.0.1", 50000)
    assert type(app.log[0]["client"][1]) is int


def test_the_loop_goes_on_whatever_an_application_does(client: Client) -> None:
    for path in ("/nothing", "/status", "/again", "/missing"):
        client.get(path)
    assert client.get("/").body == b"ok"
