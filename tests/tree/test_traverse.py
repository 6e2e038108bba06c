"""The walk down the tree: who is asked for which child, what the resource that answers is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from container.message.response import Response
from container.testing import AsyncClient, Client
from container.tree.resource import Resource
from tests.leaf import Leaf

if TYPE_CHECKING:
    from container.message.request import Request


class Tell(Resource):
    """Answers where it was found; a leaf unless told otherwise."""

    def __init__(self, name: str = "", *, is_leaf: bool = True) -> None:
        self.name = name
        self.is_leaf = is_leaf

    def get(self, request: Request) -> Response:
        return Response.json([self.name, request.script_name, request.path_info])


class Asked(Tell):
    """Gives itself as every child, and notes what it was asked for."""

    def __init__(self) -> None:
        super().__init__("asked", is_leaf=False)
        self.names: list[str] = []

    def child(self, name: str, request: Request) -> Any:
        self.names.append(name)
        return self


# Who is asked.


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("/", [""]),
        ("/a", ["a"]),
        ("/a/", ["a", ""]),
        ("/a/b/", ["a", "b", ""]),
        ("//", ["", ""]),
        ("//a///b", ["", "a", "", "", "b"]),
        ("/a%2Fb/c", ["a/b", "c"]),
        ("/a%20b/%C3%A9", ["a b", "é"]),
        ("/%FF", ["\ufffd"]),
        ("/./../a", [".", "..", "a"]),
        ("/%2e%2e/a", ["..", "a"]),
        ("/a;b=c,d/e", ["a;b=c,d", "e"]),
        ("/a?b/c", ["a"]),
        ("/50%25", ["50%"]),
        ("http://other.example/x/y", ["x", "y"]),
    ],
)
def test_every_segment_is_asked_for_decoded_after_the_split(target: str, names: list[str]) -> None:
    root = Asked()
    with Client(root) as client:
        answer = client.send_raw(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()).responses[0]
    assert root.names == names
    assert answer.status == 200


def test_what_is_mounted_comes_before_what_is_made() -> None:
    root = Asked()
    root.mount("a", Tell("mounted"))
    root.mount("foo bar", Tell("spaced"))
    with Client(root) as client:
        assert client.get("/a").json() == ["mounted", "/a", ""]
        assert client.get("/foo%20bar").json() == ["spaced", "/foo bar", ""]
        assert root.names == []
        assert client.get("/A").json() == ["asked", "/A", ""]
    assert root.names == ["A"]


# What a resource is told.


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("/", ["", "", "/"]),
        ("/x/y", ["", "", "/x/y"]),
        ("/m", ["m", "/m", ""]),
        ("/m/", ["m", "/m", "/"]),
        ("/m//", ["m", "/m", "//"]),
        ("/m/a%2Fb//c/", ["m", "/m", "/a/b//c/"]),
        ("/mm", ["", "", "/mm"]),
        ("/m/n", ["n", "/m/n", ""]),
        ("/m/n/o", ["n", "/m/n", "/o"]),
        ("/m/nn", ["m", "/m", "/nn"]),
    ],
)
def test_a_leaf_answers_for_all_below_it_that_nothing_is_mounted_at(target: str, told: list[str]) -> None:
    root = Tell("")
    leaf = root.mount("m", Tell("m"))
    leaf.mount("n", Tell("n"))
    with Client(root) as client:
        assert client.get(target).json() == told


def test_prepath_and_postpath_divide_the_segments() -> None:
    seen: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    root = Resource()
    root.mount(
        "a/b", Leaf(lambda request: (seen.append((request.prepath, request.postpath)), Response(b""))[1])
    )
    with Client(root) as client:
        client.get("/a/b")
        client.get("/a/b/")
        client.get("/a/b/c%2Fd//")
    assert seen == [(("a", "b"), ()), (("a", "b"), ("",)), (("a", "b"), ("c/d", "", ""))]


def test_a_resource_that_is_no_leaf_answers_for_itself_only() -> None:
    root = Resource()
    root.mount("a", Tell("a", is_leaf=False))
    with Client(root) as client:
        assert client.get("/a").json() == ["a", "/a", ""]
        assert [client.get(target).status for target in ("/a/", "/a/b", "/", "//a")] == [404] * 4
        root.children["a"].mount("", Tell("index"))
        assert client.get("/a/").json() == ["index", "/a/", ""]


@pytest.mark.parametrize("found", ["text", 7, Tell])
def test_a_child_that_is_no_resource_is_an_error_of_the_tree(
    found: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Resource):
        def child(self, name: str, request: Request) -> Any:
            return found

    with Client(Broken()) as client:
        assert client.get("/a").status == 500
    assert "from child()" in caplog.text


def test_a_lookup_that_raises_is_a_500_or_what_it_says() -> None:
    class Broken(Resource):
        def child(self, name: str, request: Request) -> Any:
            raise KeyError(name)

    with Client(Broken()) as client:
        assert client.get("/a").status == 500


# Children that have to be waited for.


class Late(Resource):
    """Children by name, each after a turn of the loop."""

    def __init__(self, **found: Resource) -> None:
        self.found = found
        self.waiting = 0
        self.most_waiting = 0

    async def child(self, name: str, request: Request) -> Resource | None:  # type: ignore[override]
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        for _ in range(5):
            await asyncio.sleep(0)
        self.waiting -= 1
        if name == "raises":
            raise KeyError("secret")
        return self.found.get(name)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("/a", ["a", "/a", ""]),
        ("/a/x/", ["a", "/a", "/x/"]),
        ("/d/b", ["b", "/d/b", ""]),
        ("/l/c/x", ["c", "/l/c", "/x"]),
    ],
)
def test_the_walk_goes_on_below_a_child_that_was_waited_for(target: str, told: list[str]) -> None:
    directory = Resource()
    directory.mount("b", Tell("b"))
    root = Late(a=Tell("a"), d=directory, l=Late(c=Tell("c")))
    with Client(root) as client:
        assert client.get(target).json() == told
        assert client.get(target).json() == told  # and works again


@pytest.mark.parametrize(
    ("target", "status"), [("/none", 404), ("/d/none", 404), ("/l/none", 404), ("/raises", 500), ("/d", 405)]
)
def test_a_child_that_was_waited_for_may_not_be_there(target: str, status: int) -> None:
    with Client(Late(d=Resource(), l=Late())) as client:
        answer = client.get(target)
    assert answer.status == status
    assert b"secret" not in answer.body


def test_two_requests_can_wait_for_the_same_child_at_once() -> None:
    root = Late(a=Tell("a"))

    async def both() -> list[Any]:
        async with AsyncClient(root) as client:
            answers = await asyncio.gather(client.get("/a/1"), client.get("/a/2"))
            return [answer.json() for answer in answers]

    assert asyncio.run(both()) == [["a", "/a", "/1"], ["a", "/a", "/2"]]
    assert root.most_waiting == 2


def test_a_path_may_be_as_deep_as_children_that_are_waited_for_go() -> None:
    class Endless(Leaf):
        is_leaf = False

        async def child(self, name: str, request: Request) -> Resource:  # type: ignore[override]
            return self

    with Client(Endless(lambda request: Response.text(str(len(request.prepath))))) as client:
        assert client.get("/a" * 4000).text == "4000"


def test_what_answers_below_a_late_child_may_be_late_itself() -> None:
    async def late(request: Request) -> Response:
        await asyncio.sleep(0)
        return Response.text("late")

    with Client(Late(a=Leaf(late))) as client:
        assert client.get("/a").text == "late"


# Resources that stand for another.


class Stands(Resource):
    """Stands for another resource, and notes for whom."""

    is_transparent = True

    def __init__(self, other: Resource) -> None:
        self.other = other
        self.paths: list[str] = []

    def enter(self, request: Request) -> Resource:
        self.paths.append(request.path_info)
        return self.other


def test_the_walk_goes_through_resources_that_stand_for_another() -> None:
    inner = Stands(Tell("inner"))
    root = Resource()
    root.mount("a", Stands(inner))
    with Client(Stands(root)) as client:
        assert client.get("/a/b").json() == ["inner", "/a", "/b"]
        assert client.get("/a").json() == ["inner", "/a", ""]
    assert inner.paths == ["/b", ""]
