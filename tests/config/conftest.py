"""A directory of modules and files to configure things from; what was imported from it is forgotten afterwards."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from container.config.tac import MODULE_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = {
    "hello.py": """
from http.server import BaseHTTPRequestHandler

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr(sorted((k, v) for k, v in environ.items() if k.startswith("X_"))).encode()]

async def asgi(scope, receive, send): ...

def create_app():
    return application

class Old(BaseHTTPRequestHandler): ...
""",
    "page.py": """
from container import Resource, Response

class Page(Resource):
    def get(self, request):
        return Response("page")

page = Page()
""",
    "public/index.html": "<p>index",
    "public/a.txt": "text",
    "other/index.html": "<p>other",
    "cgi-bin/hello.cgi": "#!/bin/sh\necho",
    "script.rpy": "resource = None",
    "answer.asis": "Status: 299\n\n",
    "users.txt": "mary:{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=\n",
}


@pytest.fixture(autouse=True)
def _environment_as_before() -> Iterator[None]:
    """What a configuration puts into the environment of the process is none of the next test's business."""
    before = dict(os.environ)
    yield
    if os.environ != before:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (tmp_path / "cgi-bin/hello.cgi").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name in ("PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "CONTAINER_NAME"):
        monkeypatch.delenv(name, raising=False)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name == MODULE_NAME or str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
