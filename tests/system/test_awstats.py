"""AWStats, a Perl CGI program from Debian's package, reads our access log and shows what it says."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from tests.scripts import script_directory, wait_until
from tests.system.conftest import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.conftest import Running

PROGRAM = Path("/usr/lib/cgi-bin/awstats.pl")
SETTINGS = """
LogFile="{log}"
LogFormat=1
SiteDomain="site.example"
HostAliases="localhost 127.0.0.1"
DirData="{state}"
DNSLookup=0
AllowToUpdateStatsFromBrowser=1
SkipHosts=""
"""
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


@pytest.mark.skipif(not PROGRAM.exists(), reason="awstats is not installed")
def test_a_log_is_counted_and_shown(start: Callable[..., Running]) -> None:
    """CG-02, CG-11, CG-17: by its form's queries; what it writes it writes with the rights of scripts."""
    with script_directory() as here:
        for name in ("index.html", "news.html"):
            here.write(f"site/{name}", "<p>a page", 0o644)
        state, log = here.open_directory("state"), here.path / "log"
        log.touch()
        here.write("awstats.site.conf", SETTINGS.format(log=log, state=state), 0o644)
        running = start(
            "--path", here.path / "site", "--mount", f"/stats=cgi:{PROGRAM}", "--port", 0,
            "--access-log-file", log, "--access-log-format", "combined",
            "--cgi-env", f"AWSTATS_ENABLE_CONFIG_DIR={here.path}",
        )  # fmt: skip

        def get(path: str, **arguments: str) -> str:
            headers = {"User-Agent": BROWSER, "Referer": "https://elsewhere.example/links"}
            answer = requests.get(running.url + path, arguments, headers=headers, timeout=PATIENCE_S)
            assert answer.status_code == 200, answer.text
            return answer.text

        for _ in range(3):
            get("news.html")
        get("")
        wait_until(lambda: log.read_text().count("\n") == 4, "four lines in the log")

        def show(**arguments: str) -> str:
            page = get("stats", config="site", configdir=str(here.path), framename="mainright", **arguments)
            return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())

        show(update="1")
        pages = show(output="urldetail")
        assert re.search(r"/news\.html\s+3\b", pages)
        assert re.search(r" / 1\b", pages)
        assert re.search(r"Firefox\s+(?:\S+\s+){0,2}4\b", show(output="browserdetail"))
        assert "https://elsewhere.example/links" in show(output="refererpages")
        assert list(state.iterdir())
