"""What docs/migrating.md shows, run as it stands there."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.scripts import ScriptDirectory, script_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.system.conftest import Running

PAGE: Final = (Path(__file__).resolve().parents[2] / "docs" / "migrating.md").read_text()
COMMANDS: Final = re.findall(r"^\$ (container .*?)(?: +#.*)?$", PAGE, re.MULTILINE)
COUNTER: Final = """
from container import Resource, Response

class Counter:
    value = 0

class Visits(Resource):
    is_leaf = True
    def get(self, request):
        return Response.text(f"visitor {number}")

counter = registry.getComponent(Counter)
if counter is None:
    counter = Counter()
    registry.setComponent(Counter, counter)
counter.value += 1
number = counter.value
resource = Visits()
"""
OLD: Final = """
from http.server import BaseHTTPRequestHandler

class Old(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"an old page at " + self.path.encode())
"""
# By command: paths, and what their answers begin with; None is a 404.
ANSWERS: Final[dict[str, dict[str, str | None]]] = {
    "container --path public": {"/": "front", "/about.cgi": "#!"},
    "container --cgi public": {"/": "front", "/cgi-bin/hello.py/x?y": "hello /x y", "/cgi-bin/": None},
    "container --cgi public --cgi-interpreter .py=python3": {"/cgi-bin/hello.py/x?y": "hello /x y"},
    "container old:Old": {"/a/b": "an old page at /a/b"},
    "container old:Old --mount /static=path:public --mount /scripts=cgi:cgi": {
        "/a/b": "an old page at /a/b",
        "/static/": "front",
        "/scripts/search.sh?q": "search for q",
    },
    "container --path public --cgi-bin /cgi-bin=cgi --cgi-interpreter .pl=perl": {
        "/": "front",
        "/cgi-bin/report.pl": "report",
        "/cgi-bin/search.sh?q": "search for q",
        "/cgi-bin/hello.py": None,
    },
    "container --path public --scripts --index index.php": {
        "/": "from php /index.php",
        "/index.php/x": "from php /index.php",
        "/about.cgi": "about",
        "/gone.asis": "gone",
    },
    "container --path public --scripts": {"/": "front", "/about.cgi": "about", "/visitors.rpy": "visitor 1"},
    "container --resource-script public/visitors.rpy": {"/": "visitor 1", "/?again": "visitor 2"},
    "container -y site.tac": {
        "/": "front",
        "/visitors.rpy": "visitor 1",
        "/cgi-bin/report.pl": "report",
        "/app/x": "Hello world!",
    },
}


@pytest.fixture(scope="module")
def here() -> Iterator[ScriptDirectory]:
    """The directory of the page."""
    with script_directory() as here:
        here.write("public/index.html", "front", 0o644)
        here.write("public/index.php", "<?php echo 'from php ', $_SERVER['SCRIPT_NAME'];", 0o644)
        here.sh("public/about.cgi", "echo; echo about")
        here.write("public/visitors.rpy", COUNTER, 0o644)
        here.write("public/gone.asis", "Content-Type: text/plain\n\ngone", 0o644)
        here.python("public/cgi-bin/hello.py", "import os\nprint('A: 1\\n\\nhello', os.environ['PATH_INFO'], "
                    "os.environ['QUERY_STRING'])")  # fmt: skip
        here.write("cgi/report.pl", 'print "A: 1\\n\\nreport";', 0o644)
        here.sh("cgi/search.sh", "echo; echo search for $QUERY_STRING")
        here.write("old.py", OLD, 0o644)
        block = re.search(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
        assert block is not None
        here.write("site.tac", block[1], 0o644)
        yield here


def test_every_command_of_the_page_is_run() -> None:
    assert set(COMMANDS) == set(ANSWERS)


@pytest.mark.parametrize("command", ANSWERS)
def test_a_command_of_the_page(command: str, start: Callable[..., Running], here: ScriptDirectory) -> None:
    """PY-04, CG-01, CG-17, SC-05, SC-07, ST-19: each recipe as it stands there."""
    if "--scripts" in command and shutil.which("php-cgi") is None:
        pytest.skip("php-cgi is not installed")
    running = start(*shlex.split(command)[1:], "--port", 0, cwd=here.path)
    for path, text in ANSWERS[command].items():
        answer = running.fetch(path)
        if text is None:
            assert answer.status == 404, path
        else:
            assert (answer.status, answer.body.decode()[: len(text)]) == (200, text), path
    assert running.stop() == 0


def test_the_other_host_of_the_page(start: Callable[..., Running], here: ScriptDirectory) -> None:
    running = start("-y", "site.tac", "--port", 0, cwd=here.path)
    answer = running.fetch("/report.pl", headers={"Host": "old.example"})
    assert (answer.status, answer.headers["Location"][:19]) == (302, "http://new.example/")
