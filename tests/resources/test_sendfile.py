"""Files that applications name: X-Sendfile, X-Accel-Redirect, and wsgi.file_wrapper."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
import threading
from typing import TYPE_CHECKING, Any

import pytest

from container.message.response import Response
from container.resources.asgi import ASGIResource
from container.resources.sendfile import SendfileFrom
from container.resources.wsgi import WSGIResource
from container.testing import Client
from tests.leaf import Leaf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from container.tree.resource import Resource

CONTENT = b"0123456789"
PAST = 1_000_000_000


@pytest.fixture
def media(tmp_path: Path) -> Path:
    media = tmp_path / "media"
    (media / "sub").mkdir(parents=True)
    (media / "film.mp4").write_bytes(CONTENT)
    (media / "sub" / "big.bin").write_bytes(CONTENT * 100_000)
    (tmp_path / "secret.txt").write_text("SECRET")
    (media / "out").symlink_to(tmp_path / "secret.txt")
    os.utime(media / "film.mp4", (PAST, PAST))
    return media


def wsgi(fields: list[tuple[str, str]], pieces: Iterable[bytes], status: str = "200 OK") -> Any:
    def application(environ: Any, start_response: Any) -> Any:
        start_response(status, fields)
        return pieces() if callable(pieces) else pieces

    return application


def streamed() -> Iterable[bytes]:
    yield b"content that "
    yield b"nobody gets"


def kinds(fields: list[tuple[str, str]]) -> dict[str, Callable[[], Resource]]:
    async def later(request: Any) -> Response:
        return Response(b"nobody gets this", 200, fields)

    def by_hand(request: Any) -> Any:
        request.exchange.start(200, Response(b"", 200, fields).block())
        request.exchange.write(b"nobody gets this")
        request.exchange.end()
        return request.exchange

    return {
        "response": lambda: Leaf(lambda request: Response(b"nobody gets this", 200, fields)),
        "coroutine": lambda: Leaf(later),
        "exchange": lambda: Leaf(by_hand),
        "wsgi": lambda: WSGIResource(wsgi(fields, [b"nobody gets this"]), threads=1),
        "wsgi streaming": lambda: WSGIResource(wsgi(fields, streamed), threads=1),  # type: ignore[arg-type]  # called for each request
        "wsgi inline": lambda: WSGIResource(wsgi(fields, [b"nobody gets this"]), threads=0),
        "wsgi inline streaming": lambda: WSGIResource(wsgi(fields, streamed), threads=0),  # type: ignore[arg-type]  # called for each request
    }


@pytest.mark.parametrize("kind", kinds([]))
def test_any_application_may_name_a_file(kind: str, media: Path) -> None:
    fields = [
        ("X-Sendfile", str(media / "film.mp4")),
        ("Content-Type", "video/mp4"),
        ("Content-Disposition", "attachment"),
        ("Content-Length", "16"),
    ]
    with Client(SendfileFrom(kinds(fields)[kind](), media)) as client:
        answer = client.get("/")
        assert (answer.status, answer.body) == (200, CONTENT)
        assert answer.headers["Content-Type"] == "video/mp4"
        assert answer.headers["Content-Disposition"] == "attachment"
        assert answer.headers["Content-Length"] == "10"
        assert "X-Sendfile" not in answer.headers
        assert client.get("/", headers={"Range": "bytes=2-4"}).body == b"234"
        assert client.get("/", headers={"Range": "bytes=10-"}).status == 416
        assert client.get("/", headers={"If-None-Match": answer.headers["ETag"]}).status == 304
        assert client.get("/", headers={"If-Match": '"x"'}).status == 412
        assert client.head("/").headers["Content-Length"] == "10"
        assert client.get("/").body == CONTENT


@pytest.mark.parametrize("kind", kinds([]))
def test_other_answers_pass_as_they_are(kind: str, media: Path) -> None:
    with Client(SendfileFrom(kinds([("Content-Type", "a/b")])[kind](), media)) as client:
        assert client.get("/").body in (b"nobody gets this", b"content that nobody gets")


def test_who_goes_on_to_stream_hears_that_nobody_waits(media: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not that the client has left, which is there."""
    caplog.set_level("INFO")
    heard: list[object] = []
    head = {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"x-sendfile", b"%b/film.mp4" % bytes(media))],
    }

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(head)
        await send({"type": "http.response.body", "body": b"nobody gets this", "more_body": True})
        heard.append(await receive())
        try:
            await send({"type": "http.response.body", "body": b"nor this", "more_body": True})
        except OSError as error:
            heard.append(str(error))
            raise LookupError("of its own") from error

    with Client(SendfileFrom(ASGIResource(application, lifespan="off"), media)) as client:
        assert client.get("/").body == CONTENT
    assert heard == [{"type": "http.disconnect"}, "nobody waits for more of this answer"]
    [record] = [each for each in caplog.records if each.name == "container.asgi"]
    assert (record.levelname, "nobody waited for more" in record.getMessage()) == ("INFO", True)


@pytest.mark.parametrize("threads", [0, 1])
def test_a_stream_that_nobody_waits_for_is_closed(media: Path, threads: int) -> None:
    heard: list[str] = []
    ended = threading.Event()

    def application(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [("X-Sendfile", str(media / "film.mp4"))])
        if environ["PATH_INFO"] == "/write":
            return by_hand(write)
        return endless()

    def by_hand(write: Any) -> list[bytes]:
        try:
            while True:
                write(b"nobody gets this")
        except OSError as error:
            heard.append(str(error))
            ended.set()
            raise

    def endless() -> Iterable[bytes]:
        try:
            while True:
                yield b"nobody gets this"
        finally:
            ended.set()

    with Client(SendfileFrom(WSGIResource(application, threads=threads), media)) as client:
        assert client.get("/").body == CONTENT
        assert ended.wait(10)
        if threads:  # on the loop nothing is told while the application runs
            ended.clear()
            assert client.get("/write").body == CONTENT
            assert ended.wait(10)
            assert heard == ["nobody waits for more of this answer"]


def test_an_internal_prefix_names_a_directory(media: Path, tmp_path: Path) -> None:
    fields = [("X-Accel-Redirect", "/protected/sub/big%2Ebin?x=1"), ("X-Accel-Buffering", "no")]
    inner = WSGIResource(wsgi(fields, []), threads=1)
    with Client(SendfileFrom(inner, internal={"/": tmp_path, "/protected/": media})) as client:
        answer = client.get("/")
        assert answer.body == CONTENT * 100_000
        assert not [name for name in answer.headers if name.startswith("x-accel")]


@pytest.mark.parametrize(
    "field",
    [
        ("X-Sendfile", "{media}/../secret.txt"),
        ("X-Sendfile", "{media}/out"),
        ("X-Sendfile", "{media}/nope"),
        ("X-Sendfile", "{media}"),
        ("X-Sendfile", "/etc/passwd"),
        ("X-Sendfile", "film.mp4"),
        ("X-Sendfile", ""),
        ("X-Accel-Redirect", "/protected/../secret.txt"),
        ("X-Accel-Redirect", "/protected/%2e%2e/secret.txt"),
        ("X-Accel-Redirect", "/protected/%00"),
        ("X-Accel-Redirect", "/elsewhere/film.mp4"),
    ],
)
@pytest.mark.parametrize("kind", ["response", "wsgi", "wsgi streaming", "exchange"])
def test_what_lies_elsewhere_is_not_sent(
    kind: str, field: tuple[str, str], media: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fields = [(field[0], field[1].format(media=media))]
    with Client(SendfileFrom(kinds(fields)[kind](), media, internal={"/protected/": media})) as client:
        answer = client.get("/")
    assert answer.status == 500
    assert b"SECRET" not in answer.body
    assert "expected a" in caplog.text


def test_without_permission_the_fields_mean_nothing(media: Path) -> None:
    fields = [("X-Sendfile", str(media / "film.mp4"))]
    with Client(WSGIResource(wsgi(fields, [b"own content"]), threads=1)) as client:
        assert client.get("/").body == b"own content"


def test_directories_are_checked_when_it_starts(media: Path, tmp_path: Path) -> None:
    leaf = Leaf(lambda request: Response())
    with pytest.raises(ValueError, match="expected a directory to send files from, got none"):
        SendfileFrom(leaf)
    with pytest.raises(ValueError, match="expected a prefix"):
        SendfileFrom(leaf, internal={"protected": media})
    with pytest.raises(TypeError, match="expected a Resource"):
        SendfileFrom("leaf", media)  # type: ignore[arg-type]  # the mistake that is checked
    with pytest.raises(ValueError, match="expected a directory to send files from"):
        with Client(SendfileFrom(leaf, tmp_path / "nope")):
            pass


# wsgi.file_wrapper.


def wrapping(open_it: Callable[[], Any], fields: list[tuple[str, str]]) -> Any:
    def application(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", fields)
        return environ["wsgi.file_wrapper"](open_it())

    return application


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


@pytest.mark.parametrize("threads", [0, 1])
@pytest.mark.parametrize("announced", [True, False])
def test_a_wrapped_file_is_sent_where_it_lies_and_has_ranges(
    media: Path, threads: int, announced: bool, calls: list[tuple[int, ...]]
) -> None:
    closed: list[Any] = []

    def open_it() -> Any:
        file = (media / "film.mp4").open("rb")
        closed.append(file)
        return file

    fields = [
        ("Content-Type", "video/mp4"),
        ("ETag", '"own"'),
        *([("Content-Length", "10")] if announced else []),
    ]
    with Client(WSGIResource(wrapping(open_it, fields), threads=threads)) as client:
        answer = client.get("/")
        assert (answer.status, answer.body) == (200, CONTENT)
        assert answer.headers["ETag"] == '"own"'
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert "Last-Modified" not in answer.headers
        assert client.get("/", headers={"Range": "bytes=-3"}).body == b"789"
        assert client.get("/", headers={"If-None-Match": '"own"'}).status == 304
        assert client.get("/", headers={"Range": "bytes=50-"}).status == 416
        assert client.head("/").headers["Content-Length"] == "10"
    assert calls
    assert len(closed) == 5
    assert all(file.closed for file in closed)


@pytest.mark.parametrize("threads", [0, 1])
@pytest.mark.parametrize(
    "name", ["gzip", "bytes", "shorter", "from the middle", "temporary", "framed", "206"]
)
def test_a_wrapped_file_is_what_reading_it_gives(
    media: Path, tmp_path: Path, threads: int, name: str
) -> None:
    packed = tmp_path / "x.gz"
    packed.write_bytes(gzip.compress(CONTENT))
    fields: list[tuple[str, str]] = []

    def middle() -> Any:
        file = (media / "film.mp4").open("rb")
        file.seek(4)
        return file

    def temporary() -> Any:
        file = tempfile.NamedTemporaryFile(dir=tmp_path)  # noqa: SIM115  # closed by the wrapper
        file.write(CONTENT)
        file.seek(0)
        return file

    plain: Callable[[], Any] = (media / "film.mp4").open
    cases: dict[str, tuple[Callable[[], Any], list[tuple[str, str]], bytes]] = {
        "gzip": (lambda: gzip.GzipFile(packed), fields, CONTENT),
        "bytes": (lambda: io.BytesIO(CONTENT), fields, CONTENT),
        "shorter": (lambda: plain("rb"), [("Content-Length", "4")], b"0123"),
        "from the middle": (middle, fields, b"456789"),
        "temporary": (temporary, fields, CONTENT),
        "framed": (lambda: plain("rb"), [("Accept-Ranges", "none")], CONTENT),
        "206": (middle, [("Content-Range", "bytes 4-9/10")], b"456789"),
    }
    open_it, fields, expected = cases[name]
    with Client(WSGIResource(wrapping(open_it, fields), threads=threads)) as client:
        answer = client.get("/", headers={"Range": "bytes=0-1"} if name in ("framed", "206") else {})
    assert (answer.status, answer.body) == (200, expected)


def test_a_wrapped_file_that_is_too_short_cuts_the_connection(media: Path) -> None:
    with Client(
        WSGIResource(wrapping(lambda: (media / "film.mp4").open("rb"), [("Content-Length", "11")]))
    ) as client:
        answer = client.get("/")
    assert not answer.complete
