"""The streams of an environ: `wsgi.input`, `wsgi.errors`, `wsgi.file_wrapper`."""

from __future__ import annotations

import io
import tempfile
import threading
from typing import Any

import pytest

from container.message.limits import Limits
from container.resources.wsgi import WSGIResource
from container.testing import Client
from container.tree.site import Site
from tests.leaf import request

Environ = dict[str, Any]

READS: list[tuple[str, Any]] = [
    ("read()", lambda file: [file.read()]),
    ("read(-1)", lambda file: [file.read(-1)]),
    ("read(3)", lambda file: list(iter(lambda: file.read(3), b""))),
    ("readline()", lambda file: list(iter(file.readline, b""))),
    ("readline(3)", lambda file: list(iter(lambda: file.readline(3), b""))),
    ("readlines()", lambda file: file.readlines()),
    ("readlines(5)", lambda file: list(iter(lambda: b"".join(file.readlines(5)), b""))),
    ("iteration", list),
]


@pytest.mark.parametrize("read", [each[1] for each in READS], ids=[each[0] for each in READS])
@pytest.mark.parametrize("way", ["memory", "disk", "lazy"])
def test_the_input_is_a_file_that_ends(read: Any, way: str) -> None:
    content = b"first line\nsecond\n\nand the rest"
    got: list[Any] = []

    def app(environ: Environ, start_response: Any) -> list[bytes]:
        file = environ["wsgi.input"]
        got.append(read(file))
        got.append((file.read(), file.read(1), file.readline()))
        start_response("200 OK", [])
        return [b""]

    limits = Limits(spool_memory=4) if way == "disk" else None
    with Client(Site(WSGIResource(app, threads=1), limits=limits)) as client:
        connection = client.connect()
        fields = ["Expect: 100-continue"] if way == "lazy" else []
        connection.send(request("/", f"Content-Length: {len(content)}", *fields, method="POST"))
        if way == "lazy":
            client.wait_until(lambda: b"100 Continue" in connection.data)
        for at in range(0, len(content), 7):
            connection.send(content[at : at + 7])
        assert connection.receive().status == 200
    assert b"".join(got[0]) == content
    assert got[0] == read(io.BytesIO(content))
    assert got[1] == (b"", b"", b"")


# wsgi.errors.


def errors(*writes: Any) -> None:
    """Let an application write to its error stream."""

    def app(environ: Environ, start_response: Any) -> list[bytes]:
        stream = environ["wsgi.errors"]
        for write in writes:
            write(stream)
        start_response("200 OK", [])
        return [b""]

    with Client(WSGIResource(app, threads=1)) as client:
        assert client.get("/").status == 200


def test_every_line_of_errors_is_a_record(caplog: pytest.LogCaptureFixture) -> None:
    errors(
        lambda stream: stream.write("one\ntw"),
        lambda stream: stream.write("o\n"),
        lambda stream: stream.writelines(["three\n", "fo"]),
        lambda stream: print("ur", file=stream),
        lambda stream: stream.write("rest"),
        lambda stream: stream.flush(),
        lambda stream: stream.flush(),
    )
    assert [record.getMessage() for record in caplog.records] == ["one", "two", "three", "four", "rest"]
    assert {record.levelname for record in caplog.records} == {"ERROR"}


def test_errors_take_text_only() -> None:
    def write(stream: Any) -> None:
        assert stream.writable()
        with pytest.raises(TypeError, match="expected text"):
            stream.write(b"bytes")

    errors(write)


def test_lines_of_two_threads_do_not_mix(caplog: pytest.LogCaptureFixture) -> None:
    barrier = threading.Barrier(2, timeout=5)

    def app(environ: Environ, start_response: Any) -> list[bytes]:
        name = environ["PATH_INFO"][1:]
        for piece in ("begin ", "go on ", f"end {name}\n"):
            environ["wsgi.errors"].write(f"{name} {piece}")
            barrier.wait()
        start_response("200 OK", [])
        return [b""]

    with Client(WSGIResource(app, threads=2)) as client:
        one, two = client.connect(), client.connect()
        one.send(request("/1"))
        two.send(request("/2"))
        assert (one.receive().status, two.receive().status) == (200, 200)
    lines = sorted(record.getMessage() for record in caplog.records)
    assert lines == ["1 begin 1 go on 1 end 1", "2 begin 2 go on 2 end 2"]


# wsgi.file_wrapper.


def test_a_wrapped_file_is_sent_and_closed() -> None:
    files: list[Any] = []

    def app(environ: Environ, start_response: Any) -> Any:
        file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by the server
        file.write(b"x" * 100_000)
        file.seek(0)
        files.append(file)
        start_response("200 OK", [("Content-Length", "100000")])
        return environ["wsgi.file_wrapper"](file, 4096)

    with Client(WSGIResource(app, threads=1)) as client:
        assert client.get("/").body == b"x" * 100_000
        assert client.head("/").headers["content-length"] == "100000"
        client.wait_until(lambda: all(file.closed for file in files))


def test_whatever_can_be_read_can_be_wrapped() -> None:
    class Readable:
        pieces = [b"a", b"b", b""]

        def read(self, size: int) -> bytes:
            return self.pieces.pop(0)

    def app(environ: Environ, start_response: Any) -> Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](Readable())

    with Client(WSGIResource(app, threads=1)) as client:
        assert client.get("/").body == b"ab"


@pytest.mark.parametrize("threads", [0, 2])
def test_an_endless_answer_beyond_its_announced_length_is_closed(
    threads: int, caplog: pytest.LogCaptureFixture
) -> None:
    closed = threading.Event()

    class Endless:
        def __iter__(self) -> Any:
            while True:
                yield b"123"

        def close(self) -> None:
            closed.set()

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "5")])
        return Endless()

    with Client(WSGIResource(app, threads=threads)) as client:
        assert client.get("/").body == b"12312"
        assert closed.wait(10)
    assert caplog.text.count("cut off") == 1
