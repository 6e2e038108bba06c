"""`--scripts`: what looks like a script below --path is run; without it, nothing is."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.system.conftest import Running

    Start = Callable[..., Running]

FILES = {
    "page.rpy": "from container import Data\nresource = Data('from a resource script', 'text/plain')\n",
    "bad.rpy": "secret = 1\n1/0\n",
    "hello.epy": "request.write('from a page script')\n",
    "gone.asis": "Status: 410 Gone\nContent-Type: text/plain\n\nfrom a file\n",
    "sub/run.cgi": f"#!{sys.executable}\nprint('Content-Type: text/plain\\n\\nfrom a program')\n",
    "page.php": "<?php echo 'from ', 'php';",
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = tmp_path / "site"
    (site / "sub").mkdir(parents=True)
    for name, text in FILES.items():
        (site / name).write_text(text)
    (site / "sub" / "run.cgi").chmod(0o755)
    return site


@pytest.mark.skipif(shutil.which("php-cgi") is None, reason="php-cgi is not installed")
def test_scripts_are_run(start: Start, site: Path) -> None:
    """DESIGN 5: .cgi .php .rpy .epy .asis."""
    # The test's directories are its user's own: nobody else could run what is in them.
    user = ["--cgi-user", "root"] if os.getuid() == 0 else []
    running = start("--path", site, "--scripts", "--port", 0, *user)
    assert running.fetch("/page.rpy").body == b"from a resource script"
    assert running.fetch("/hello.epy").body == b"from a page script"
    assert running.fetch("/sub/run.cgi").body == b"from a program\n"
    assert running.fetch("/page.php").body == b"from php"
    gone = running.fetch("/gone.asis")
    assert (gone.status, gone.body) == (410, b"from a file\n")
    bad = running.fetch("/bad.rpy")
    assert bad.status == 500
    assert b"secret" not in bad.body
    running.wait_for("ZeroDivisionError")
    (site / "page.rpy").write_text("from container import Data\nresource = Data('edited', 'text/plain')\n")
    assert running.fetch("/page.rpy").body == b"edited"
    assert running.stop() == 0


def test_without_it_a_script_is_a_file(start: Start, site: Path) -> None:
    running = start("--path", site, "--port", 0)
    assert running.fetch("/page.rpy").body == FILES["page.rpy"].encode()
    assert running.stop() == 0


def test_a_script_as_root(start: Start, site: Path) -> None:
    """SC-07."""
    running = start("--resource-script", site / "page.rpy", "--port", 0)
    assert running.fetch("/").body == b"from a resource script"
    (site / "page.rpy").write_text("from container import Data\nresource = Data('edited', 'text/plain')\n")
    assert running.fetch("/").body == b"edited"
    assert running.stop() == 0
