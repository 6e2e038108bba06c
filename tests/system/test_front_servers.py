"""Behind Apache, nginx, lighttpd and ourselves, as docs/vhosts.md and docs/forwarding.md say.

VM-01, VM-02, VM-04, VM-05, VM-07, PX-06, PX-09.

What differs between the servers is in RECIPES; all of them have to come to the same answers.
"""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.system.front_servers import PATIENCE_S, front_server, program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.system.conftest import Running

SITE = """
import json, os
from container import (
    Application, BasicAuth, Files, Forwarded, Front, ParentRedirect, Resource, Response, Sessions, Site,
    VHostMonster, WSGIResource,
)
from container.resources.script import script_processors


class Native(Resource):
    is_leaf = True

    def get(self, request):
        session = request.session
        session["n"] = session.get("n", 0) + 1
        rest = request.raw_path[request.consumed:].decode()
        client = request.client[0] if request.client else None
        return Response.json({"url": request.urls.here + rest, "query": request.query_string, "n": session["n"],
                              "client": client, "script_name": request.script_name})


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    from wsgiref.util import request_uri
    return [json.dumps({"url": request_uri(environ, False), "query": environ["QUERY_STRING"],
                        "client": environ["REMOTE_ADDR"], "script_name": environ["SCRIPT_NAME"]}).encode()]


tree = Resource()
tree.mount("native", Native())
tree.mount("wsgi", WSGIResource(wsgi, threads=1))
tree.mount("dir/up", ParentRedirect())
tree.mount("files", Files("files"))
front = Front(Sessions(tree))                        # VM-07: in front of what is around the root
front.mount("vhost", VHostMonster())
scripts = Files("scripts", processors=script_processors())
front.mount("deep/er", scripts)
root = Forwarded(front, TRUSTED)
application = Application("site")
application.serve(Site(root), "tcp:0:interface=127.0.0.1", "unix:" + os.path.abspath("app.sock"))
guarded = Front(BasicAuth(Sessions(tree), users={"mary": "secret"}))
guarded.mount("vhost", VHostMonster())
application.serve(Site(guarded), "tcp:0:interface=127.0.0.1")
"""

# How each server is told to speak to {backend}: as http://example.com by a path; as https by a path; what is
# below /foo/bar by an equal path; with a script, some levels down; to a guarded site; and by fields, over TCP and
# UNIX sockets.
RECIPES = {
    "apache": """
<VirtualHost 127.0.0.1:{port}>
    ServerName example.com
    ProxyPass / http://{backend}/vhost/http/example.com:80/
</VirtualHost>
<VirtualHost 127.0.0.1:{port}>
    ServerName secure.example
    ProxyPass / http://{backend}/vhost/https/secure.example/
</VirtualHost>
<VirtualHost 127.0.0.1:{port}>
    ServerName part.example
    ProxyPass /native http://{backend}/vhost/http/part.example/native
</VirtualHost>
<VirtualHost 127.0.0.1:{port}>
    ServerName script.example
    ProxyPass / http://{backend}/deep/er/vhost.rpy/http/script.example:80/
</VirtualHost>
<VirtualHost 127.0.0.1:{port}>
    ServerName guarded.example
    ProxyPass / http://{guarded}/vhost/http/guarded.example/
</VirtualHost>
<VirtualHost 127.0.0.1:{port}>
    ServerName rewrite.example
    RewriteEngine On
    RewriteRule ^/(.*)$ http://{backend}/vhost/http/%{{HTTP_HOST}}/$1 [P]
</VirtualHost>
<VirtualHost 127.0.0.1:{port}>
    ServerName fields.example
    RequestHeader unset Forwarded
    RequestHeader set X-Forwarded-Proto https
    RequestHeader unset X-Forwarded-Port
    RequestHeader set X-Forwarded-Prefix /out
    ProxyPass /out/ http://{backend}/
</VirtualHost>
<VirtualHost 127.0.0.1:{port}>
    ServerName unix.example
    RequestHeader unset Forwarded
    RequestHeader set X-Forwarded-Proto https
    RequestHeader unset X-Forwarded-Port
    RequestHeader unset X-Forwarded-Prefix
    ProxyPass / unix:{socket}|http://localhost/
</VirtualHost>
""",
    "nginx": """
    proxy_http_version 1.1;
    server {{
        listen 127.0.0.1:{port}; server_name example.com;
        location / {{ proxy_pass http://{backend}/vhost/http/example.com:80/; }}
    }}
    server {{
        listen 127.0.0.1:{port}; server_name secure.example;
        location / {{ proxy_pass http://{backend}/vhost/https/secure.example/; }}
    }}
    server {{
        listen 127.0.0.1:{port}; server_name part.example;
        location /native {{ proxy_pass http://{backend}/vhost/http/part.example/native; }}
    }}
    server {{
        listen 127.0.0.1:{port}; server_name script.example;
        location / {{ proxy_pass http://{backend}/deep/er/vhost.rpy/http/script.example:80/; }}
    }}
    server {{
        listen 127.0.0.1:{port}; server_name guarded.example;
        location / {{ proxy_pass http://{guarded}/vhost/http/guarded.example/; }}
    }}
    server {{
        listen 127.0.0.1:{port}; server_name rewrite.example;
        location / {{ proxy_pass http://{backend}/vhost/http/$host$request_uri; }}
    }}
    server {{
        listen 127.0.0.1:{port}; server_name fields.example;
        location /out/ {{
            proxy_pass http://{backend}/;
            proxy_set_header Host $host;
            proxy_set_header Forwarded "";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header X-Forwarded-Host "";
            proxy_set_header X-Forwarded-Port "";
            proxy_set_header X-Forwarded-Prefix /out;
        }}
    }}
    server {{
        listen 127.0.0.1:{port}; server_name unix.example;
        location / {{
            proxy_pass http://unix:{socket};
            proxy_set_header Host $host;
            proxy_set_header Forwarded "";
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header X-Forwarded-Host "";
            proxy_set_header X-Forwarded-Port "";
            proxy_set_header X-Forwarded-Prefix "";
        }}
    }}
""",
    "lighttpd": """
$HTTP["host"] == "example.com" {{
    proxy.server = ("" => (("host" => "127.0.0.1", "port" => {backend_port})))
    proxy.header = ("map-urlpath" => ("/" => "/vhost/http/example.com:80/"))
}}
$HTTP["host"] == "secure.example" {{
    proxy.server = ("" => (("host" => "127.0.0.1", "port" => {backend_port})))
    proxy.header = ("map-urlpath" => ("/" => "/vhost/https/secure.example/"))
}}
$HTTP["host"] == "part.example" {{
    proxy.server = ("/native" => (("host" => "127.0.0.1", "port" => {backend_port})))
    proxy.header = ("map-urlpath" => ("/native" => "/vhost/http/part.example/native"))
}}
$HTTP["host"] == "script.example" {{
    proxy.server = ("" => (("host" => "127.0.0.1", "port" => {backend_port})))
    proxy.header = ("map-urlpath" => ("/" => "/deep/er/vhost.rpy/http/script.example:80/"))
}}
$HTTP["host"] == "guarded.example" {{
    proxy.server = ("" => (("host" => "127.0.0.1", "port" => {guarded_port})))
    proxy.header = ("map-urlpath" => ("/" => "/vhost/http/guarded.example/"))
}}
$HTTP["host"] == "rewrite.example" {{
    url.rewrite-once = ("^/(.*)" => "/vhost/http/rewrite.example:80/$1")
    proxy.server = ("" => (("host" => "127.0.0.1", "port" => {backend_port})))
}}
$HTTP["host"] == "fields.example" {{
    proxy.server = ("/out/" => (("host" => "127.0.0.1", "port" => {backend_port})))
    proxy.header = ("map-urlpath" => ("/out/" => "/"))
    setenv.set-request-header = (
        "Forwarded" => "", "X-Forwarded-Port" => "", "X-Forwarded-Prefix" => "/out"
    )
}}
$HTTP["host"] == "unix.example" {{
    proxy.server = ("" => (("host" => "{socket}")))
    setenv.set-request-header = (
        "Forwarded" => "", "X-Forwarded-Port" => "", "X-Forwarded-Prefix" => ""
    )
}}
""",
    "container": """
from container import Application, Resource, ReverseProxy, Rewriter, Site, VirtualHosts


def below(path, proxy):
    root = Resource()
    root.mount(path, proxy)
    return root


monster = "http://{backend}/vhost"
hosts = VirtualHosts({{
    "example.com": ReverseProxy(f"{{monster}}/http/example.com:80/"),
    "secure.example": ReverseProxy(f"{{monster}}/https/secure.example/"),
    "part.example": below("native", ReverseProxy(f"{{monster}}/http/part.example/native")),
    "script.example": ReverseProxy("http://{backend}/deep/er/vhost.rpy/http/script.example:80/"),
    "guarded.example": ReverseProxy("http://{guarded}/vhost/http/guarded.example"),
    "rewrite.example": Rewriter(
        ReverseProxy(f"{{monster}}/http"), lambda request: (request.hostname, *request.postpath)
    ),
    "fields.example": below("out", ReverseProxy("http://{backend}", host="preserve")),
    "unix.example": ReverseProxy("unix:{socket}", host="preserve"),
}})
application = Application("front")
application.serve(Site(hosts), "tcp:{port}:interface=127.0.0.1")
""",
}


# Not the address that the servers have themselves: that one is trusted.
CLIENT = "127.0.0.2"
# lighttpd and we tell the scheme we have been asked with, and no TLS is spoken here.
SCHEMES = {"apache": "https", "nginx": "https", "lighttpd": "http", "container": "http"}


class Browser:
    """Asks the front server for pages of hosts that no resolver knows, and keeps cookies."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}

    def get(self, host: str, path: str, **fields: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=PATIENCE_S, source_address=(CLIENT, 0)
        )
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {"Host": host} | ({"Cookie": cookie} if cookie else {})
        headers |= {name.replace("_", "-"): value for name, value in fields.items()}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        self.body = answer.read()
        self.set_cookie = answer.getheader("Set-Cookie") or ""
        if self.set_cookie:
            name, _, value = self.set_cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        connection.close()
        return answer

    def json(self, host: str, path: str, **fields: str) -> dict[str, Any]:
        answer = self.get(host, path, **fields)
        assert answer.status == 200, self.body
        found: dict[str, Any] = json.loads(self.body)
        return found


def served(start: Callable[..., Running], tmp_path: Path, trusted: list[str]) -> Running:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "vhost.rpy").write_text(
        "from container import VHostMonster\nresource = VHostMonster()\n"
    )
    (tmp_path / "files" / "sub").mkdir(parents=True)
    (tmp_path / "files" / "sub" / "index.html").write_text("index")
    (tmp_path / "site.tac").write_text(SITE.replace("TRUSTED", repr(trusted)))
    running = start("-y", "site.tac", addresses=3)
    (tmp_path / "app.sock").chmod(0o666)  # the servers may run as somebody else
    return running


@pytest.mark.parametrize("name", RECIPES)
def test_the_public_site_is_seen_behind(name: str, start: Callable[..., Running], tmp_path: Path) -> None:
    if program(name) is None:
        pytest.skip(f"needs {name}")
    backend = served(start, tmp_path, ["127.0.0.1"])
    address, guarded = [urlsplit(url).netloc for url in backend.urls if url.startswith("http:")]
    words = {"backend": address, "guarded": guarded, "socket": tmp_path / "app.sock"}
    words |= {f"{name}_port": words[name].rpartition(":")[2] for name in ("backend", "guarded")}
    with front_server(name, tmp_path / name, lambda port: RECIPES[name].format(port=port, **words)) as port:
        browser = Browser(port)
        # By a path, at the root: URLs, query, sessions, redirects, files.
        seen = browser.json("example.com", "/native/a%20b?q=1")
        assert (seen["url"], seen["query"], seen["n"]) == ("http://example.com/native/a%20b", "q=1", 1)
        assert "Secure" not in browser.set_cookie
        assert browser.json("example.com", "/native/")["n"] == 2
        assert browser.json("example.com", "/wsgi/x")["url"] == "http://example.com/wsgi/x"
        assert browser.get("example.com", "/dir/up").getheader("Location") == "http://example.com/dir/"
        assert browser.get("example.com", "/files/sub/").status == 200
        # A redirect that is relative leads to where the browser can see it.
        assert browser.get("example.com", "/files/sub").getheader("Location") in (
            "./sub/",
            "http://example.com/files/sub/",
        )
        # As https, without a port in the path.
        secure = Browser(port)
        assert secure.json("secure.example", "/native/x")["url"] == "https://secure.example/native/x"
        assert "Secure" in secure.set_cookie
        assert secure.json("secure.example", "/wsgi/x")["url"] == "https://secure.example/wsgi/x"
        # A part of the site, with the same path on both sides.
        assert browser.json("part.example", "/native/x")["url"] == "http://part.example/native/x"
        # In front of a guard of the root, which has its say about the public request.
        assert browser.get("guarded.example", "/native/x").status == 401
        for path in ("/native/x", "/wsgi/x"):
            seen = browser.json("guarded.example", path, Authorization="Basic bWFyeTpzZWNyZXQ=")
            assert seen["url"] == f"http://guarded.example{path}"
        # As a script, two levels down; and by rewriting.
        assert browser.json("script.example", "/wsgi/x")["url"] == "http://script.example/wsgi/x"
        assert browser.json("rewrite.example", "/wsgi/x?y")["url"] == "http://rewrite.example/wsgi/x"
        # By fields: scheme, prefix and client, whatever the client says of itself.
        lies = {"X_Forwarded_For": "6.6.6.6", "X_Forwarded_Host": "evil.example", "Forwarded": "for=6.6.6.6"}
        for mount in ("native", "wsgi"):
            seen = browser.json("fields.example", f"/out/{mount}/x", **lies)
            assert seen["url"] == f"{SCHEMES[name]}://fields.example/out/{mount}/x"
            assert (seen["client"], seen["script_name"]) == (CLIENT, f"/out/{mount}")
            seen = browser.json("unix.example", f"/{mount}/x")
            assert (seen["url"], seen["client"]) == (f"{SCHEMES[name]}://unix.example/{mount}/x", CLIENT)
