"""What is explained is what serves: the two cannot disagree, because they are one traversal."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from container import (
    Files,
    Front,
    HTTPError,
    Resource,
    Response,
    Rewriter,
    Site,
    VHostMonster,
    VirtualHosts,
    WSGIResource,
    alias,
)
from container.config.explain import explain
from container.testing import Client
from container.tree.policies import AddHeaders

if TYPE_CHECKING:
    from pathlib import Path

    from container.message.request import Request


class Named(Resource):
    """Says its name and where it was found."""

    def __init__(self, name: str, *, is_leaf: bool = False) -> None:
        self.name = name
        self.is_leaf = is_leaf

    def __repr__(self) -> str:
        return self.name

    def get(self, request: Request) -> Response:
        where = f"{request.script_name!r}, path_info {request.path_info!r}"
        return Response(f"script_name {where}", content_type="text/plain")


class Dynamic(Named):
    def child(self, name: str, request: Request) -> Resource | None:
        if name == "forbidden":
            raise HTTPError(403, "Not here.")
        return None if name == "nothing" else Named(f"{self.name}/{name}")


class Slow(Named):
    async def child(self, name: str, request: Request) -> Resource | None:  # type: ignore[override]
        await asyncio.sleep(0)
        return None if name == "nothing" else Dynamic(f"{self.name}/{name}")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "a.txt").write_text("a")
    root = Named("root", is_leaf=True)
    root.mount("a/b", Named("b"))
    root.mount("a", Named("a")).mount("c", Named("c", is_leaf=True))
    root.mount("dynamic", Dynamic("dynamic"))
    root.mount("slow", Slow("slow"))
    root.mount("site", Site(AddHeaders(Named("inner", is_leaf=True), {"X": "y"})))
    root.mount("old", Rewriter(Dynamic("rewritten"), alias("/x", "/y/z")))
    root.mount("hosts", VirtualHosts({"a.example": Named("host", is_leaf=True)}))
    root.mount("files", Files(tmp_path))
    return Site(Front(root))


PATHS = [
    "/", "/x", "/x/y", "/a", "/a/", "/a/b", "/a/c/d", "/a%2Fb", "//", "/dynamic", "/dynamic/x", "/dynamic/x/y",
    "/dynamic/nothing", "/dynamic/forbidden", "/slow/x", "/slow/x/y", "/slow/nothing", "/slow/x/nothing", "/site",
    "/site/", "/site/x", "/old/x", "/old/x/w", "/hosts/x", "/files/", "/files/a.txt", "/%C3%A9",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("host", ["localhost", "a.example"])
def test_it_ends_where_requests_end(site: Site, path: str, host: str) -> None:
    with Client(site) as client:
        answer = client.get(path, headers={"Host": host})
    lines = asyncio.run(explain(site, path, headers=[("Host", host)]))
    if lines[-1].startswith("answered "):
        assert str(answer.status) in lines[-1]
    elif answer.status == 200 and "script_name" in answer.text:
        assert lines[-1].strip() == answer.text


def test_each_step_is_told(site: Site) -> None:
    assert asyncio.run(explain(site, "/slow/x/nothing/y")) == [
        "GET /slow/x/nothing/y of localhost",
        "  /: through Front",
        "  /slow: Slow is mounted",
        "  /slow/x: Slow gives Dynamic for 'x'",
        "  /slow/x/nothing: Dynamic has no child 'nothing'",
        "answered 404",
    ]
    assert asyncio.run(explain(site, "/old/x"))[2:4] == [
        "  /old: rewrites is mounted",
        "  /old: through rewrites, the path is now /old/y/z",
    ]


def test_a_path_that_names_a_host_begins_anew(site: Site) -> None:
    site.mount("vhost", VHostMonster())
    lines = asyncio.run(explain(site, "/vhost/https/a.example/hosts/x?q"))
    assert lines[3:5] == [
        "  /vhost: vhostmonster 127.0.0.0/8,::1,unix names another host",
        "GET /hosts/x of a.example",
    ]
    assert lines[-2:] == ["answered by Named", "  script_name '/hosts', path_info '/x'"]
    assert asyncio.run(explain(site, "/vhost/ftp/a.example/"))[-1] == "answered 404"


def test_an_application_is_named(site: Site) -> None:
    site.mount("app", WSGIResource(_application))
    assert asyncio.run(explain(site, "http://x/app/y"))[-2] == f"answered by wsgi {__name__}:_application"


def _application(environ: object, start_response: object) -> list[bytes]:
    raise AssertionError("nothing is rendered")
