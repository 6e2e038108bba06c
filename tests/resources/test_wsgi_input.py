"""Content on its way to an application: complete or not at all, in memory or on disk, asked for when it is read."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from container.message.limits import Limits
from container.resources.wsgi import WSGIResource
from container.testing import Client
from container.tree.site import Site
from tests.leaf import request


def post(length: int, *fields: str) -> bytes:
    return request("/", f"Content-Length: {length}", *fields, method="POST")


class Reader:
    """An application that reads all, and notes what it got."""

    def __init__(self) -> None:
        self.got: list[bytes | Exception] = []
        self.begun = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        self.begun.set()
        self.gate.wait(5)
        try:
            content = environ["wsgi.input"].read()
        except Exception as error:
            self.got.append(error)
            raise
        self.got.append(content)
        start_response("200 OK", [])
        return [str(len(content)).encode()]


def test_content_is_complete_before_the_application_begins() -> None:
    app = Reader()
    with Client(WSGIResource(app, threads=1)) as client:
        connection = client.connect()
        connection.send(post(10))
        connection.send(b"12345")
        client.settle()
        assert not app.begun.is_set()
        connection.send(b"67890")
        assert connection.receive().body == b"10"


@pytest.mark.parametrize("size", [100, 300_000])
def test_content_that_was_cut_short_never_reaches_the_application(size: int) -> None:
    app = Reader()
    with Client(WSGIResource(app, threads=1)) as client:
        connection = client.connect()
        connection.send(post(size) + b"x" * (size // 2))
        connection.send_eof()
        assert [answer.status for answer in connection.receive_all().responses] == [400]
        gone = client.connect()
        gone.send(post(size) + b"x" * (size // 2))
        gone.transport.reset()
        client.settle()
        assert client.get("/").body == b"0"
    assert app.got == [b""]


@pytest.mark.parametrize("size", [100, 300_000])
def test_content_stays_readable_when_the_client_has_left(size: int, caplog: pytest.LogCaptureFixture) -> None:
    app = Reader()
    app.gate.clear()
    with Client(WSGIResource(app, threads=1)) as client:
        connection = client.connect()
        connection.send(post(size) + b"x" * size)
        client.wait_until(app.begun.is_set)
        connection.transport.reset()
        client.settle()
        assert client.site.quota.used == 0
        app.gate.set()
        client.wait_until(lambda: app.got)
    assert app.got == [b"x" * size]
    assert not caplog.records


def test_content_larger_than_memory_is_read_from_disk_and_let_go() -> None:
    app = Reader()
    with Client(Site(WSGIResource(app, threads=1), limits=Limits(spool_memory=1000))) as client:
        connection = client.connect()
        for size in (999, 1001, 500_000):
            connection.send(post(size) + b"x" * size)
            assert connection.receive().body == str(size).encode()
            assert client.site.quota.used == 0


def test_content_that_is_gone_with_its_client_does_not_look_empty(caplog: pytest.LogCaptureFixture) -> None:
    """The client leaves between the thread's first look at it and the application's first read."""
    app = Reader()
    begun, gate, ended = threading.Event(), threading.Event(), threading.Event()

    class Slow(WSGIResource):
        def input_for(self, call: Any) -> Any:
            file = super().input_for(call)
            begun.set()
            gate.wait(5)
            ended.set()
            return file

    with Client(Slow(app, threads=1)) as client:
        connection = client.connect()
        connection.send(post(5) + b"hello")
        client.wait_until(begun.is_set)
        connection.transport.reset()
        client.settle()
        gate.set()
        client.wait_until(ended.is_set)
    assert app.got == []
    assert not app.begun.is_set()
    assert not caplog.records


# Content that is asked for (RFC 9110 10.1.1).


def test_the_client_is_asked_when_the_application_reads() -> None:
    app = Reader()
    app.gate.clear()
    with Client(WSGIResource(app, threads=1)) as client:
        connection = client.connect()
        connection.send(post(5, "Expect: 100-continue"))
        client.wait_until(app.begun.is_set)
        client.settle()
        assert connection.data == b""
        app.gate.set()
        client.wait_until(lambda: connection.data)
        assert connection.data == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(b"he")
        connection.send(b"llo")
        assert connection.receive().body == b"5"
    assert app.got == [b"hello"]


def test_content_larger_than_a_buffer_is_read_to_its_end() -> None:
    app = Reader()
    with Client(WSGIResource(app, threads=1)) as client:
        connection = client.connect()
        connection.send(post(100_000, "Expect: 100-continue"))
        client.wait_until(lambda: connection.data)
        connection.send(b"x" * 60_000)
        connection.send(b"x" * 40_000)
        assert connection.receive().body == b"100000"


def test_the_client_is_not_asked_by_an_application_that_does_not_read() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("401 Unauthorized", [])
        return [b"no"]

    with Client(WSGIResource(app, threads=1)) as client:
        connection = client.connect()
        connection.send(post(5, "Expect: 100-continue"))
        got = connection.receive()
        assert (got.status, list(got.interim), got.headers["connection"]) == (401, [], "close")


@pytest.mark.parametrize("ending", ["eof", "reset"])
def test_content_that_was_asked_for_and_cut_short_is_an_error(ending: str) -> None:
    app = Reader()
    with Client(WSGIResource(app, threads=1)) as client:
        connection = client.connect()
        connection.send(post(10, "Expect: 100-continue"))
        client.wait_until(lambda: connection.data)
        connection.send(b"12345")
        if ending == "eof":
            connection.send_eof()
        else:
            connection.transport.reset()
        client.wait_until(lambda: app.got)
    assert [type(each).__name__ for each in app.got] in (["ProtocolError"], ["ClientDisconnected"])


def test_clients_that_are_asked_may_hold_a_share_of_the_threads_only() -> None:
    app = Reader()
    with Client(WSGIResource(app, threads=4)) as client:
        slow = client.connect()
        slow.send(post(5, "Expect: 100-continue"))
        client.wait_until(lambda: slow.data)
        app.begun.clear()
        # The share is one of four: this one is asked at once and runs when its content is there.
        second = client.connect()
        second.send(post(5, "Expect: 100-continue"))
        assert second.data == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert not app.begun.is_set()
        second.send(b"12345")
        assert second.receive().body == b"5"
        slow.send(b"12345")
        assert slow.receive().body == b"5"
        # The share is free again.
        app.gate.clear()
        third = client.connect()
        third.send(post(5, "Expect: 100-continue"))
        client.settle()
        assert third.data == b""
        app.gate.set()
        client.wait_until(lambda: third.data)
        third.send(b"12345")
        assert third.receive().body == b"5"
