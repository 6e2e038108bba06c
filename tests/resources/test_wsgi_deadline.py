"""Deadlines of requests: the answer at once, the stack in the log, and a pool that keeps its size."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from container.resources.deadlines import stack_of
from container.resources.wsgi import WSGIResource
from container.testing import Client
from tests.leaf import GET, request

if TYPE_CHECKING:
    from collections.abc import Iterator

# Real seconds: deadlines of applications go by the loop's own clock.
SOON = 0.05
NEVER = 30.0


class App:
    """Waits at a gate where its path says so."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun: list[str] = []
        self.closed = 0
        self.ended = 0
        self.errors: list[BaseException] = []

    def __call__(self, environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        self.begun.append(path)
        if path == "/stuck":
            self.linger_here()
        start_response("200 OK", [])
        if path == "/stream":
            return self.stream()
        self.ended += 1
        return [b"x"]

    def linger_here(self) -> None:
        assert self.gate.wait(10)

    def stream(self) -> Iterator[bytes]:
        try:
            yield b"begun"
            self.linger_here()
            yield b"late"
        except BaseException as error:
            self.errors.append(error)
            raise
        finally:
            self.closed += 1


def workers(resource: WSGIResource) -> int:
    return sum(thread.name.startswith(f"{resource.pool.name}-") for thread in threading.enumerate())


def make(app: Any, threads: int = 2, timeout: float = SOON) -> WSGIResource:
    resource = WSGIResource(app, threads=threads, request_timeout=timeout)
    resource.pool.name = f"deadline-{id(app)}"
    return resource


def expire(client: Client, resource: WSGIResource) -> None:
    """Let the deadlines of all requests pass."""

    async def pass_by() -> None:
        for call in resource.deadlines.watched:
            call.deadline.at = 0.0
        resource.deadlines.check()

    client._run(pass_by())


def test_an_application_that_takes_too_long_is_answered_for(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    resource = make(app)
    with Client(resource) as client:
        connection = client.connect()
        connection.send(request("/stuck"))
        got = connection.receive()
        assert (got.status, got.complete) == (504, True)
        assert "took too long" in got.text
        record = caplog.records[0]
        assert "GET /stuck HTTP/1.1> took longer than 0.05 s" in record.getMessage()
        assert "linger_here" in record.getMessage()
        assert client.get("/").status == 200  # by another thread
        assert workers(resource) == 3
        app.gate.set()
        client.wait_until(lambda: workers(resource) == 2, "the stuck thread to end")
        assert client.get("/").status == 200
    assert workers(resource) == 0
    assert len(caplog.records) == 1


def test_where_the_system_has_no_more_threads_the_stuck_ones_go_on_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every client gets its answer, and the pool is as large as before."""
    app = App()
    resource = make(app, timeout=NEVER)
    with Client(resource) as client:
        stuck = [client.connect() for _ in range(3)]
        for connection in stuck:
            connection.send(request("/stuck"))
        client.wait_until(lambda: len(app.begun) == 2)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", _no_more_threads)
            expire(client, resource)
            assert [connection.receive().status for connection in stuck] == [504] * 3
        assert "no other thread takes its place: can't start new thread" in caplog.text
        app.gate.set()
        assert client.get("/").status == 200
        assert workers(resource) == 2
        stuck[0].send(request("/stream"))
        assert stuck[0].receive().body == b"begunlate"
    assert workers(resource) == 0


def _no_more_threads(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_all_threads_may_be_stuck_at_once() -> None:
    app = App()
    resource = make(app, threads=3)
    with Client(resource) as client:
        for _ in range(2):
            stuck = [client.connect() for _ in range(3)]
            for connection in stuck:
                connection.send(request("/stuck"))
            assert [connection.receive().status for connection in stuck] == [504] * 3
        assert client.get("/").status == 200
        app.gate.set()
        client.wait_until(lambda: workers(resource) == 3)


def test_requests_that_wait_too_long_for_a_thread_are_answered_and_never_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = App()
    resource = make(app, threads=1, timeout=NEVER)
    with Client(resource) as client:
        stuck = [client.connect() for _ in range(3)]
        for connection in stuck:
            connection.send(request("/stuck"))
        client.wait_until(lambda: app.begun)
        expire(client, resource)
        assert [connection.receive().status for connection in stuck] == [504] * 3
        for _ in range(3):
            assert client.get("/").status == 200
        assert workers(resource) == 2
        app.gate.set()
        client.wait_until(lambda: workers(resource) == 1)
    assert caplog.text.count("waited longer than 30 s for a thread") == 2
    assert app.begun == ["/stuck", "/", "/", "/"]


def test_an_answer_that_has_begun_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    resource = make(app)
    with Client(resource) as client:
        connection = client.connect()
        connection.send(request("/stream"))
        got = connection.receive()
        assert (got.status, got.body, got.complete) == (200, b"begun", False)
        assert app.closed == 0
        app.gate.set()
        client.wait_until(lambda: app.closed)
        client.wait_until(lambda: workers(resource) == 2)
    assert app.closed == 1
    assert "took longer" in caplog.text


def test_an_application_that_waits_for_a_client_that_does_not_read_is_released() -> None:
    closed = threading.Event()

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            while True:
                yield b"x" * 50_000
        finally:
            closed.set()

    resource = make(app)
    with Client(resource) as client:
        connection = client.connect()
        connection.transport.hold()
        connection.send(GET)
        client.wait_until(closed.is_set)
        client.wait_until(lambda: workers(resource) == 2)


def test_a_client_that_left_does_not_make_the_pool_grow(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    resource = make(app, threads=1)
    with Client(resource) as client:
        for _ in range(3):
            app.gate.clear()
            begun = len(app.begun)
            connection = client.connect()
            connection.send(request("/stuck"))
            client.wait_until(lambda begun=begun: len(app.begun) > begun)
            connection.transport.reset()
            client.settle()
            app.gate.set()
            client.wait_until(lambda: not resource.deadlines.watched)
        assert workers(resource) == 1
    assert not caplog.records


def test_a_thread_stuck_for_a_client_that_left_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    resource = make(app, threads=1)
    with Client(resource) as client:
        connection = client.connect()
        connection.send(request("/stuck"))
        client.wait_until(lambda: app.begun)
        connection.transport.reset()
        client.wait_until(lambda: "took longer" in caplog.text)
        assert client.get("/").status == 200
        app.gate.set()
        client.wait_until(lambda: workers(resource) == 1)


def test_a_thread_stuck_after_its_request_was_answered_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    resource = make(app, threads=1, timeout=0.2)
    with Client(resource) as client:
        connection = client.connect()
        head = request("/stuck", "Transfer-Encoding: chunked", "Expect: 100-continue", method="POST")
        connection.send(head)
        client.wait_until(lambda: app.begun)
        connection.send(b"no chunk\r\n")
        assert connection.receive().status == 400
        client.wait_until(lambda: "took longer" in caplog.text)
        assert client.get("/").status == 200
        app.gate.set()
        client.wait_until(lambda: workers(resource) == 1)


def test_in_time_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    resource = make(app, timeout=NEVER)
    with Client(resource) as client:
        for _ in range(5):
            assert client.get("/").status == 200
        assert not resource.deadlines.watched
        waiting = client.connect()
        waiting.send(request("/stuck"))
        client.wait_until(lambda: "/stuck" in app.begun)
        assert len(resource.deadlines.watched) == 1
        app.gate.set()
        assert waiting.receive().status == 200
    assert not caplog.records


def test_deadlines_follow_each_other() -> None:
    app = App()
    resource = make(app, threads=4, timeout=0.1)
    with Client(resource) as client:
        first, second = client.connect(), client.connect()
        first.send(request("/stuck"))
        assert first.receive().status == 504
        second.send(request("/stuck"))
        assert second.receive().status == 504
        app.gate.set()
        client.wait_until(lambda: workers(resource) == 4)


def test_an_answer_that_comes_with_its_deadline_counts(caplog: pytest.LogCaptureFixture) -> None:
    app = App()
    resource = make(app, threads=1, timeout=NEVER)

    async def too_late() -> None:
        """Let the deadline pass after the thread has ended its work and before the loop has seen it."""
        (call,) = resource.deadlines.watched
        app.gate.set()
        while not call.deadline.done:
            pass
        call.deadline.at = 0.0
        resource.deadlines.check()

    with Client(resource) as client:
        connection = client.connect()
        connection.send(request("/stuck"))
        client.wait_until(lambda: app.begun)
        client._run(too_late())
        assert connection.receive().status == 200
        assert workers(resource) == 1
    assert not caplog.records


def test_stopping_forgets_the_deadlines() -> None:
    app = App()
    resource = make(app, timeout=0.2)
    with Client(resource) as client:
        client.connect().send(request("/stuck"))
        client.wait_until(lambda: app.begun)
        app.gate.set()
    assert resource.deadlines._timer is None


def test_the_stack_of_a_thread_that_has_ended_is_told_as_such() -> None:
    assert stack_of(-1) == "(the thread has ended)"
    assert "test_the_stack_of" in stack_of(threading.get_ident())
