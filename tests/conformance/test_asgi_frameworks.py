"""One rule for paths, seen by the frameworks: wherever an application is mounted, its routes match and its URLs
lead back to it. AS-01.

`root_path` is the mount point, `path` the whole path. Each application answers at `/items/NUMBER` with the path
its framework would write into a link to that very page, and at `/ws` where it can.
"""

import os
from typing import Any, Final

import pytest

from container.resources.asgi import ASGIResource
from container.resources.vhost import VirtualHosts
from container.resources.wsgi import WSGIResource
from container.tree.resource import Resource
from container.tree.site import Site
from tests.conformance.conftest import Tree
from tests.conformance.leaves import Stage


def starlette() -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route

    async def item(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.url_for("item", number=request.path_params["number"]).path)

    async def deep(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.url_for("inner:deep").path)

    inner = Mount("/inner", routes=[Route("/deep", deep, name="deep")], name="inner")
    return Starlette(routes=[Route("/items/{number:int}", item, name="item"), inner])


def fastapi() -> Any:
    from fastapi import FastAPI, Request
    from fastapi.responses import PlainTextResponse

    app = FastAPI()

    @app.get("/items/{number}", name="item", response_class=PlainTextResponse)
    async def item(number: int, request: Request) -> str:
        return request.url_for("item", number=number).path

    inner = FastAPI()

    @inner.get("/deep", name="deep", response_class=PlainTextResponse)
    async def deep(request: Request) -> str:
        return request.url_for("deep").path

    app.mount("/inner", inner)
    return app


def django() -> Any:
    from tests.conformance import django_asgi

    return django_asgi.application


def litestar() -> Any:
    from litestar import Litestar, Request, get
    from litestar.params import FromPath

    @get("/items/{number:int}", name="item", media_type="text/plain")
    async def item(number: FromPath[int], request: Request[Any, Any, Any]) -> str:
        return str(request.scope["root_path"]) + request.app.route_reverse("item", number=number)

    @get("/inner/deep", name="deep", media_type="text/plain")
    async def deep(request: Request[Any, Any, Any]) -> str:
        return request.url.path

    return Litestar([item, deep], logging_config=None)  # its own would be that of all tests


def quart() -> Any:
    from quart import Quart, url_for

    app = Quart("quart_app")

    @app.get("/items/<int:number>")
    async def item(number: int) -> str:
        return url_for("item", number=number)

    @app.get("/inner/deep")
    async def deep() -> str:
        return url_for("deep")

    return app


# Of the frameworks: Django leaves the file of a request's content to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:litestar"),
]
FRAMEWORKS: Final = [starlette, fastapi, django, litestar, quart]


def flask() -> Resource:
    from flask import Flask, url_for

    app = Flask("flask_app")

    @app.get("/items/<int:number>")
    def item(number: int) -> str:
        return url_for("item", number=number)

    @app.get("/inner/deep")
    def deep() -> str:
        return url_for("deep")

    return WSGIResource(app, threads=1)


def django_wsgi() -> Resource:
    from django.core.wsgi import get_wsgi_application

    django()  # its settings
    return WSGIResource(get_wsgi_application(), threads=1)


WSGI: Final = [flask, django_wsgi]
MOUNTS: Final = {"depth0": "", "depth1": "m", "depth3": "a/b/c"}
ROOT_PATHS: Final = {"direct": "", "forwarded": "/fwd"}


def make_tree(stage: Stage) -> Resource:
    """Each framework at each depth, with and without a root_path of its own, on a host of its own."""
    hosts = VirtualHosts()
    for depth, mount in MOUNTS.items():
        for make in FRAMEWORKS:
            for name, root_path in ROOT_PATHS.items():
                app = ASGIResource(make(), root_path=root_path)
                hosts.add_host(f"{make.__name__}.{depth}.{name}", mounted(app, mount))
        for of in WSGI:
            hosts.add_host(f"{of.__name__}.{depth}.direct", mounted(of(), mount))
    return Site(hosts, trusted_proxies=["127.0.0.1"])


def mounted(app: Resource, mount: str) -> Resource:
    if not mount:
        return app
    root = Resource()
    root.mount(mount, app)
    return root


def prefix_of(depth: str) -> str:
    return f"/{MOUNTS[depth]}" if MOUNTS[depth] else ""


@pytest.mark.parametrize("name", ROOT_PATHS)
@pytest.mark.parametrize("depth", MOUNTS)
@pytest.mark.parametrize("framework", [make.__name__ for make in FRAMEWORKS])
def test_routes_match_and_links_lead_back(tree: Tree, framework: str, depth: str, name: str) -> None:
    host = {"Host": f"{framework}.{depth}.{name}"}
    prefix = prefix_of(depth)
    for path in ("/items/7", "/inner/deep"):
        answer = tree.client.get(prefix + path, headers=host)
        assert (answer.status, answer.text) == (200, ROOT_PATHS[name] + prefix + path)
    assert tree.client.get(f"{prefix}/none", headers=host).status == 404


@pytest.mark.parametrize("depth", MOUNTS)
@pytest.mark.parametrize("framework", [make.__name__ for make in [*FRAMEWORKS, *WSGI]])
def test_links_lead_back_through_a_proxy_that_cuts_a_prefix_off(
    tree: Tree, framework: str, depth: str
) -> None:
    """PX-09: X-Forwarded-Prefix in front of what is mounted anywhere."""
    host = {"Host": f"{framework}.{depth}.direct"}
    fields = host | {"X-Forwarded-Prefix": "/out/er", "X-Forwarded-Proto": "https"}
    prefix, client = prefix_of(depth), tree.client
    for path in ("/items/7", "/inner/deep"):
        for _ in range(2):
            answer = client.get(prefix + path, headers=fields)
            assert (answer.status, answer.text) == (200, "/out/er" + prefix + path)
        assert client.get(prefix + path, headers=host).text == prefix + path
    assert client.get(f"{prefix}/none", headers=fields).status == 404


@pytest.fixture(autouse=True, scope="module")
def _settings() -> Any:
    before = os.environ.get("DJANGO_SETTINGS_MODULE")
    yield
    if before is None:
        os.environ.pop("DJANGO_SETTINGS_MODULE", None)
