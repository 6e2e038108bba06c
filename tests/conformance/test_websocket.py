"""WebSocket over sockets: every kind of resource, at the root and below, on every loop (CH-20, AS-05).

The table of `tests/websocket_cases.py` byte for byte, then a client that others wrote.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import ClientConnection, connect

from container.message.websocket import WebSocketOptions
from container.resources.asgi import ASGIResource
from container.resources.data import Data
from container.resources.websocket import WebSocketResource
from container.tree.resource import Resource
from container.tree.site import Site
from tests.conformance.board import Board
from tests.conformance.client import PATIENCE_S, Client
from tests.conformance.conftest import (
    DEPTHS,
    LOOPS,
    SERVERS,
    WORKERS,
    Place,
    gunicorn,
    path_of,
    proxy_to,
    running,
    site_for,
)
from tests.leaf import request
from tests.websocket_cases import CASES, END, Case, check, server_frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from container.message.websocket import WebSocket

OPTIONS: Final = WebSocketOptions(max_message=1 << 20)
HANDSHAKE: Final = (
    "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def native(socket: WebSocket) -> None:
    """An echo that takes the last subprotocol offered."""
    await socket.accept(socket.subprotocols[-1] if socket.subprotocols else None, {"X-Kind": "native"})
    async for message in socket:
        await socket.send(message)


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The same as an ASGI application."""
    assert scope["type"] == "websocket"
    assert (await receive())["type"] == "websocket.connect"
    subprotocol = scope["subprotocols"][-1] if scope["subprotocols"] else None
    await send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": [(b"x-kind", b"asgi")]})
    while (message := await receive())["type"] == "websocket.receive":
        await send(message | {"type": "websocket.send"})


KINDS: Final = {
    "native": lambda: WebSocketResource(native, options=OPTIONS),
    "asgi": lambda: ASGIResource(asgi, lifespan="off", websocket=OPTIONS),
}


@dataclass
class Echo:
    """An echo of some kind that is served at some path."""

    kind: str
    path: str
    port: int

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}{self.path}"

    def connect(self, **options: Any) -> ClientConnection:
        return connect(self.url, close_timeout=PATIENCE_S, max_size=None, **options)

    def answer(self, case: Case, *, early: bool = False) -> bytes:
        """What comes back on a connection of its own, its handshake taken off; with `early`, frames are sent
        together with it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as sock:
            body = case.sent.removesuffix(END)
            sock.sendall(HANDSHAKE.format(path=self.path).encode() + (body if early else b""))
            data = b""
            while b"\r\n\r\n" not in data:
                data += sock.recv(65536)
            head, _, data = data.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 ")
            sock.sendall(b"" if early else body)
            if body != case.sent:
                expected = len(case.echoes) + len(case.pongs)
                while not _has(data, expected):
                    data += sock.recv(262_144)
                sock.sendall(END)
            while more := sock.recv(262_144):
                data += more
            return data


def _has(data: bytes, count: int) -> bool:
    try:
        return len(server_frames(data)) >= count
    except (AssertionError, IndexError):
        return False


@pytest.fixture(scope="module", params=SERVERS)
def places(request: pytest.FixtureRequest) -> Iterator[dict[Any, Place]]:
    keys = [(kind, depth) for kind in [*KINDS, "proxied"] for depth in DEPTHS]
    with running(
        LOOPS[0] if request.param in WORKERS else request.param, {"": Site(KINDS["native"]())}
    ) as behind:
        if request.param in WORKERS:
            with gunicorn(request.param, Board({}), {"ws": behind[""]}) as host:
                yield {key: Place(host.port, path_of(*key, "/ws")) for key in keys} | {
                    ("plain", ""): Place(host.port, "/plain")
                }
            return
        sites = {key: site_for(leaf_of(key[0], behind[""]), key[1]) for key in keys}
        sites["plain", ""] = site_for(Data("hello", "text/plain"), "")
        with running(request.param, sites) as ports:
            yield {key: Place(port, key[1]) for key, port in ports.items()}


def leaf_of(kind: str, behind: int) -> Resource:
    """An echo of `kind`; one that is asked by a proxy listens at `behind`."""
    return KINDS[kind]() if kind in KINDS else proxy_to(behind)


@pytest.fixture(
    params=[(kind, depth) for kind in [*KINDS, "proxied"] for depth in DEPTHS],
    ids=lambda key: f"{key[0]}:{key[1]}/",
)
def echo(request: pytest.FixtureRequest, places: dict[Any, Place]) -> Echo:
    kind, _ = request.param
    place = places[request.param]
    return Echo(kind, f"{place.path}/ws" if kind == "asgi" or place.path else "/", place.port)


def test_an_echo_answers_as_the_table_says(echo: Echo) -> None:
    """AS-05: framing, control frames, reserved bits, fragments, UTF-8, closing; each on its own connection."""
    wrong = {}
    for case in CASES:
        try:
            check(case, echo.answer(case), messages=case.sent.endswith(END))
        except AssertionError as error:
            wrong[case.name] = error
    assert wrong == {}


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages_of_every_size_come_back(echo: Echo, compression: str | None) -> None:
    with echo.connect(compression=compression) as client:
        for size in (0, 1, 125, 126, 127, 511, 512, 65535, 65536, 65537, 1 << 20):
            for message in ("€" * (size // 3), bytes(size), b"\xfe" * size):
                client.send(message)
                assert client.recv(PATIENCE_S) == message
    assert client.protocol.close_code == 1000


def test_messages_in_fragments_come_back_whole(echo: Echo) -> None:
    with echo.connect() as client:
        client.send(["frag", "", "ment"])
        assert client.recv(PATIENCE_S) == "fragment"
        client.send(iter([b"a" * 100_000] * 5))
        assert client.recv(PATIENCE_S) == b"a" * 500_000


@pytest.mark.parametrize(
    "parameters",
    [
        {"client_max_window_bits": None},
        {"client_max_window_bits": 9, "server_max_window_bits": 9},
        {"client_max_window_bits": 15, "server_max_window_bits": 15},
        {"server_no_context_takeover": True},
        {"client_no_context_takeover": True},
        {
            "server_no_context_takeover": True,
            "client_no_context_takeover": True,
            "server_max_window_bits": 10,
        },
    ],
)
def test_compression_with_any_parameters(echo: Echo, parameters: dict[str, Any]) -> None:
    """RFC 7692 7.1: many messages, so that contexts matter."""
    offer = ClientPerMessageDeflateFactory(**parameters)
    with echo.connect(compression=None, extensions=[offer]) as client:
        assert [extension.name for extension in client.protocol.extensions] == ["permessage-deflate"]
        for number in range(50):
            message = f"{number} and many more " * (number * 10)
            client.send(message)
            assert client.recv(PATIENCE_S) == message


def test_pings_are_answered(echo: Echo) -> None:
    with echo.connect() as client:
        assert client.ping(b"x" * 125).wait(PATIENCE_S)


def test_subprotocol_and_fields_of_the_answer(echo: Echo) -> None:
    with echo.connect(subprotocols=["one", "two"]) as client:
        assert client.subprotocol == "two"
        assert client.response is not None
        assert client.response.headers["X-Kind"] == ("asgi" if echo.kind == "asgi" else "native")


def test_what_is_too_big_is_closed_with_1009(echo: Echo) -> None:
    with echo.connect(compression=None) as client:
        client.send(bytes((1 << 20) + 1))
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE_S)
    assert client.protocol.close_code == 1009


def test_another_version_is_refused_with_ours(echo: Echo) -> None:
    """RFC 6455 4.4, RFC 9110 15.5.22."""
    with Client(echo.port) as client:
        client.send(HANDSHAKE.format(path=echo.path).replace("13", "8").encode())
        response = client.response()
    assert response.status == 426
    assert (response.headers["sec-websocket-version"], response.headers["upgrade"]) == ("13", "websocket")
    assert response.headers["connection"] == "Upgrade"


def test_a_native_one_asks_for_an_upgrade(places: dict[Any, Place]) -> None:
    place = places["native", ""]
    with Client(place.port) as client:
        for _ in range(2):
            client.send(request(place.path or "/"))
            response = client.response()
            assert (response.status, response.headers["upgrade"]) == (426, "websocket")
        client.send(request(place.path or "/", "Connection: close"))
        assert client.response().headers["connection"] == "close, Upgrade"


def test_a_plain_resource_ignores_an_upgrade(places: dict[Any, Place]) -> None:
    """CH-20: the answer is that of a request without it, and the connection goes on."""
    place = places["plain", ""]
    with Client(place.port) as client:
        for _ in range(2):
            client.send(HANDSHAKE.format(path=place.path or "/").encode())
            response = client.response()
            assert (response.status, response.body) == (200, b"hello")
            assert "upgrade" not in response.headers
    with pytest.raises(InvalidStatus):
        connect(f"ws://127.0.0.1:{place.port}{place.path}/")


@pytest.mark.parametrize("case", [CASES[2], CASES[8], CASES[14]], ids=lambda case: case.name)
def test_a_frame_right_behind_the_handshake_is_read(echo: Echo, case: Case) -> None:
    check(case, echo.answer(case, early=True))


def test_a_handshake_with_content_is_refused(echo: Echo) -> None:
    """What follows a head that upgrades must not be taken for content here and for frames there."""
    with Client(echo.port) as client:
        head = HANDSHAKE.format(path=echo.path).replace("Host: a", "Host: a\r\nContent-Length: 5")
        client.send(head.encode() + b"hello")
        # A proxy passes on a request with content, and nothing else.
        assert client.response().status == (426 if echo.kind == "proxied" else 400)
