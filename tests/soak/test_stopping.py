"""Stopping a server that is busy: it always ends, what was asked is answered, nothing is left behind."""

from __future__ import annotations

import http.client
import math
import select
import signal
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import pytest

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from tests.soak.conftest import Server

    Start = Callable[..., Server]
    Eventually = Callable[..., bool]

pytestmark = pytest.mark.soak

ROUNDS = 20
MIB = 1 << 20
# What is asked, in turn, and how long the answer is.
SIZES = {"/": 2, "/wait/5": 6, "/wait/50": 6, "/stream/1": MIB, "/stream/3": 3 * MIB, "/digest": 71}
PATHS = list(SIZES)


def is_closed(sock: socket.socket) -> bool:
    """Is there something to read on an idle connection? Then it is its end."""
    return bool(select.select([sock], [], [], 0)[0])


class Load:
    """Clients that ask one request after the other, until nobody accepts connections any more.

    A persistent client uses a connection as long as the server keeps it, and notices before the next request,
    as all clients do, when it was closed while it was idle.

    `lost` tells of every request that was sent and not answered whole. Who connects after `stopping_at` may
    come in the moment between the last accept() and close(): the kernel then resets the connection, unasked.
    Those are only counted, as `turned_away`.
    """

    def __init__(self, server: Server, *, persistent: int, single: int) -> None:
        self.answered = 0
        self.lost: list[str] = []
        self.turned_away = 0
        self.stopping_at = math.inf
        self._server = server
        self._over = threading.Event()
        self._lock = threading.Lock()
        kinds = [True] * persistent + [False] * single
        self._threads = [
            threading.Thread(target=self._ask, args=(number, kind)) for number, kind in enumerate(kinds)
        ]

    def _ask(self, number: int, persistent: bool) -> None:
        server = self._server
        while not self._over.is_set():
            connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
            try:
                connection.connect()
            except OSError:  # refused, or reset before anything was asked
                return
            late, path = time.monotonic() > self.stopping_at, ""
            try:
                while (
                    connection.sock is not None and not self._over.is_set() and not is_closed(connection.sock)
                ):
                    path = PATHS[number % len(PATHS)]
                    number += 1
                    self._exchange(connection, path, persistent)
                    late = False
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    if late and isinstance(error, ConnectionError):
                        self.turned_away += 1
                    else:
                        self.lost.append(f"{path} {'again' if persistent else 'once'}: {error!r}")
            finally:
                connection.close()

    def _exchange(self, connection: http.client.HTTPConnection, path: str, persistent: bool) -> None:
        fields = {} if persistent else {"Connection": "close"}
        if path == "/digest":
            connection.request("POST", path, body=b"x" * 100_000, headers=fields)
        else:
            connection.request("GET", path, headers=fields)
        response = connection.getresponse()
        content = response.read()
        if response.status != 200 or len(content) != SIZES[path]:
            self.lost.append(f"{path}: {response.status}, {len(content)} bytes")
        with self._lock:
            self.answered += 1

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("workers", [1, 2])
def test_no_request_in_flight_is_lost_when_a_busy_server_is_told_to_stop(
    start: Start, eventually: Eventually, workers: int
) -> None:
    turned_away = 0
    for number in range(ROUNDS):
        server = start("--workers", workers)
        with Load(server, persistent=8, single=4) as load:
            assert eventually(lambda: load.answered > 50 + 7 * number)  # noqa: B023  # asked before the next round
            load.stopping_at = time.monotonic()
            assert server.end(signal.SIGTERM) == 0, server.log
        assert load.lost == []
        turned_away += load.turned_away
        assert server.leftovers() == []
        assert not any("ERROR" in line or "Traceback" in line for line in server.log), server.log
    assert turned_away <= ROUNDS


def hang_on(server: Server, stack: ExitStack) -> None:
    """Clients that would hold the server for ever: each stops in another place."""
    body = server.head("/digest", method="POST", fields="Content-Length: 1000000\r\n")
    for opening in (
        b"",
        b"GET / HT",
        server.head("/")[:-2],
        body,
        body + b"x" * 500_000,
        server.head("/stream/100"),  # and reads nothing of it
        server.head("/wait/300"),
        server.head("/") * 100,
    ):
        sock = stack.enter_context(server.connect(receive_buffer=64 * 1024))
        sock.sendall(opening)


def test_a_busy_server_always_ends_whoever_hangs_on(start: Start, eventually: Eventually) -> None:
    """Asked by either signal, once or twice, right after its start or later; 130 and 143 tell of a second."""
    for number in range(ROUNDS):
        asked = signal.SIGINT if number % 2 else signal.SIGTERM
        twice = number % 4 >= 2
        server = start("--graceful-timeout", "1")
        with ExitStack() as stack:
            hang_on(server, stack)
            load = stack.enter_context(Load(server, persistent=4, single=4))
            assert eventually(lambda: load.answered >= 5 * number)  # noqa: B023  # asked before the next round
            began = time.monotonic()
            code = server.end(*[asked] * (2 if twice else 1))
            assert time.monotonic() - began < 30
        assert code in ({0, 128 + asked} if twice else {0}), server.log
        assert server.leftovers() == []
