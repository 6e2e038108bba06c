"""`gunicorn -k container.gunicorn.Worker`: gunicorn's command, our server."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.conftest import PATIENCE_S, Running, environment
from tests.system.pooled import Pool
from tests.system.test_workers import reload_under_load, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

APPS = """\
import os, pathlib, time
from container import Application, Resource, Response, Site
VERSION = pathlib.Path(__file__).with_name("version").read_text()
def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Kind", "wsgi")])
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
"""
_ADDRESS = re.compile(r"http://127\.0\.0\.1:([1-9][0-9]*)")


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
    running = gunicorn("--access-logfile", name, "--access-logformat", form, "apps:wsgi")
    running.fetch("/a?b=c", headers={"User-Agent": "test"})
    until(lambda: "/a" in name.read_text(), "a line")
    parts = name.read_text().rstrip().split("|")
    assert parts[:3] == ["127.0.0.1", "GET /a?b=c HTTP/1.1", "200"]
    assert int(parts[3]) > 0
    assert 0 < float(parts[4]) < PATIENCE_S
    assert parts[5:] == ["wsgi", "test", "/a", "b=c"]
    name.rename(tmp_path / "old")
    running.send(signal.SIGUSR1)
    until(name.exists, "a new file")


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
