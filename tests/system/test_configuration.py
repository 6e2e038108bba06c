"""The command configured by files and the environment: what is served, what a reload changes, how it ends."""

from __future__ import annotations

import os
import pstats
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.conftest import environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.conftest import Running

    Start = Callable[..., Running]

APPS = Path(__file__).resolve().parents[2] / "apps"
APP = """
import os
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.environ.get('COLOUR')} {environ['wsgi.multithread']}".encode()]
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "public").mkdir()
    (tmp_path / "public/a.txt").write_text("text")
    return tmp_path


def test_everything_in_one_file(start: Start) -> None:
    """CF-07"""
    running = start("-c", "everything.toml", "--port=0", cwd=APPS)
    assert running.lines[0] == "container reads everything.toml"
    for path, text in {
        "/": b"One tree, many applications", "/flask/": b"Mounted at <code>/flask</code>", "/hello": b"Hello World!",
        "/chat/": b"Chat room", "/cgi-bin/hello.sh?you": b"Hello from sh, you.", "/visitors": b"visitor number",
        "/healthz": b"ok", "/local/": b"One tree",
    }.items():  # fmt: skip
        answer = running.fetch(path)
        assert (answer.status, text in answer.body) == (200, True), path
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert running.fetch("/old").headers["Location"] == "/"
    assert running.fetch("/local/").headers["Cache-Control"] == "no-store"
    assert running.fetch("/", headers={"Host": "hello.localhost"}).body == b"Hello World!"
    too_much = {"Content-Length": str((1 << 20) + 1)}
    assert running.fetch("/flask/upload", "POST", too_much).status == 413
    assert running.stop() == 0


def test_a_project_and_the_environment(start: Start, here: Path) -> None:
    """CL-12: in the foreground, where the platform wants it."""
    (here / "pyproject.toml").write_text(
        '[project]\nname = "x"\n[tool.container]\napp = "app:application"\nthreads = 1\n'
        '[tool.container.env]\nCOLOUR = "blue"\n[[tool.container.mount]]\npath = "/static"\nfiles = "public"\n'
    )
    running = start(PORT="0", CONTAINER_HEADER="X-One: 1")
    assert running.lines[0] == "container reads pyproject.toml"
    assert re.fullmatch(r"http://localhost:\d+/", running.url)
    answer = running.fetch()
    assert (answer.body, answer.headers["X-One"]) == (b"blue False", "1")
    assert running.fetch("/static/a.txt").body == b"text"
    assert running.stop() == 0


def test_new_workers_read_the_file_again(start: Start, here: Path) -> None:
    """LC-02: a hangup changes what is served; addresses stay, and a file that is wrong changes nothing."""
    site = here / "container.toml"
    text = 'listen = "127.0.0.1:0"\nworkers = 2\napp = "app:application"\n'
    site.write_text(text)
    running = start("--no-access-log")
    url = running.url
    assert running.fetch("/x/a.txt").status == 200
    site.write_text(text + 'threads = "many"\n')
    running.send(signal.SIGHUP)
    line = running.wait_for("container.toml:4: expected a number from 0 to 10000 for threads, got 'many'")
    assert line.startswith("container: ")
    assert running.fetch("/x/a.txt").body != b"text"
    site.write_text(text + '[[mount]]\npath = "/x"\nfiles = "public"\n')
    running.send(signal.SIGHUP)
    while running.fetch("/x/a.txt", url=url).body != b"text":
        pass
    assert running.stop() == 0


def test_several_sites_by_several_workers(start: Start, here: Path) -> None:
    """CF-04"""
    (here / "container.toml").write_text(
        "workers = 2\n[[site]]\nlisten = '127.0.0.1:0'\napp = 'app:application'\n"
        "[[site]]\nlisten = '127.0.0.1:0'\npath = 'public'\n"
    )
    running = start("--no-access-log", addresses=2)
    first, second = running.urls
    assert running.fetch("/a.txt", url=first).body == b"None True"
    assert running.fetch("/a.txt", url=second).body == b"text"
    assert running.stop() == 0


def test_pools_end_with_the_process(start: Start, here: Path) -> None:
    """CF-05: whoever starts it need not stop it."""
    for threads in (0, 1, 8):
        running = start("app:application", f"--threads={threads}", "--port=0")
        assert running.fetch().status == 200
        assert running.stop(signal.SIGINT) == 0


EMBEDDED = """
import asyncio, container
from app import application

async def main():
    job = asyncio.create_task(asyncio.sleep(3600))
    site = container.Site(container.WSGIResource(application))
    ready = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(container.serve(site, "127.0.0.1:0", ready=ready.set_result))
    server = await ready
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
    print((await reader.read()).partition(b"\\r\\n")[0].decode())
    writer.close()
    serving.cancel()
    await asyncio.wait([serving])
    print(serving.cancelled(), job.done(), asyncio.all_tasks() == {asyncio.current_task(), job})
    job.cancel()

asyncio.run(main())
"""


def test_it_can_be_part_of_a_program(here: Path) -> None:
    """CF-06: `serve` in somebody's own event loop, which goes on."""
    (here / "program.py").write_text(EMBEDDED)
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=here,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["HTTP/1.1 200 OK", "True False True"]


TAC = """
from container import Application, Service, Site, WSGIResource

def application(environ, start_response):  # the name is bound twice: the last counts
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [", ".join(said).encode()]

said = []

class Job(Service):
    def privileged_start(self):
        said.append("privileged start")
    async def start(self):
        said.append("start")
    async def stop(self):
        print("stopped", flush=True)

root = WSGIResource(application)
application = Application("site")
application.add_service(Job("job"))
application.serve(Site(root), "127.0.0.1:0", "unix:{here}/site.sock", {taken!r})
"""


def test_a_job_beside_the_tree_and_any_number_of_addresses(start: Start, finish: Any, here: Path) -> None:
    """CF-01, CF-02, CF-03, CL-02: one that is taken keeps all of them from being served."""
    (here / "site.tac").write_text(TAC.format(here=here, taken="127.0.0.1:0"))
    running = start("-noy", "site.tac", addresses=3)
    assert [running.fetch(url=url).body for url in running.urls] == [b"privileged start, start"] * 3
    (here / "taken.tac").write_text(
        TAC.format(here=here, taken=f"127.0.0.1:{running.url.split(':')[2].strip('/')}")
    )
    done = finish("-y", "taken.tac", cwd=here)
    assert done.returncode == 1
    assert "address already in use" in done.stderr
    assert os.path.exists(here / "site.sock")  # it is the first one's
    assert running.stop() == 0
    assert running.output.splitlines()[-1] == "stopped"
    assert not os.path.exists(here / "site.sock")


def test_a_profile_is_written_at_the_end(start: Start, finish: Any, here: Path) -> None:
    """DM-09"""
    running = start("app:application", "--port=0", "--profile=stats", "--notracebacks", "-n")
    assert running.fetch().status == 200
    assert running.stop() == 0
    statistics = pstats.Stats(str(here / "stats"))
    assert statistics.total_calls > 0
    done = finish("app:application", "--port=0", "--profile=stats", "--workers=2", cwd=here)
    assert done.stderr == "container: expected one process, not replaced, with --profile, got more\n"
    assert done.returncode == 2
