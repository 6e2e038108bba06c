"""`--debug` (CL-07, WS-25): errors of every kind of application in werkzeug's debugger, and who may see them."""

from __future__ import annotations

import json
import re
import subprocess
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from tests.system.browser import browser
from tests.system.conftest import COMMAND, Running, environment
from tests.system.front_servers import front_server, program
from tests.system.test_workers import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

APP = """\
from container import ASGIResource, Resource, Site, WSGIResource
from fastapi import FastAPI
from flask import Flask, request
from litestar import Litestar, get
from quart import Quart

flask = Flask(__name__)
@flask.get("/fail")
def fail():
    secret = 6 * 7
    raise ValueError("flask failed")

fastapi = FastAPI()
@fastapi.get("/fail")
def fail():
    secret = 43
    raise ValueError("fastapi failed")

quart = Quart(__name__)
@quart.get("/fail")
async def fail():
    secret = 46
    raise ValueError("quart failed")

@get("/fail", sync_to_thread=False)
def fail() -> str:
    secret = 47
    raise ValueError("litestar failed")

def plain(environ, start_response):
    secret = 44
    raise ValueError("wsgi failed")

class Native(Resource):
    def get(self, request):
        secret = 45
        raise ValueError("native failed")

root = Resource()
root.mount("flask", WSGIResource(flask))
root.mount("fastapi", ASGIResource(fastapi))
root.mount("quart", ASGIResource(quart))
root.mount("litestar", ASGIResource(Litestar([fail])))
root.mount("plain", WSGIResource(plain))
root.mount("native", Native())
inner = Resource()
inner.mount("native", Native())
root.mount("inner", Site(inner))
site = Site(root)
"""
OPTIONS = ("--debug", "--no-access-log", "--bind", "127.0.0.1:0")
HTML = {"Accept": "text/html,*/*;q=0.8"}
PIN = "123-456-789"
TOKEN = "a-token-of-the-test"
OPEN = f"/?__debugger__={TOKEN}"
PLACES = {
    "/flask/fail": ("flask failed", "42"),
    "/fastapi/fail": ("fastapi failed", "43"),
    "/quart/fail": ("quart failed", "46"),
    "/plain": ("wsgi failed", "44"),
    "/native": ("native failed", "45"),
    "/inner/native": ("native failed", "45"),
}


@pytest.fixture
def debugged(start: Any, tmp_path: Path) -> Callable[..., Running]:
    (tmp_path / "app.py").write_text(APP)

    def begin(*options: str) -> Running:
        running: Running = start(
            "app:site", *OPTIONS, *options, WERKZEUG_DEBUG_PIN=PIN, CONTAINER_DEBUG_TOKEN=TOKEN
        )
        return running

    return begin


def cookie(running: Running) -> dict[str, str]:
    """What a browser has that has opened the URL."""
    answer = running.fetch(OPEN)
    assert answer.status == 303
    return {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}


class Console:
    """What the script of the debugger's page does."""

    def __init__(self, running: Running, path: str) -> None:
        self._running = running
        self._path = path
        self._headers = cookie(running)
        self.page = running.fetch(path, headers={**HTML, **self._headers}).body.decode()
        found = re.search(r'SECRET = "(\w+)"', self.page)
        self.secret = found[1] if found else ""
        frames: list[str] = re.findall(r'id="frame-(\d+)"', self.page)
        self.frame = frames[-1] if frames else ""

    def ask(self, headers: dict[str, str] | None = None, **query: str) -> str:
        target = f"{self._path}?{urlencode({'__debugger__': 'yes', 's': self.secret, **query})}"
        answer = self._running.fetch(target, headers={**HTML, **self._headers, **(headers or {})})
        if more := answer.headers["Set-Cookie"]:
            self._headers["Cookie"] += f"; {more.partition(';')[0]}"
        return answer.body.decode()

    def unlock(self, pin: str = PIN, **headers: str) -> bool:
        answer = self.ask(headers, cmd="pinauth", pin=pin)
        return answer.startswith("{") and bool(json.loads(answer)["auth"])

    def evaluate(self, code: str, **headers: str) -> str:
        return self.ask(headers, cmd=code, frm=self.frame)


def test_the_start_line_counts_the_threads_of_the_application(start: Any, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    running = start("app:flask", *OPTIONS, "--no-reload", "--threads=3")
    assert any(", 3 threads)" in line for line in running.lines)


def test_a_frame_of_every_kind_of_application_can_be_asked(debugged: Any) -> None:
    """The console works across requests: the frames are in the one process there is."""
    running = debugged("--no-reload")
    for path, (message, secret) in PLACES.items():
        console = Console(running, path)
        assert message in console.page
        assert "container/resources" not in console.page  # how we came to call it
        assert console.unlock()
        assert f">{secret}<" in console.evaluate("secret")
    assert running.stop() == 0


def test_the_request_of_flask_is_there(debugged: Any) -> None:
    running = debugged("--no-reload")
    console = Console(running, "/flask/fail")
    assert console.unlock()
    assert "/flask" in console.evaluate("request.script_root")
    assert "debugger.js" in console.page
    script = running.fetch("/flask/fail?__debugger__=yes&cmd=resource&f=debugger.js", headers=cookie(running))
    assert script.headers["Content-Type"].startswith("text/javascript")


def test_who_may_not_use_the_console(debugged: Any) -> None:
    running = debugged("--no-reload")
    console = Console(running, "/plain")
    assert not console.unlock("000-000-000")
    assert "secret" not in console.evaluate("dir()").partition("wsgi failed")[0]
    assert "44" not in console.evaluate("secret")
    for stranger in (
        {"Host": "evil.example"},
        {"X-Forwarded-For": "1.2.3.4"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        assert not console.unlock(**stranger)
    assert console.unlock()
    for stranger in ({"Host": "evil.example"}, {"Forwarded": "for=1.2.3.4"}, {"Sec-Fetch-Site": "same-site"}):
        assert ">44<" not in console.evaluate("secret", **stranger)


STRANGERS: list[dict[str, str]] = [
    {"Host": "evil.example"},  # whose DNS has been changed to this machine
    {"Host": "127.0.0.1.evil.example"},
    {"X-Forwarded-For": "127.0.0.1"},
    {"X-Forwarded-Proto": "https"},
    {"X-Forwarded-Server": "front"},
    {"CF-Connecting-IP": "1.2.3.4"},
    {"Fly-Client-IP": "1.2.3.4"},
    {"True-Client-IP": "1.2.3.4"},
    {"Via": "1.1 front"},
    {"Cookie": ""},
    {"Cookie": "container-debug-80=wrong"},
]


@pytest.mark.parametrize("accept", [HTML["Accept"], "*/*", "application/json"])
def test_others_see_what_they_would_see_without_it(debugged: Any, start: Any, accept: str) -> None:
    """The 500 page of the site: not a line of the source, whatever they ask for, and nothing that tells of a
    debugger."""
    running = debugged("--no-reload")
    usual = start("app:site", *OPTIONS[1:]).fetch("/plain", headers={"Accept": accept})
    fields = {"Accept": accept, **cookie(running)}
    for stranger in STRANGERS:
        for path in PLACES:
            answer = running.fetch(path, headers=fields | stranger)
            assert (answer.status, _without_id(answer.body)) == (500, _without_id(usual.body))
            assert answer.headers["Content-Type"] == usual.headers["Content-Type"]
        assert b"raise ValueError" not in running.fetch("/litestar/fail", headers=fields | stranger).body


def _without_id(page: bytes) -> bytes:
    return re.sub(rb'Request \w+|"request_id":"\w+"', b"", page)


def test_strangers_are_not_let_in(debugged: Any) -> None:
    running = debugged("--no-reload")
    for stranger in STRANGERS[:-2]:
        assert "Set-Cookie" not in running.fetch(OPEN, headers=stranger).headers
    assert "Set-Cookie" not in running.fetch("/?__debugger__=another").headers


def test_the_terminal_says_what_to_open(start: Any, debugged: Any) -> None:
    """Only those who can read it know it: it is another one with every start."""
    (debugged("--no-reload")).stop()
    said = []
    for _ in range(2):
        running = start("app:site", *OPTIONS, "--no-reload")
        running.fetch("/plain", headers={"Host": "evil.example"})
        running.fetch("/plain")
        line = running.wait_for("__debugger__=")
        assert "evil.example" not in "".join(running.lines)
        target = line.partition(running.url.rstrip("/"))[2].split(" ")[0]
        assert running.fetch(target).status == 303
        said.append(target)
    assert said[0] != said[1]


@pytest.mark.parametrize("token", ["", "short", "with spaces in between it"])
def test_a_token_that_is_easily_guessed_is_refused(token: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, *OPTIONS], cwd=tmp_path, env=environment(CONTAINER_DEBUG_TOKEN=token), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "expected 16 letters, digits, - and _ or more in CONTAINER_DEBUG_TOKEN" in done.stderr


@pytest.mark.skipif(program("nginx") is None, reason="needs nginx")
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_who_comes_through_a_proxy_that_says_nothing_of_itself(
    debugged: Any, tmp_path: Path, version: str
) -> None:
    """nginx as it is by default: Host is what it connects to, no field tells of the client. Older ones speak
    HTTP/1.0; with the later default only the token keeps others out."""
    running = debugged("--no-reload")
    more = 'proxy_http_version 1.1; proxy_set_header Connection "";' if version == "1.1" else ""
    with front_server("nginx", tmp_path / "nginx", lambda port: f"""
        server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {running.url}; {more} }} }}
    """) as port:  # fmt: skip
        for path in PLACES:
            for accept in ("*/*", HTML["Accept"]):
                connection = HTTPConnection("127.0.0.1", port, timeout=20)
                connection.request("GET", path, headers={"Accept": accept, "Host": "www.example.com"})
                answer = connection.getresponse()
                page = answer.read()
                connection.close()
                assert answer.status == 500
                assert b"failed" not in page
                assert b"raise" not in page


def test_a_program_gets_the_traceback_as_text(debugged: Any) -> None:
    running = debugged("--no-reload")
    answer = running.fetch("/flask/fail", headers={"Accept": "*/*", **cookie(running)})
    assert answer.status == 500
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.body.decode().rstrip().endswith("ValueError: flask failed")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ("--bind", "8080"),
            "expected only addresses of the loopback with --debug, got port 8080 of every interface",
        ),
        (("--host", "192.0.2.1"), "got port 8080 of 192.0.2.1"),
        (("--bind", "unix:app.sock"), "got app.sock"),
        (("--bind", "haproxy:127.0.0.1:0"), "got ProxiedEndpoint"),
        (("--workers", "2"), "expected one worker with --debug, got 2"),
        (("-y", "public.tac"), "got port 0 of every interface"),
        (("-y", "public.tac", "--no-reload"), "got port 0 of every interface"),
    ],
)
def test_what_debugging_does_not_go_with(finish: Any, tmp_path: Path, options: Any, said: str) -> None:
    (tmp_path / "public.tac").write_text(
        "from container import *\napplication = Application('x')\napplication.serve(Site(Resource()), 'tcp:0')\n"
    )
    done = finish("--debug", *options)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_debugging_reloads(debugged: Any, tmp_path: Path) -> None:
    """And who was let in stays in."""
    running = debugged()
    known = cookie(running)
    (tmp_path / "app.py").write_text(APP.replace("wsgi failed", "another version failed"))
    until(
        lambda: b"another version failed" in running.fetch("/plain", headers=known).body, "the other version"
    )
    assert running.stop() == 0


def test_a_developer_debugs_in_a_browser(debugged: Any, tmp_path: Path) -> None:
    """Open what the terminal says, enter the PIN, open a console, evaluate: with the debugger's own page and script."""
    running = debugged("--no-reload")
    with browser(tmp_path) as chromium:
        assert "debugger" not in chromium.open(f"{running.url.rstrip('/')}/flask/fail").text
        chromium.open(running.wait_for("__debugger__=").split("opened ")[1].split(" ")[0])
        page = chromium.open(f"{running.url.rstrip('/')}/flask/fail")
        page.wait("document.querySelectorAll('div.frame pre img').length > 0")
        page.evaluate("[...document.querySelectorAll('div.frame pre img')].at(-1).click(); true")
        running.wait_for(f"the debugger's PIN is {PIN}")
        page.type(".pin-prompt input[name=pin]", PIN)
        page.submit(".pin-prompt form")
        page.wait("EVALEX_TRUSTED")
        page.type("pre.console form input", "secret * 1000")
        page.submit("pre.console form")
        page.wait("document.querySelector('pre.console').innerText.includes('42000')")
