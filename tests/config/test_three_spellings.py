"""Ten trees, each on the command line, in a file and in Python: the same configuration is printed of all three."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.config.said import printed

ROOT = Path(__file__).resolve().parents[2]
TAC = """
from container import *
from container.message.websocket import WebSocketOptions
from container.resources.access import *
from container.resources.cgi import CGIDirectory, CGIScript
from container.tree.policies import AddHeaders, BodyLimit, RootPath, Variables
import sys, hello, page
"""


class Tree(NamedTuple):
    """One tree: arguments, the text of a file, that of a `.tac` file."""

    line: list[str]
    file: str
    python: str


TREES = {
    "an application": Tree(
        ["hello:application", "--threads", "4", "--queue-limit=50", "--request-timeout", "5m", "--port=9000"],
        """
listen = "127.0.0.1:9000"
[[mount]]
path = "/"
wsgi = "hello:application"
threads = 4
queue-limit = 50
request-timeout = "5m"
""",
        """
application = Application("a")
root = WSGIResource(hello.application, threads=4, queue_limit=50, request_timeout=300)
application.serve(Site(root), "127.0.0.1:9000")
""",
    ),
    "applications of both kinds and files": Tree(
        [
            "--asgi=hello:asgi", "--lifespan=off", "--ws-max-size=1M", "--mount=/old=wsgi:hello:application",
            "--mount-option=/old:threads=0", "--mount", "/static=files:public",
            "--mount-option=/static:cache-control=max-age=60", "-b", "tcp:80", "-b", "[::1]:81",
        ],
        """
listen = ["tcp:80", "[::1]:81"]
lifespan = "off"
ws-max-size = 1048576
asgi = "hello:asgi"
[[mount]]
path = "/static"
files = "public"
cache-control = "max-age=60"
[[mount]]
path = "/old"
wsgi = "hello:application"
threads = 0
""",
        """
application = Application("a")
options = WebSocketOptions(max_message=1 << 20, max_frame=1 << 20)
root = ASGIResource(hello.asgi, lifespan="off", websocket=options)
root.mount("old", WSGIResource(hello.application, threads=0))
root.mount("static", Files("public", cache_control="max-age=60"))
application.serve(Site(root), "tcp:80", "[::1]:81")
""",
    ),
    "files with all their keys": Tree(
        [
            "--path=public", "--index=home.html", "-i", "index.html", "--no-listing", "--ignore-ext=html",
            "--mime-type=text/plain", "--mount=/deep/er=static:other", "--mount-option=/deep/er:listing=yes",
            "--mount-option=/deep/er:index=a.html, b.html", "--mount-option=/deep/er:ignore-ext=*",
            "--mount-option=/deep/er:immutable=yes", "--mount-option=/deep/er:dotfiles=yes",
            "--mount-option=/deep/er:types=.foo=text/x-foo", "--mount-option=/deep/er:links=inside",
            "--mount-option=/deep/er:cache-bytes=1M", "--mount-option=/deep/er:precompressed=no",
            "--mount-option=/deep/er:default-type=text/x-any",
        ],
        """
[[mount]]
path = "/"
files = "public"
index = ["home.html", "index.html"]
ignore-ext = "html"
default-type = "text/plain"
[[mount]]
path = "/deep/er/"
static = "other"
listing = true
index = ["a.html", "b.html"]
ignore-ext = ["*"]
immutable = true
dotfiles = true
links = "inside"
cache-bytes = "1M"
precompressed = false
default-type = "text/x-any"
[mount.types]
".foo" = "text/x-foo"
""",
        """
application = Files("public", index=["home.html", "index.html"], ignore_ext=["html"], default_type="text/plain")
application.mount("deep/er", Files(
    "other", listing=True, index=["a.html", "b.html"], ignore_ext=["*"], immutable=True, dotfiles=True,
    links="inside", cache_bytes=1 << 20, precompressed=False, default_type="text/x-any", types={".foo": "text/x-foo"},
))
""",
    ),
    "virtual hosts": Tree(
        [
            "hello:application", "--vhost=a.example=files:public", "--vhost", "*.B.example:8443=hello:asgi",
            "--mount=//a.example/app=page:page", "--mount-option=//a.example/:headers=X-Host: a",
        ],
        """
app = "hello:application"
[[mount]]
host = "a.example"
files = "public"
headers = { X-Host = "a" }
[[mount]]
host = "a.example"
path = "/app"
app = "page:page"
[[mount]]
host = "*.b.example:8443"
path = "/"
asgi = "hello:asgi"
""",
        """
a = AddHeaders(Files("public"), {"X-Host": "a"})
a.mount("app", page.page)
application = VirtualHosts(
    {"a.example": a, "*.b.example:8443": ASGIResource(hello.asgi)}, default=WSGIResource(hello.application)
)
""",
    ),
    "proxies and ways elsewhere": Tree(
        [
            "--mount=/=proxy:http://127.0.0.1:9000,http://127.0.0.1:9001/x", "--mount-option=/:upstream-host=preserve",
            "--mount-option=/:answer-timeout=5", "--mount-option=/:forwarding=both", "--mount-option=/:max-fails=5",
            "--mount-option=/:health-path=/up", "--mount-option=/:balance=least-connections",
            "--mount=/old=redirect:https://new.example/", "--mount-option=/old:status=308",
            "--mount=/vhost=vhostmonster:192.0.2.0/24,unix",
        ],
        """
[[mount]]
path = "/"
proxy = ["http://127.0.0.1:9000", "http://127.0.0.1:9001/x"]
answer-timeout = 5
forwarding = "both"
max-fails = 5
health-path = "/up"
balance = "least-connections"
upstream-host = "preserve"
[[mount]]
path = "/old"
redirect = "https://new.example/"
status = 308
[[mount]]
path = "/vhost"
vhostmonster = ["192.0.2.0/24", "unix"]
""",
        """
application = ReverseProxy(
    "http://127.0.0.1:9000", "http://127.0.0.1:9001/x", host="preserve", timeouts=ClientTimeouts(answer=5),
    forwarding="both", max_fails=5, health=Health("/up"), balance="least-connections",
)
application.mount("old", Redirect("https://new.example/", status=308))
application.mount("vhost", VHostMonster(["192.0.2.0/24", "unix"]))
""",
    ),
    "CGI": Tree(
        [
            "--path=public", "--mount=/cgi-bin=cgi:cgi-bin", "--cgi-interpreter=.sh=sh", "--cgi-env=COLOUR=blue",
            "--cgi-timeout=10", "--cgi-processes=4", "--mount-option=/cgi-bin:deadline=1m",
            "--mount=/one=cgi:cgi-bin/hello.cgi", "--mount-option=/one:warm=yes", "--listing",
        ],
        """
path = "public"
cgi-timeout = 10.0
[[mount]]
path = "/cgi-bin"
cgi = "cgi-bin"
interpreters = { ".sh" = "sh" }
environment = { COLOUR = "blue" }
timeout = 10
processes = 4
deadline = "60s"
[[mount]]
path = "/one"
cgi = "cgi-bin/hello.cgi"
warm = true
interpreters = { ".sh" = "sh" }
environment = { COLOUR = "blue" }
processes = 4
""",
        """
options = {"interpreters": {".sh": "sh"}, "environment": {"COLOUR": "blue"}, "timeout": 10.0, "processes": 4}
application = Files("public", listing=True)
application.mount("cgi-bin", CGIDirectory("cgi-bin", deadline=60, **options))
application.mount("one", CGIScript("cgi-bin/hello.cgi", warm=True, **options))
""",
    ),
    "policies of mounts": Tree(
        [
            "page:page", "--mount=/admin=hello:application", "--mount-option=/admin:allow=10.0.0.0/8,::1",
            "--mount-option=/admin:deny=10.0.0.1", "--mount-option=/admin:htpasswd=users.txt",
            "--mount-option=/admin:rate-limit=100/m:20", "--mount-option=/admin:concurrency=9",
            "--mount-option=/admin:limit-request-body=1M", "--mount-option=/admin:headers=X-Frame-Options: DENY",
            "--mount-option=/admin:compress=br:5,gzip", "--mount-option=/admin:sessions=sqlite:s.db",
            r"--mount-option=/admin:rewrites=/item/(\d+)=/items/{1}" "\n" "/old/(.*)=301 /new/{1}?a=b",
            "--mount-option=/admin:variables=COLOUR=blue", "--mount-option=/admin:access-log=json:admin.log",
            "--mount-option=/admin/raw:access-log=no", "--mount=/admin/raw=files:public",
            "--mount-option=/admin/raw:compress=none",
            "--mount-option=/admin/raw:forward-auth=http://127.0.0.1:9091/verify",
        ],
        """
[[mount]]
path = "/admin/raw"
files = "public"
compress = "none"
access-log = false
forward-auth = "http://127.0.0.1:9091/verify"
[[mount]]
path = "/admin"
wsgi = "hello:application"
allow = ["10.0.0.0/8", "::1"]
deny = "10.0.0.1"
htpasswd = "users.txt"
rate-limit = "100/m:20"
concurrency = 9
access-log = "json:admin.log"
limit-request-body = 1048576
compress = ["br:5", "gzip"]
sessions = "sqlite:s.db"
[mount.headers]
X-Frame-Options = "DENY"
[mount.variables]
COLOUR = "blue"
[mount.rewrites]
'/item/(\\d+)' = "/items/{1}"
'/old/(.*)' = "301 /new/{1}?a=b"
[[mount]]
path = "/"
app = "page:page"
""",
        """
from container.sessions.sqlite import SQLiteStore
admin = WSGIResource(hello.application)
for wrap in (
    lambda inner: Rewriter(
        inner, RewriteRule(r"/item/(\\d+)", "/items/{1}"), RewriteRule("/old/(.*)", "/new/{1}?a=b", redirect=301)
    ),
    lambda inner: Encoded(inner, [Brotli(level=5), Gzip()]),
    lambda inner: Variables(inner, {"COLOUR": "blue"}),
    lambda inner: BodyLimit(inner, 1 << 20),
    lambda inner: Sessions(inner, store=SQLiteStore("s.db")),
    lambda inner: BasicAuth(inner, htpasswd="users.txt"),
    lambda inner: ConcurrencyLimit(inner, 9),
    lambda inner: RateLimit(inner, 100, per=60, burst=20),
    lambda inner: Deny(inner, ["10.0.0.1"]),
    lambda inner: Allow(inner, ["10.0.0.0/8", "::1"]),
    lambda inner: LogTo(inner, AccessLog(sys.stdout), name="json:admin.log"),
    lambda inner: AddHeaders(inner, {"X-Frame-Options": "DENY"}),
):
    admin = wrap(admin)
admin.mount("raw", LogTo(
    ForwardAuth(Encoded(Files("public"), []), "http://127.0.0.1:9091/verify"), None
))
page.page.mount("admin", admin)
application = page.page
""",
    ),
    "what holds for a whole site": Tree(
        [
            "hello:application", "--header=X-One: 1", "--header", "X-Two: a: b", "--compress=zstd:5,gzip",
            "--sessions=memory", "--htpasswd=users.txt", "--limit-request-line=4K", "--limit-request-body=10M",
            "--limit-request-fields=50", "--keep-alive=5", "--forwarded-allow-ips=10.0.0.0/8",
            "--display-tracebacks", "--root-path=/shop", "--limit-concurrency=100",
        ],
        """
app = "hello:application"
compress = ["zstd:5", "gzip"]
sessions = "memory"
htpasswd = "users.txt"
limit-request-line = 4096
limit-request-body = "10M"
limit-request-fields = 50
keep-alive = 5
forwarded-allow-ips = "10.0.0.0/8"
display-tracebacks = true
root-path = "/shop"
limit-concurrency = 100
[headers]
X-One = "1"
X-Two = "a: b"
""",
        """
root = BasicAuth(WSGIResource(hello.application), htpasswd="users.txt")
root = RootPath(ConcurrencyLimit(Sessions(root), 100), "/shop")
application = Application("a")
application.serve(Site(
    root, headers={"X-One": "1", "X-Two": "a: b"}, encoders=[Zstd(level=5), Gzip()], display_tracebacks=True,
    limits=Limits(request_line=4096, fields=50, body=10 << 20), timeouts=Timeouts(keep_alive=5),
    trusted_proxies=["10.0.0.0/8"],
))
""",
    ),
    "addresses of all kinds": Tree(
        [
            "page:page", "-b", r"unix:/run/a\=b.sock:mode=600", "-b", "tls:443:cert=c.pem:key=k.pem",
            "-b", "tcp:80:interface=127.0.0.1:backlog=9", "-b", "haproxy:tcp6:81", "-b", "systemd:name=web", "-b",
            "fd:3",
            "-b", "tls:certs:8443:min=1.3", "--workers=3", "--user=nobody", "--graceful-timeout=5s",
            "--no-server-header",
            "--env", "COLOUR=blue", "--metrics", "9091",
        ],
        r"""
listen = [
    'unix:/run/a\=b.sock:mode=600', "tls:443:cert=c.pem:key=k.pem", "tcp:80:interface=127.0.0.1:backlog=9",
    "haproxy:tcp6:81", "systemd:web", "fd:3", "tls:certs:8443:min=1.3",
]
app = "page:page"
workers = 3
user = "nobody"
graceful-timeout = 5
server-header = false
metrics = "127.0.0.1:9091"
[env]
COLOUR = "blue"
""",
        "--workers=3 --user=nobody --graceful-timeout=5 --no-server-header -e COLOUR=blue"
        r"""
application = Application("a")
application.serve(
    page.page, r"unix:/run/a\=b.sock:mode=600", "tls:443:cert=c.pem:key=k.pem", "tcp:80:interface=127.0.0.1:backlog=9",
    "haproxy:tcp6:81", "systemd:web", "fd:3", "tls:certs:8443:min=1.3",
)
application.serve(Metrics(), "127.0.0.1:9091")
""",
    ),
    "what is older": Tree(
        [
            "--resource-script=script.rpy", "--mount=/asis=asis:answer.asis", "--mount=/old=handler:hello:Old",
            "--mount-option=/old:threads=2", "--mount=/php=fastcgi:unix:/run/php.sock=public/a.txt",
            "--mount-option=/php:connections=4", "--mount=/scgi=scgi:127.0.0.1:4000",
            "--mount-option=/scgi:environment=A=b", "--mount=/uwsgi=uwsgi:127.0.0.1:4001",
            "--mount-option=/uwsgi:timeout=5", "--mount=/scripts=script:cgi-bin",
        ],
        """
resource-script = "script.rpy"
[[mount]]
path = "/asis"
asis = "answer.asis"
[[mount]]
path = "/old"
handler = "hello:Old"
threads = 2
[[mount]]
path = "/php"
fastcgi = "unix:/run/php.sock"
front-script = "public/a.txt"
connections = 4
[[mount]]
path = "/scgi"
scgi = "127.0.0.1:4000"
environment = { A = "b" }
[[mount]]
path = "/uwsgi"
uwsgi = "127.0.0.1:4001"
timeout = "5s"
[[mount]]
path = "/scripts"
script = "cgi-bin"
""",
        """
application = ResourceScript("script.rpy")
application.mount("asis", AsIs("answer.asis"))
application.mount("old", HandlerResource(hello.Old, threads=2))
application.mount("php", FastCGIResource("unix:/run/php.sock", script="public/a.txt", connections=4))
application.mount("scgi", SCGIResource("127.0.0.1:4000", variables={"A": "b"}))
application.mount("uwsgi", UWSGIResource("127.0.0.1:4001", timeout=5))
application.mount("scripts", ScriptDirectory("cgi-bin"))
""",
    ),
}  # fmt: skip


def in_python(tree: Tree, place: Path) -> list[str]:
    """The arguments for a `.tac` file: what a file of Python does not say stands in front of it."""
    options, _, text = tree.python.partition("\n")
    (place / "site.tac").write_text(TAC + text)
    return ["-y", "site.tac", *options.split()]


@pytest.mark.parametrize("name", TREES)
def test_three_spellings_are_one_configuration(place: Path, name: str) -> None:
    """CF-07, CL-01"""
    tree = TREES[name]
    (place / "site.toml").write_text(tree.file)
    on_the_line = printed(*tree.line)
    assert printed("-c", "site.toml") == on_the_line
    assert printed(*in_python(tree, place)) == on_the_line
    (place / "again.toml").write_text(on_the_line)
    assert printed("--config=again.toml") == on_the_line
    assert "object" not in on_the_line


def test_the_command_prints_it(place: Path) -> None:
    tree = TREES["an application"]
    (place / "container.toml").write_text(tree.file)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}

    def print_config(*arguments: str) -> str:
        command = [sys.executable, "-m", "container", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout

    on_the_line = print_config("print", *tree.line)
    assert print_config("--print-config") == on_the_line == print_config("print", *in_python(tree, place))
