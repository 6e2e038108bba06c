"""VM-01 to VM-07: a path that says as which host and scheme this server is known to the outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from container.message.errors import HTTPError
from container.message.response import Response
from container.resources.asgi import ASGIResource
from container.resources.redirect import ParentRedirect
from container.resources.static import Files
from container.resources.vhost import VirtualHosts
from container.resources.vhostmonster import VHostMonster
from container.resources.wsgi import WSGIResource
from container.sessions import Sessions
from container.testing import Client
from container.tree.forwarded import Forwarded
from container.tree.front import Front
from container.tree.resource import Resource
from container.tree.site import Site
from container.tree.wrapper import Wrapper
from tests.leaf import Leaf, MemoryLog, request

if TYPE_CHECKING:
    from pathlib import Path

    from container.message.request import Request


def here(request: Request) -> str:
    query = f"?{request.query_string}" if request.raw_query else ""
    rest = request.raw_path[request.consumed :].decode()
    return f"{request.urls.here}|{rest}{query} {request.script_name}"


def tree(at: str = "vhost", monster: VHostMonster | None = None) -> Resource:
    root = Resource()
    root.mount(at, monster or VHostMonster())
    root.mount("app", Leaf(here))
    root.mount("", Leaf(here))
    return root


@pytest.mark.parametrize("at", ["vhost", "a/vhost", "a/b/vhost.rpy"])
@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("/http/example.com/app/x?q=1", "http://example.com/app|/x?q=1 /app"),
        ("/http/example.com:80/app", "http://example.com/app| /app"),
        ("/http/example.com:8000/app", "http://example.com:8000/app| /app"),
        ("/https/example.com/app", "https://example.com/app| /app"),
        ("/https/example.com:443/app", "https://example.com/app| /app"),
        ("/https/example.com:8443/app", "https://example.com:8443/app| /app"),
        ("/https/example.com:80/app", "https://example.com:80/app| /app"),
        ("/http/[::1]:81/app", "http://[::1]:81/app| /app"),
        ("/http/%5B::1%5D/app", "http://[::1]/app| /app"),
        ("/http/ex%61mple.com/app", "http://example.com/app| /app"),
        ("/http/h/app//x%2Fy/", "http://h/app|//x%2Fy/ /app"),
        ("/http/h/", "http://h/| /"),
        ("/http/h", "http://h/| /"),
        ("/http/h?q", "http://h/|?q /"),
    ],
)
def test_the_request_is_that_of_the_public_site(at: str, path: str, seen: str) -> None:
    """VM-01, VM-02, VM-03, VM-04, VM-05: at any depth."""
    with Client(tree(at)) as client:
        answer = client.get(f"/{at}{path}")
        assert (answer.status, answer.text) == (200, seen)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("", 404),
        ("/", 404),
        ("/http", 404),
        ("/http/", 404),
        ("/ftp/example.com/app", 404),
        ("/HTTP/example.com/app", 404),
        ("//example.com/app", 404),
        ("/http//app", 400),
        ("/http/example.com:bad/app", 400),
        ("/http/example.com:/app", 400),
        ("/http/example.com:0/app", 400),
        ("/http/example.com:65536/app", 400),
        ("/http/a%2Fb/app", 400),
        ("/http/a%0D%0Ab/app", 400),
        ("/http/user@a/app", 400),
        ("/http/%C3%BC/app", 400),
        ("/http/[::1/app", 400),
        ("/http/a b/app".replace(" ", "%20"), 400),
    ],
)
def test_bad_input_is_refused(path: str, status: int) -> None:
    """VM-03."""
    with Client(tree()) as client:
        assert client.get(f"/vhost{path}").status == status


@pytest.mark.parametrize(
    ("ends", "trusted", "status"),
    [
        ({"client": ("127.0.0.9", 1)}, None, 200),
        ({"client": ("::1", 1)}, None, 200),
        ({"server": "/run/app.sock"}, None, 200),
        ({"client": ("192.0.2.1", 1)}, None, 403),
        ({"client": ("192.0.2.1", 1)}, ["192.0.2.0/24"], 200),
        ({"client": ("127.0.0.1", 1)}, ["192.0.2.0/24"], 403),
        ({"server": "/run/app.sock"}, ["192.0.2.0/24"], 403),
    ],
)
def test_only_the_listed_may_name_hosts(ends: dict[str, Any], trusted: list[str] | None, status: int) -> None:
    """VM-06."""
    monster = VHostMonster() if trusted is None else VHostMonster(trusted)
    with Client(tree(monster=monster), **ends) as client:
        assert client.get("/vhost/http/h/app").status == status


def test_it_is_the_peer_that_is_trusted_and_not_the_client_it_speaks_of() -> None:
    """VM-06: Apache adds X-Forwarded-For by itself."""
    with Client(Forwarded(tree(), ["127.0.0.1"])) as client:
        fields = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Host": "inner.example"}
        assert client.get("/vhost/https/h/app", headers=fields).text == "https://h/app| /app"
    with Client(Forwarded(tree(), ["192.0.2.7"]), client=("192.0.2.7", 1)) as client:
        fields = {"X-Forwarded-For": "127.0.0.1"}
        assert client.get("/vhost/http/h/app", headers=fields).status == 403


def test_one_after_the_other_comes_to_an_end() -> None:
    with Client(tree()) as client:
        assert client.get("/vhost/http/a" * 3 + "/app").text == "http://a/app| /app"
        assert client.get("/vhost/http/a" * 200).status == 400


def count(request: Request) -> Response:
    request.session["n"] = request.session.get("n", 0) + 1
    return Response.text(f"{request.session['n']} {request.urls.origin}")


def test_in_front_of_sessions() -> None:
    """VM-07, VM-01: the cookie is that of the public site."""
    root = Front(Sessions(Leaf(count)))
    root.mount("vhost", VHostMonster())
    with Client(root) as client:
        first = client.get("/vhost/https/a.example/")
        assert "Secure" in (first.headers.get("Set-Cookie") or "")
        assert first.text == "1 https://a.example"
        assert client.get("/vhost/https/a.example/x").text == "2 https://a.example"


class Guard(Wrapper):
    """Basic authentication around a root."""

    def enter(self, request: Request) -> Resource:
        if request.authorization != ("joe", "secret"):
            raise HTTPError(401, headers={"WWW-Authenticate": f'Basic realm="{request.host}"'})
        request.set_user("joe", "Basic")
        return self.inner


def test_in_front_of_a_guard() -> None:
    """VM-07: the monster is not subject to it, what it leads to is."""
    root = Front(Guard(Leaf(lambda request: f"{request.user} {request.urls.here}")))
    root.mount("vhost", VHostMonster())
    with Client(root) as client:
        refused = client.get("/vhost/http/a.example/x")
        assert (refused.status, refused.headers.get("WWW-Authenticate")) == (401, 'Basic realm="a.example"')
        assert client.get("/vhost/http").status == 404
        assert client.get("/vhost2").status == 401
        fields = {"Authorization": "Basic am9lOnNlY3JldA=="}
        assert (
            client.get("/vhost/http/a.example/x", headers=fields).text == "('joe', 'Basic') http://a.example/"
        )


def test_applications_and_redirects_and_the_log_see_the_public_site() -> None:
    """VM-01."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        names = "wsgi.url_scheme HTTP_HOST SERVER_NAME SERVER_PORT SCRIPT_NAME PATH_INFO REQUEST_URI".split()
        return [" ".join(environ[name] for name in names).encode()]

    async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
        seen = f"{scope['scheme']} {dict(scope['headers'])[b'host'].decode()} {scope['root_path']} {scope['path']}"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": seen.encode()})

    root = tree()
    root.mount("wsgi", WSGIResource(app, threads=1))
    root.mount("asgi", ASGIResource(asgi, lifespan="off"))
    root.mount("dir/up", ParentRedirect())
    log = MemoryLog()
    with Client(Site(root, access_log=log)) as client:
        seen = client.get("/vhost/https/a.example/wsgi/x?y").text
        assert seen == "https a.example a.example 443 /wsgi /x /wsgi/x?y"
        assert client.get("/vhost/http/a.example:8000/asgi/x").text == "http a.example:8000 /asgi /asgi/x"
        moved = client.get("/vhost/https/a.example/dir/up").headers.get("Location")
        assert moved == "https://a.example/dir/"
    assert '"GET /wsgi/x?y HTTP/1.1" 200' in log.lines[0]


def test_the_host_it_names_decides_between_virtual_hosts() -> None:
    public = VirtualHosts({"a.example": Leaf(here)}, default=tree())
    with Client(public) as client:
        assert client.get("/vhost/http/a.example/x").text == "http://a.example/|/x "


def test_content_comes_along() -> None:
    async def echo(request: Request) -> bytes:
        return await request.read()

    root = tree()
    root.mount("echo", Leaf(echo))
    with Client(root) as client:
        assert client.post("/vhost/http/a.example/echo", body=b"x" * 100_000).body == b"x" * 100_000


def test_as_a_script(tmp_path: Path) -> None:
    """VM-01: `vhost.rpy`, as of old."""
    from container.resources.script import script_processors

    (tmp_path / "vhost.rpy").write_text("from container import VHostMonster\nresource = VHostMonster()\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "index.html").write_text("index")
    with Client(Files(tmp_path, processors=script_processors())) as client:
        assert client.get("/vhost.rpy/http/a.example:80/sub/").text == "index"
        assert client.get("/vhost.rpy/http/a.example:80/sub").headers.get("Location") == "./sub/"
        assert client.get("/vhost.rpy/http/a.example:x/sub").status == 400


def test_a_client_without_a_host_field() -> None:
    with Client(tree()) as client:
        data = request("/vhost/http/a.example/app", version="1.0", host=None)
        (answer,) = client.send_raw(data, eof=True).responses
        assert answer.text == "http://a.example/app| /app"


def test_front_is_transparent() -> None:
    inner = Resource()
    inner.mount("x", Leaf(here))
    front = Front(inner)
    assert [path for path, _ in front.walk()] == ["/x"]
    front.mount("y", Leaf(here))
    assert list(front.children) == ["y"]
    with Client(front) as client:
        assert [client.get(path).status for path in ("/x", "/y", "/z", "/y/1")] == [200, 200, 404, 200]
    front.unmount("y")
    assert [path for path, _ in front.walk()] == ["/x"]
