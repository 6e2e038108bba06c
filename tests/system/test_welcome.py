"""A bare start: what it says works (RT-16, CL-11)."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from tests.system.browser import browser

if TYPE_CHECKING:
    from pathlib import Path


def test_every_command_it_shows_serves_what_it_found(start: Any, tmp_path: Path) -> None:
    project = tmp_path / "project"
    for name, text in {
        "app.py": "from flask import Flask\napp = Flask(__name__)\n@app.get('/')\ndef index(): return 'ok'\n",
        "asgi.py": "from starlette.applications import Starlette\n"
        "from starlette.responses import Response\nfrom starlette.routing import Route\n"
        "app = Starlette(routes=[Route('/', lambda request: Response('ok'))])\n",
        "factory.py": "import app\ndef create_app(): return app.app\n",
        "site.tac": "from container import Data\napplication = Data('ok', 'text/plain')\n",
        "public/index.html": "ok",
        "cgi-bin/x.py": "",
        "index.html": "ok",
    }.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    bare = start("--port", 0, cwd=project)
    said = bare.fetch().body.decode()
    commands = [shlex.split(line)[1:] for line in said.splitlines() if line.startswith("  container ")]
    assert len(commands) == 7
    for command in commands:
        running = start(*command, "--port", 0, cwd=project)
        assert running.fetch().body == b"ok", command


def test_a_browser_shows_it_as_it_is_meant(start: Any, tmp_path: Path) -> None:
    """With its style, which its own policy allows, and no word of complaint."""
    bare = start("--port", 0)
    with browser(tmp_path) as chromium:
        page = chromium.open(bare.url)
        assert "container is running" in page.text
        assert page.evaluate("getComputedStyle(document.querySelector('header')).display") == "flex"
        assert page.evaluate("document.documentElement.lang") == "en"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
