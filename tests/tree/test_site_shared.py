"""One site for several listeners, and which site a request belongs to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from container.message.response import Response
from container.testing import AsyncClient, Client
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import Leaf, MemoryLog

if TYPE_CHECKING:
    from container.message.request import Request


def test_one_site_serves_two_listeners_with_one_tree_and_one_log() -> None:
    log = MemoryLog()
    root = Resource()
    site = Site(root, headers={"X-Site": "1"}, access_log=log)

    async def serve() -> None:
        plain = AsyncClient(site, client=("192.0.2.1", 1))
        secure = AsyncClient(site, client=("192.0.2.2", 2), secure=True)
        async with plain, secure:
            assert plain.group is not secure.group
            root.mount("scheme", Leaf(lambda each: Response.text(each.scheme)))
            answers = await asyncio.gather(*[each.get("/scheme") for each in (plain, secure, plain)])
            assert [answer.text for answer in answers] == ["http", "https", "http"]
            assert {answer.headers["x-site"] for answer in answers} == {"1"}

    asyncio.run(serve())
    assert sorted(line.split()[0] for line in log.lines) == ["192.0.2.1", "192.0.2.1", "192.0.2.2"]


def test_listeners_of_one_site_share_its_quota() -> None:
    site = Site(Resource())

    async def serve() -> None:
        async with AsyncClient(site) as one, AsyncClient(site) as other:
            assert one.group.host is other.group.host is site
            assert one.site.quota is other.site.quota

    asyncio.run(serve())


@pytest.mark.parametrize(
    ("target", "name"), [("/tell", "outer"), ("/in/tell", "inner"), ("/in/in/tell", "innermost")]
)
def test_a_request_belongs_to_the_site_its_resource_is_in(target: str, name: str) -> None:
    names: dict[object, str] = {}
    tell = Leaf(lambda each: Response.text(names[each.site]))
    site = Site(Resource())
    names[site] = "innermost"
    site.mount("tell", tell)
    for each in ("inner", "outer"):
        outer = Site(Resource())
        outer.mount("in", site)
        outer.mount("tell", tell)
        names[outer] = each
        site = outer
    with Client(site) as client:
        assert client.get(target).text == name


@pytest.mark.parametrize(("target", "shown"), [("/fails", False), ("/in/fails", True)])
def test_an_inner_site_shows_tracebacks_by_its_own_rule(target: str, shown: bool) -> None:
    fails = Leaf(lambda _: {"a": 1}["secret"])
    inner, outer = Resource(), Resource()
    inner.mount("fails", fails)
    outer.mount("fails", fails)
    outer.mount("in", Site(inner, display_tracebacks=True))
    with Client(outer) as client:
        answer = client.get(target)
    assert answer.status == 500
    assert ("Traceback" in answer.text, "secret" in answer.text) == (shown, shown)


def test_an_error_below_an_inner_site_without_a_page_does_not_borrow_the_outer_one() -> None:
    outer = Resource()
    outer.mount("in", Site(Resource()))
    with Client(Site(outer, error_pages={404: Response.text("outer", 404)})) as client:
        assert client.get("/none").text == "outer"
        assert "Nothing is at this address." in client.get("/in/none").text


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_header_of_the_site_is_also_on_its_own_error_pages(status: int) -> None:
    def decline(each: Request) -> Response:
        assert isinstance(each.site, Site)
        return each.site.error_response(each, status)

    site = Site(
        Leaf(decline),
        headers={"X-Site": "1"},
        error_pages={status: Response.text("own", status)},
    )
    with Client(site) as client:
        for _ in range(2):
            answer = client.get("/")
            assert (answer.status, answer.text) == (status, "own")
            assert answer.headers.get_all("x-site") == ["1"]
