"""Redirections that are mounted: where they lead."""

from __future__ import annotations

import asyncio

import pytest

from container.channel.group import ChannelGroup
from container.channel.h1 import H1Channel
from container.resources.redirect import ParentRedirect, Redirect
from container.tree.resource import Resource
from container.tree.site import Site


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


def ask(
    resource: Resource, target: str, method: str = "GET", *, mount: str | None = None, host: str = "h.example"
) -> tuple[int, str, str]:
    """Status, Location and content."""
    root = resource
    if mount is not None:
        root = Resource()
        root.mount(mount, resource)
    wire = Wire()

    async def exchange() -> None:
        channel = H1Channel(ChannelGroup(Site(root), asyncio.get_running_loop()))
        channel.connection_made(wire)
        channel.data_received(
            f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        )
        channel.connection_lost(None)

    asyncio.run(exchange())
    head, _, body = wire.sent.decode().partition("\r\n\r\n")
    lines = head.split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), fields["Location"], body


@pytest.mark.parametrize("target", ["/old", "/old/", "/old/a/b?c", "/old?x"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_every_path_below_leads_to_the_same_url(target: str, method: str) -> None:
    status, location, body = ask(Redirect("https://new.example/x?a=1&b=2"), target, method, mount="old")
    assert (status, location) == (302, "https://new.example/x?a=1&b=2")
    assert 'href="https://new.example/x?a=1&amp;b=2"' in body


def test_head_is_redirected_without_content() -> None:
    assert ask(Redirect("/new"), "/old", "HEAD", mount="old") == (302, "/new", "")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_status_can_be_chosen(status: int) -> None:
    assert ask(Redirect("/new", status=status), "/")[0] == status
    assert ask(ParentRedirect(status=status), "/a", mount="a")[0] == status


@pytest.mark.parametrize("status", [200, 300, 304, 404])
def test_a_status_that_redirects_nobody_is_refused_at_once(status: int) -> None:
    with pytest.raises(ValueError, match="expected a redirect status"):
        Redirect("/new", status=status)
    with pytest.raises(ValueError, match="expected a redirect status"):
        ParentRedirect(status=status)


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("/new", "/new"),
        ("../up/", "../up/"),
        ("/a b", "/a%20b"),
        ("/a%20b", "/a%20b"),
        ("/ü", "/%C3%BC"),
        ("/x\r\nSet-Cookie: a=b", "/x%0D%0ASet-Cookie:%20a=b"),
        ('/"><script>', "/%22%3E%3Cscript%3E"),
    ],
)
def test_a_url_may_be_relative_and_cannot_break_out(url: str, location: str) -> None:
    status, sent, body = ask(Redirect(url), "/")
    assert (status, sent) == (302, location)
    assert "<script>" not in body


@pytest.mark.parametrize(
    ("mount", "target", "location"),
    [
        # The directory it is mounted in, whatever is asked for below it.
        ("foo", "/foo?bar", "/"),
        ("foo", "/foo/", "/"),
        ("foo/bar", "/foo/bar?baz", "/foo/"),
        ("foo/bar", "/foo/bar/", "/foo/"),
        ("foo/bar", "/foo/bar/x/y?z", "/foo/"),
        ("foo/", "/foo/", "/foo/"),
        ("ü b/x", "/%C3%BC%20b/x", "/%C3%BC%20b/"),
        # Not mounted in any: the directory of the path.
        (None, "/foo?bar", "/"),
        (None, "/foo/bar?baz", "/foo/"),
        (None, "/foo/", "/foo/"),
        (None, "//evil.example/x", "//evil.example/"),
    ],
)
@pytest.mark.parametrize("host", ["h.example", "h.example:8080", "[::1]:81"])
def test_the_parent_is_an_absolute_url_without_query(
    mount: str | None, target: str, location: str, host: str
) -> None:
    assert ask(ParentRedirect(), target, mount=mount, host=host)[:2] == (302, f"http://{host}{location}")


def test_an_empty_segment_is_no_host() -> None:
    root = Resource()
    root.mount("", Resource()).mount("x", ParentRedirect())
    assert ask(root, "//x")[:2] == (302, "http://h.example//")


def test_the_port_of_the_scheme_is_left_out() -> None:
    assert ask(ParentRedirect(), "/a/b", mount="a/b", host="h.example:80")[1] == "http://h.example/a/"
