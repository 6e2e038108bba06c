"""Gitweb, a Perl program of CGI from Debian's package, shows a repository."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from tests.scripts import script_directory
from tests.system.conftest import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.conftest import Running

PROGRAM = Path("/usr/share/gitweb/gitweb.cgi")


def git(repository: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-C", repository, "-c", "user.name=Ada", "-c", "user.email=ada@example.org", *arguments],
        check=True, capture_output=True, timeout=PATIENCE_S,
    )  # fmt: skip


@pytest.mark.skipif(not PROGRAM.exists(), reason="gitweb is not installed")
def test_a_repository_is_shown(start: Callable[..., Running]) -> None:
    """CG-03, CG-04, CG-17: summary, history, a patch and a file by query and by PATH_INFO; an error's status."""
    with script_directory() as scripts:
        work = scripts.open_directory("work")
        git(work, "init", "--quiet", "--initial-branch", "main")
        (work / "hello.txt").write_text("Hello, repository\n")
        git(work, "add", ".")
        git(work, "commit", "--quiet", "-m", "The first commit")
        settings = scripts.write(
            "gitweb.conf",
            f"$projectroot = '{scripts.path}'; $feature{{'pathinfo'}}{{'default'}} = [1]; 1;",
            0o644,
        )
        # The repository is that of the tests' user.
        trust = {"GIT_CONFIG_COUNT": 1, "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
        variables = {"GITWEB_CONFIG": settings, **trust}
        options = [word for name, value in variables.items() for word in ("--cgi-env", f"{name}={value}")]
        running = start("--mount", f"/git=cgi:{PROGRAM}", *options, "--port", 0)

        def get(path: str, status: int = 200) -> requests.Response:
            answer = requests.get(f"{running.url}git{path}", timeout=PATIENCE_S)
            assert answer.status_code == status, answer.text
            return answer

        assert "work/.git" in get("").text
        summary = get("?p=work/.git;a=summary")
        assert "The first commit" in summary.text
        assert summary.headers["Content-Type"].startswith(("text/html", "application/xhtml+xml"))
        assert get("/work/.git/blob_plain/main:/hello.txt").text == "Hello, repository\n"
        assert "+Hello, repository" in get("?p=work/.git;a=commitdiff_plain;h=main").text
        assert get("?p=work/.git;a=snapshot;h=main;sf=tgz").content.startswith(b"\x1f\x8b")
        assert get("?p=none.git", 404).text.count("<html") == 1
