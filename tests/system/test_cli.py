"""The command as a user meets it: what it serves, where, and how it ends; mistakes are in tests/cli."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import stat
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.system.conftest import Answer, Running

    Start = Callable[..., Running]
    Finish = Callable[..., subprocess.CompletedProcess[str]]

APPS = Path(__file__).resolve().parents[2] / "apps"

HELLO = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"Hello from " + environ["SCRIPT_NAME"].encode() + b"|" + environ["PATH_INFO"].encode()]

def create_app():
    return application
"""

# Waits in /slow until somebody has opened the fifo for writing and closed it again.
SLOW = """
import os, sys

def application(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        print("entered", file=sys.stderr, flush=True)
        with open(os.environ["GATE"]) as gate:
            gate.read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]
"""

COMBINED = re.compile(
    r"(?P<host>\S+) \S+ (?P<user>\S+) \[(?P<time>\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "
    r'"(?P<line>[^"\\]*(?:\\.[^"\\]*)*)" (?P<status>\d{3}) (?P<size>\d+|-) '
    r'"(?P<referer>[^"\\]*(?:\\.[^"\\]*)*)" "(?P<agent>[^"\\]*(?:\\.[^"\\]*)*)"'
)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "hello.py").write_text(HELLO)
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "index.html").write_text("<p>index")
    (tmp_path / "public" / "a.txt").write_text("text")
    os.mkfifo(tmp_path / "gate")
    return tmp_path


class Request(threading.Thread):
    """A request that is answered later."""

    def __init__(self, running: Running, path: str) -> None:
        super().__init__(daemon=True)
        self._running = running
        self._path = path
        self.answer: Answer | None = None
        self.error: OSError | None = None
        self.start()

    def run(self) -> None:
        try:
            self.answer = self._running.fetch(self._path)
        except OSError as error:
            self.error = error


# What is served.


def test_hello_world_from_its_directory(start: Start) -> None:
    running = start("--wsgi=helloworld.application", "--port", 0, cwd=APPS)
    assert re.fullmatch(
        r"container \S+ serving on http://127\.0\.0\.1:\d+/ "
        r"\(pid \d+, Python \d+\.\d+\.\d+, (?:uvloop|asyncio), 8 threads\) - Ctrl-C stops",
        running.lines[-1],
    )
    answer = running.fetch()
    assert (answer.status, answer.body) == (200, b"Hello World!")
    assert answer.headers["Server"] == "container"
    assert running.stop() == 0
    assert len(running.lines) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["hello:application"],
        ["hello.application"],
        ["hello"],
        ["--wsgi", "hello:application"],
        ["hello:create_app()"],
        ["hello:create_app", "--factory"],
        ["--mount", "/=hello:application"],
        ["hello:application", "--threads", "0"],
        ["hello:application", "--loop", "asyncio"],
        ["hello:application", "--no-server-header", "-n", "-o"],
    ],
)
def test_ways_to_name_an_application(start: Start, here: Path, arguments: list[str]) -> None:
    running = start(*arguments, "--port=0")
    answer = running.fetch("/x")
    assert answer.body == b"Hello from |/x"
    assert ("Server" in answer.headers) is ("--no-server-header" not in arguments)
    assert running.stop() == 0


@pytest.mark.parametrize(("option", "status"), [("--listing", 200), ("--no-listing", 404)])
def test_files_with_an_index_and_listings_where_wanted(
    start: Start, here: Path, option: str, status: int
) -> None:
    """ST-13, ST-14"""
    (here / "public" / "empty").mkdir()
    running = start("--path=public", option, "--port=0")
    assert running.fetch("/").body == b"<p>index"
    assert running.fetch("/a.txt").body == b"text"
    assert running.fetch("/empty/").status == status
    assert running.fetch("/nothing").status == 404


def test_nothing_to_serve_is_a_page_that_helps(start: Start) -> None:
    running = start("--port=0")
    front, deep = running.fetch("/"), running.fetch("/x/y")
    assert (front.status, deep.status) == (200, 404)
    assert b"container app:app" in front.body
    assert b"container app:app" not in deep.body
    assert running.fetch("/", "HEAD").body == b""
    assert running.fetch("/", "POST").status == 405


def test_mounts_in_front_of_an_application(start: Start, here: Path) -> None:
    running = start(
        "hello:application", "--mount", "/static/deep=path:public", "--mount=/static=hello:application",
        "--mount", "/old/=redirect:https://example.org/new", "--mount", "/w=wsgi:hello:create_app()",
        "--port=0",
    )  # fmt: skip
    assert running.fetch("/static/deep/a.txt").body == b"text"
    assert running.fetch("/static/x").body == b"Hello from /static|/x"
    assert running.fetch("/old").headers["Location"] == "https://example.org/new"
    assert running.fetch("/w/y").body == b"Hello from /w|/y"
    assert running.fetch("/elsewhere").body == b"Hello from |/elsewhere"


def test_mounts_without_a_root(start: Start, here: Path) -> None:
    running = start("--mount", "/app=hello:application", "--mount", "/files=files:public", "--port=0")
    assert running.fetch("/app/x").body == b"Hello from /app|/x"
    assert running.fetch("/files/a.txt").body == b"text"
    assert running.fetch("/").status == 404
    assert running.fetch("/other").status == 404


def test_headers_are_on_every_answer(start: Start, here: Path) -> None:
    running = start(
        "--mount=/app=hello:application", "--mount", "/files=path:public", "--port=0",
        "--header", "X-One: a: b", "--add-header=X-Two:2",
    )  # fmt: skip
    seen = [
        running.fetch("/app"), running.fetch("/files/a.txt"), running.fetch("/nothing"),
        running.fetch("/files/a.txt", "POST"), running.fetch("/files"), running.fetch("/", "NONSENSE"),
        running.fetch("*", "OPTIONS"),
    ]  # fmt: skip
    assert [answer.status for answer in seen] == [200, 200, 404, 405, 301, 501, 200]
    for answer in seen:
        assert answer.headers.get_all("X-One") == ["a: b"]
        assert answer.headers.get_all("X-Two") == ["2"]


def test_limits_of_a_request(start: Start, here: Path) -> None:
    running = start(
        "hello:application", "--port=0", "--limit-request-line=100", "--limit-request-fields=5",
        "--limit-request-field-size=64", "--max-body=1K",
    )  # fmt: skip
    assert running.fetch("/" + "x" * 200).status == 414
    assert running.fetch("/", headers={"X": "y" * 100}).status == 431
    assert running.fetch("/", headers={f"X-{number}": "y" for number in range(9)}).status == 431
    assert running.fetch("/", "POST", headers={"Content-Length": "1025"}).status == 413
    assert running.fetch("/").status == 200


def test_tracebacks_for_the_developer(start: Start, here: Path) -> None:
    (here / "fails.py").write_text("def application(environ, start_response): raise ValueError('seen')\n")
    running = start("fails:application", "--port=0", "--display-tracebacks")
    answer = running.fetch()
    assert answer.status == 500
    assert b"ValueError: seen" in answer.body
    assert "warning" not in "".join(running.lines)
    exposed = start("fails:application", "--listen=0.0.0.0:0", "--display-tracebacks")
    assert exposed.lines[0].startswith("container: warning: tracebacks are shown to everybody")
    hidden = start("fails:application", "--port=0")
    assert b"seen" not in hidden.fetch().body
    assert hidden.stop() == 0
    assert "ValueError: seen" in hidden.lines


def test_errors_are_logged_after_the_application_configured_logging(start: Start, here: Path) -> None:
    (here / "fails.py").write_text(
        "import logging.config\n"
        "logging.config.dictConfig({'version': 1, 'handlers': {}, 'root': {'level': 'ERROR'}})\n"
        "def application(environ, start_response):\n    raise ValueError('seen')\n"
    )
    running = start("fails:application", "--port=0")
    assert running.fetch().status == 500
    running.wait_for("ValueError: seen")


# Addresses.


def test_three_addresses_at_once(start: Start, here: Path) -> None:
    running = start(
        "hello", "--listen", "tcp:0:interface=127.0.0.1", "-b", "127.0.0.1:0", "--port=0", addresses=3
    )
    assert len(set(running.urls)) == 3
    for url in running.urls:
        assert running.fetch("/x", url=url).body == b"Hello from |/x"


def test_a_unix_socket_has_its_mode_and_goes_with_the_server(start: Start, here: Path) -> None:
    path = here / "app.sock"
    running = start("hello:application", "--listen", "unix:app.sock:mode=600")
    assert running.urls == ["unix:app.sock"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    answer = running.fetch("/x", url=f"unix:{path}")
    assert (answer.status, answer.body) == (200, b"Hello from |/x")
    assert running.stop() == 0
    assert not path.exists()


def test_a_port_that_is_taken_is_one_line(finish: Finish, here: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = finish("hello:application", "--port", port)
        assert done.stderr == f"container: cannot listen on 127.0.0.1:{port}: address already in use\n"
        assert done.returncode == 1
        both = finish("hello:application", "--listen=unix:first.sock", "--listen", f"127.0.0.1:{port}")
        assert both.stderr == done.stderr
        assert both.returncode == 1
        assert not (here / "first.sock").exists()


# Ends.


def _gate(here: Path) -> dict[str, str]:
    return {"GATE": str(here / "gate")}


def _open(here: Path) -> None:
    (here / "gate").write_text("")


def test_sigterm_finishes_what_is_in_flight(start: Start, here: Path) -> None:
    running = start("slow:application", "--port=0", **_gate(here))
    request = Request(running, "/slow")
    running.wait_for("entered")
    running.send(signal.SIGTERM)
    running.wait_for("stopping: 1 connection")
    with pytest.raises(ConnectionRefusedError):
        running.fetch("/")
    _open(here)
    assert running.wait() == 0
    request.join()
    assert request.answer is not None
    assert (request.answer.status, request.answer.body) == (200, b"done")
    assert request.answer.headers["Connection"] == "close"


def test_a_stream_under_way_ends_and_so_does_the_server(start: Start, here: Path) -> None:
    (here / "stream.py").write_text("""
import os

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"begun"
    with open(os.environ["GATE"]) as gate:
        gate.read()
    yield b"ended"
""")
    running = start("stream:application", "--port=0", "--graceful-timeout=10", **_gate(here))
    address = urlsplit(running.url).netloc.split(":")
    streaming = http.client.HTTPConnection(*address, timeout=20)
    with closing(streaming), socket.create_connection(address, timeout=20) as idle:
        streaming.request("GET", "/")
        response = streaming.getresponse()
        assert response.read(5) == b"begun"
        running.send(signal.SIGTERM)
        assert idle.recv(1) == b""  # connections that only wait have been closed by now
        _open(here)
        sock = streaming.sock
        assert response.read() == b"ended"
        assert sock.recv(1) == b""
    assert running.wait() == 0
    assert not any("cut off" in line for line in running.lines)


def test_ctrl_c_ends_quietly(start: Start, here: Path) -> None:
    running = start("hello:application", "--port=0")
    assert running.fetch().status == 200
    assert running.stop(signal.SIGINT) == 0
    assert len(running.lines) == 1


def test_second_ctrl_c_ends_at_once(start: Start, here: Path) -> None:
    running = start("slow:application", "--port=0", **_gate(here))
    request = Request(running, "/slow")
    running.wait_for("entered")
    running.send(signal.SIGINT)
    running.wait_for("stopping: 1 connection")
    assert running.stop(signal.SIGINT) == 130
    request.join()
    assert request.answer is None
    assert "Traceback" not in "".join(running.lines)


def test_the_deadline_cuts_what_does_not_end(start: Start, here: Path) -> None:
    running = start("slow:application", "--port=0", "--graceful-timeout=100ms", **_gate(here))
    request = Request(running, "/slow")
    running.wait_for("entered")
    assert running.stop() == 0
    request.join()
    assert request.answer is None
    assert any("cut off" in line for line in running.lines)


def test_a_thread_of_the_application_cannot_hold_the_process(start: Start, here: Path) -> None:
    (here / "stuck.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"
        "from hello import application\n"
    )
    running = start("stuck:application", "--port=0")
    assert running.stop() == 0
    assert running.lines[-1].startswith("container: threads of the application did not end")


def test_start_and_stop_ten_times(start: Start, here: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for _ in range(10):
        running = start("hello:application", "--port", port)
        assert running.fetch("/x").body == b"Hello from |/x"
        assert running.stop() == 0


# The access log.


def test_the_access_log_is_in_combined_format(start: Start, here: Path) -> None:
    running = start("--path=public", "--port=0")
    running.fetch("/a.txt?x=1", headers={"User-Agent": 'q"b\\', "Referer": "http://r.example/"})
    running.fetch("/nothing")
    assert running.stop() == 0
    first, second = (COMBINED.fullmatch(line) for line in running.output.splitlines())
    assert first is not None
    assert second is not None
    assert first.group("host", "user", "line", "status", "size", "referer", "agent") == (
        "127.0.0.1", "-", "GET /a.txt?x=1 HTTP/1.1", "200", "4", "http://r.example/", 'q\\"b\\\\',
    )  # fmt: skip
    assert second["status"] == "404"


def test_the_access_log_goes_to_a_file_or_nowhere(start: Start, here: Path) -> None:
    running = start("hello:application", "--port=0", "--access-log-file=access.log")
    running.fetch()
    assert running.stop() == 0
    assert running.output == ""
    assert COMBINED.fullmatch((here / "access.log").read_text().strip())
    silent = start("hello:application", "--port=0", "--no-access-log")
    silent.fetch()
    assert silent.stop() == 0
    assert silent.output == ""


# .tac files.


def test_tac_with_an_application_and_its_services(start: Start, here: Path) -> None:
    (here / "site.tac").write_text("""
import sys
from container import Application, Resource, Response, Service, Site, WSGIResource
from hello import application

def say(text): print(text, file=sys.stderr, flush=True)

class Noisy(Service):
    def privileged_start(self): say(f"privileged {self.name}")
    async def start(self): say(f"start {self.name}")
    async def stop(self): say(f"stop {self.name}")

class Hello(Resource):
    async def start(self): say("start resource")
    async def stop(self): say("stop resource")
    def get(self, request): return Response.text("native")

root = WSGIResource(application)      # the callable named application
root.mount("native", Hello())
application = Application("shop")     # and the Application of that name
application.serve(Site(root), "tcp:0:interface=127.0.0.1")
application.add_service(Noisy("one"))
application.add_service(Noisy("two"))
""")
    running = start("-noy", "site.tac")
    assert running.fetch("/native").body == b"native"
    assert running.fetch("/x").body == b"Hello from |/x"
    assert running.stop() == 0
    phases = [line for line in running.lines if " serving on " not in line]
    assert phases == [
        "privileged one", "privileged two", "start one", "start two", "start resource",
        "stop resource", "stop two", "stop one",
    ]  # fmt: skip


@pytest.mark.parametrize("value", ["hello", "WSGIResource(hello)", "Site(WSGIResource(hello))"])
def test_tac_with_something_to_serve_at_the_root(start: Start, here: Path, value: str) -> None:
    (here / "plain.tac").write_text(
        "from container import Site, WSGIResource\n"
        f"from hello import application as hello\napplication = {value}\n"
    )
    running = start("-y", "plain.tac", "--port=0", "--mount=/files=path:public", "--header=X: 1")
    answer = running.fetch("/x")
    assert (answer.body, answer.headers["X"]) == (b"Hello from |/x", "1")
    assert running.fetch("/files/a.txt").body == b"text"


def test_an_address_given_replaces_that_of_the_tac(start: Start, here: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (here / "site.tac").write_text(
            "from container import Application\nfrom hello import application as hello\n"
            f"application = Application('x')\napplication.serve(hello, {port})\n"
        )
        running = start("-y", "site.tac", "--listen", "127.0.0.1:0")
        assert running.fetch("/x").body == b"Hello from |/x"


def test_tac_with_two_sites(start: Start, here: Path) -> None:
    (here / "two.tac").write_text("""
from container import Application, Files
from hello import application as hello
application = Application("two")
application.serve(hello, "127.0.0.1:0")
application.serve(Files("public"), "127.0.0.1:0", "unix:two.sock")
""")
    running = start("-y", "two.tac", addresses=3)
    urls = [*running.urls[:2], f"unix:{here}/two.sock"]
    bodies = [running.fetch("/a.txt", url=url).body for url in urls]
    assert bodies == [b"Hello from |/a.txt", b"text", b"text"]


def test_example_that_mounts_many_kinds(start: Start, tmp_path: Path) -> None:
    running = start("-y", APPS / "blog.tac", "--port=0", PYPI_PACKAGES=str(tmp_path / "packages"))
    for path in ("/", "/hello/", "/flask/", "/pypi/", "/time", "/healthz"):
        assert running.fetch(path).status == 200, path
    assert running.stop() == 0


@pytest.mark.parametrize(
    "service",
    [
        "class Broken(Service):\n    async def start(self): raise RuntimeError('no database')",
        "class Broken(Service):\n    def privileged_start(self): raise RuntimeError('no database')",
    ],
)
def test_a_service_that_does_not_start_is_exit_code_3(finish: Finish, here: Path, service: str) -> None:
    (here / "broken.tac").write_text(
        f"from container import Application, Service\nfrom hello import application as hello\n{service}\n"
        "application = Application('x')\napplication.serve(hello, 'unix:app.sock')\n"
        "application.add_service(Broken())\n"
    )
    done = finish("-y", "broken.tac")
    assert done.returncode == 3
    assert done.stderr.endswith("\ncontainer: start failed: RuntimeError: no database\n")
    assert not (here / "app.sock").exists()


@pytest.mark.parametrize(
    ("address", "fastcgi", "service", "code"),
    [
        ("TAKEN", "'unix:fastcgi.sock'", "Service()", 1),
        ("unix:app.sock", "'unix:fastcgi.sock', 'TAKEN'", "Service()", 1),
        ("unix:app.sock", "'unix:fastcgi.sock'", "Broken()", 3),
        ("unix:app.sock", "'unix:fastcgi.sock'", "Denied()", 3),
    ],
)
def test_no_socket_of_fastcgi_stays_when_something_else_does_not_start(
    finish: Finish, here: Path, address: str, fastcgi: str, service: str, code: int
) -> None:
    """CL-09"""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        text = f"""
from container import Application, FastCGIServer, Files, Service
class Broken(Service):
    async def start(self): raise RuntimeError('no database')
class Denied(Service):
    def privileged_start(self): raise RuntimeError('not for you')
application = Application('x')
application.serve(Files('.'), {address!r})
application.add_service(FastCGIServer(Files('.'), {fastcgi}))
application.add_service({service})
"""
        port = taken.getsockname()[1]
        (here / "site.tac").write_text(text.replace("TAKEN", f"127.0.0.1:{port}"))
        assert finish("-y", "site.tac").returncode == code
    assert not list(here.glob("*.sock"))


def test_a_resource_that_does_not_start_is_exit_code_3(finish: Finish, here: Path) -> None:
    (here / "broken.py").write_text(
        "from container import Resource\n"
        "class Broken(Resource):\n    async def start(self): raise RuntimeError('no database')\n"
    )
    done = finish("broken:Broken()", "--port=0")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        3, "container: start failed: RuntimeError: no database",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("Files('nowhere')", "expected a directory to serve, got"),
        ("CGIDirectory('nowhere')", "expected scripts at"),
        ("ScriptDirectory('nowhere')", "expected a directory of scripts, got"),
        ("SendfileFrom(Files('.'), 'nowhere')", "expected a directory to send files from, got"),
    ],
)
def test_a_directory_that_is_missing_is_one_line(
    finish: Finish, here: Path, resource: str, expected: str
) -> None:
    """CL-09"""
    (here / "site.tac").write_text(
        "from container import *\nfrom container.resources.cgi import CGIDirectory\n"
        f"application = Application('x')\napplication.serve({resource}, 'unix:app.sock')\n"
    )
    done = finish("-y", "site.tac")
    assert done.returncode == 3
    assert done.stderr.startswith(f"container: start failed: {expected} ")
    assert "nowhere'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_sessions_that_cannot_be_kept_are_one_line(finish: Finish, here: Path) -> None:
    """CL-09"""
    done = finish("hello:application", "--port=0", "--sessions=sqlite:nowhere/s.db")
    assert done.returncode == 3
    assert done.stderr.startswith("container: start failed: cannot keep sessions: nowhere/s.db: ")
    assert done.stderr.count("\n") == 1


def test_a_signal_while_starting_ends_at_once(start: Start, here: Path) -> None:
    (here / "hangs.tac").write_text("""
import asyncio, sys
from container import Application, Service
from hello import application as hello
class Hangs(Service):
    async def start(self):
        print("starting", file=sys.stderr, flush=True)
        await asyncio.Event().wait()
application = Application("x")
application.serve(hello, "unix:app.sock")
application.add_service(Hangs())
""")
    running = start("-y", "hangs.tac", addresses=0)
    running.wait_for("starting")
    assert running.stop() == 0
    assert running.lines == ["starting"]
    assert not (here / "app.sock").exists()


def test_an_application_gives_up_its_rights_after_it_listens(
    start: Start, finish: Finish, here: Path
) -> None:
    (here / "rights.tac").write_text("""
import os
from container import Application
def show(environ, start_response):
    start_response("200 OK", [])
    return [f"{os.getuid()} {os.getgid()} {os.getgroups()}".encode()]
application = Application("x", uid=54321, gid=54322)
application.serve(show, "127.0.0.1:0")
""")
    if os.geteuid() == 0:
        running = start("-y", "rights.tac")
        assert running.fetch().body == b"54321 54322 [54322]"
        assert running.stop() == 0
    else:
        done = finish("-y", "rights.tac")
        assert done.returncode == 1
        assert done.stderr.startswith("container: cannot become uid 54321, gid 54322: ")
