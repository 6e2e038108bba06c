"""`--reload`: a file is edited under constant requests, and nobody is turned away (WS-25)."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.system.browser import browser
from tests.system.conftest import PATIENCE_S, Running
from tests.system.pooled import Pool
from tests.system.test_workers import children, port_of, until

if TYPE_CHECKING:
    from pathlib import Path

WSGI = """\
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"{} "]
"""
ASGI = """\
async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        if "{0}" == "broken":
            raise RuntimeError("no database")
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
        await send({{"type": "lifespan.shutdown.complete"}})
    elif scope["type"] == "websocket":
        await receive()
        await send({{"type": "websocket.accept"}})
        await receive()
    else:
        await send({{"type": "http.response.start", "status": 200, "headers": []}})
        await send({{"type": "http.response.body", "body": b"{0} "}})
"""
TAC = """\
from container import Application, Data, Site
application = Application("x")
application.serve(Site(Data("{} ", "text/plain")), "tcp:0:interface=127.0.0.1")
"""
OPTIONS = ("--reload", "--no-access-log", "--bind", "127.0.0.1:0")


def answered(pool: Pool, version: str) -> None:
    pool.wait_until(lambda came: f"{version} " in came, version)


def edit_under_load(running: Running, file: Path, text: str, versions: list[str]) -> None:
    with Pool(port_of(running)) as pool:
        for version in versions:
            file.write_text(text.format(version))
            answered(pool, version)
            pool.forget()
    assert pool.failures == []


@pytest.mark.parametrize(("name", "text"), [("app.py", WSGI), ("app.py", ASGI), ("site.tac", TAC)])
def test_an_edit_under_constant_requests_loses_none(start: Any, tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text.format("1"))
    named = ("-y", name, *OPTIONS[:2]) if name == "site.tac" else ("app:application", *OPTIONS)
    running = start(*named)
    edit_under_load(running, file, text, ["2", "3", "4"])
    assert running.stop() == 0


def test_a_template_reloads_when_it_is_named(start: Any, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(
        "text = open('page.html').read()\n" + WSGI.replace('b"{} "', "text.encode()")
    )
    (tmp_path / "page.html").write_text("1 ")
    running = start("app:application", *OPTIONS, "--reload-include", "*.html")
    edit_under_load(running, tmp_path / "page.html", "{} ", ["2"])


def test_a_request_waits_for_the_new_code(start: Any, tmp_path: Path) -> None:
    """And is answered by it, though it takes its time to start."""
    file = tmp_path / "app.py"
    file.write_text(WSGI.format("1"))
    running = start("app:application", *OPTIONS)
    (old,) = children(running.process.pid)
    file.write_text("import time\ntime.sleep(1)\n" + WSGI.format("2"))
    running.wait_for("changed: app.py")
    until(lambda: old not in children(running.process.pid), "the end of the old one")
    assert running.fetch().body == b"2 "


def test_what_is_wrong_is_told_until_it_is_mended(start: Any, tmp_path: Path) -> None:
    file = tmp_path / "app.py"
    file.write_text("def (")
    running = start("--wsgi", "app.application", *OPTIONS)
    assert any("SyntaxError" in line for line in running.lines)
    answer = running.fetch(headers={"Accept": "text/html"})
    assert (answer.status, b"SyntaxError" in answer.body) == (503, True)
    file.write_text(WSGI.format("2"))
    until(lambda: running.fetch().body == b"2 ", "the mended version")
    file.write_text("1 / 0\n")
    until(lambda: b"ZeroDivisionError" in running.fetch().body, "the error")
    assert running.stop() == 0


def test_an_application_that_says_where_is_waited_for(start: Any, tmp_path: Path) -> None:
    """A `.tac` that does not load has no address yet: the command waits for the next change."""
    file = tmp_path / "site.tac"
    file.write_text("def (")
    running = start("-y", "site.tac", *OPTIONS[:2], addresses=0)
    running.wait_for("waiting for a change")
    file.write_text(TAC.format("1"))
    running.wait_for(" serving on ")
    assert running.fetch().body == b"1 "


def test_an_application_that_does_not_start_is_mended(start: Any, tmp_path: Path) -> None:
    """Its lifespan fails: that is shown, too, and other options than those it was started with are not needed."""
    file = tmp_path / "app.py"
    file.write_text(ASGI.format("broken"))
    running = start("app:application", "--lifespan", "on", *OPTIONS)
    assert b"no database" in running.fetch().body
    file.write_text(ASGI.format("2"))
    until(lambda: running.fetch().body == b"2 ", "the mended version")
    assert running.stop() == 0


def test_wrong_options_end_the_command_all_the_same(finish: Any) -> None:
    for wrong in (("nothing.tac", "--bind", "127.0.0.1:0"), ("--reload-dir", "nowhere")):
        done = finish(*wrong, "--reload")
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert wrong[-1] in done.stderr or wrong[0] in done.stderr


def test_a_websocket_is_told_that_the_server_restarts(start: Any, tmp_path: Path) -> None:
    """RFC 6455 7.4.1: 1012."""
    file = tmp_path / "app.py"
    file.write_text(ASGI.format("1"))
    running = start("app:application", *OPTIONS)
    with connect(f"ws://127.0.0.1:{port_of(running)}/", open_timeout=PATIENCE_S) as client:
        file.write_text(ASGI.format("2"))
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(timeout=PATIENCE_S)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1012


def test_a_browser_shows_the_error_and_then_the_mended_page(start: Any, tmp_path: Path) -> None:
    """Nobody presses a key."""
    file = tmp_path / "app.py"
    page = WSGI.replace("text/plain", "text/html")
    file.write_text(page.format("1"))
    running = start("app:application", *OPTIONS)
    file.write_text("import nothing_of_that_name\n")
    until(lambda: running.fetch().status == 503, "the error")
    with browser(tmp_path) as chromium:
        tab = chromium.open(running.url)
        tab.wait("document.body?.innerText.includes('nothing_of_that_name')")
        file.write_text(page.format("mended"))
        tab.wait("document.body?.innerText.trim() === 'mended'")


def test_the_file_of_options_is_read_again(start: Any, tmp_path: Path) -> None:
    """And what is wrong in it is told like what is wrong in the application."""
    (tmp_path / "app.py").write_text(WSGI.format("1"))
    file = tmp_path / "container.toml"
    text = 'app = "app:application"\nreload = true\nlisten = "127.0.0.1:0"\n[headers]\nX-Version = "{}"\n'
    file.write_text(text.format("1"))
    running = start("--no-access-log")
    assert running.fetch().headers["X-Version"] == "1"
    file.write_text('threads = "many"\n')
    until(lambda: running.fetch().status == 503, "the error")
    assert b"container.toml" in running.fetch().body
    file.write_text(text.format("2"))
    until(lambda: running.fetch().headers["X-Version"] == "2", "the second version")


@pytest.mark.soak
def test_a_hundred_edits_in_a_row_lose_no_request(start: Any, tmp_path: Path) -> None:
    """Some come while the version before is still starting."""
    file = tmp_path / "app.py"
    file.write_text(WSGI.format("v0"))
    running = start("app:application", *OPTIONS)
    chance = random.Random(1)
    with Pool(port_of(running)) as pool:
        for number in range(1, 101):
            file.write_text(WSGI.format(f"v{number}"))
            if chance.random() < 0.3:
                answered(pool, f"v{number}")
            else:
                time.sleep(chance.random() * 0.3)
        answered(pool, "v100")
    assert pool.failures == []
    assert running.stop() == 0
