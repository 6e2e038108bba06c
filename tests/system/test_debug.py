"""`--debug` (CL-07, WS-25): errors of every kind of application in werkzeug's debugger, and who may use its console."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from tests.system.browser import browser
from tests.system.conftest import Running
from tests.system.test_workers import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

APP = """\
from container import ASGIResource, Resource, Site, WSGIResource
from fastapi import FastAPI
from flask import Flask, request

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
PLACES = {
    "/flask/fail": ("flask failed", "42"),
    "/fastapi/fail": ("fastapi failed", "43"),
    "/plain": ("wsgi failed", "44"),
    "/native": ("native failed", "45"),
    "/inner/native": ("native failed", "45"),
}


@pytest.fixture
def debugged(start: Any, tmp_path: Path) -> Callable[..., Running]:
    (tmp_path / "app.py").write_text(APP)

    def begin(*options: str) -> Running:
        running: Running = start("app:site", *OPTIONS, *options, WERKZEUG_DEBUG_PIN=PIN)
        return running

    return begin


class Console:
    """What the script of the debugger's page does."""

    def __init__(self, running: Running, path: str) -> None:
        self._running = running
        self._path = path
        self._headers: dict[str, str] = {}
        self.page = running.fetch(path, headers=HTML).body.decode()
        found = re.search(r'SECRET = "(\w+)"', self.page)
        self.secret = found[1] if found else ""
        frames: list[str] = re.findall(r'id="frame-(\d+)"', self.page)
        self.frame = frames[-1] if frames else ""

    def ask(self, headers: dict[str, str] | None = None, **query: str) -> str:
        target = f"{self._path}?{urlencode({'__debugger__': 'yes', 's': self.secret, **query})}"
        answer = self._running.fetch(target, headers={**HTML, **self._headers, **(headers or {})})
        if cookie := answer.headers["Set-Cookie"]:
            self._headers["Cookie"] = cookie.partition(";")[0]
        return answer.body.decode()

    def unlock(self, pin: str = PIN, **headers: str) -> bool:
        answer = self.ask(headers, cmd="pinauth", pin=pin)
        return answer.startswith("{") and bool(json.loads(answer)["auth"])

    def evaluate(self, code: str, **headers: str) -> str:
        return self.ask(headers, cmd=code, frm=self.frame)


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
    script = running.fetch("/flask/fail?__debugger__=yes&cmd=resource&f=debugger.js")
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
    strange = running.fetch("/plain", headers={**HTML, "Host": "evil.example"}).body
    assert b"SECRET" not in strange
    assert b"wsgi failed" in strange


def test_a_program_gets_the_traceback_as_text(debugged: Any) -> None:
    answer = debugged("--no-reload").fetch("/flask/fail", headers={"Accept": "*/*"})
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
    running = debugged()
    (tmp_path / "app.py").write_text(APP.replace("wsgi failed", "another version failed"))
    until(lambda: b"another version failed" in running.fetch("/plain").body, "the other version")
    assert running.stop() == 0


def test_a_developer_debugs_in_a_browser(debugged: Any, tmp_path: Path) -> None:
    """Enter the PIN, open a console, evaluate: with the debugger's own page and script."""
    running = debugged("--no-reload")
    with browser(tmp_path) as chromium:
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
