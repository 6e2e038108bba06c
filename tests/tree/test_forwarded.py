"""PX-09, RQ-15, RQ-16: what a trusted proxy says is seen alike by native resources, WSGI, ASGI, CGI and the log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from container.message.response import Response
from container.resources.asgi import ASGIResource
from container.resources.cgi import CGIScript
from container.resources.wsgi import WSGIResource
from container.sessions import Sessions
from container.testing import Client
from container.tree.accesslog import JSONFormatter, VirtualHostFormatter
from container.tree.forwarded import Forwarded
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import Leaf, MemoryLog
from tests.scripts import script_directory

if TYPE_CHECKING:
    from pathlib import Path

    from container.message.request import Request

PROXY = {
    "X-Forwarded-For": "6.6.6.6, 192.0.2.1",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "shop.example",
    "X-Forwarded-Prefix": "/out/er",
}
SEEN = {
    "client": "192.0.2.1",
    "scheme": "https",
    "host": "shop.example",
    "server": ["shop.example", 443],
    "script_name": "/out/er/m",
    "path_info": "/x y",
    "url": "https://shop.example/out/er/m/x%20y",
}


def native(request: Request) -> Response:
    rest = request.raw_path[request.consumed :].decode()
    return Response.json(
        {
            "client": request.client[0] if request.client else None,
            "scheme": request.scheme,
            "host": request.host,
            "server": [request.hostname, request.port],
            "script_name": request.script_name,
            "path_info": request.path_info,
            "url": request.urls.here + rest,
        }
    )


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    from wsgiref.util import request_uri

    start_response("200 OK", [("Content-Type", "application/json")])
    assert environ["REQUEST_URI"] == environ["SCRIPT_NAME"] + "/x%20y"
    found = {
        "client": environ["REMOTE_ADDR"],
        "scheme": environ["wsgi.url_scheme"],
        "host": environ["HTTP_HOST"],
        "server": [environ["SERVER_NAME"], int(environ["SERVER_PORT"])],
        "script_name": environ["SCRIPT_NAME"],
        "path_info": environ["PATH_INFO"],
        "url": request_uri(environ),
    }
    return [json.dumps(found).encode()]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    host = dict(scope["headers"])[b"host"].decode()
    found = {
        "client": scope["client"][0],
        "scheme": scope["scheme"],
        "host": host,
        "server": list(scope["server"]),
        "script_name": scope["root_path"],
        "path_info": scope["path"].removeprefix(scope["root_path"]),
        "url": f"{scope['scheme']}://{host}{scope['raw_path'].decode()}",
    }
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(found).encode()})


def tree() -> Resource:
    root = Resource()
    root.mount("m", Leaf(native))
    root.mount("wsgi", WSGIResource(wsgi, threads=1))
    root.mount("asgi", ASGIResource(asgi, lifespan="off"))
    return root


@pytest.mark.parametrize("mount", ["m", "wsgi", "asgi"])
def test_all_interfaces_see_the_same(mount: str) -> None:
    site = Site(tree(), trusted_proxies=["127.0.0.1"])
    expected = json.loads(json.dumps(SEEN).replace("/m", f"/{mount}"))
    with Client(site) as client:
        for _ in range(3):  # the head is known by then
            assert client.get(f"/{mount}/x%20y", headers=PROXY).json() == expected


def test_cgi_sees_it_too() -> None:
    names = "REMOTE_ADDR REQUEST_SCHEME HTTPS HTTP_HOST SERVER_NAME SERVER_PORT SCRIPT_NAME PATH_INFO"
    with script_directory() as scripts:
        values = " ".join(f"${name}" for name in names.split())
        script = scripts.sh("show.sh", f"printf 'Content-Type: text/plain\\n\\n'\necho \"{values}\"\n")
        root = Resource()
        root.mount("cgi", CGIScript(script))
        with Client(Site(root, trusted_proxies=["127.0.0.1"])) as client:
            seen = client.get("/cgi/x", headers=PROXY).text.strip()
    assert seen == "192.0.2.1 https on shop.example shop.example 443 /out/er/cgi /x"


def test_the_access_log_has_the_client_and_the_host() -> None:
    """VH-04, PX-09."""
    plain, as_json, hosts = MemoryLog(), MemoryLog(JSONFormatter()), MemoryLog(VirtualHostFormatter())
    with Client(Site(tree(), trusted_proxies=["127.0.0.1"], access_log=hosts)) as client:
        client.get("/m/x", headers=PROXY)
        client.send_raw(b"GET / HTTP/1.0\r\n\r\nx x\r\n", eof=True)
    assert hosts.lines[0].startswith("shop.example 192.0.2.1 - - [")
    assert hosts.lines[1].startswith("- 127.0.0.1 - - [")
    with Client(Site(tree(), trusted_proxies=["127.0.0.1"], access_log=plain)) as client:
        client.get("/m/x?y", headers=PROXY)
    with Client(Site(tree(), trusted_proxies=["127.0.0.1"], access_log=as_json)) as client:
        client.get("/m/x", headers=PROXY)
    assert plain.lines[0].startswith("192.0.2.1 - - [")
    assert '"GET /out/er/m/x?y HTTP/1.1"' in plain.lines[0]
    entry = json.loads(as_json.lines[0])
    assert (entry["client"], entry["host"]) == ("192.0.2.1", "shop.example")


@pytest.mark.parametrize(
    ("ends", "trusted", "client"),
    [
        ({"client": ("10.0.0.1", 9)}, ["10.0.0.0/8"], "192.0.2.1"),
        ({"client": ("::1", 9)}, ["::1"], "192.0.2.1"),
        ({"client": ("10.0.0.1", 9)}, [], "10.0.0.1"),
        ({"client": ("10.0.0.1", 9)}, ["127.0.0.1", "unix"], "10.0.0.1"),
        ({"client": ("2001:db8::1", 9)}, ["10.0.0.1"], "2001:db8::1"),
        # Whoever can open a UNIX socket is trusted, unless that is switched off.
        ({"server": "/run/app.sock"}, [], "192.0.2.1"),
        ({"client": ("10.0.0.1", 9)}, ["*"], "6.6.6.6"),
    ],
)
def test_only_the_listed_are_believed(ends: dict[str, Any], trusted: list[str], client: str) -> None:
    """RQ-16."""
    with Client(Forwarded(tree(), trusted), **ends) as browser:
        seen = browser.get("/m/x", headers=PROXY).json()
    assert seen["client"] == client
    assert seen["scheme"] == ("http" if client in ("10.0.0.1", "2001:db8::1") else "https")


def test_unix_sockets_need_not_be_trusted() -> None:
    """RQ-16: without trusted data a UNIX socket has no client's address."""
    with Client(Forwarded(tree(), unix=False), server="/run/app.sock") as client:
        assert client.get("/m/x", headers=PROXY).json()["client"] is None


def test_untrusted_words_stay_what_they_are() -> None:
    def raw(request: Request) -> Response:
        return Response.text(request.headers.get("x-forwarded-for") or "-")

    with Client(Forwarded(Leaf(raw), ["10.0.0.1"])) as client:
        assert client.get("/", headers={"X-Forwarded-For": "1.2.3.4"}).text == "1.2.3.4"


def test_one_request_does_not_colour_the_next() -> None:
    with Client(Site(tree(), trusted_proxies=["127.0.0.1"])) as client:
        first = client.get("/m/x", headers=PROXY).json()
        second = client.get("/m/x").json()
    assert (first["client"], second["client"]) == ("192.0.2.1", "127.0.0.1")
    assert (second["scheme"], second["script_name"]) == ("http", "/m")


def test_a_scheme_alone_keeps_the_host() -> None:
    with Client(Site(tree(), trusted_proxies=["127.0.0.1"])) as client:
        for mount in ("m", "wsgi", "asgi"):
            seen = client.get(
                f"/{mount}/x%20y", headers={"Host": "b.example", "X-Forwarded-Proto": "https"}
            ).json()
            assert (seen["scheme"], seen["host"]) == ("https", "b.example")
        seen = client.get("/m/x", headers={"Host": "b.example:81", "X-Forwarded-Port": "8443"}).json()
        assert (seen["host"], seen["server"]) == ("b.example:8443", ["b.example", 8443])


@pytest.mark.parametrize(
    "fields",
    [
        {"X-Forwarded-Host": "a/b"},
        {"Forwarded": 'for="'},
        {"X-Forwarded-For": "1.2.3.4", "Forwarded": "for=::1"},
    ],
)
def test_what_cannot_be_understood_is_refused(fields: dict[str, str]) -> None:
    with Client(Forwarded(tree(), ["127.0.0.1"])) as client:
        assert client.get("/m/x", headers=fields).status == 400
    with Client(Forwarded(tree(), ["10.0.0.1"])) as client:
        assert client.get("/m/x", headers=fields).status == 200


def test_fields_can_be_named() -> None:
    with Client(Forwarded(tree(), ["127.0.0.1"], fields=["for", "X-Forwarded-Proto"])) as client:
        seen = client.get("/m/x", headers=PROXY).json()
    assert (seen["client"], seen["scheme"], seen["script_name"]) == ("192.0.2.1", "https", "/m")
    assert seen["host"] != "shop.example"
    with pytest.raises(ValueError, match="expected some of"):
        Forwarded(tree(), fields=["x-real-ip"])


def test_an_inner_one_does_not_undo_the_outer() -> None:
    inner = Forwarded(tree(), ["192.0.2.1", "127.0.0.1"])
    with Client(Site(inner, trusted_proxies=["127.0.0.1"])) as client:
        assert client.get("/m/x%20y", headers=PROXY).json() == SEEN


def test_the_root_of_a_site_is_found_behind_a_prefix(tmp_path: Path) -> None:
    from container.resources.data import Data
    from container.resources.redirect import ParentRedirect
    from container.resources.static import Files

    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text("index")
    trusted = {"trusted_proxies": ["127.0.0.1"]}
    fields = {"X-Forwarded-Prefix": "/p"}
    with Client(Site(Data("text", "text/plain"), **trusted)) as client:  # type: ignore[arg-type]
        assert client.get("/", headers=fields).text == "text"
        assert client.get("/x", headers=fields).status == 404
    with Client(Site(Files(tmp_path / "index.html"), **trusted)) as client:  # type: ignore[arg-type]
        assert client.get("/", headers=fields).text == "index"
    with Client(Site(Files(tmp_path), **trusted)) as client:  # type: ignore[arg-type]
        assert client.get("/", headers=fields).text == "index"
        # Relative to what the browser sees.
        assert client.get("/sub", headers=fields).headers.get("Location") == "./sub/"
    with Client(Site(ParentRedirect(), **trusted)) as client:  # type: ignore[arg-type]
        assert client.get("/a/b", headers=fields).headers.get("Location") == "http://127.0.0.1/p/a/"
    with Client(Site(Leaf(lambda request: request.urls.root), **trusted)) as client:  # type: ignore[arg-type]
        assert client.get("/a/b", headers=fields).text == "http://127.0.0.1/p"


def test_session_cookies_are_those_of_the_public_site() -> None:
    def count(request: Request) -> Response:
        request.session["n"] = request.session.get("n", 0) + 1
        return Response.text(str(request.session["n"]))

    with Client(Site(Leaf(count), sessions=Sessions(), trusted_proxies=["127.0.0.1"])) as client:
        cookie = client.get("/", headers=PROXY).headers.get("Set-Cookie") or ""
        assert "Secure" in cookie
        assert "Path=/out/er" in cookie
        assert client.get("/", headers=PROXY).text == "2"


def test_a_site_under_another_server_adds_the_prefix_to_the_mount() -> None:
    import asyncio

    async def call() -> bytes:
        app = Site(tree(), trusted_proxies=["192.0.2.9"]).as_asgi()
        scope = {
            "type": "http", "method": "GET", "path": "/host/m/x y", "raw_path": b"/host/m/x%20y",
            "root_path": "/host", "query_string": b"", "http_version": "1.1", "scheme": "http",
            "client": ("192.0.2.9", 5), "server": ("127.0.0.1", 80), "extensions": {},
            "headers": [(b"host", b"a"), (b"x-forwarded-prefix", b"/p")],
        }  # fmt: skip
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await app(scope, receive, send)
        return b"".join(message.get("body", b"") for message in sent)

    seen = json.loads(asyncio.run(call()))
    assert (seen["script_name"], seen["path_info"]) == ("/p/host/m", "/x y")
