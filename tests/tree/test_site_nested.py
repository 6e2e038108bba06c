"""A site inside the tree of another: its own headers and pages, and the slash of its mount point."""

from __future__ import annotations

import pytest

from container.message.response import Response
from container.resources.data import Data
from container.testing import Client
from container.tree.resource import Resource
from container.tree.site import Site, slash_redirect
from tests.leaf import Leaf, request


def nested() -> Site:
    page = Resource()
    page.mount("n", Leaf(lambda each: Response.json([each.script_name, each.path_info])))
    page.mount("", Data(b"index", "text/plain"))
    page.mount("fails", Leaf(lambda _: 1 / 0))
    page.mount("deeper/x", Site(Leaf(lambda _: "deepest"), headers={"X-Deepest": "1"}))
    inner = Site(page, headers={"X-Inner": "1"}, error_pages={404: Response.text("inner 404", 404)})
    root = Resource()
    root.mount("a/inner", inner)
    return Site(root, headers={"X-Outer": "1"}, error_pages={404: Response.text("outer 404", 404)})


@pytest.mark.parametrize(
    ("target", "status", "text", "sites"),
    [
        ("/a/inner/n/x", 200, '["/a/inner/n","/x"]', "outer inner"),
        ("/a/inner/", 200, "index", "outer inner"),
        ("/a/inner/none", 404, "inner 404", "outer inner"),
        ("/a/none", 404, "outer 404", "outer"),
        ("/a/inner/deeper/x/", 200, "deepest", "outer inner deepest"),
    ],
)
def test_an_inner_site_has_its_own_headers_and_error_pages(
    target: str, status: int, text: str, sites: str
) -> None:
    with Client(nested()) as client:
        answer = client.get(target)
    assert (answer.status, answer.text) == (status, text)
    found = [name for name in ("outer", "inner", "deepest") if f"x-{name}" in answer.headers]
    assert " ".join(found) == sites


@pytest.mark.parametrize(
    ("method", "target", "status", "location"),
    [
        ("GET", "/a/inner", 301, "./inner/"),
        ("HEAD", "/a/inner?q=1&r", 301, "./inner/?q=1&r"),
        ("POST", "/a/inner", 308, "./inner/"),
        ("GET", "/a/inner/deeper/x", 301, "./x/"),
        ("GET", "/a/%69nner", 301, "./%69nner/"),
    ],
)
def test_the_mount_point_of_a_site_redirects_to_its_slash(
    method: str, target: str, status: int, location: str
) -> None:
    """RT-17"""
    with Client(nested()) as client:
        answer = client.request(method, target)
    assert (answer.status, answer.headers["location"]) == (status, location)
    assert "x-inner" in answer.headers


def test_the_redirect_leads_to_the_index() -> None:
    with Client(nested(), follow_redirects=True) as client:
        assert client.get("/a/inner").text == "index"


@pytest.mark.parametrize(
    ("target", "location"),
    [("//evil.example", "./evil.example/"), ("/a:b", "./a:b/"), ("/%22%3C", "./%22%3C/")],
)
def test_no_target_redirects_to_another_server(target: str, location: str) -> None:
    with Client(Leaf(slash_redirect)) as client:
        answer = client.send_raw(request(target)).responses[0]
    assert answer.headers["location"] == location


def test_mounting_on_a_site_is_mounting_on_its_root() -> None:
    site = Site(Resource())
    page = site.mount("a/b", Data(b"x", "text/plain"))
    with Client(site) as client:
        assert client.get("/a/b").body == b"x"
        assert list(site.children) == ["a"]
        assert site.unmount("a/b") is page
        assert client.get("/a/b").status == 404
        between = site.children["a"]
        assert site.unmount("a") is between
    assert site.children == {}
