"""Directories of scripts, page scripts, and the factories for `Files`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from container.resources.asis import send_as_is
from container.resources.script import (
    PageScript,
    ScriptDirectory,
    Scripts,
    script_processors,
)
from container.resources.static import Files
from container.testing import Client
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import request
from tests.resources.test_script import TEXT, VISITS

if TYPE_CHECKING:
    from pathlib import Path

    from container.resources.static import Processor


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "__pycache__").mkdir()
    for name in ("one.rpy", "two", "sub/three.txt", ".hidden", "old~", "__pycache__/x", "index.html"):
        (tmp_path / name).write_text(TEXT + f"resource = Page({name!r})")
    (tmp_path / "visits").write_text(VISITS)
    return tmp_path


# Directories.


def test_every_file_of_a_directory_is_a_script(tree: Path) -> None:
    """SC-08: whatever its extension, below it too; the registry is one."""
    root = Resource()
    root.mount("s", ScriptDirectory(tree))
    with Client(root) as client:
        for name in ("one.rpy", "two", "sub/three.txt", "index.html"):
            assert client.get(f"/s/{name}").text == name
        assert client.get("/s/one.rpy/what/follows").text == "one.rpy"
        assert [client.get("/s/visits").text for _ in range(2)] == ["visitor 1", "visitor 2"]


@pytest.mark.parametrize(
    "path",
    [
        "", "none", "sub/", "sub", ".hidden", "old~", "__pycache__/x", "..%2fsecret", "../secret", "%2e%2e/secret",
        "sub%2fthree.txt", "sub/../one.rpy", "a%00b", "%ff", "x" * 300, ".", "..", "%2Fetc/passwd",
    ],
)  # fmt: skip
def test_nothing_else_of_a_directory_is_found(tmp_path: Path, path: str) -> None:
    """SC-08: no listing, no index, no way out."""
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "sub").mkdir()
    (inner / "__pycache__").mkdir()
    for name in ("secret", "inner/one.rpy", "inner/sub/three.txt", "inner/.hidden", "inner/old~"):
        (tmp_path / name).write_text(TEXT + "resource = Page('secret')")
    root = Resource()
    root.mount("s", ScriptDirectory(inner))
    with Client(root) as client:
        answer = client.get(f"/s/{path}")
        assert answer.status == 404
        assert "secret" not in answer.text


def test_a_directory_that_is_not_there_does_not_start(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="expected a directory of scripts"),
        Client(ScriptDirectory(tmp_path / "no")),
    ):
        pass


# Pages.


def page(tmp_path: Path, text: str, scripts: Scripts | None = None) -> PageScript:
    path = tmp_path / "x.epy"
    path.write_text(text)
    return PageScript(path, scripts)


def test_a_page_script_writes_its_answer(tmp_path: Path) -> None:
    """SC-06."""
    script = page(
        tmp_path,
        "request.write(f'{request.method} {request.args.get(\"q\")} ')\n"
        "request.write(request.content.read())\n"
        "request.status = 201\nrequest.headers.set('Content-Type', 'text/plain')\n"
        "registry['runs'] = registry.get('runs', 0) + 1\nrequest.write(' %d %s' % (registry['runs'], __file__[-5:]))\n",
    )
    with Client(script) as client:
        answer = client.post("/any/where?q=a", body=b"x" * 100_000)
        assert (answer.status, answer.headers["Content-Type"]) == (201, "text/plain")
        assert answer.text == f"POST a {'x' * 100_000} 1 x.epy"
        assert client.get("/").text == "GET None  2 x.epy"
        head = client.head("/")
        assert (head.status, head.body, head.headers["Content-Length"]) == (201, b"", "18")


def test_a_client_that_is_slow_to_send_holds_no_thread(tmp_path: Path) -> None:
    script = page(tmp_path, "request.write(request.content.read())", Scripts(threads=1))
    with Client(script) as client:
        slow = [client.connect() for _ in range(5)]
        for connection in slow:
            connection.send(request("/", "Content-Length: 3", method="POST") + b"a")
        assert client.post("/", body=b"now").text == "now"
        for connection in slow[1:]:
            connection.leave()
        slow[0].send(b"bc")
        assert slow[0].receive().text == "abc"


def test_a_page_script_without_output_is_an_empty_page(tmp_path: Path) -> None:
    with Client(page(tmp_path, "")) as client:
        answer = client.get("/")
        assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("end", ["1/0", "request.write(3)", "raise SystemExit", "request.status = 99"])
def test_a_page_script_that_fails_after_a_write_is_a_500(tmp_path: Path, end: str) -> None:
    """SC-06: no half page, no traceback unless asked for."""
    script = page(tmp_path, f"request.write('begun')\n{end}\n")
    with Client(script) as client:
        answer = client.get("/")
        assert answer.status == 500
        assert "begun" not in answer.text
        assert "Traceback" not in answer.text
    with Client(Site(script, display_tracebacks=True)) as client:
        assert "Traceback" in client.get("/").text


def test_a_page_script_that_is_gone_is_a_404(tmp_path: Path) -> None:
    with Client(PageScript(tmp_path / "none.epy")) as client:
        assert client.get("/").status == 404


# For Files.


class Tree:
    """What Files is to its processors."""

    def __init__(self) -> None:
        self.registry: dict[object, object] = {}


def test_factories_make_resources_of_paths_that_share_a_registry(tmp_path: Path) -> None:
    """ST-19, ST-22: `(path, files) -> Resource`, one registry a tree."""
    (tmp_path / "a.rpy").write_text(VISITS)
    (tmp_path / "b.epy").write_text("request.write(registry['greeting'])\nrequest.write(str(len(registry)))")
    (tmp_path / "c.asis").write_text("Status: 299\n\nas it is")
    tree, other, make = Tree(), Tree(), script_processors()
    tree.registry["greeting"] = "hello"
    root = Resource()
    root.mount("a.rpy", make[".rpy"](str(tmp_path / "a.rpy"), tree))
    root.mount("b.epy", make[".epy"](str(tmp_path / "b.epy"), tree))
    root.mount("c.asis", send_as_is(str(tmp_path / "c.asis"), tree))
    root.mount("other", make[".rpy"](str(tmp_path / "a.rpy"), other))
    with Client(root) as client:
        assert [client.get("/a.rpy").text for _ in range(2)] == ["visitor 1", "visitor 2"]
        assert client.get("/other").text == "visitor 1"
        assert client.get("/b.epy").text == "hello3"
        assert (client.get("/c.asis").status, client.get("/c.asis").text) == (299, "as it is")


def test_scripts_among_files(tmp_path: Path) -> None:
    """ST-19, ST-20, ST-22, SC-05: found by extension below any directory, with what follows; ended with the files."""
    (tmp_path / "sub").mkdir()
    for name, text in {
        "visits.rpy": VISITS,
        "sub/page.rpy": TEXT + "resource = Resource()\nresource.mount('a', Page('below'))",
        "sub/hello.epy": "request.write(str(len(registry)))",
        "sub/gone.asis": "Status: 410 Gone\n\ngone",
        "plain.txt": "plain",
        "upper.RPY": "source",
    }.items():
        (tmp_path / name).write_text(text)
    processors: dict[str, Processor] = {**script_processors(request_timeout=30), ".asis": send_as_is}
    root = Resource()
    files = Files(tmp_path, processors=processors, ignore_ext=[".rpy"])
    root.mount("f", files)
    with Client(root) as client:
        assert [client.get(f"/f/{name}").text for name in ("visits.rpy", "visits", "visits.rpy?x")] == [
            "visitor 1", "visitor 2", "visitor 3",
        ]  # fmt: skip
        assert client.get("/f/sub/page.rpy/a").text == "below"
        assert client.get("/f/sub/page.rpy/none").status == 404
        assert client.get("/f/sub/hello.epy").text == "2"
        assert (client.get("/f/sub/gone.asis").status, client.get("/f/sub/gone.asis").text) == (410, "gone")
        assert client.get("/f/plain.txt").text == "plain"
        assert client.get("/f/upper.RPY").status == 500  # run, and never shown, whatever the case
        assert client.head("/f/visits.rpy").status == 200
        (tmp_path / "visits.rpy").write_text(TEXT + "resource = Page('edited')")
        assert client.get("/f/visits").text == "edited"
        scripts = files.registry[Scripts]
        assert isinstance(scripts, Scripts)
        assert scripts._started
        assert scripts.deadlines.timeout == 30
    assert not scripts._started
