"""A tree as a FastCGI application of the real lighttpd (which starts it), nginx and Apache."""

from __future__ import annotations

import hashlib
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import requests

from tests.system.conftest import PATIENCE_S, ROOT
from tests.system.front_servers import front_server, program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.system.conftest import Running

SITE = """
import asyncio, hashlib
from container import Application, FastCGIServer, Files, Resource, Response, Site, WSGIResource

left = []


class Native(Resource):
    is_leaf = True

    def get(self, request):
        told = [request.raw_path.decode(), request.script_name, request.path_info, request.query_string, request.scheme,
                request.headers["Host"], request.client[0], request.headers.get("X-A", "-")]
        return Response.text("|".join(told))

    async def post(self, request):
        digest = hashlib.sha256()
        async for piece in request.stream():
            digest.update(piece)
        return Response.text(digest.hexdigest(), 201)


class Stream(Resource):
    def get(self, request):
        return Response(self.pieces())

    async def pieces(self):
        try:
            for _ in range(100_000):
                yield bytes(65_536)
                await asyncio.sleep(0)
        except BaseException as error:
            left.append(error)
            raise

    def post(self, request):
        return str(len(left))


class Broken(Resource):
    async def get(self, request):
        return Response(self.pieces())

    async def pieces(self):
        yield b"begun"
        raise RuntimeError("broken")


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return [environ["SCRIPT_NAME"].encode(), b" ", environ["PATH_INFO"].encode()]


root = Resource()
root.mount("native", Native())
root.mount("wsgi", WSGIResource(wsgi, threads=2))
root.mount("files", Files(FOLDER))
root.mount("stream", Stream())
root.mount("broken", Broken())
application = Application("behind")
application.add_service(FastCGIServer(Site(root, headers={"X-Site": "ours"}), ADDRESS))
"""
NGINX = """
server {{ listen 127.0.0.1:{port}; server_name localhost; client_max_body_size 0;
    location / {{ fastcgi_pass unix:{socket}; fastcgi_keep_conn on; include /etc/nginx/fastcgi_params; }}
    location /app/ {{
        fastcgi_split_path_info ^(/app)(/.*)$; fastcgi_pass unix:{socket}; include /etc/nginx/fastcgi_params;
        fastcgi_param PATH_INFO $fastcgi_path_info; }}
}}
"""
APACHE = """
LoadModule proxy_fcgi_module /usr/lib/apache2/modules/mod_proxy_fcgi.so
ProxyFCGISetEnvIf "reqenv('SCRIPT_NAME') =~ m#^(/app)(/.*)$#" PATH_INFO "$2"
ProxyFCGISetEnvIf "reqenv('SCRIPT_NAME') =~ m#^(/app)(/.*)$#" SCRIPT_NAME "$1"
ProxyPass "/app/" "unix:{socket}|fcgi://localhost/app/"
ProxyPass "/" "unix:{socket}|fcgi://localhost/"
"""
LIGHTTPD = """
server.modules += ("mod_fastcgi")
server.stream-response-body = 2
fastcgi.server = (
    "/app" => (("socket" => "{socket}", "check-local" => "disable")),
    "/" => (("bin-path" => "{starter}", "socket" => "{folder}/spawned", "max-procs" => 1, "check-local" => "disable",
             "fix-root-scriptname" => "enable", "bin-copy-environment" => ("PATH"))))
"""


@contextmanager
def nginx(folder: Path, socket: Path) -> Iterator[int]:
    with front_server("nginx", folder, lambda port: NGINX.format(port=port, socket=socket)) as port:
        yield port


@contextmanager
def apache(folder: Path, socket: Path) -> Iterator[int]:
    with front_server("apache", folder, lambda port: APACHE.format(socket=socket)) as port:
        yield port


@contextmanager
def lighttpd(folder: Path, socket: Path) -> Iterator[int]:
    """It starts the application itself, with the listening socket as descriptor 0; below /app is one that runs."""
    site, starter = socket.with_name("spawned.tac"), socket.with_name("site.fcgi")
    site.write_text(socket.with_name("site.tac").read_text().replace(f'"unix:{socket}"', '"fd:0"'))
    starter.write_text(
        f"#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m container -y {site} 2>{site}.log\n"
    )
    starter.chmod(0o755)
    sites = LIGHTTPD.format(socket=socket, starter=starter, folder=folder)
    with front_server("lighttpd", folder, lambda port: sites) as port:
        yield port


@pytest.fixture(params=[nginx, apache, lighttpd], ids=lambda each: each.__name__)
def url(request: pytest.FixtureRequest, start: Callable[..., Running], tmp_path: Path) -> Iterator[str]:
    if program(request.param.__name__) is None:
        pytest.skip(f"{request.param.__name__} is not installed")
    files = tmp_path / "files"
    files.mkdir()
    (files / "large.txt").write_bytes(b"line\n" * 100_000)
    socket = tmp_path / "s"
    site = SITE.replace("FOLDER", f'"{files}"').replace("ADDRESS", f'"unix:{socket}"')
    (tmp_path / "site.tac").write_text(site)
    running = start("-y", tmp_path / "site.tac", addresses=0)
    running.wait_for("serving FastCGI on")
    with request.param(tmp_path / "front", socket) as port:
        yield f"http://localhost:{port}"
    assert running.stop() == 0
    errors = [line for line in running.lines if re.match(r"\w+(?:Error|Exception)\b", line)]
    assert set(errors) <= {"RuntimeError: broken"}


def test_a_tree_behind_a_web_server(url: str) -> None:
    """Paths as they were sent, the mount point, content both ways, fields, statuses, answers that break off."""
    with requests.Session() as client:

        def get(path: str, status: int = 200, **fields: str) -> requests.Response:
            answer = client.get(url + path, headers=fields, timeout=PATIENCE_S)
            assert answer.status_code == status, answer.text
            return answer

        told = get("/native/a%20b/%C3%A4?q=1&r", **{"X-A": "b"})
        host = told.text.split("|")[5]
        assert host in (url.removeprefix("http://"), "localhost")  # Debian's nginx leaves the port out
        assert told.text == f"/native/a%20b/%C3%A4|/native|/a b/ä|q=1&r|http|{host}|127.0.0.1|b"
        assert told.headers["X-Site"] == "ours"
        assert get("/app/native/x").text == f"/app/native/x|/app/native|/x||http|{host}|127.0.0.1|-"
        wsgi = get("/wsgi/b")
        assert (wsgi.text, wsgi.headers["Set-Cookie"]) == ("/wsgi /b", "a=1, b=2")
        assert get("/app/wsgi/b").text == "/app/wsgi /b"
        assert get("/none", 404).headers["X-Site"] == "ours"
        large = get("/files/large.txt")
        assert large.content == b"line\n" * 100_000
        assert get("/files/large.txt", 304, **{"If-None-Match": large.headers["ETag"]}).content == b""
        part = get("/files/large.txt", 206, Range="bytes=5-8")
        assert (part.text, part.headers["Content-Range"]) == ("line", "bytes 5-8/500000")
        head = client.head(f"{url}/files/large.txt", timeout=PATIENCE_S)
        # Apache leaves the length out.
        assert (head.headers.get("Content-Length", "500000"), head.content) == ("500000", b"")
        content = bytes(range(256)) * 20_000
        for _ in range(2):
            posted = client.post(f"{url}/native", content, timeout=PATIENCE_S)
            assert (posted.status_code, posted.text) == (201, hashlib.sha256(content).hexdigest())
        try:
            broken = client.get(f"{url}/broken", timeout=PATIENCE_S)
        except requests.RequestException:
            pass
        else:
            # It broke off before Apache had asked to the end; lighttpd takes what it has got by then for all of it.
            assert broken.status_code == 503 or broken.headers["Server"].startswith("lighttpd")
        with client.get(f"{url}/stream", stream=True, timeout=PATIENCE_S) as stream:
            assert next(stream.iter_content(1000)) == bytes(1000)
        for _ in range(int(PATIENCE_S * 20)):
            if client.post(f"{url}/stream", timeout=PATIENCE_S).text == "1":
                break
        else:
            pytest.fail("the stream was not told that its client has left")
