"""client → our proxy → our VHostMonster → Django and FastAPI at depth 2, over http, https and UNIX sockets.

Whatever speaks between the two servers, applications see the public site: VM-01, VM-02, VM-04, VM-05, PX-01, PX-06,
RQ-15, CH-20. The public names are those of a site at ports 80 and 443; only the connections go elsewhere.
"""

from __future__ import annotations

import json
import os
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit

import pytest
import requests
import urllib3.util.connection
from websockets.sync.client import connect

from tests.certificates import Authority
from tests.system.conftest import ROOT, starting
from tests.system.test_django import PATIENCE_S, SITE, csrf_token, prepare, sign_in, variables

if TYPE_CHECKING:
    from collections.abc import Iterator

# The server behind: everything two levels down, behind sessions, in front of which the VHostMonster stands.
BEHIND: Final = """
import os, sys
from container import Application, ASGIResource, Front, Resource, Sessions, Site, VHostMonster, WSGIResource
from django.core.handlers.wsgi import WSGIRequest
from notes.wsgi import application as django
from api import app


def where(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    environ["container.session"]["seen"] = True
    return [WSGIRequest(environ).build_absolute_uri().encode()]


root = Resource()
root.mount("shop/notes", WSGIResource(django, threads=2))
root.mount("shop/where", WSGIResource(where, threads=1))
root.mount("shop/api", ASGIResource(app))
front = Front(Sessions(root))
front.mount("in/side/vhost", VHostMonster())
application = Application("behind")
application.serve(
    Site(front), "tcp:0:interface=127.0.0.1", "tls:0:interface=127.0.0.1:cert=behind.pem",
    "unix:" + os.path.abspath("behind.sock"),
)
"""
API: Final = """
from fastapi import FastAPI, Request, Response, WebSocket

app = FastAPI()


@app.get("/items/{number}/", name="item")
async def item(request: Request, response: Response, number: int):
    response.set_cookie("api", str(number), path=request.scope["root_path"], secure=request.url.scheme == "https")
    return {"url": str(request.url_for("item", number=number + 1)), "live": str(request.url_for("live")),
            "here": str(request.url), "cookies": request.cookies}


@app.websocket("/live", name="live")
async def live(websocket: WebSocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_json({"text": text, "url": str(websocket.url), "cookies": websocket.cookies,
                                   "item": str(websocket.url_for("item", number=1))})
"""
# By way: the public scheme, and where the proxy asks. A trailing slash makes no difference (PX-06).
WAYS: Final = {
    "http": ("http", "http://{tcp}/in/side/vhost/http/localhost:80/"),
    "https": ("https", "http://{tcp}/in/side/vhost/https/localhost"),
    "https to https": ("https", "https://{tls}/in/side/vhost/https/localhost:443/"),
    "http to unix": ("http", "unix:{unix}:/in/side/vhost/http/localhost/"),
    "https to unix": ("https", "unix:{unix}:/in/side/vhost/https/localhost"),
}


def proxies(behind: dict[str, str]) -> str:
    """A site for each way: a proxy at its root, and one for a part of the public site (VM-05)."""
    lines = [
        "import ssl",
        "from container import Application, Resource, ReverseProxy, Site, Upstream",
        "context = ssl.create_default_context(cafile='ca.pem')",
        "application = Application('proxies')",
    ]
    for scheme, url in WAYS.values():
        where = url.format(**behind)
        tls = ", tls=context" if where.startswith("https:") else ""
        listen = (
            "tls:0:interface=127.0.0.1:cert=public.pem" if scheme == "https" else "tcp:0:interface=127.0.0.1"
        )
        part = where.rstrip("/") + "/shop/api"
        lines += [
            "root = Resource()",
            f"root.mount('shop/api', ReverseProxy(Upstream({part!r}{tls})))",
            f"application.serve(Site(ReverseProxy(Upstream({where!r}{tls}))), {listen!r})",
            f"application.serve(Site(root), {listen!r})",
        ]
    return "\n".join(lines)


@dataclass
class Way:
    """One public site: `port` leads to a proxy at its root, `part_port` to one below /shop/api."""

    scheme: str
    port: int
    part_port: int
    authority: Authority

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost/"

    def websocket(self, path: str, port: int, **options: Any) -> Any:
        secure = self.scheme == "https"
        sock = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        context = self.authority.client() if secure else None
        return connect(f"{'wss' if secure else 'ws'}://localhost{path}", sock=sock, ssl=context, **options)


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Way]]:
    folder = tmp_path_factory.mktemp("chain")
    prepare(folder)
    authority = Authority(folder)
    authority.issue("behind.pem", "127.0.0.1")
    authority.issue("public.pem", "localhost")
    (folder / "behind.tac").write_text(BEHIND)
    (folder / "api.py").write_text(API)
    with starting(folder) as start:
        path = os.pathsep.join(map(str, (ROOT, SITE, folder)))
        behind = start("-y", "behind.tac", addresses=3, PYTHONPATH=path, **variables(folder))
        tcp, tls, _ = [urlsplit(url).netloc for url in behind.urls]
        places = {"tcp": tcp, "tls": tls, "unix": str(folder / "behind.sock")}
        (folder / "proxies.tac").write_text(proxies(places))
        front = start("-y", "proxies.tac", addresses=2 * len(WAYS))
        ports = [urlsplit(url).port or 0 for url in front.urls]
        yield {
            name: Way(scheme, *ports[2 * number : 2 * number + 2], authority)
            for number, (name, (scheme, _)) in enumerate(WAYS.items())
        }
        assert "Traceback" not in "\n".join(behind.lines + front.lines)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, ways: dict[str, Way]) -> Way:
    found: Way = ways[request.param]
    return found


@pytest.fixture
def client(way: Way, monkeypatch: pytest.MonkeyPatch) -> Iterator[requests.Session]:
    """A browser for which the public site is this one."""
    real = urllib3.util.connection.create_connection

    def redirected(address: tuple[str, int], *more: Any, **options: Any) -> socket.socket:
        assert address == ("localhost", 443 if way.scheme == "https" else 80)
        return real(("127.0.0.1", way.port), *more, **options)

    monkeypatch.setattr(urllib3.util.connection, "create_connection", redirected)
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(way.authority.path)
        session.headers["Origin"] = way.url.rstrip("/")
        yield session


def test_the_administrator_of_django_signs_in_and_out(way: Way, client: requests.Session) -> None:
    """Redirects, links, cookies and the checks of scheme and host that Django makes of forms."""
    site = way.url + "shop/notes/"
    front = sign_in(client, site)
    assert front.url == site + "admin/"
    assert [each.headers["Location"] for each in front.history] == ["/shop/notes/admin/"]
    assert "Site administration" in front.text
    assert {cookie.name: cookie.domain for cookie in client.cookies}["sessionid"] == "localhost.local"
    links = re.findall(r'(?:href|src|action)="(/[^"]*)"', front.text)
    assert links
    assert all(link.startswith("/shop/notes") for link in links), links
    token = csrf_token(client.get(site + "admin/notes/note/", timeout=PATIENCE_S))
    out = client.post(site + "admin/logout/", data={"csrfmiddlewaretoken": token}, timeout=PATIENCE_S)
    assert "Logged out" in out.text
    assert client.get(site + "admin", timeout=PATIENCE_S).url == site + "admin/login/?next=/shop/notes/admin/"
    # A form from elsewhere is not taken for one of this site.
    client.headers["Origin"] = way.url.rstrip("/") + ":8080"
    assert sign_in(client, site).status_code == 403


def test_absolute_urls_and_sessions_are_those_of_the_public_site(way: Way, client: requests.Session) -> None:
    answer = client.get(way.url + "shop/where/a%20b?q=1", timeout=PATIENCE_S)
    assert answer.text == way.url + "shop/where/a%20b?q=1"
    [cookie] = client.cookies
    assert (cookie.secure, cookie.path) == (way.scheme == "https", "/")


def test_fastapi_makes_urls_cookies_and_redirects_of_the_public_site(
    way: Way, client: requests.Session
) -> None:
    api = way.url + "shop/api"
    answer = client.get(f"{api}/items/7", timeout=PATIENCE_S)
    assert [urljoin(api, each.headers["Location"]) for each in answer.history] == [f"{api}/items/7/"]
    said = answer.json()
    assert (said["here"], said["url"]) == (f"{api}/items/7/", f"{api}/items/8/")
    assert said["live"] == api.replace("http", "ws", 1) + "/live"
    [cookie] = client.cookies
    assert (cookie.value, cookie.path, cookie.secure) == ("7", "/shop/api", way.scheme == "https")
    assert client.get(f"{api}/items/1/", timeout=PATIENCE_S).json()["cookies"] == {"api": "7"}


@pytest.mark.parametrize("part", [False, True])
def test_websockets_of_fastapi_know_the_public_site(way: Way, *, part: bool) -> None:
    """CH-20, VM-05: through a proxy at the root and through one for a part of the site."""
    api = way.url + "shop/api"
    port = way.part_port if part else way.port
    with way.websocket("/shop/api/live", port, additional_headers={"Cookie": "api=7"}) as chat:
        for text in ("one", "grüß dich"):
            chat.send(text)
            assert json.loads(chat.recv(timeout=PATIENCE_S)) == {
                "text": text,
                "url": api.replace("http", "ws", 1) + "/live",
                "cookies": {"api": "7"},
                "item": f"{api}/items/1/",
            }
