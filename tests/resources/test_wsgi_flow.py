"""Applications and clients of different speed: back-pressure, and clients that leave."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from container.resources.wsgi import WSGIResource
from container.resources.wsgi import call as module
from container.testing import Client
from tests.leaf import GET, request

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = b"x" * 16_384


class Endless:
    """An application that yields for ever, paced by a semaphore if there is one; notes how it ended."""

    def __init__(self, pace: threading.Semaphore | None = None, *, uses_write: bool = False) -> None:
        self.pace = pace
        self.uses_write = uses_write
        self.made = self.closed = 0
        self.error: BaseException | None = None
        self.ended = threading.Event()

    def __call__(self, environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [])
        if not self.uses_write:
            return self
        try:
            for piece in self:
                write(piece)
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.close()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            if self.pace is not None:
                assert self.pace.acquire(timeout=10)
            self.made += 1
            yield PIECE

    def close(self) -> None:
        self.closed += 1
        self.ended.set()


def standing_still(client: Client, app: Endless) -> int:
    """How many pieces were made when no more were."""
    seen: list[int] = []

    def is_still() -> bool:
        seen.append(app.made)
        return len(seen) > 30 and len(set(seen[-30:])) == 1

    client.wait_until(is_still)
    return seen[-1]


BOTH = pytest.mark.parametrize("uses_write", [False, True])


# Back-pressure.


@BOTH
def test_an_application_waits_while_the_client_does_not_read(uses_write: bool) -> None:
    app = Endless(uses_write=uses_write)
    resource = WSGIResource(app, threads=1)
    with Client(resource) as client:
        connection = client.connect()
        connection.transport.hold()
        connection.send(GET)
        client.wait_until(lambda: app.made * len(PIECE) > module.WINDOW)
        made = standing_still(client, app)
        assert made * len(PIECE) < 500_000
        connection.transport.release()
        client.wait_until(lambda: connection.data and app.made > made + 20)
        connection.transport.reset()
        client.settle()
        assert app.ended.wait(5)
    assert app.closed == 1


def test_a_slow_application_does_not_write_ahead_of_a_client_that_does_not_read() -> None:
    pace = threading.Semaphore(0)
    app = Endless(pace)
    with Client(WSGIResource(app, threads=1)) as client:
        connection = client.connect()
        connection.transport.hold()
        connection.send(GET)
        # One piece at a time, each delivered before the next is made: the pieces never meet in the thread.
        for made in range(1, 100):
            pace.release()
            client.wait_until(lambda made=made: app.made >= made or app.made * len(PIECE) > module.WINDOW)
            client.settle()
        bound = module.WINDOW + 3 * 64 * 1024
        assert connection.transport.get_write_buffer_size() < bound
        assert app.made * len(PIECE) < 2 * bound
        connection.transport.release()
        client.wait_until(lambda: connection.data and app.made > 50)
        connection.transport.reset()
        for _ in range(100):
            pace.release()
        client.settle()
        assert app.ended.wait(5)


def test_an_application_that_ended_meanwhile_is_sent_to_its_end() -> None:
    ended = threading.Event()

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"x" * 100_000
        yield b"y" * 20_000
        ended.set()

    with Client(WSGIResource(app, threads=1)) as client:
        connection = client.connect()
        connection.transport.hold()
        connection.send(GET)
        client.wait_until(ended.is_set)
        client.settle()
        connection.transport.release()
        got = connection.receive()
    assert (len(got.body), got.complete) == (120_000, True)


def test_an_application_that_failed_meanwhile_cuts_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    failed = threading.Event()

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            yield b"x" * 100_000
            yield b"y" * 20_000
            raise ValueError("secret")
        finally:
            failed.set()

    with Client(WSGIResource(app, threads=1)) as client:
        connection = client.connect()
        connection.transport.hold()
        connection.send(GET)
        client.wait_until(failed.is_set)
        client.settle()
        connection.transport.release()
        got = connection.receive()
    assert (len(got.body), got.complete) == (120_000, False)
    assert caplog.text.count("Traceback") == 1


# Clients that leave.


@BOTH
@pytest.mark.parametrize("is_held", [False, True])
def test_an_application_stops_soon_after_its_client_has_left(
    uses_write: bool, is_held: bool, caplog: pytest.LogCaptureFixture
) -> None:
    app = Endless(uses_write=uses_write)
    with Client(WSGIResource(app, threads=1)) as client:
        connection = client.connect()
        if is_held:
            connection.transport.hold()
        connection.send(GET)
        client.wait_until(lambda: app.made > 3)
        connection.transport.reset()
        client.settle()
        assert app.ended.wait(5)
        if uses_write:
            assert type(app.error).__name__ == "ClientDisconnected"
    assert app.closed == 1
    assert not caplog.records


def test_an_application_can_ask_whether_its_client_has_left() -> None:
    asked: list[bool] = []
    gate, done = threading.Event(), threading.Event()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        asked.append(environ["container.client_disconnected"]())
        gate.wait(5)
        asked.append(environ["container.client_disconnected"]())
        start_response("200 OK", [])
        done.set()
        return [b"late"]

    with Client(WSGIResource(app, threads=1)) as client:
        connection = client.connect()
        connection.send(GET)
        client.wait_until(lambda: asked)
        connection.send_eof()
        gate.set()
        assert connection.receive().body == b"late"
        assert done.wait(5)
    assert asked == [False, True]


def test_an_error_after_the_client_has_left_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    gate, begun = threading.Event(), threading.Event()

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        if environ["PATH_INFO"] == "/begun":
            yield b"begun"
        begun.set()
        gate.wait(5)
        raise ValueError("secret")

    for path in ("/", "/begun"):
        gate.clear()
        begun.clear()
        with Client(WSGIResource(app, threads=1)) as client:
            connection = client.connect()
            connection.send(request(path))
            client.wait_until(begun.is_set)
            connection.transport.reset()
            client.settle()
            gate.set()
            client.wait_until(lambda: "secret" in caplog.text)
        caplog.clear()


def test_the_requests_of_clients_that_left_are_not_run() -> None:
    gate = threading.Event()
    ran: list[str] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        ran.append(environ["PATH_INFO"])
        gate.wait(5)
        start_response("200 OK", [])
        return [b"x"]

    with Client(WSGIResource(app, threads=1)) as client:
        first, second, third = (client.connect() for _ in range(3))
        first.send(request("/1"))
        client.wait_until(lambda: ran)
        second.send(request("/2"))
        third.send(request("/3"))
        second.transport.reset()
        client.settle()
        gate.set()
        assert third.receive().status == 200
    assert ran == ["/1", "/3"]
