"""Guards over real sockets, asked by the clients people use: curl, requests, CGI behind them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from requests.auth import HTTPDigestAuth

from tests.scripts import script_directory
from tests.system.conftest import Running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="expected curl")
SITE = """
from container import Application, BasicAuth, DigestAuth, FormLogin, Resource, Sessions, Site, WSGIResource
from container.resources.cgi import CGIScript

def who(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{environ['REMOTE_USER']} {environ['AUTH_TYPE']}".encode("latin-1")]

users = {"mary": "se:cret", "jö": "пароль"}
root = Resource()
root.mount("basic", BasicAuth(WSGIResource(who), users=users))
root.mount("digest", DigestAuth(WSGIResource(who), users=users, md5=True))
root.mount("cgi", DigestAuth(CGIScript("who.cgi"), users=users))
root.mount("form", FormLogin(WSGIResource(who), users=users))
application = Application("auth")
application.serve(Site(root, sessions=Sessions()))
"""


@pytest.fixture
def url(tmp_path: Path, start: Callable[..., Running]) -> Iterator[str]:
    with script_directory() as scripts:
        script = scripts.sh("who.cgi", "echo; echo $REMOTE_USER $AUTH_TYPE ${HTTP_AUTHORIZATION:-hidden}")
        (tmp_path / "site.tac").write_text(SITE.replace("who.cgi", str(script)))
        yield start("-y", "site.tac", "--port", "0").url.rstrip("/")


@needs_curl
def test_curl_logs_in_by_digest(url: str) -> None:
    """AU-03, AU-04: SHA-256, several requests with one nonce, a POST, a CGI script that sees the user."""

    def curl(*arguments: str) -> str:
        command = ["curl", "-sS", "--max-time", "20", "--digest", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert curl("-u", "mary:se:cret", f"{url}/digest/a?x=1&y", f"{url}/digest/b") == "mary Digest" * 2
    assert curl("-u", "mary:se:cret", "-d", "x" * 10_000, f"{url}/digest") == "mary Digest"
    assert curl("-u", "mary:no", "-o", "/dev/null", "-w", "%{http_code}", f"{url}/digest") == "401"
    assert curl("-u", "mary:se:cret", f"{url}/cgi") == "mary Digest hidden\n"


def test_requests_logs_in(url: str) -> None:
    """AU-02, AU-03: a session that goes on with its nonce."""
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(f"{url}/basic", auth=("jö".encode(), "пароль".encode()))
        assert answer.text == "jö Basic"
        assert session.get(f"{url}/basic", auth=("mary", "x")).status_code == 401
        session.auth = HTTPDigestAuth("mary", "se:cret")
        answers = [session.get(f"{url}/digest/{number}?q=a b") for number in range(5)]
        assert [answer.text for answer in answers] == ["mary Digest"] * 5
        assert [len(answer.history) for answer in answers] == [1, 0, 0, 0, 0]


def test_a_browser_logs_in_by_the_form(url: str) -> None:
    """GD-02: sent to the form, back to what was wanted, out again."""
    with requests.Session() as session:
        session.trust_env = False
        page = session.get(f"{url}/form/deep/down?x=1")
        assert page.url == f"{url}/form/login?next=/deep/down%3Fx%3D1"
        hidden = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text))
        landed = session.post(page.url, data=hidden | {"username": "mary", "password": "se:cret"})
        assert (landed.url, landed.text) == (f"{url}/form/deep/down?x=1", "mary Form")
        page = session.get(f"{url}/form/logout")
        hidden = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text))
        assert session.post(page.url, data=hidden).url == f"{url}/form/login?next=/"
