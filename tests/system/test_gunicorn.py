"""`gunicorn -k container.gunicorn.Worker`: gunicorn's command, our server."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.certificates import Authority
from tests.system.conftest import PATIENCE_S, Running, environment
from tests.system.pooled import Pool
from tests.system.test_workers import reload_under_load, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

APPS = """\
import os, pathlib, time
from container import Application, Metrics, Resource, Response, Site
VERSION = pathlib.Path(__file__).with_name("version").read_text()
def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Kind", "wsgi")])
    if environ["PATH_INFO"] == "/client":
        return [environ["REMOTE_ADDR"].encode()]
    if environ["PATH_INFO"] == "/slow":
        return (time.sleep(0.1) or b"x" * 10 for _ in range(30))
    return [f"{VERSION} {os.getpid()} {environ['wsgi.multiprocess']}".encode()]
async def asgi(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-kind", b"asgi")]})
        await send({"type": "http.response.body", "body": b"asgi"})
class Hello(Resource):
    is_leaf = True
    def get(self, request):
        return Response(b"resource")
resource = Hello()
site = Site(resource)
application = Application("one")
application.serve(site)
def make():
    return resource
def broken(environ, start_response):
    raise LookupError("of the application")
metered = Resource()
metered.mount("hello", Hello())
metered.mount("metrics", Metrics())
"""
_ADDRESS = re.compile(r"https?://127\.0\.0\.1:([1-9][0-9]*)")


class Gunicorn(Running):
    port = 0

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{self.port}"]


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[Callable[..., Gunicorn]]:
    """gunicorn with our worker, once a worker boots."""
    (tmp_path / "apps.py").write_text(APPS)
    (tmp_path / "version").write_text("1")
    begun: list[Gunicorn] = []

    def begin(*arguments: object) -> Gunicorn:
        command = [sys.executable, "-m", "gunicorn", "-k", "container.gunicorn.Worker", "-b", "127.0.0.1:0"]
        output = tmp_path / f"output-{len(begun)}"
        with output.open("w") as stdout:
            process = subprocess.Popen(
                [*command, "--no-control-socket", *map(str, arguments)],
                cwd=tmp_path, env=environment(), stdin=subprocess.DEVNULL, stdout=stdout,
                stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        running = Gunicorn(process, output)
        begun.append(running)
        found = _ADDRESS.search(running.wait_for("Listening at"))
        assert found
        running.port = int(found[1])
        return running

    yield begin
    for running in begun:
        running.end()


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("apps:asgi", b"asgi"),
        ("apps:resource", b"resource"),
        ("apps:site", b"resource"),
        ("apps:application", b"resource"),
        ("apps:make()", b"resource"),
        ("apps:wsgi", b"1 "),
    ],
)
def test_every_kind_of_application_is_served(gunicorn: Any, name: str, body: bytes) -> None:
    """GW-02."""
    running = gunicorn(name)
    assert running.fetch().body.startswith(body)
    assert running.stop() == 0


def test_a_site_may_be_loaded_before_the_fork(gunicorn: Any) -> None:
    """GW-01: preload."""
    assert gunicorn("--preload", "-w", 2, "apps:site").fetch().body == b"resource"


def test_a_reload_loses_no_request(gunicorn: Any, tmp_path: Path) -> None:
    """GW-01, LC-04: gunicorn's own HUP, with workers that answer what idle connections still ask."""
    running = gunicorn("-w", 2, "apps:wsgi")
    running.fetch()
    assert reload_under_load(running, tmp_path, 2).failures == []


def test_recycling_loses_no_request(gunicorn: Any) -> None:
    """GW-01: max_requests."""
    running = gunicorn("-w", 2, "--max-requests", 60, "apps:wsgi")
    with Pool(running.port) as pool:
        pool.wait_until(lambda came: len({each.split()[1] for each in came}) >= 4, "four workers")
    assert pool.failures == []


def test_a_long_answer_does_not_trip_the_heartbeat_and_outlives_term(gunicorn: Any) -> None:
    """GW-01, GW-03, WS-20: three seconds of streaming with a timeout of one, stopped in between."""
    running = gunicorn("--timeout", 1, "apps:wsgi")
    with socket.create_connection(("127.0.0.1", running.port), PATIENCE_S) as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        said = client.recv(4096)
        running.send(signal.SIGTERM)
        while more := client.recv(4096):
            said += more
    assert said.count(b"x" * 10) == 30
    assert running.wait() == 0


def test_the_access_log_has_gunicorns_atoms(gunicorn: Any, tmp_path: Path) -> None:
    """GW-01: the format, the file, and USR1."""
    name = tmp_path / "access.log"
    form = "%(h)s|%(r)s|%(s)s|%(b)s|%(L)s|%({x-kind}o)s|%({user-agent}i)s|%(U)s|%(q)s"
    form += "|%({content-length}o)s|%(D)s|%(M)s|%({wsgi.url_scheme}e)s"
    running = gunicorn("--access-logfile", name, "--access-logformat", form, "apps:wsgi")
    running.fetch("/a?b=c", headers={"User-Agent": "test"})
    until(lambda: "/a" in name.read_text(), "a line")
    parts = name.read_text().rstrip().split("|")
    assert parts[:3] == ["127.0.0.1", "GET /a?b=c HTTP/1.1", "200"]
    assert int(parts[3]) > 0
    assert 0 < float(parts[4]) < PATIENCE_S
    assert parts[5:9] == ["wsgi", "test", "/a", "b=c"]
    assert parts[9] == parts[3]
    assert int(parts[10]) == round(float(parts[4]) * 1e6) > 0
    assert int(parts[11]) == int(parts[10]) // 1000
    assert parts[12] == "http"
    name.rename(tmp_path / "old")
    running.send(signal.SIGUSR1)
    until(name.exists, "a new file")


BOTH = ["all", "console"]
LOGGERS: dict[str, dict[str, Any]] = {
    # What gunicorn's own logger has no handlers for goes to those of the root.
    "root": {"": BOTH, "gunicorn.error": []},
    # Where nothing is said of ours, it goes where gunicorn's goes.
    "gunicorn": {"": [], "gunicorn.error": BOTH},
    "our own": {"": ["console"], "gunicorn.error": [], "container": ["all"]},
}


@pytest.mark.parametrize("disable", [False, True], ids=["others on", "others off"])
@pytest.mark.parametrize("case", LOGGERS)
def test_its_settings_say_where_records_go(gunicorn: Any, tmp_path: Path, case: str, disable: bool) -> None:
    """GW-01, LG-04: logconfig_json, for the errors of our server as for those of gunicorn's own, and for requests."""
    table = {
        "version": 1,
        "disable_existing_loggers": disable,
        "handlers": {
            "all": {"class": "logging.FileHandler", "filename": "all.log"},
            "requests": {"class": "logging.FileHandler", "filename": "requests.log"},
            "console": {"class": "logging.StreamHandler"},
        },
        "loggers": {
            **{
                name: {"handlers": handlers, "propagate": not handlers, "level": "INFO"}
                for name, handlers in LOGGERS[case].items()
                if name
            },
            "gunicorn.access": {"handlers": ["requests"], "propagate": False},
        },
        "root": {"handlers": LOGGERS[case][""]},
    }
    (tmp_path / "log.json").write_text(json.dumps(table))
    running = gunicorn("--log-config-json", "log.json", "apps:broken")
    assert running.fetch("/x").status == 500
    until(lambda: "GET /x HTTP/1.1" in (tmp_path / "requests.log").read_text(), "the line of the request")
    assert running.stop() == 0
    lines = (tmp_path / "all.log").read_text().splitlines()
    assert [line for line in lines if " failed" in line] == ["<Request GET /x HTTP/1.1> failed"]
    assert lines.count("LookupError: of the application") == 1


def test_errors_are_logged_after_the_application_configured_logging(gunicorn: Any, tmp_path: Path) -> None:
    """GW-01: it switches off all loggers that it does not name."""
    (tmp_path / "quiet.py").write_text(
        "import logging.config\nfrom apps import broken\nlogging.config.dictConfig({'version': 1})\n"
    )
    running = gunicorn("quiet:broken")
    assert running.fetch("/x").status == 500
    running.wait_for("LookupError: of the application")


def test_statsd_is_told_of_every_request(gunicorn: Any) -> None:
    """GW-01: how many, how long, which statuses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(PATIENCE_S)
        running = gunicorn("--statsd-host", f"127.0.0.1:{daemon.getsockname()[1]}", "apps:wsgi")
        running.fetch("/a")
        said: dict[str, str] = {}
        while "gunicorn.request.status.200" not in said:
            name, _, value = daemon.recv(1000).decode().partition(":")
            said[name] = value
    assert said["gunicorn.requests"].startswith("1|c")
    assert 0 < float(said["gunicorn.request.duration"].partition("|")[0]) < PATIENCE_S * 1000


def test_hooks_are_called(gunicorn: Any, tmp_path: Path) -> None:
    """GW-01: those of requests and those of processes."""
    (tmp_path / "conf.py").write_text(
        "def tell(text):\n"
        "    with open('hooks', 'a') as file: file.write(text + '\\n')\n"
        "def pre_request(worker, req): tell(f'before {req.method} {req.path}')\n"
        "def post_request(worker, req, environ, resp): tell(f'after {req.path} {resp.status}')\n"
        "def post_worker_init(worker): tell('init')\n"
        "def worker_exit(server, worker): tell('exit')\n"
        "def child_exit(server, worker): tell('child')\n"
    )
    running = gunicorn("-c", "conf.py", "apps:wsgi")
    running.fetch("/hook")
    assert running.stop() == 0
    told = (tmp_path / "hooks").read_text().splitlines()
    assert told[:3] == ["init", "before GET /hook", "after /hook 200"]
    assert "exit" in told


def test_limits_that_were_changed_hold(gunicorn: Any) -> None:
    """GW-01: limit_request_line, limit_request_fields, keepalive."""
    running = gunicorn("--limit-request-line", 100, "--limit-request-fields", 4, "apps:wsgi")
    assert running.fetch("/" + "x" * 200).status == 414
    assert running.fetch("/", headers={f"X-{number}": "1" for number in range(9)}).status == 431


def test_no_more_connections_than_were_allowed(gunicorn: Any) -> None:
    """GW-01: worker_connections: the third waits until one of two has left."""
    running = gunicorn("--worker-connections", 2, "apps:wsgi")
    request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    with ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", running.port), PATIENCE_S))
            for _ in range(3)
        ]
        for client in clients[:2]:
            client.sendall(request)
            assert b" 200 OK" in client.recv(4096)
        clients[2].sendall(request)
        assert not select.select([clients[2]], [], [], 0.3)[0]
        clients[0].close()
        assert b" 200 OK" in clients[2].recv(4096)


@pytest.mark.parametrize(
    ("mode", "sends", "client"),
    [
        ("auto", "v1", "192.0.2.1"),
        ("auto", "v2", "192.0.2.1"),
        ("auto", "nothing", "127.0.0.1"),
        ("v1", "v1", "192.0.2.1"),
        ("v1", "v2", None),
        ("v2", "v2", "192.0.2.1"),
    ],
)
def test_a_proxy_may_tell_the_client(gunicorn: Any, mode: str, sends: str, client: str | None) -> None:
    """GW-01, EP-07: proxy_protocol; the header is optional, as gunicorn has it."""
    running = gunicorn("--proxy-protocol", mode, "apps:wsgi")
    assert client_seen(running, PROXY_HEADERS[sends]) == client


def test_not_everybody_may_tell_the_client(gunicorn: Any) -> None:
    """GW-01: proxy_allow_ips."""
    running = gunicorn("--proxy-protocol", "auto", "--proxy-allow-from", "192.0.2.0/24", "apps:wsgi")
    assert client_seen(running, PROXY_HEADERS["v1"]) is None
    assert client_seen(running, b"") == "127.0.0.1"


PROXY_HEADERS = {
    "nothing": b"",
    "v1": b"PROXY TCP4 192.0.2.1 198.51.100.2 4321 80\r\n",
    "v2": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\x10\xe1\x00\x50",
}


def client_seen(running: Gunicorn, header: bytes) -> str | None:
    """Whom the application takes for the client; None when the request was refused."""
    with socket.create_connection(("127.0.0.1", running.port), PATIENCE_S) as sock:
        sock.sendall(header + b"GET /client HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        said = b""
        while more := sock.recv(4096):
            said += more
    head, _, body = said.partition(b"\r\n\r\n")
    return body.decode() if b" 200 " in head.partition(b"\r\n")[0] else None


def test_tls_is_as_gunicorn_was_told(gunicorn: Any, tmp_path: Path) -> None:
    """GW-01: certfile, keyfile, ca_certs, cert_reqs, and the ssl_context hook, which may change ours."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue_apart("pair", "localhost")
    own = authority.issue("client.pem", "client.example")
    (tmp_path / "conf.py").write_text(
        "import ssl\n"
        "def ssl_context(config, default_ssl_context_factory):\n"
        "    context = default_ssl_context_factory()\n"
        "    assert context.verify_mode is ssl.CERT_REQUIRED and config.keyfile\n"
        "    context.minimum_version = ssl.TLSVersion.TLSv1_3\n"
        "    return context\n"
    )
    options = ("--certfile", certificate, "--keyfile", key, "--ca-certs", authority.path, "--cert-reqs", 2)
    running = gunicorn("-c", "conf.py", *options, "apps:wsgi")
    context = authority.client(own)
    assert tls_version(running, context) == "TLSv1.3"
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        tls_version(running, context)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        tls_version(running, authority.client())


def tls_version(running: Gunicorn, context: ssl.SSLContext) -> str | None:
    """What was agreed on, once a request was answered."""
    with (
        socket.create_connection(("127.0.0.1", running.port), PATIENCE_S) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as sock,
    ):
        sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        if not (answer := sock.recv(4096)):  # an alert comes as an error or as the end, as kernels like
            raise ConnectionResetError
        assert answer.startswith(b"HTTP/1.1 200 ")
        return sock.version()


def test_statsd_is_told_of_requests(gunicorn: Any) -> None:
    """GW-01: statsd_host and statsd_prefix, by gunicorn's own logger."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(PATIENCE_S)
        address = f"127.0.0.1:{statsd.getsockname()[1]}"
        running = gunicorn("--statsd-host", address, "--statsd-prefix", "shop", "apps:wsgi")
        assert running.fetch().status == 200
        told = set()
        while len(told) < 3:
            name, _, value = statsd.recv(4096).decode().partition(":")
            if name.startswith("shop.gunicorn.request"):
                told.add(f"{name} {value.partition('|')[2]}")
    assert told == {
        "shop.gunicorn.request.duration ms",
        "shop.gunicorn.requests c|@1.0",
        "shop.gunicorn.request.status.200 c|@1.0",
    }


def test_an_application_that_cannot_be_loaded_is_told_of(tmp_path: Path) -> None:
    """GW-02: exit code 4."""
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-k", "container.gunicorn.Worker", "-b", "127.0.0.1:0",
         "--no-control-socket", "nowhere:app"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 4
    assert "no module named 'nowhere'" in done.stderr
    assert os.path.basename(sys.executable) not in done.stdout
