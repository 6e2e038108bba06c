"""Sites where trees get odd: mounted at a slash, walked through, with errors of the peer raised by resources."""

from typing import Any

import pytest

from container.message.errors import ProtocolError
from container.message.request import Request
from container.message.response import Response
from container.testing import Client
from container.tree.resource import Resource
from container.tree.site import Site


class Leaf(Resource):
    is_leaf = True

    def get(self, request: Request) -> Any:
        return Response.text("leaf")


class Refusing(Resource):
    is_leaf = True

    def __init__(self, status: int) -> None:
        self.status = status

    async def get(self, request: Request) -> Any:
        raise ProtocolError(self.status, "so it is")


class RefusingAtOnce(Refusing):
    def render(self, request: Request) -> Any:
        raise ProtocolError(self.status, "so it is")


@pytest.mark.parametrize("kind", [Refusing, RefusingAtOnce])
@pytest.mark.parametrize(("raised", "answered"), [(413, 413), (400, 400), (42, 500)])
def test_an_error_of_the_peer_may_come_from_a_resource(
    kind: type[Refusing], raised: int, answered: int
) -> None:
    with Client(kind(raised)) as client:
        assert client.get("/").status == answered


def test_a_site_mounted_at_the_slash_is_no_redirect_to_itself() -> None:
    root = Resource()
    root.mount("docs/", Site(Leaf()))
    with Client(root) as client:
        assert client.get("/docs/").text == "leaf"


def test_empty_segments_of_a_mount_are_segments() -> None:
    root = Resource()
    root.mount("a//b", Leaf())
    with Client(root) as client:
        assert (client.get("/a//b").status, client.get("/a/b").status) == (200, 404)
    assert root.unmount("a//b").is_leaf


def test_a_site_is_walked_like_its_root() -> None:
    inner = Site(Resource())
    leaf = inner.mount("x/y", Leaf())
    root = Resource()
    root.mount("inner", inner)
    assert dict(root.walk())["/inner/x/y"] is leaf
    assert inner.unmount("x/y") is leaf


def test_a_site_starts_what_is_its_own_and_no_more() -> None:
    inner = Site(Resource())
    inner.mount("x", Leaf())
    outer = Site(Resource())
    outer.mount("inner", inner)
    assert outer.resources() == [outer.root, inner]


def test_every_accept_line_counts() -> None:
    with Client(Resource()) as client:
        answer = client.send_raw(
            b"GET /x HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\nAccept: text/html;q=0.1\r\n\r\n"
        ).responses[0]
    assert answer.headers["Content-Type"] == "application/problem+json"
