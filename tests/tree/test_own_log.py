"""Access logs of single places in a tree."""

from __future__ import annotations

import io

from container import AccessLog, LogTo, Resource, Response, Site
from container.testing import Client


class Page(Resource):
    is_leaf = True

    def get(self, request) -> Response:
        return Response("page")


def paths(log: io.StringIO) -> list[str]:
    return [line.split('"')[1].split(" ")[1] for line in log.getvalue().splitlines()]


def test_a_place_has_a_log_of_its_own_or_none() -> None:
    """LG-02: the innermost counts, in inner sites too; refusals of a place are in its log."""
    outer, inner, deep = io.StringIO(), io.StringIO(), io.StringIO()
    root = Page()
    admin = root.mount("admin", LogTo(Page(), AccessLog(inner)))
    admin.mount("deep", LogTo(Page(), AccessLog(deep)))
    root.mount("quiet", LogTo(Page(), None))
    root.mount("site", Site(LogTo(Page(), AccessLog(deep))))
    site = Site(root, access_log=AccessLog(outer))
    with Client(site) as client:
        for path in ("/", "/admin/x", "/admin/deep", "/quiet", "/site/x", "/y"):
            assert client.get(path).status == 200
        assert client.post("/admin").status == 405
    site.log.flush()
    assert paths(outer) == ["/", "/y"]
    assert paths(inner) == ["/admin/x", "/admin"]
    assert paths(deep) == ["/admin/deep", "/site/x"]


def test_a_site_without_a_log_may_have_places_with_one() -> None:
    log = io.StringIO()
    root = Page()
    root.mount("in", LogTo(Page(), AccessLog(log)))
    site = Site(root)
    for _ in range(2):  # started twice
        with Client(site) as client:
            client.get("/out")
            client.get("/in")
        site.log.flush()
    assert paths(log) == ["/in", "/in"]
