"""Nodes of the tree: mounting, listing, and which method answers which verb."""

from __future__ import annotations

from typing import Any

import pytest

from container.message.response import Response
from container.testing import Client
from container.tree.resource import Resource
from container.tree.site import Site


class Page(Resource):
    """Answers GET."""

    def __init__(self, text: str = "page") -> None:
        self.text = text

    def get(self, request: object) -> Response:
        return Response.text(self.text)


class Form(Page):
    """Answers GET and POST."""

    async def post(self, request: Any) -> bytes:
        return b"posted " + await request.read()


class Own(Resource):
    """Answers HEAD and OPTIONS itself, and no GET."""

    def head(self, request: object) -> Response:
        return Response(b"dropped", headers={"X-Own": "head"})

    def options(self, request: object) -> Response:
        return Response.text("own options")


# Mounting.


def test_mounting_gives_back_the_child_and_makes_plain_resources_between() -> None:
    root, page = Resource(), Page()
    assert root.mount("a/b/c", page) is page
    between = root.children["a"]
    assert type(between) is Resource
    assert between.children["b"].children == {"c": page}


def test_mounting_uses_what_is_there_already() -> None:
    root = Resource()
    shop = root.mount("shop", Page("shop"))
    cart = root.mount("/shop/cart", Page("cart"))
    assert shop.children == {"cart": cart}


def test_a_trailing_slash_is_a_child_without_a_name() -> None:
    root, index = Resource(), Page("index")
    root.mount("", index)
    root.mount("docs/", index)
    assert root.children[""] is index
    assert root.children["docs"].children == {"": index}


def test_mounting_again_replaces() -> None:
    root, second = Resource(), Page("second")
    root.mount("a", Page("first"))
    root.mount("a", second)
    assert root.children == {"a": second}


@pytest.mark.parametrize("child", [None, "page", Page, lambda environ, start_response: []])
def test_only_resources_can_be_mounted(child: Any) -> None:
    with pytest.raises(TypeError, match="expected a Resource to mount at 'a'"):
        Resource().mount("a", child)


def test_unmounting_gives_back_what_was_there() -> None:
    root = Resource()
    deep = root.mount("a/b", Page())
    flat = root.mount("c", Page())
    assert root.unmount("a/b") is deep
    assert root.unmount("/c") is flat
    assert list(root.children) == ["a"]


@pytest.mark.parametrize("path", ["x", "a/x", "x/y", ""])
def test_unmounting_nothing_is_an_error(path: str) -> None:
    root = Resource()
    root.mount("a", Page())
    with pytest.raises(KeyError):
        root.unmount(path)


def test_what_is_mounted_can_be_listed_and_the_list_is_a_copy() -> None:
    root = Resource()
    assert root.children == {}
    page = root.mount("a/b", Page())
    index = root.mount("a/", Page())
    other = root.mount("c", Page())
    assert dict(root.walk()) == {"/a": root.children["a"], "/a/b": page, "/a/": index, "/c": other}
    root.children.clear()
    assert list(root.children) == ["a", "c"]


def test_a_tree_that_is_mounted_in_itself_has_an_end() -> None:
    root, page = Resource(), Page()
    root.mount("page", page)
    root.mount("again", page)
    root.mount("self", root)
    root.mount("site", Site(root))
    paths = [path for path, _ in root.walk()]
    assert paths[:4] == ["/page", "/again", "/self", "/site"]
    assert "/site/site" in paths
    assert "/site/site/page" not in paths


def test_what_is_mounted_while_serving_counts_from_the_next_request() -> None:
    root = Resource()
    with Client(root) as client:
        assert client.get("/a/b").status == 404
        root.mount("a/b", Page("new"))
        assert client.get("/a/b").text == "new"
        root.mount("a/b", Page("newer"))
        assert client.get("/a/b").text == "newer"
        root.unmount("a/b")
        assert client.get("/a/b").status == 404


# Verbs.

_VERBS: list[tuple[type[Resource], str, int, str | None]] = [
    (Page, "GET", 200, None),
    (Page, "HEAD", 200, None),
    (Page, "POST", 405, "GET, HEAD, OPTIONS"),
    (Page, "PUT", 405, "GET, HEAD, OPTIONS"),
    (Page, "DELETE", 405, "GET, HEAD, OPTIONS"),
    (Page, "PATCH", 405, "GET, HEAD, OPTIONS"),
    (Page, "TRACE", 405, "GET, HEAD, OPTIONS"),
    (Page, "PROPFIND", 405, "GET, HEAD, OPTIONS"),
    (Page, "LOCK", 405, "GET, HEAD, OPTIONS"),
    (Page, "OPTIONS", 204, "GET, HEAD, OPTIONS"),
    (Form, "POST", 200, None),
    (Form, "PUT", 405, "GET, HEAD, POST, OPTIONS"),
    (Form, "OPTIONS", 204, "GET, HEAD, POST, OPTIONS"),
    (Own, "GET", 405, "HEAD, OPTIONS"),
    (Own, "HEAD", 200, None),
    (Own, "OPTIONS", 200, None),
    (Resource, "GET", 405, "OPTIONS"),
    (Resource, "HEAD", 405, "OPTIONS"),
    (Resource, "OPTIONS", 204, "OPTIONS"),
]


@pytest.mark.parametrize(("kind", "verb", "status", "allow"), _VERBS)
def test_a_verb_is_answered_by_its_method_or_405(
    kind: type[Resource], verb: str, status: int, allow: str | None
) -> None:
    root = Resource()
    root.mount("x", kind())
    with Client(root) as client:
        answer = client.request(verb, "/x")
    assert (answer.status, answer.headers.get("allow")) == (status, allow)


def test_head_has_the_fields_of_get_and_no_content() -> None:
    root = Resource()
    root.mount("x", Page())
    with Client(root) as client:
        get, head = client.get("/x"), client.head("/x")
    assert head.body == b""
    assert head.headers.items() == get.headers.items()


def test_a_resource_may_answer_head_and_options_itself() -> None:
    root = Resource()
    root.mount("x", Own())
    with Client(root) as client:
        head = client.head("/x")
        assert (head.headers["x-own"], head.headers["content-length"], head.body) == ("head", "7", b"")
        assert client.options("/x").text == "own options"


@pytest.mark.parametrize("method", ["get", "Get", "FOO"])
def test_verbs_are_what_they_are_in_upper_case(method: str) -> None:
    with Client(Page()) as client:
        answers = client.send_raw(f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert [answer.status for answer in answers.responses] == [501]


def test_a_method_may_be_asynchronous() -> None:
    root = Resource()
    root.mount("x", Form())
    with Client(root) as client:
        assert client.post("/x", body=b"data").body == b"posted data"


def test_a_resource_stands_for_another_only_if_it_says_how() -> None:
    with pytest.raises(NotImplementedError):
        Resource().enter(None)  # type: ignore[arg-type]
