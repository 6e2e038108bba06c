"""What apps/README.md and README.md promise: every command as it stands there, on a port the system chooses.

The applications in depth are test_django.py's, test_flask.py's and test_pypi.py's.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

import pytest
import requests

from tests.scripts import script_directory
from tests.system.fpm import php_fpm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.system.conftest import Running

    Start = Callable[..., Running]

ROOT = Path(__file__).resolve().parents[2]
APPS = ROOT / "apps"
ANY_PORT = ["--port", "0"]
PATIENCE_S = 60.0

# The examples by the first column of the table: paths, and what their pages hold.
ANSWERS: Final = {
    "helloworld.py": {"/": "Hello World!", "/any/where": "Hello World!"},
    "flasksite.py": {"/": "Flask in a tree", "/json": '"script_root":""', "/stream/3": "line 3 of 3"},
    "chatroom.py": {"/": "Chat room", "/messages": "[]", "/docs": "Chat room - Swagger UI"},
    "asgi.tac": {
        "/": "One tree, many applications",
        "/chat/": "Chat room",
        "/visits/a": '"visits":1',
        "/data/": "_memory",
    },
    "cgi-bin/": {
        "/cgi-bin/hello.sh?you": "Hello from sh, you.",
        "/cgi-bin/visitors.py": "Hello from Python, stranger.",
        "/cgi-bin/time.pl": "Hello from Perl, line 1.",
        "/cgi-bin/info.php/x": "Hello from PHP 8, /x.",
    },
    "guestbook/": {
        "/": '<form method="post" action="/sign">',
        "/index.php": "Guest book",
        "/style.css": "color-scheme",
    },
    "public/": {"/": "One tree, many applications", "/index.html": "blog.tac", "/style.css": "color-scheme"},
    "blog.tac": {
        "/": "One tree, many applications",
        "/style.css": "color-scheme",
        "/flask/": "Mounted at <code>/flask</code>",
        "/flask/json": '"script_root":"/flask"',
        "/hello": "Hello World!",
        "/hello/below": "Hello World!",
        "/pypi/": "Welcome to pypiserver!",
        "/pypi/simple/": "Simple Index",
        "/time": "Server time",
        "/healthz": '"status":"ok"',
    },
    "everything.toml": {
        "/": "One tree, many applications",
        "/chat/": "Chat room",
        "/visitors": "visitor number",
    },
    "shop/": {
        "/": "Put Green tea into the basket",
        "/api/basket/": '{"count":0,"cents":0,"lines":[]}',
        "/checkout": "Your basket is empty.",
    },
    "cookieproxy.tac": {"/": "A proxy without cookies"},
    "adproxy.tac": {"/": "A proxy without ads"},
    "visitors.rpy": {"/": "visitor number 1", "/?again": "visitor number 2", "/a/b": "visitor number 3"},
    "djangosite/": {
        "/": "No notes yet",
        "/upload/": "csrfmiddlewaretoken",
        "/admin/login/": "Django administration",
        "/static/notes/style.css": "color-scheme",
        "/static/admin/css/base.css": "--primary",
        "/health/": '"status": "ok"',
    },
}

MODULES: Final = {
    "mysite/wsgi.py": "the shop",
    "pkg/mod.py": "a module",
}
WSGI: Final = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    path = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
    return ["TEXT {} of {}".format(path, environ["wsgi.multithread"]).encode()]

app = attr = application

def factory():
    return application
"""


ASGI: Final = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": f"the api {scope['path']}".encode()})
"""


def table_of_examples() -> dict[str, list[str]]:
    """The commands of apps/README.md by the file they are for."""
    rows = re.findall(r"^\| `([^`]+)` \|.*\| ([^|]+) \|$", (APPS / "README.md").read_text(), re.MULTILINE)
    return {file: re.findall(r"`([^`]+)`", commands) for file, commands in rows}


EXAMPLES: Final = table_of_examples()


@pytest.fixture
def written(tmp_path: Path) -> dict[str, str]:
    """What the examples write goes to the test's own directory."""
    return {
        "PYPI_PACKAGES": str(tmp_path / "packages"),
        "DJANGO_DB": str(tmp_path / "db.sqlite3"),
        "DJANGO_MEDIA": str(tmp_path / "media"),
        "DJANGO_STATIC": str(tmp_path / "collected"),
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project that README.md speaks of."""
    for name, text in MODULES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(WSGI.replace("TEXT", text))
    (tmp_path / "api.py").write_text(ASGI)
    for folder, text in (("static", "a style"), ("public", "a page")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "index.html").write_text(text)
    return tmp_path


def own_words(command: str) -> list[str]:
    """The arguments of a command that begins with `container`."""
    name, *arguments = shlex.split(command)
    assert name == "container"
    return arguments


def test_every_example_of_the_table_is_here_and_exists() -> None:
    assert set(EXAMPLES) == set(ANSWERS)
    assert all((APPS / name).exists() for name in EXAMPLES)
    pages = {path.name for path in APPS.glob("*.html")}  # of an application beside them
    files = {path.name for path in APPS.iterdir()} - pages - {"README.md", "__pycache__", "var"}
    assert files == {name.rstrip("/") for name in EXAMPLES}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_example_answers_when_started_by_its_command(
    name: str, start: Start, written: dict[str, str], tmp_path: Path
) -> None:
    *before, command = EXAMPLES[name]
    for each in before:
        program, *arguments = shlex.split(each)
        assert program == "python"
        environment = os.environ | written | {"PYTHONDONTWRITEBYTECODE": "1"}
        subprocess.run(
            [sys.executable, *arguments], cwd=APPS, env=environment, check=True,
            stdout=subprocess.DEVNULL, timeout=PATIENCE_S,
        )  # fmt: skip
    if name == "cgi-bin/" and shutil.which("php-cgi") is None:
        pytest.skip("php-cgi is not installed")
    with ExitStack() as until_done:
        if name == "guestbook/":
            written = written | until_done.enter_context(php_for_the_guest_book(tmp_path))
        # Scripts of root's are run by nobody, who must be able to reach them.
        directory = until_done.enter_context(script_directory())
        if name == "cgi-bin/":
            shutil.copytree(APPS / name, directory.path / name)
        running = start(
            *own_words(command), *ANY_PORT, cwd=directory.path if name == "cgi-bin/" else APPS, **written
        )
        check_example(running, name)


@contextmanager
def php_for_the_guest_book(folder: Path) -> Iterator[dict[str, str]]:
    """Where it runs, and where it keeps its entries."""
    (folder / "fpm").mkdir()
    with php_fpm(folder / "fpm", "pm.max_children = 5") as address:
        yield {"PHP_FPM": address, "GUESTBOOK": str(folder / "guestbook.jsonl")}


def test_the_guest_book_is_signed(start: Start, tmp_path: Path) -> None:
    """CG-05, CG-17: a form, its redirect, its page; nothing of other sites, nor of its source."""
    with php_for_the_guest_book(tmp_path) as variables, requests.Session() as guest:
        running = start("-y", APPS / "guestbook" / "guestbook.tac", *ANY_PORT, **variables)

        def sign(status: int, **form: str) -> requests.Response:
            answer = guest.post(f"{running.url}sign", form, timeout=PATIENCE_S)
            assert answer.status_code == status, answer.text
            return answer

        words = "Häus & Höf\n<script>"
        signed = sign(200, name="Ada", words=words)
        assert (signed.history[0].status_code, signed.url) == (303, f"{running.url}entries/1")
        assert "Häus &amp; Höf<br />\n&lt;script&gt;" in signed.text
        assert sign(200, name="Eva", words="x").url == f"{running.url}entries/2"
        sign(422, name="", words="x")
        guest.headers["Sec-Fetch-Site"] = "cross-site"
        sign(403, name="Eve", words="x")
        front = guest.get(running.url, timeout=PATIENCE_S).text
        assert re.findall(r'<a href="/entries/(\d)">(\w+),', front) == [("2", "Eva"), ("1", "Ada")]
        for path in ("entries/3", "entries/0", "no/such/page", "index.php.bak"):
            answer = guest.get(running.url + path, timeout=PATIENCE_S)
            assert (answer.status_code, "Guest book" in answer.text) == (404, True)
        assert "<?php" not in guest.get(f"{running.url}index.php%20", timeout=PATIENCE_S).text


def check_example(running: Running, name: str) -> None:
    for path, text in ANSWERS[name].items():
        answer = running.fetch(path)
        assert (answer.status, text in answer.body.decode()) == (200, True), path
    assert running.stop() == 0
    assert not any("Traceback" in line for line in running.lines)


def test_every_link_of_the_front_page_of_the_blog_leads_somewhere(
    start: Start, written: dict[str, str]
) -> None:
    running = start("-y", "blog.tac", *ANY_PORT, cwd=APPS, **written)
    links = re.findall(r'<li><a href="([^"]+)"', running.fetch("/").body.decode())
    assert len(links) == 5
    for link in links:
        assert running.fetch(f"/{link}").status == 200


def test_a_tac_runs_from_whatever_directory(start: Start, written: dict[str, str], tmp_path: Path) -> None:
    running = start("-y", APPS / "blog.tac", *ANY_PORT, cwd=tmp_path, **written)
    assert running.fetch("/flask/").status == 200


def test_listen_overrides_the_address_in_a_tac(start: Start, written: dict[str, str]) -> None:
    running = start("-y", "blog.tac", "--listen", "127.0.0.1:0", cwd=APPS, **written)
    assert running.urls == [running.url]
    assert not running.url.endswith(":8080/")
    assert running.fetch("/healthz").status == 200


def test_hello_world_runs_from_inside_its_directory(start: Start) -> None:
    assert "container --wsgi=helloworld.application" in (ROOT / "README.md").read_text()
    answer = start("--wsgi=helloworld.application", *ANY_PORT, cwd=APPS).fetch("/")
    assert (answer.status, answer.body) == (200, b"Hello World!")
    assert answer.headers["Content-Type"] == "text/plain"


def test_the_command_is_installed_under_its_name() -> None:
    command = Path(sys.executable).with_name("container")
    done = subprocess.run(
        [command, "--version"], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert re.fullmatch(r"container \d+\.\d+\.\d+\S*\n", done.stdout)


def test_the_one_liner_of_the_readme_serves_three_things(start: Start, project: Path) -> None:
    command = re.search(r"^container --wsgi mysite\S+ .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert command is not None
    running = start(*own_words(command[0]), *ANY_PORT, cwd=project)
    assert running.fetch("/cart").body == b"the shop /cart of True"
    assert running.fetch("/api/v1").body == b"the api /api/v1"
    assert running.fetch("/static/").body == b"a style"
    assert running.fetch("/static/missing").status == 404


def test_the_tree_of_the_readme_is_the_same_in_python(start: Start, project: Path) -> None:
    block = re.search(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert block is not None
    (project / "site.tac").write_text(block[1])
    running = start("-y", "site.tac", *ANY_PORT, cwd=project)
    assert running.fetch("/cart").body == b"the shop /cart of True"
    assert running.fetch("/api/v1").body == b"the api /api/v1"
    assert running.fetch("/static/").body == b"a style"


@pytest.mark.parametrize(
    ("arguments", "path", "body"),
    [
        ("pkg.mod:attr", "/x", b"a module /x of True"),
        ("--wsgi=pkg.mod.attr", "/x", b"a module /x of True"),
        ("--wsgi pkg.mod:attr --threads 0", "/x", b"a module /x of False"),
        ("api:app", "/x", b"the api /x"),
        ("--asgi api:app", "/x", b"the api /x"),
        ("--path public --mount /prefix=asgi:api:app", "/prefix/x", b"the api /prefix/x"),
        ("pkg.mod:factory --factory", "/x", b"a module /x of True"),
        ("--path public", "/", b"a page"),
        ("--path public --mount /prefix=wsgi:pkg.mod:attr", "/prefix/x", b"a module /prefix/x of True"),
        ("--path public --mount /prefix=path:static", "/prefix/", b"a style"),
    ],
)
def test_a_form_of_the_command_line_in_the_readme(
    start: Start, project: Path, arguments: str, path: str, body: bytes
) -> None:
    answer = start(*shlex.split(arguments), *ANY_PORT, cwd=project).fetch(path)
    assert (answer.status, answer.body) == (200, body)


def test_a_redirect_is_mounted_like_anything_else(start: Start, project: Path) -> None:
    running = start("pkg.mod:attr", "--mount", "/old=redirect:/new", *ANY_PORT, cwd=project)
    answer = running.fetch("/old")
    assert answer.status in {301, 302, 307, 308}
    assert urljoin(running.url, answer.headers["Location"]) == urljoin(running.url, "/new")


@pytest.mark.parametrize("address", ["tcp:0", "127.0.0.1:0", "[::1]:0", "unix:app.sock"])
def test_an_address_of_the_readme_is_listened_on(start: Start, project: Path, address: str) -> None:
    if address.startswith("unix:"):
        address = f"unix:{project / 'app.sock'}"
    running = start("pkg.mod:attr", "--listen", address, cwd=project)
    assert running.fetch("/x").body == b"a module /x of True"
    assert running.stop() == 0
    assert not (project / "app.sock").exists()
