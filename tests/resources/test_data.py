"""Data: bytes in memory, as the tree serves them."""

from __future__ import annotations

import asyncio
import io
from http.client import HTTPResponse
from typing import TYPE_CHECKING, cast

import pytest

from container.channel.group import ChannelGroup
from container.channel.h1 import H1Channel
from container.resources.data import Data
from container.tree.resource import Resource
from container.tree.site import Site

if TYPE_CHECKING:
    import socket


class Wire(asyncio.Transport):
    """A transport in memory for answers that are sent at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def write_eof(self) -> None:
        self.closing = True

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.closing

    def resume_reading(self) -> None: ...

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self.sent)


def ask(root: Resource, target: str, method: str = "GET", **fields: str) -> tuple[int, dict[str, str], bytes]:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    wire = Wire()

    async def exchange() -> None:
        channel = H1Channel(ChannelGroup(Site(root), asyncio.get_running_loop()))
        channel.connection_made(wire)
        channel.data_received(
            f"{method} {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{lines}\r\n".encode()
        )
        channel.connection_lost(None)

    asyncio.run(exchange())
    response = HTTPResponse(cast("socket.socket", wire), method=method)
    response.begin()
    kept = {
        name: value for name, value in response.getheaders() if name not in ("Date", "Server", "Connection")
    }
    return response.status, kept, response.read()


def mounted(name: str, data: Data) -> Resource:
    root = Resource()
    root.mount(name, data)
    return root


def test_the_content_comes_as_it_is() -> None:
    data = Data(b"\x00\x01", "application/x-test")
    status, headers, body = ask(mounted("a", data), "/a")
    assert (status, body) == (200, b"\x00\x01")
    assert headers == {
        "Content-Type": "application/x-test",
        "ETag": data.etag,
        "Accept-Ranges": "bytes",
        "Content-Length": "2",
    }


def test_head_has_the_fields_of_get_and_no_content() -> None:
    root = mounted("a", Data(b"hello", "text/plain"))
    _, headers, _ = ask(root, "/a")
    assert ask(root, "/a", "HEAD") == (200, headers, b"")


@pytest.mark.parametrize(
    ("content", "media_type", "sent", "expected"),
    [
        ("grün", "text/plain", "grün".encode(), "text/plain; charset=utf-8"),
        ("grün", "text/plain; charset=UTF-8", "grün".encode(), "text/plain; charset=UTF-8"),
        ('{"a":1}', "application/json", b'{"a":1}', "application/json"),
        (b"gr\xfcn", "text/plain", b"gr\xfcn", "text/plain"),
        (bytearray(b"x"), "image/x-x", b"x", "image/x-x"),
        (b"", "text/plain", b"", "text/plain"),
    ],
)
def test_text_is_utf8_and_bytes_are_what_their_type_says(
    content: bytes | str, media_type: str, sent: bytes, expected: str
) -> None:
    status, headers, body = ask(mounted("a", Data(content, media_type)), "/a")
    assert (status, headers["Content-Type"], body) == (200, expected, sent)


@pytest.mark.parametrize("content", ["x", b"x"])
def test_a_type_that_cannot_be_sent_is_refused_at_once(content: bytes | str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Data(content, "text/plain\r\nX: y")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_methods_are_405_and_say_what_is_allowed(method: str) -> None:
    status, headers, _ = ask(mounted("a", Data(b"x", "text/plain")), "/a", method)
    assert (status, headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


def test_the_tag_is_strong_and_follows_the_content() -> None:
    tags = [Data(content, "text/plain").etag for content in (b"a", b"a", b"b")]
    assert tags[0] == tags[1] != tags[2]
    assert tags[0].startswith('"')


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_client_that_has_it_gets_304_with_the_tag_alone(method: str) -> None:
    data = Data(b"hello", "text/plain")
    answer = ask(mounted("a", data), "/a", method, If_None_Match=f"W/{data.etag}")
    assert answer == (304, {"ETag": data.etag}, b"")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"If_None_Match": '"other"'}, 200),
        ({"If_Match": '"other"'}, 412),
        ({"If_Match": "*"}, 200),
        ({"If_Modified_Since": "Fri, 31 Dec 9999 23:59:59 GMT"}, 200),
    ],
)
def test_preconditions_are_honoured(fields: dict[str, str], expected: int) -> None:
    assert ask(mounted("a", Data(b"x", "text/plain")), "/a", **fields)[0] == expected


def test_the_same_response_answers_every_request() -> None:
    root = mounted("a", Data(b"x", "text/plain"))
    assert ask(root, "/a") == ask(root, "/a") == ask(root, "/a?q")


@pytest.mark.parametrize(
    ("name", "target", "expected"),
    [("a", "/a/", 404), ("a", "/a/b", 404), ("", "/", 200), ("", "//", 404), ("a/", "/a/", 200)],
)
def test_nothing_is_below_it(name: str, target: str, expected: int) -> None:
    assert ask(mounted(name, Data(b"x", "text/plain")), target)[0] == expected


@pytest.mark.parametrize(("target", "expected"), [("/", 200), ("/?q", 200), ("/a", 404), ("//", 404)])
def test_as_the_root_of_a_site_it_answers_the_slash(target: str, expected: int) -> None:
    assert ask(Data(b"x", "text/plain"), target)[0] == expected


def test_data_has_ranges_and_preconditions_like_files() -> None:
    """RT-15"""
    data = Data(b"0123456789", "a/b")
    root = mounted("a", data)
    status, headers, body = ask(root, "/a", Range="bytes=2-4")
    assert (status, headers["Content-Range"], body) == (206, "bytes 2-4/10", b"234")
    assert ask(root, "/a", Range="bytes=10-")[0] == 416
    assert ask(root, "/a", Range="bytes=2-4", If_Range='"x"')[0] == 200
    assert ask(root, "/a", If_Match='"x"')[0] == 412
    assert ask(root, "/a", If_None_Match=data.etag)[0] == 304
