"""The shop of apps/ in a browser: a WSGI application, an ASGI application and a script share one basket.

SE-01, SE-05, SE-09.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from tests.system.browser import browser

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.conftest import Running

    Start = Callable[..., Running]

APPS = Path(__file__).resolve().parents[2] / "apps"
PATIENCE_S = 30.0


def basket(session: requests.Session, url: str) -> Any:
    return session.get(f"{url}api/basket/", timeout=PATIENCE_S).json()


def test_a_visit_in_a_browser(start: Start, tmp_path: Path) -> None:
    """Filled by Flask, shown and changed by Starlette, ordered at a script; another tab is the same visitor."""
    running = start("-y", "shop/shop.tac", "--port=0", cwd=APPS)
    with browser(tmp_path) as chromium:
        page = chromium.open(running.url)
        assert page.evaluate("document.title") == "Tea shop"
        for good, count in (("tea", 1), ("tea", 2), ("cup", 3)):
            page.evaluate(f"document.querySelector('#add-{good} button').click()")
            page.wait(f"document.getElementById('count')?.textContent === '{count}'")
        page.wait("document.querySelectorAll('#basket li').length === 2")
        assert "Green tea" in page.evaluate("document.getElementById('basket').innerText")
        page.evaluate("document.querySelector('#basket li:last-child button').click()")
        page.wait("document.getElementById('count')?.textContent === '2'")
        assert page.evaluate("document.cookie") == "", "the cookie is not for scripts of the page"

        other = chromium.open(running.url + "checkout")
        assert other.evaluate("document.getElementById('total').textContent") == "9.00 €"
        other.submit("#order")
        other.wait("document.title === 'Thank you'")
        other.evaluate("document.querySelector('a').click()")
        other.wait("document.getElementById('count')?.textContent === '0'")
        page.evaluate("location.reload()")
        page.wait("document.getElementById('count')?.textContent === '0'")
    assert running.stop() == 0
    assert not any("Traceback" in line for line in running.lines)


def test_visitors_do_not_see_each_other(start: Start) -> None:
    url = start("-y", "shop/shop.tac", "--port=0", cwd=APPS).url
    with requests.Session() as ann, requests.Session() as bob:
        for visitor, good in ((ann, "tea"), (bob, "pot"), (bob, "pot")):
            answer = visitor.post(f"{url}add", {"good": good}, timeout=PATIENCE_S)
            assert (answer.status_code, answer.url) == (200, url)
        assert basket(ann, url)["lines"] == [{"name": "tea", "title": "Green tea", "count": 1}]
        assert basket(bob, url)["cents"] == 7800
        assert "Green tea" not in bob.get(f"{url}checkout", timeout=PATIENCE_S).text
        assert ann.delete(f"{url}api/basket/nope", timeout=PATIENCE_S).status_code == 404
        assert ann.post(f"{url}add", {"good": "nope"}, timeout=PATIENCE_S).status_code == 400
        with requests.Session() as stranger:
            assert json.dumps(basket(stranger, url)) == '{"count": 0, "cents": 0, "lines": []}'
            assert not stranger.cookies
