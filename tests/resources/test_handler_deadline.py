"""Deadlines of handlers, and what becomes of their threads: the rest of it is test_wsgi_deadline.py's."""

from __future__ import annotations

import http.server
import threading
from typing import TYPE_CHECKING, Any

import pytest

from container.resources.handler import HandlerResource
from container.testing import Client
from tests.leaf import request

if TYPE_CHECKING:
    from collections.abc import Iterator

SOON = 0.05
NEVER = 30.0


class Stuck:
    """A class of handlers that wait at a gate, and what became of them."""

    def __init__(self, timeout: float, threads: int = 1) -> None:
        self.gate = threading.Event()
        self.begun: list[str] = []
        self.raised: list[OSError] = []
        self.resource = HandlerResource(self.make, threads=threads, request_timeout=timeout)
        self.resource.pool.name = f"stuck-{id(self)}"

    def make(self, *arguments: Any) -> http.server.BaseHTTPRequestHandler:
        test = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                test.begun.append(self.path)
                try:
                    if self.path == "/begun":
                        self.answer()
                        self.wfile.write(b"begun")
                    if self.path in ("/stuck", "/begun"):
                        test.linger_here()
                    if self.path != "/begun":
                        self.answer()
                    while self.path == "/endless":
                        self.wfile.write(b"x" * 50_000)
                    self.wfile.write(b"done")
                except OSError as error:
                    test.raised.append(error)
                    raise

            def answer(self) -> None:
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:
                """Nothing."""

        return Handler(*arguments)

    def linger_here(self) -> None:
        assert self.gate.wait(30)

    @property
    def threads(self) -> int:
        name = f"{self.resource.pool.name}-"
        return sum(thread.name.startswith(name) for thread in threading.enumerate())


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    stuck = Stuck(SOON)
    yield stuck
    stuck.gate.set()


def test_a_handler_that_takes_too_long_is_answered_for(
    stuck: Stuck, caplog: pytest.LogCaptureFixture
) -> None:
    """PY-02, and as WSGI applications are: 504 at once, the stack in the log, another thread; its pipe is broken."""
    with Client(stuck.resource) as client:
        connection = client.connect()
        connection.send(request("/stuck"))
        answer = connection.receive()
        assert (answer.status, answer.complete) == (504, True)
        assert "took longer than 0.05 s" in caplog.text
        assert "linger_here" in caplog.text
        connection.send(request("/x"))
        assert connection.receive().text == "done"
        assert stuck.threads == 2
        stuck.gate.set()
        client.wait_until(lambda: stuck.threads == 1, "the end of the thread that was stuck")
        assert [type(error) for error in stuck.raised] == [BrokenPipeError]
        assert client.get("/x").text == "done"
    assert caplog.text.count("ERROR") == 1


def test_an_answer_that_has_begun_is_cut(stuck: Stuck) -> None:
    with Client(stuck.resource) as client:
        with client.stream("GET", "/begun") as stream:
            assert b"".join(stream) == b"begun"
        assert not stream.complete
        stuck.gate.set()
        client.wait_until(lambda: stuck.threads == 1)


def test_a_handler_whose_client_takes_nothing_is_released(stuck: Stuck) -> None:
    with Client(stuck.resource) as client:
        connection = client.connect()
        connection.transport.hold()
        connection.send(request("/endless"))
        client.wait_until(lambda: stuck.raised)
        client.wait_until(lambda: stuck.threads == 1)


def test_one_that_waits_too_long_for_a_thread_never_runs(caplog: pytest.LogCaptureFixture) -> None:
    stuck = Stuck(NEVER)

    async def expire() -> None:
        for call in stuck.resource.deadlines.watched:
            assert call.deadline is not None
            call.deadline.at = 0.0
        stuck.resource.deadlines.check()

    with Client(stuck.resource) as client:
        first, second = client.connect(), client.connect()
        first.send(request("/stuck"))
        client.wait_until(lambda: stuck.begun)
        second.send(request("/second"))
        client.settle()
        client._run(expire())
        assert [first.receive().status, second.receive().status] == [504, 504]
        assert client.get("/x").text == "done"
        stuck.gate.set()
        client.wait_until(lambda: stuck.threads == 1)
    assert "waited longer than 30 s for a thread" in caplog.text
    assert stuck.begun == ["/stuck", "/x"]


def test_in_time_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    stuck = Stuck(NEVER, threads=2)
    with Client(stuck.resource) as client:
        assert [client.get("/x").text for _ in range(3)] == ["done"] * 3
        assert not stuck.resource.deadlines.watched
    assert not caplog.records


def test_a_thread_stuck_for_a_client_that_left_is_replaced(
    stuck: Stuck, caplog: pytest.LogCaptureFixture
) -> None:
    with Client(stuck.resource) as client:
        connection = client.connect()
        connection.send(request("/stuck"))
        client.wait_until(lambda: stuck.begun)
        connection.transport.reset()
        client.wait_until(lambda: "took longer" in caplog.text)
        assert client.get("/x").text == "done"
        stuck.gate.set()
        client.wait_until(lambda: stuck.threads == 1)
