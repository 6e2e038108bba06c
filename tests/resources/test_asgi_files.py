"""Files that ASGI applications name: path send and zero copy send, and Starlette's FileResponse (AS-06, ST-06)."""

from __future__ import annotations

import asyncio
import gzip
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import FileResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from container.channel import sendfile
from container.encoders.gzip import Gzip
from container.resources.asgi import ASGIResource
from container.service.server import serving
from container.testing import Client
from container.tree.encoding import Encoded
from container.tree.site import Site
from tests.leaf import request

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT = b"0123456789"
LARGE = CONTENT * 100_000
Message = dict[str, Any]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_bytes(CONTENT)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The parts that were read where the file lies."""
    made: list[tuple[int, ...]] = []
    real = os.pread

    def spy(*args: int) -> bytes:
        made.append(args)
        return real(*args)

    monkeypatch.setattr(os, "pread", spy)
    return made


def start(*headers: tuple[bytes, bytes], status: int = 200, **more: Any) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}


def body(data: bytes = b"", more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def path_send(path: object) -> Message:
    return {"type": "http.response.pathsend", "path": path}


def zero_copy(file: object, **more: Any) -> Message:
    return {"type": "http.response.zerocopysend", "file": file, **more}


def serve(*messages: Message, errors: list[Exception] | None = None) -> ASGIResource:
    """An application that sends these; what `send` raises goes to `errors` and on."""

    async def app(scope: Message, receive: Any, send: Any) -> None:
        try:
            for message in messages:
                await send(message)
        except Exception as error:
            if errors is not None:
                errors.append(error)
            raise

    return ASGIResource(app, lifespan="off")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_both_are_offered_on_every_connection(version: str) -> None:
    """AS-06: and only to HTTP, of whatever version."""
    seen: list[Message] = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        seen.append(scope)
        await send(start())
        await send(body())

    with Client(ASGIResource(app, lifespan="off")) as client:
        client.send_raw(request(version=version))
    assert {"http.response.pathsend", "http.response.zerocopysend"} <= set(seen[0]["extensions"])


# The whole answer.


@pytest.mark.parametrize("kind", ["path", "descriptor", "file"])
def test_a_file_gets_ranges_and_validators(kind: str, file: Path, calls: list[tuple[int, ...]]) -> None:
    """ST-05, ST-06, ST-07, ST-10: the application has said nothing but where the file lies."""
    with file.open("rb") as opened:
        named = {
            "path": path_send(str(file)),
            "descriptor": zero_copy(opened.fileno()),
            "file": zero_copy(opened),
        }
        with Client(serve(start((b"content-type", b"text/plain")), named[kind])) as client:
            answer = client.get("/")
            assert (answer.status, answer.body) == (200, CONTENT)
            assert answer.headers["Content-Type"] == "text/plain"
            assert answer.headers["Content-Length"] == "10"
            assert answer.headers["Last-Modified"] == "Sun, 09 Sep 2001 01:46:40 GMT"
            etag = answer.headers["ETag"]
            assert client.get("/", headers={"If-None-Match": etag}).status == 304
            assert client.get("/", headers={"If-Match": '"x"'}).status == 412
            part = client.get("/", headers={"Range": "bytes=2-4", "If-Range": etag})
            assert (part.status, part.body, part.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
            assert client.get("/", headers={"Range": "bytes=10-"}).status == 416
            head = client.head("/")
            assert (head.status, head.headers["Content-Length"], head.body) == (200, "10", b"")
    assert calls, "expected it to be read where it lies"


def test_a_part_of_a_file_is_the_content(file: Path) -> None:
    """Its validators are not those of the file, its ranges count from its own beginning."""
    with file.open("rb") as opened:
        with Client(serve(start(), zero_copy(opened, offset=2, count=5))) as client:
            answer = client.get("/")
            assert answer.body == b"23456"
            assert "ETag" not in answer.headers
            assert client.get("/", headers={"Range": "bytes=1-2"}).body == b"34"


def test_validators_of_the_application_count(file: Path) -> None:
    """ST-06: those of the file only fill in for them."""
    with Client(serve(start((b"etag", b'"own"')), path_send(str(file)))) as client:
        assert client.get("/").headers["ETag"] == '"own"'
        assert client.get("/", headers={"If-None-Match": '"own"'}).status == 304


def test_an_application_may_deny_ranges(file: Path) -> None:
    with Client(serve(start((b"accept-ranges", b"none")), path_send(str(file)))) as client:
        answer = client.get("/", headers={"Range": "bytes=0-1"})
    assert (answer.status, answer.body, answer.headers["Accept-Ranges"]) == (200, CONTENT, "none")


def test_another_status_is_kept(file: Path) -> None:
    with Client(serve(start(status=404), path_send(str(file)))) as client:
        answer = client.get("/", headers={"Range": "bytes=0-1"})
    assert (answer.status, answer.body) == (404, CONTENT)


def test_a_length_that_is_wrong_is_put_right(file: Path) -> None:
    """ST-27: the file may have changed since the application looked."""
    with Client(serve(start((b"content-length", b"3")), path_send(str(file)))) as client:
        answer = client.get("/")
    assert (answer.headers["Content-Length"], answer.body) == ("10", CONTENT)


def test_a_file_is_encoded_like_other_content(tmp_path: Path) -> None:
    """EN-04: whoever sends it."""
    (tmp_path / "large").write_bytes(LARGE)
    app = serve(start((b"content-type", b"text/plain")), path_send(str(tmp_path / "large")))
    with Client(Encoded(app, [Gzip()])) as client:
        answer = client.get("/", headers={"Accept-Encoding": "gzip"})
    assert (answer.headers["Content-Encoding"], answer.headers["ETag"][:2]) == ("gzip", "W/")
    assert gzip.decompress(answer.body) == LARGE


# Among other content.


def test_parts_of_files_mix_with_other_content(file: Path) -> None:
    with file.open("rb") as opened:
        app = serve(
            start(),
            body(b"<", more=True),
            zero_copy(opened, offset=0, count=3, more_body=True),
            body(b"|", more=True),
            zero_copy(opened, offset=8),
        )
        with Client(app) as client:
            answer = client.get("/")
            assert (answer.status, answer.body) == (200, b"<012|89")
            assert client.head("/").body == b""


def test_trailers_may_follow_a_file(file: Path) -> None:
    trailers = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}
    with Client(serve(start(trailers=True), path_send(str(file)), trailers)) as client:
        answer = client.get("/")
    assert (answer.body, answer.trailers["X-Sum"]) == (CONTENT, "1")


def test_a_slow_client_holds_back_the_application(tmp_path: Path) -> None:
    """`send` waits in the middle of a part until the client has taken it."""
    (tmp_path / "large").write_bytes(LARGE)
    sent: list[bool] = []
    with (tmp_path / "large").open("rb") as opened:

        async def app(scope: Message, receive: Any, send: Any) -> None:
            await send(start())
            await send(zero_copy(opened, more_body=True))
            sent.append(True)
            await send(body())

        with (
            Client(ASGIResource(app, lifespan="off")) as client,
            client.stream("GET", "/") as stream,
        ):
            stream.transport.hold()
            client.settle()
            assert not sent
            stream.transport.release()
            assert stream.read() == LARGE
            assert sent


# What goes wrong.


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (path_send("a.txt"), "expected an absolute path"),
        (path_send("/nope/nope"), "No such file"),
        (path_send("/"), "expected a regular file"),
        (path_send("/dev/zero"), "expected a regular file"),
        (zero_copy("/etc/passwd"), "expected an open file"),
        (zero_copy(-1), "Bad file descriptor"),
    ],
)
def test_what_cannot_be_sent_is_an_error_of_the_application(
    message: Message, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Exception] = []
    with Client(serve(start(), message, errors=errors)) as client:
        assert client.get("/").status == 500
    assert expected in str(errors[0])


def test_an_application_may_answer_otherwise_when_there_is_no_file() -> None:
    """Nothing has left before the file is open."""

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send(start())
        try:
            await send(path_send("/nope/nope"))
        except FileNotFoundError:
            await send(body(b"never mind"))

    with Client(ASGIResource(app, lifespan="off")) as client:
        assert client.get("/").body == b"never mind"


def test_a_part_that_is_not_there_is_refused(file: Path) -> None:
    errors: list[Exception] = []
    with file.open("rb") as opened:
        with Client(serve(start(), zero_copy(opened, offset=8, count=5), errors=errors)) as client:
            assert client.get("/").status == 500
    assert "expected a part of 10 bytes" in str(errors[0])


@pytest.mark.parametrize("message", [path_send("/etc/passwd"), zero_copy(0)])
def test_a_file_before_the_head_is_out_of_order(message: Message) -> None:
    errors: list[Exception] = []
    with Client(serve(message, errors=errors)) as client:
        assert client.get("/").status == 500
    assert "expected 'http.response.start'" in str(errors[0])


def test_nothing_comes_after_the_file(file: Path) -> None:
    errors: list[Exception] = []
    with Client(serve(start(), path_send(str(file)), body(b"more"), errors=errors)) as client:
        assert client.get("/").body == CONTENT
    assert "expected nothing after the end" in str(errors[0])


# Real users.


@pytest.fixture
def starlette(file: Path) -> Callable[..., Starlette]:
    done: list[str] = []

    async def download(request: Any) -> FileResponse:
        return FileResponse(file, filename="a.txt", background=BackgroundTask(done.append, "task"))

    app = Starlette(
        routes=[Route("/download", download), Mount("/static", StaticFiles(directory=file.parent))]
    )
    app.state.done = done
    return app


def test_starlette_sends_its_files_by_path(starlette: Starlette, calls: list[tuple[int, ...]]) -> None:
    """AS-06: its fields stay, its background task runs, and conditions count that it never looks at itself."""
    with Client(ASGIResource(starlette)) as client:
        answer = client.get("/download")
        assert (answer.status, answer.body) == (200, CONTENT)
        assert len(calls) == 1
        assert answer.headers["Content-Disposition"] == 'attachment; filename="a.txt"'
        assert answer.headers.get_all("Content-Length") == ["10"]
        client.wait_until(lambda: starlette.state.done == ["task"])
        part = client.get("/download", headers={"Range": "bytes=2-4"})
        assert (part.status, part.body) == (206, b"234")
        assert client.get("/download", headers={"If-None-Match": answer.headers["ETag"]}).status == 304
        assert client.head("/download").headers["Content-Length"] == "10"


def test_starlette_serves_a_directory_by_path(starlette: Starlette, calls: list[tuple[int, ...]]) -> None:
    with Client(ASGIResource(starlette)) as client:
        answer = client.get("/static/a.txt")
        assert (answer.status, answer.body, len(calls)) == (200, CONTENT, 1)
        assert client.get("/static/a.txt", headers={"If-None-Match": answer.headers["ETag"]}).status == 304
        assert client.get("/static/nope").status == 404


@pytest.mark.parametrize("message", ["path", "descriptor"])
def test_large_files_leave_without_being_read(
    tmp_path: Path, message: str, monkeypatch: pytest.MonkeyPatch, calls: list[tuple[int, ...]]
) -> None:
    """ST-01: by sendfile, though the application has closed and deleted its file meanwhile."""
    senders: list[object] = []
    real = sendfile.FileSender.begin
    monkeypatch.setattr(sendfile.FileSender, "begin", lambda self: (senders.append(self), real(self))[1])
    path = tmp_path / "large"
    path.write_bytes(LARGE)

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send(start())
        if message == "path":
            await send(path_send(str(path)))
        else:
            with path.open("rb") as opened:
                await send(zero_copy(opened))
        path.unlink()

    async def run() -> bytes:
        async with serving(Site(ASGIResource(app, lifespan="off")), "127.0.0.1:0") as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            answer = await asyncio.wait_for(reader.read(-1), 20)
            writer.close()
            await writer.wait_closed()
            return answer

    head, _, content = asyncio.run(run()).partition(b"\r\n\r\n")
    assert b"Content-Length: 1000000" in head
    assert content == LARGE
    assert len(senders) == 1
    assert not calls
