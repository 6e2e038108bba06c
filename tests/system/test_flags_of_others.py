"""Features that have come with the flags of other servers, served by the real command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.system.conftest import Running

    Start = Callable[..., Running]

APP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['REMOTE_ADDR']} {environ['PATH_INFO']}".encode()]
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    for name in ("css/site.css", "css/start.html", "img/dot.svg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_directories_are_served_at_their_routes(start: Start, here: Path) -> None:
    """CL-01, CF-07"""
    running = start(
        "app:application", "--port=0", "--static-path-route=/style", "--static-path-mount=css",
        "--static-path-route=/deep/img", "--static-path-mount=img", "--static-path-expires=1h",
        "--static-path-dir-to-file=start.html", "--static=/plain=img", cwd=here,
    )  # fmt: skip
    style = running.fetch("/style/site.css")
    assert (style.status, style.body) == (200, b"css/site.css")
    assert (style.headers["Cache-Control"], style.headers["Content-Type"][:8]) == ("max-age=3600", "text/css")
    assert running.fetch("/style/").body == b"css/start.html"
    assert running.fetch("/deep/img/dot.svg").body == b"img/dot.svg"
    assert running.fetch("/deep/img/").status == 404  # no such file, and no listing
    plain = running.fetch("/plain/dot.svg")
    assert (plain.body, plain.headers["Cache-Control"]) == (b"img/dot.svg", None)
    assert running.fetch("/other").body == b"127.0.0.1 /other"
    assert running.stop() == 0


def test_one_directory_needs_no_route(start: Start, here: Path) -> None:
    """CL-01, CL-10"""
    running = start("app:application", "--port=0", cwd=here, CONTAINER_STATIC_PATH_MOUNT="css")
    answer = running.fetch("/static/site.css")
    assert (answer.body, answer.headers["Cache-Control"]) == (b"css/site.css", "max-age=86400")
    assert running.fetch("/other").body == b"127.0.0.1 /other"
    assert running.stop() == 0
