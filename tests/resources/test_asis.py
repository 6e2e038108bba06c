"""ST-23: as-is files, sent as one well-formed response whatever their head looks like."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from container.resources.asis import AsIs
from container.testing import Client
from container.tree.resource import Resource
from tests.leaf import request

if TYPE_CHECKING:
    from pathlib import Path


def mounted(tmp_path: Path, content: bytes) -> Resource:
    path = tmp_path / "x.asis"
    path.write_bytes(content)
    root = Resource()
    root.mount("x.asis", AsIs(path))
    return root


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 299 So be it\r\nContent-Type: text/plain\r\nX-A: 1\r\n\r\n",
        b"HTTP/1.0 299 So be it\nContent-Type: text/plain\nX-A: 1\n\n",
        b"Status: 299 So be it\nContent-Type: text/plain\nX-A: 1\nContent-Length: 77\nDate: old\nServer: old\n\n",
    ],
)
def test_status_fields_and_content_come_from_the_file(tmp_path: Path, head: bytes) -> None:
    with Client(mounted(tmp_path, head + b"content\n")) as client:
        answer = client.get("/x.asis")
        assert (answer.status, answer.reason, answer.text) == (299, "So be it", "content\n")
        assert (answer.headers["Content-Type"], answer.headers["X-A"]) == ("text/plain", "1")
        assert answer.headers["Content-Length"] == "8"
        assert answer.headers["Date"].endswith("GMT")
        assert answer.headers["Server"] == "container"


def test_head_keep_alive_and_old_clients(tmp_path: Path) -> None:
    with Client(mounted(tmp_path, b"Status: 299 x\n\ncontent")) as client:
        connection = client.connect()
        connection.send(request("/x.asis", method="HEAD"))
        head = connection.receive()
        assert (head.status, head.body, head.headers["Content-Length"]) == (299, b"", "7")
        connection.send(request("/x.asis"))
        assert connection.receive().text == "content"
        connection.send(
            request("/x.asis", "If-Modified-Since: Fri, 31 Dec 2100 00:00:00 GMT", "Range: bytes=0-1")
        )
        assert connection.receive().text == "content"
        assert client.get("/x.asis", version="1.0").text == "content"
        assert client.post("/x.asis", body=b"x").status == 405


def test_large_content_is_streamed_with_its_length(tmp_path: Path) -> None:
    content = b"x" * 300_000
    with Client(mounted(tmp_path, b"Content-Type: text/plain\n\n" + content)) as client:
        answer = client.get("/x.asis")
        assert (answer.status, answer.headers["Content-Length"], answer.body) == (200, "300000", content)


@pytest.mark.parametrize("status", [b"304", b"204"])
def test_an_answer_that_has_no_content_gets_none(tmp_path: Path, status: bytes) -> None:
    with Client(mounted(tmp_path, b"Status: " + status + b"\n\ncontent")) as client:
        connection = client.connect()
        connection.send(request("/x.asis") + request("/x.asis"))
        answers = [connection.receive(), connection.receive()]
        assert [(each.status, each.body) for each in answers] == [(int(status), b"")] * 2


@pytest.mark.parametrize(
    "content",
    [
        b"", b"no head", b"<p>no head\n\nx", b"HTTP/1.1 99 x\n\n", b"HTTP/1.1 101 x\n\n", b"A: " + b"x" * 70_000,
        b"A: a\rb\n\n", b"Transfer-Encoding: chunked\n\n0\n\n",
    ],
)  # fmt: skip
def test_a_file_that_is_no_response_is_a_500(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with Client(mounted(tmp_path, content)) as client:
        assert client.get("/x.asis").status == 500
        assert "expected" in caplog.text


def test_what_is_no_file(tmp_path: Path) -> None:
    root = Resource()
    os.mkfifo(tmp_path / "fifo")
    for name in ("none", "fifo", "."):
        root.mount(name, AsIs(tmp_path / name))
    with Client(root) as client:
        assert [client.get(f"/{name}").status for name in ("none", "fifo", ".")] == [404, 404, 404]


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    with Client(mounted(tmp_path, b"A: 1\n\n" + b"x" * 200_000)) as client:
        client.get("/x.asis")
        client.head("/x.asis")
        with client.stream("GET", "/x.asis") as stream:
            next(stream)
        client.settle()
        during = len(os.listdir("/dev/fd"))
    assert during - before <= 4  # of the loop
