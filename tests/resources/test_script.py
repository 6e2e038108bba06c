"""Resource scripts: run for each request, edits seen at once, kept when they ask for it, never in the way."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from container import Sessions
from container.resources.script import PageScript, Registry, ResourceScript, Scripts
from container.testing import Client
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import Leaf, request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Write = Callable[..., str]

TEXT = """
from container import Resource, Response

class Page(Resource):
    is_leaf = True

    def __init__(self, text):
        self.text = text

    def get(self, request):
        return Response.text(str(self.text))
"""

# The visitor counter: its class is defined anew with every run.
VISITS = """
from container import Resource, Response

class Counter:
    value = 0

class Visits(Resource):
    def get(self, request):
        return Response.text(f"visitor {counter.value}")

counter = registry.getComponent(Counter)
if counter is None:
    counter = Counter()
    registry.setComponent(Counter, counter)
counter.value += 1
resource = Visits()
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a script, with a time of its own, and give back its path."""
    stamp = 1_000_000_000

    def write(text: str, name: str = "x.rpy") -> str:
        nonlocal stamp
        path = tmp_path / name
        path.write_text(text)
        stamp += 1
        os.utime(path, (stamp, stamp))
        return str(path)

    return write


def serve(path: str, **options: Any) -> Resource:
    root = Resource()
    root.mount("x.rpy", ResourceScript(path, **options))
    return root


# Runs.


def test_a_script_runs_for_every_request_and_what_it_imports_does_not(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SC-01: a counter in a module goes on, one in the script begins again."""
    (tmp_path / "counting_module.py").write_text("value = 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    path = write(
        TEXT + "import counting_module\ncounting_module.value += 1\nown = 0\nown += 1\n"
        "resource = Page(f'{counting_module.value} {own}')\n"
    )
    with Client(serve(path)) as client:
        assert [client.get("/x.rpy").text for _ in range(3)] == ["1 1", "2 1", "3 1"]


def test_what_a_script_finds(write: Write) -> None:
    """SC-01: the names of its namespace."""
    path = write(
        TEXT + "resource = Page([__file__, type(registry).__name__, callable(cache), callable(recache)])"
    )
    with Client(serve(path)) as client:
        assert client.get("/x.rpy").text == str([path, "Registry", True, True])


def test_an_edit_counts_from_the_next_request_on(write: Write) -> None:
    """SC-01: by the file's time, or by its being another file of the same time and size."""
    path = write(TEXT + "resource = Page('one')")
    with Client(serve(path)) as client:
        assert client.get("/x.rpy").text == "one"
        write(TEXT + "resource = Page('two')")
        assert client.get("/x.rpy").text == "two"
        status = os.stat(path)
        other = write(TEXT + "resource = Page('six')", "other")
        os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.replace(other, path)
        assert client.get("/x.rpy").text == "six"
        os.unlink(path)
        assert client.get("/x.rpy").status == 404
        write(TEXT + "resource = Page('back')")
        assert client.get("/x.rpy").text == "back"


def test_an_unchanged_script_is_compiled_once(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    from container.resources.script import runner

    compiled = []

    def counting(*arguments: Any, **options: Any) -> Any:
        compiled.append(arguments[1])
        return compile(*arguments, **options)

    monkeypatch.setattr(runner, "compile", counting, raising=False)
    path = write(VISITS)
    with Client(serve(path)) as client:
        assert [client.get("/x.rpy").text for _ in range(3)] == ["visitor 1", "visitor 2", "visitor 3"]
    assert compiled == [path]


def test_the_rest_of_the_path_is_looked_up_in_the_resource(write: Write) -> None:
    """SC-01, ST-19: extra segments go to what the script has bound."""
    path = write(
        TEXT
        + "resource = Resource()\nresource.mount('', Page('slash'))\nresource.mount('a/b', Page('below'))\n"
        "resource.get = lambda request: f'{request.script_name}|{request.path_info}'\n"
    )
    with Client(serve(path)) as client:
        assert client.get("/x.rpy").text == "/x.rpy|"
        assert client.get("/x.rpy/").text == "slash"
        assert client.get("/x.rpy/a/b").text == "below"
        assert client.get("/x.rpy/none").status == 404
        assert client.head("/x.rpy").status == 200
        assert client.post("/x.rpy/a/b", body=b"").headers["Allow"] == "GET, HEAD, OPTIONS"


def test_answers_may_be_late_or_streamed(write: Write) -> None:
    path = write(
        "import asyncio\nfrom container import Resource, Response\n"
        "class Late(Resource):\n"
        "    async def child(self, name, request):\n        await asyncio.sleep(0)\n        return self\n"
        "    async def post(self, request):\n        return Response.text(str(len(await request.read())))\n"
        "    async def get(self, request):\n"
        "        async def pieces():\n            yield b'a'\n            yield b'b'\n"
        "        return Response(pieces())\n"
        "resource = Late()\n"
    )
    with Client(serve(path)) as client:
        assert client.get("/x.rpy/late").text == "ab"
        assert client.post("/x.rpy", body=b"x" * 300_000).text == "300000"


def test_a_dataclass_with_annotations_as_text_can_be_defined(write: Write) -> None:
    path = write(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n" + TEXT.lstrip()
        + "@dataclass\nclass Point:\n    x: int\nresource = Page(Point(3).x)\n"
    )  # fmt: skip
    with Client(serve(path)) as client:
        assert client.get("/x.rpy").text == "3"


# The site's root.


def test_a_script_can_be_the_root_of_a_site(write: Write) -> None:
    """SC-07: an edit counts; a resource without children answers `/` itself."""
    path = write(VISITS)
    with Client(Site(ResourceScript(path))) as client:
        assert [client.get("/").text, client.get("/").text] == ["visitor 1", "visitor 2"]
        assert client.get("/other").status == 404
        write(
            TEXT + "resource = Resource()\nresource.mount('', Page('index'))\nresource.mount('a', Page('a'))"
        )
        assert [client.get("/").text, client.get("/a").text] == ["index", "a"]
        write(TEXT + "resource = Page('leaf')")
        assert [client.get("/").text, client.get("/a/b").text] == ["leaf", "leaf"]


# Mistakes.


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", 'to bind "resource" as in resource = Hello(), got no such name'),
        ("resource = 3", 'to bind "resource" to a Resource, got int'),
        (TEXT + "resource = Page", "got class 'Page' (add \"()\"?)"),
        ("1/0", "division by zero"),
        ("secret = = 1", "SyntaxError"),
        ("import sys; sys.exit('secret')", "SystemExit"),
        ("x = '\0'", "null bytes"),
        ("open('/nowhere/secret')", "No such file"),
    ],
)
def test_a_script_that_fails_is_a_500_that_tells_nothing(
    write: Write, caplog: pytest.LogCaptureFixture, text: str, said: str
) -> None:
    """SC-02, SC-03: the reason is in the log, and on the page only when tracebacks are shown."""
    path = write(text)
    with Client(serve(path)) as client:
        answer = client.get("/x.rpy")
        assert answer.status == 500
        assert path not in answer.text
        assert "secret" not in answer.text
        assert said in caplog.text
        assert "x.rpy" in caplog.text
        write(TEXT + "resource = Page('mended')")
        assert client.get("/x.rpy").text == "mended"
    write(text)
    with Client(Site(serve(path), display_tracebacks=True)) as client:
        answer = client.get("/x.rpy")
        assert answer.status == 500
        assert "Traceback" in answer.text


def test_a_script_may_decline(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    path = write("from container import HTTPError\nraise HTTPError(403, 'members only')")
    with Client(serve(path)) as client:
        answer = client.get("/x.rpy")
        assert (answer.status, "members only" in answer.text) == (403, True)
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


def test_a_script_that_may_not_be_read_is_forbidden(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    from container.resources.script import runner

    path = write(VISITS)

    def refuse(*arguments: Any) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(runner, "open", refuse, raising=False)  # root may read everything
    with Client(serve(path)) as client:
        assert client.get("/x.rpy").status == 403


# What is kept.

STAMP = TEXT + "registry['runs'] = registry.get('runs', 0) + 1\n"


def test_cache_ends_the_run_while_the_file_is_the_same(write: Write) -> None:
    """SC-04: what comes before `cache()` runs every time, the rest once a version of the file."""
    scripts = Scripts()
    rest = "cache()\nregistry['made'] = registry.get('made', 0) + 1\nresource = Page({!r} + str(registry['made']))"
    path = write(STAMP + rest.format("one "))
    with Client(serve(path, scripts=scripts)) as client:
        assert [client.get("/x.rpy").text for _ in range(3)] == ["one 1"] * 3
        assert dict(scripts.registry) == {"runs": 3, "made": 1}
        write(STAMP + rest.format("two "))
        assert [client.get("/x.rpy").text for _ in range(2)] == ["two 2"] * 2


def test_recache_keeps_what_this_run_makes(write: Write) -> None:
    """SC-04: a script may decide when what it keeps is too old."""
    path = write(
        STAMP + "(recache if registry['runs'] in (1, 3) else cache)()\nresource = Page(registry['runs'])"
    )
    with Client(serve(path)) as client:
        assert [client.get("/x.rpy").text for _ in range(4)] == ["1", "1", "3", "3"]


def test_the_broad_except_of_a_script_does_not_undo_cache(write: Write) -> None:
    path = write(STAMP + "try:\n    cache()\nexcept Exception:\n    pass\nresource = Page(registry['runs'])")
    with Client(serve(path)) as client:
        assert [client.get("/x.rpy").text for _ in range(3)] == ["1", "1", "1"]


LIVES = """
from container import Resource, Response
lives = registry.setdefault("lives", [])
class Alive(Resource):
    async def start(self):
        lives.append("start")
    async def stop(self):
        lives.append("stop")
    def get(self, request):
        return Response.text(" ".join(lives))
"""


def test_what_is_kept_is_started_once_and_stopped_when_replaced_or_at_the_end(write: Write) -> None:
    scripts = Scripts()
    path = write(LIVES + "cache()\nresource = Resource()\nresource.mount('a', Alive())")
    with Client(serve(path, scripts=scripts)) as client:
        assert [client.get("/x.rpy/a").text for _ in range(2)] == ["start", "start"]
        write(LIVES + "cache()\nresource = Resource()\nresource.mount('a', Alive())\n")
        client.get("/x.rpy/a")
        client.wait_until(lambda: scripts.registry["lives"].count("stop") == 1)
        os.unlink(path)
        assert client.get("/x.rpy/a").status == 404
        client.wait_until(lambda: scripts.registry["lives"].count("stop") == 2)
        write(LIVES + "cache()\nresource = Alive()")
        assert client.get("/x.rpy").status == 200
    assert scripts.registry["lives"] == ["start", "start", "stop", "stop", "start", "stop"]


def test_what_is_not_kept_is_started_and_stopped_with_its_request(write: Write) -> None:
    scripts = Scripts()
    path = write(LIVES + "resource = Alive()")
    with Client(serve(path, scripts=scripts)) as client:
        assert client.get("/x.rpy").text == "start"
        client.wait_until(lambda: scripts.registry["lives"] == ["start", "stop"])
        assert client.get("/x.rpy").text == "start stop start"


def test_a_wsgi_application_in_a_script(write: Write) -> None:
    path = write(
        "from container import WSGIResource\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n    return [environ['SCRIPT_NAME'].encode()]\n"
        "cache()\nresource = WSGIResource(app, threads=1)\n"
    )
    with Client(serve(path)) as client:
        assert [client.get("/x.rpy/a").text for _ in range(2)] == ["/x.rpy", "/x.rpy"]


def test_what_cannot_be_started_is_not_kept(write: Write) -> None:
    path = write("from container import Files\ncache()\nresource = Files(__file__ + '.none')")
    with Client(serve(path)) as client:
        assert [client.get("/x.rpy").status for _ in range(2)] == [500, 500]


# What is shared.


def test_two_scripts_share_an_object_through_the_registry(write: Write) -> None:
    """ST-22, SC-05: one registry for a tree; the visitor counter counts 1, 2, 3."""
    scripts = Scripts(Registry())
    root = Resource()
    root.mount("one.rpy", ResourceScript(write(VISITS, "one.rpy"), scripts))
    root.mount("two.rpy", ResourceScript(write(VISITS, "two.rpy"), scripts))
    root.mount("alone.rpy", ResourceScript(write(VISITS, "alone.rpy")))
    with Client(root) as client:
        found = [client.get(path).text for path in ("/one.rpy", "/two.rpy", "/one.rpy", "/alone.rpy")]
    assert found == ["visitor 1", "visitor 2", "visitor 3", "visitor 1"]


def test_the_registry_in_both_spellings() -> None:
    """ST-22."""
    registry = Registry()
    first = type("Counter", (), {"__module__": "script"})
    again = type("Counter", (), {"__module__": "script"})
    assert registry.getComponent(first) is None
    assert registry.getComponent(first, 3) == 3
    registry.setComponent(first, "one")
    assert (registry[again], again in registry, registry.getComponent(again)) == ("one", True, "one")
    registry["text"] = 2
    assert (list(registry), len(registry)) == ([("script", "Counter"), "text"], 2)
    registry.unsetComponent(again)
    registry.unsetComponent(again)
    assert dict(registry) == {"text": 2}
    assert registry.get_or_make("list", list) is registry.get_or_make("list", list)


TICKER = (
    TEXT
    + """
from container.service.application import Service

class Ticker(Service):
    ticks = 0

    async def start(self):
        if registry.get("broken"):
            raise OSError("no ticks today")
        registry.setdefault("told", []).append("start")

    async def stop(self):
        registry["told"].append("stop")
        1 / 0

ticker = registry.attach(Ticker, Ticker)
ticker.ticks += 1
resource = Page(ticker.ticks)
"""
)


def test_a_script_may_attach_what_runs_beside_the_requests(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    """ST-22: a service, started once on the loop, and stopped with the tree."""
    scripts = Scripts()
    root = Resource()
    root.mount("one.rpy", ResourceScript(write(TICKER, "one.rpy"), scripts))
    root.mount("two.rpy", ResourceScript(write(TICKER, "two.rpy"), scripts))
    with Client(root) as client:
        scripts.registry["broken"] = True
        assert client.get("/one.rpy").status == 500
        assert "no ticks today" in caplog.text
        scripts.registry["broken"] = False
        assert [client.get(f"/{name}.rpy").text for name in ("one", "two", "one")] == ["1", "2", "3"]
        assert scripts.registry["told"] == ["start"]
    assert scripts.registry["told"] == ["start", "stop"]
    assert "did not stop cleanly" in caplog.text
    assert set(scripts.registry) == {"broken", "told"}


def test_nothing_is_attached_from_where_requests_are_answered(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    """It would wait for itself."""
    path = write(
        TEXT + "class Late(Page):\n    def get(self, request):\n        registry.attach('x', Resource)\n"
        "resource = Late('')\n"
    )
    with Client(serve(path)) as client:
        assert client.get("/x.rpy").status == 500
    assert "expected attach() in the run of a script" in caplog.text


def test_a_script_counts_the_visits_of_each_visitor(write: Write) -> None:
    """SC-05: in the session instead of the registry."""
    path = write(
        "from container import Resource, Response\n"
        "class Visits(Resource):\n    is_leaf = True\n    def get(self, request):\n"
        "        request.session['visits'] = request.session.get('visits', 0) + 1\n"
        "        return Response.text(str(request.session['visits']))\n"
        "resource = Visits()\n"
    )
    site = Site(ResourceScript(path), sessions=Sessions())
    with Client(site) as client:
        assert [client.get("/").text for _ in range(2)] == ["1", "2"]
        client.cookies.clear()  # somebody else
        assert [client.get("/").text for _ in range(2)] == ["1", "2"]


# Nobody waits.

BLOCKED = TEXT + (
    "gate = registry['gate']\nregistry['inside'] = registry.get('inside', 0) + 1\n"
    "assert gate.wait(30)\nregistry['inside'] -= 1\nresource = Page('done')\n"
)


BLOCKED_PAGE = "registry['inside'] += 1\nassert registry['gate'].wait(30)\nrequest.write('done')\n"


def test_a_script_that_blocks_stalls_nobody_else_and_never_runs_beside_itself(write: Write) -> None:
    """AS-07."""
    gate = threading.Event()
    scripts = Scripts(threads=2)
    scripts.registry["gate"] = gate
    root = Resource()
    root.mount("x.rpy", ResourceScript(write(BLOCKED), scripts))
    root.mount("other.rpy", ResourceScript(write(TEXT + "resource = Page('other')", "other.rpy"), scripts))
    root.mount("leaf", Leaf(lambda request: "leaf"))
    with Client(root) as client:
        blocked = [client.connect() for _ in range(3)]
        for connection in blocked:
            connection.send(request("/x.rpy"))
        client.wait_until(lambda: scripts.registry.get("inside") == 1)
        assert client.get("/leaf").text == "leaf"
        assert [client.get("/other.rpy").text for _ in range(3)] == ["other"] * 3
        assert scripts.registry["inside"] == 1
        gate.set()
        assert [connection.receive().text for connection in blocked] == ["done"] * 3


# Deadlines.


def test_a_script_that_takes_too_long_is_answered_for_and_not_run_again_until_it_has_come_back(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    gate = threading.Event()
    scripts = Scripts(threads=1, request_timeout=30)
    scripts.pool.name = f"script-{id(scripts)}"
    scripts.registry["gate"] = gate
    root = Resource()
    root.mount("x.rpy", ResourceScript(write(BLOCKED), scripts))
    root.mount("x.epy", PageScript(write(BLOCKED_PAGE, "x.epy"), scripts))
    root.mount("other.rpy", ResourceScript(write(TEXT + "resource = Page('other')", "other.rpy"), scripts))

    def threads() -> int:
        return sum(thread.name.startswith(f"{scripts.pool.name}-") for thread in threading.enumerate())

    async def expire() -> None:
        for call in scripts.deadlines.watched:
            assert call.deadline is not None
            call.deadline.at = 0.0
        scripts.deadlines.check()

    def status_of(path: str, inside: int) -> int:
        connection = client.connect()
        connection.send(request(path))
        client.wait_until(lambda: scripts.registry.get("inside") == inside)
        client.settle()
        client._run(expire())
        return connection.receive().status

    with Client(root) as client:
        assert status_of("/x.rpy", 1) == 504
        assert "took longer than 30 s" in caplog.text
        assert "gate.wait" in caplog.text
        assert status_of("/x.rpy", 1) == 504  # alone it would do, but it never runs beside itself
        assert "waited longer than 30 s" in caplog.text
        assert client.get("/other.rpy").text == "other"
        assert status_of("/x.epy", 2) == 504
        assert client.get("/other.rpy").text == "other"
        assert threads() == 3
        gate.set()
        client.wait_until(lambda: threads() == 1, "the end of those that were stuck")
        assert [client.get(path).text for path in ("/x.rpy", "/x.epy")] == ["done", "done"]


def test_a_client_that_leaves_does_not_run_a_script_beside_itself(write: Write) -> None:
    gate = threading.Event()
    scripts = Scripts(threads=2)
    scripts.registry["gate"] = gate
    root = Resource()
    root.mount("x.rpy", ResourceScript(write(BLOCKED), scripts))
    with Client(root) as client:
        first, second = client.connect(), client.connect()
        first.send(request("/x.rpy"))
        client.wait_until(lambda: scripts.registry.get("inside") == 1)
        first.transport.reset()
        client.settle()
        second.send(request("/x.rpy"))
        client.settle()
        assert scripts.registry["inside"] == 1
        gate.set()
        assert second.receive().text == "done"
