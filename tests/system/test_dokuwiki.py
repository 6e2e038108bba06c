"""DokuWiki from Debian's package, by php-cgi and by php-fpm: a visitor reads, signs in, writes a page."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from tests.system.conftest import PATIENCE_S
from tests.system.fpm import php_fpm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.system.conftest import Running

PACKAGE = Path("/usr/share/dokuwiki")
SETTINGS = Path("/etc/dokuwiki")
# The hash of "secret" by `password_hash`.
ADA = "ada:{hash}:Ada Lovelace:ada@example.org:admin,user\n"
HASH = "$2y$04$uB7/QitmNdurU1GN3ysDdOPsKAtTDVHju/./WJ1Smp3S4XLpJu4Nq"
LOCAL = """<?php
$conf['title'] = 'A wiki of the tests';
$conf['useacl'] = 1;
$conf['superuser'] = '@admin';
$conf['disableactions'] = 'register';
$conf['savedir'] = './data';
"""
SITE = """
from container import Application, FastCGIProcessor, Files, Site
php = FastCGIProcessor({address!r}, connections=2)
application = Application("wiki")
application.serve(Site(Files({wiki!r}, index=["index.php", "doku.php"], processors={{".php": php}})), "tcp:0")
"""


@pytest.fixture
def wiki(tmp_path: Path) -> Path:
    """A copy of the installation that keeps its settings and pages to itself."""
    if not PACKAGE.is_dir():
        pytest.skip("dokuwiki is not installed")
    here = tmp_path / "wiki"
    shutil.copytree(PACKAGE, here, ignore=shutil.ignore_patterns(".htaccess*", "testing"))
    (here / "inc" / "preload.php").unlink(missing_ok=True)  # it names the directories of the installation
    shutil.copytree(
        SETTINGS, here / "conf", ignore=shutil.ignore_patterns(".htaccess", "*.auth.php", "local.php")
    )
    (here / "conf" / "local.php").write_text(LOCAL)
    (here / "conf" / "acl.auth.php").write_text("# <?php exit()?>\n*\t@ALL\t1\n*\t@user\t8\n")
    (here / "conf" / "users.auth.php").write_text("# <?php exit()?>\n" + ADA.format(hash=HASH))
    for name in (
        "attic",
        "cache",
        "index",
        "locks",
        "log",
        "media",
        "media_attic",
        "media_meta",
        "meta",
        "pages",
        "tmp",
    ):
        (here / "data" / name).mkdir(parents=True)
    (here / "data" / "pages" / "start.txt").write_text("====== Welcome ======\nThe **first** page.\n")
    return here


@pytest.fixture(params=["php-cgi", "php-fpm"])
def served(
    request: pytest.FixtureRequest, start: Callable[..., Running], wiki: Path, tmp_path: Path
) -> Iterator[Running]:
    if request.param == "php-cgi":
        if shutil.which("php-cgi") is None:
            pytest.skip("php-cgi is not installed")
        # The test's directories are its user's own: nobody else could write to the wiki.
        user = ["--cgi-user", "root"] if os.getuid() == 0 else []
        yield start("--path", wiki, "--scripts", "--index", "index.php", "--port", 0, *user)
        return
    (tmp_path / "fpm").mkdir()
    with php_fpm(tmp_path / "fpm", "pm.max_children = 2", own_ini=True) as address:
        site = tmp_path / "site.tac"
        site.write_text(SITE.format(address=address, wiki=str(wiki)))
        yield start("-y", site)


def form(page: str, name: str) -> dict[str, str]:
    """The fields that the form with the id `name` would send unchanged."""
    found = re.search(rf'<form[^>]*id="{name}".*?</form>', page, re.DOTALL)
    assert found is not None, f"no form {name} in {page}"
    inputs = [dict(re.findall(r'(\w+)="([^"]*)"', each)) for each in re.findall(r"<input[^>]*>", found[0])]
    return {each["name"]: each.get("value", "") for each in inputs if "name" in each}


def test_a_page_is_written(served: Running, wiki: Path) -> None:
    """CG-17, CG-03: pages, styles, the cookies of a login, forms that redirect."""
    with requests.Session() as visitor:

        def get(path: str, **arguments: str) -> requests.Response:
            answer = visitor.get(served.url + path, params=arguments, timeout=PATIENCE_S)
            assert answer.status_code == 200, answer.text
            return answer

        front = get("")
        assert "<strong>first</strong> page" in front.text
        assert "A wiki of the tests" in front.text
        for sheet in re.findall(r'<link rel="stylesheet" href="([^"]*)"', front.text):
            assert get(sheet.lstrip("/").replace("&amp;", "&")).headers["Content-Type"].startswith("text/css")
        assert get("lib/images/license/badge/cc-by.png").content.startswith(b"\x89PNG")

        login = form(get("doku.php", id="start", do="login").text, "dw__login")
        refused = visitor.post(
            served.url + "doku.php", {**login, "u": "ada", "p": "wrong"}, timeout=PATIENCE_S
        )
        assert "Ada Lovelace" not in refused.text
        entered = visitor.post(
            served.url + "doku.php", {**login, "u": "ada", "p": "secret"}, timeout=PATIENCE_S
        )
        assert (entered.status_code, "Ada Lovelace" in entered.text) == (200, True)
        assert entered.history[0].status_code == 302

        editing = form(get("doku.php", id="tests:new", do="edit").text, "dw__editform")
        editing = {name: value for name, value in editing.items() if not name.startswith("do[")}
        text = "====== New ======\nWritten //here//: \u00e4\u20ac.\n" + "x" * 100_000
        saved = visitor.post(
            served.url + "doku.php", {**editing, "wikitext": text, "do[save]": "1"}, timeout=PATIENCE_S
        )
        assert saved.history[0].status_code == 302
        assert "Written <em>here</em>: \u00e4\u20ac." in saved.text
    stranger = requests.get(served.url + "doku.php", {"id": "tests:new"}, timeout=PATIENCE_S)
    assert "Written <em>here</em>" in stranger.text
    assert "Ada Lovelace" not in stranger.text
    assert (wiki / "data" / "pages" / "tests" / "new.txt").read_text().startswith("====== New ======")
