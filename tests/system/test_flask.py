"""A real Flask application, apps/flasksite.py, at the root and below a prefix; it does not know which."""

from __future__ import annotations

import hashlib
import html
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.system.conftest import Running

    Start = Callable[..., Running]

APPS = Path(__file__).resolve().parents[2] / "apps"
PATIENCE_S = 30.0
MOUNTED = ["--path", "public", "--mount", "/deep/flask=wsgi:flasksite.app"]
# How the application is named on the command line, and where it is found then.
PLACES: Final = {"at the root": (["--wsgi=flasksite.app"], ""), "mounted": (MOUNTED, "/deep/flask")}


class Site:
    """The running application, asked as a browser does: with cookies, links made absolute."""

    def __init__(self, running: Running, prefix: str) -> None:
        self.running = running
        self.prefix = prefix
        self.front = urljoin(running.url, f"{prefix}/")
        self.client = requests.Session()
        self.client.trust_env = False

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.client.get(urljoin(self.front, path), timeout=PATIENCE_S, **more)

    def post(self, path: str, **more: Any) -> requests.Response:
        return self.client.post(urljoin(self.front, path), timeout=PATIENCE_S, **more)


@pytest.fixture(params=PLACES)
def site(request: pytest.FixtureRequest, start: Start) -> Iterator[Site]:
    arguments, prefix = PLACES[request.param]
    site = Site(start(*arguments, "--port", "0", cwd=APPS), prefix)
    with site.client:
        yield site


def test_every_link_of_the_front_page_leads_to_a_page_under_the_prefix(site: Site) -> None:
    front = site.get("")
    assert front.headers["Content-Type"] == "text/html; charset=utf-8"
    assert f"Mounted at <code>{site.prefix or '/'}</code>" in front.text
    links = re.findall(r'href="([^"]+)"', front.text)
    assert len(links) == 7
    for link in links:
        assert link.startswith(f"{site.prefix}/")
        assert site.get(link).status_code == (500 if link.endswith("/error") else 200)


def test_facts_of_a_request_are_those_of_its_mount(site: Site) -> None:
    facts = site.get("json?a=1&a=2&b=%C3%A4").json()
    assert facts == {
        "method": "GET",
        "script_root": site.prefix,
        "path": "/json",
        "args": {"a": ["1", "2"], "b": ["ä"]},
        "index": site.front,
    }


def test_a_form_is_echoed_and_escaped(site: Site) -> None:
    for text in ("plain", "a&b=c+d", "<script>alert(1)</script>", "Grüße, 世界"):
        page = site.post("echo", data={"text": text})
        said = re.search(r'<output for="text">(.*)</output>', page.text)
        assert said is not None
        assert html.unescape(said[1]) == text
        assert "<script>" not in page.text


def test_an_upload_arrives_whole_announced_or_chunked(site: Site) -> None:
    content = os.urandom(3 << 20)
    sent = {"filename": "größe.bin", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    answer = site.post("upload", files={"file": ("größe.bin", content)})
    assert answer.json() == sent
    body = requests.Request("POST", site.front, files={"file": ("größe.bin", content)}).prepare()
    assert isinstance(body.body, bytes)
    pieces = (body.body[at : at + 10_000] for at in range(0, len(body.body), 10_000))
    chunked = site.post("upload", data=pieces, headers={"Content-Type": body.headers["Content-Type"]})
    assert chunked.request.headers["Transfer-Encoding"] == "chunked"
    assert chunked.json() == sent


def test_an_upload_without_its_field_is_refused(site: Site) -> None:
    assert site.post("upload", files={"other": b"x"}).status_code == 400


def test_a_stream_is_framed_by_the_server(site: Site) -> None:
    answer = site.get("stream/5000", stream=True)
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert answer.text == "".join(f"line {number} of 5000\n" for number in range(1, 5001))
    head = site.client.head(urljoin(site.front, "stream/5000"), timeout=PATIENCE_S)
    assert (head.status_code, head.content) == (200, b"")
    assert site.get("stream/100001").status_code == 400


def test_the_session_counts_for_each_client(site: Site) -> None:
    def visits() -> str:
        found = re.search(r'<strong id="visits">(\d+)</strong>', site.get("counter").text)
        assert found is not None
        return found[1]

    assert [visits(), visits(), visits()] == ["1", "2", "3"]
    assert [cookie.name for cookie in site.client.cookies] == ["flasksite"]
    site.client.cookies.clear()
    assert visits() == "1"


def test_an_error_is_answered_500_and_logged_with_its_traceback(site: Site) -> None:
    answer = site.get("error")
    assert answer.status_code == 500
    assert "always fails" not in answer.text
    site.running.wait_for("Traceback")
    site.running.wait_for("RuntimeError: this page always fails")
    assert site.get("").status_code == 200


def test_other_methods_are_refused_with_the_list_of_those_allowed(site: Site) -> None:
    answer = site.post("counter")
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_the_mount_without_its_slash_is_redirected_by_308(start: Start) -> None:
    running = start(*MOUNTED, "--port", "0", cwd=APPS)
    answer = running.fetch("/deep/flask?page=2")
    assert answer.status == 308
    assert urljoin(running.url, answer.headers["Location"]) == urljoin(running.url, "/deep/flask/?page=2")
    assert running.fetch("/deep/flasks").status == 404
    assert b"One tree" in running.fetch("/").body
