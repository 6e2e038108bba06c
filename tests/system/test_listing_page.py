"""The page that lists a directory, in a browser: what it says, its order, where its links lead (ST-14)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.system.browser import Page, browser

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.system.conftest import Running

    Start = Callable[..., Running]

FILES = {
    "large.bin": (30_000, 1_000_000_000),
    "a & <b>.txt": (10, 1_200_000_000),
    "ünï.txt": (500, 1_100_000_000),
}


def names(page: Page) -> list[str]:
    found: list[str] = page.evaluate("[...document.querySelectorAll('tbody a')].map(a => a.textContent)")
    return found


def follow(page: Page, text: str, until: str) -> None:
    """Click the link of that text and wait for what it leads to."""
    page.evaluate(f"[...document.querySelectorAll('a')].find(a => a.textContent === {text!r}).click()")
    page.wait(f"document.readyState === 'complete' && ({until})")


def test_the_listing_of_a_directory(start: Start, tmp_path: Path) -> None:
    public = tmp_path / "public"
    (public / "sub dir").mkdir(parents=True)
    (public / "sub dir" / "inner.txt").write_text("inside")
    (public / ".hidden").write_text("not shown")
    for name, (size, modified) in FILES.items():
        (public / name).write_bytes(b"x" * size)
        os.utime(public / name, (modified, modified))
    running = start("--path", public, "--listing", "--port=0")
    with browser(tmp_path) as chromium:
        page = chromium.open(running.url)
        assert page.evaluate("document.title") == "/"
        assert page.evaluate("document.compatMode") == "CSS1Compat"
        assert page.evaluate("document.documentElement.lang") == "en"
        assert names(page) == ["sub dir/", "a & <b>.txt", "large.bin", "ünï.txt"]
        assert "30 KB" in page.text
        assert "2001-09-09 01:46" in page.text
        # It fits on a small screen.
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

        follow(page, "Size", "location.search.includes('sort=size')")
        assert names(page) == ["sub dir/", "a & <b>.txt", "ünï.txt", "large.bin"]
        assert page.evaluate("document.querySelector('[aria-sort]').innerText.trim()") == "Size ▴"
        follow(page, "Size", "location.search.includes('order=desc')")
        assert names(page) == ["sub dir/", "large.bin", "ünï.txt", "a & <b>.txt"]
        follow(page, "Modified", "location.search.includes('sort=modified')")
        assert names(page) == ["sub dir/", "large.bin", "ünï.txt", "a & <b>.txt"]

        follow(page, "sub dir/", "document.title === '/sub dir/'")
        assert names(page) == ["../", "inner.txt"]
        follow(page, "inner.txt", "document.body.innerText === 'inside'")
        page.evaluate("history.back()")
        page.wait("document.title === '/sub dir/'")
        follow(page, "../", "document.title === '/'")
        follow(page, "a & <b>.txt", "document.body.innerText === 'xxxxxxxxxx'")
