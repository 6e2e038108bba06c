"""`--log-config`: the real command with files for logging.config in all their formats. Covers LG-01, LG-03, LG-04 and
DM-03. The example of docs/logging.md is run as it stands there.
"""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from container.config.toml import dump
from tests.scripts import script_directory
from tests.system.test_logs import APP, ONE, daemon, status_of
from tests.system.test_workers import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.conftest import Running

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs" / "logging.md").read_text()
EXAMPLE: Final = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0]
INI: Final = """\
[loggers]
keys = root, access
[handlers]
keys = all, requests
[formatters]
keys = line, json
[formatter_line]
format = %(levelname)s %(name)s: %(message)s
[formatter_json]
class = container.service.logs.JSONRecordFormatter
[handler_all]
class = FileHandler
args = ("%(here)s/all.log",)
formatter = line
[handler_requests]
class = FileHandler
args = ("%(here)s/access.log",)
formatter = json
[logger_root]
handlers = all
[logger_access]
qualname = container.access
handlers = requests
propagate = 0
"""
TABLE: Final[dict[str, Any]] = {
    "version": 1,
    "formatters": {
        "line": {"format": "%(levelname)s %(name)s: %(message)s"},
        "json": {"class": "container.service.logs.JSONRecordFormatter"},
    },
    "handlers": {
        "all": {"class": "logging.FileHandler", "filename": "all.log", "formatter": "line"},
        "requests": {"class": "logging.FileHandler", "filename": "access.log", "formatter": "json"},
    },
    "loggers": {"container.access": {"handlers": ["requests"], "propagate": False}},
    "root": {"handlers": ["all"]},
}
TEXTS: Final = {
    "log.ini": INI,
    "log.conf": INI,
    "log.json": json.dumps(TABLE),
    "log.toml": dump(TABLE),
    "log.yaml": yaml.safe_dump(TABLE),
    "LOG.YML": yaml.safe_dump(TABLE),
}


__all__ = ["daemon"]  # a fixture


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


def write_table(path: Path, **changes: Any) -> Path:
    """TABLE with other members, as JSON."""
    path.write_text(json.dumps(TABLE | changes))
    return path


def test_every_logger_is_told_of() -> None:
    """Whoever writes such a file has to know their names."""
    names = {
        name
        for path in (ROOT / "container").rglob("*.py")
        for name in re.findall(r'getLogger\("(container\.[a-z.]+)"\)', path.read_text())
    }
    assert {name for name in names | {"container.access"} if f"`{name}`" not in PAGE} == set()


@pytest.mark.parametrize("count", [1, 2])
def test_the_example_of_the_documentation(start: Callable[..., Running], here: Path, count: int) -> None:
    """LG-03: in one process and in several; USR1 opens its files again."""
    (here / "log.yaml").write_text(EXAMPLE)
    running = start(*ONE, "--log-config", "log.yaml", "--workers", count, "--log-requests")
    for number in (1, 2):
        assert running.fetch(f"/broken?{number}", headers={"X-Request-ID": f"id-{number}"}).status == 500
        until(lambda name=f"?{number} ": name in (here / "access.log").read_text(), "the line of the request")
        if number == 1:
            (here / "access.log").rename(here / "access.log.1")
            (here / "errors.log").rename(here / "errors.log.1")
            running.send(signal.SIGUSR1)
            until((here / "access.log").exists, "a new file")
            until((here / "errors.log").exists, "a new file")
            # Every worker has to have heard it.
            until(lambda: open_files(running, "errors.log.1") == 0, "the old file to be left")
    assert running.stop() == 0
    assert running.output == ""
    for number, suffix in ((1, ".1"), (2, "")):
        (line,) = (here / f"access.log{suffix}").read_text().splitlines()
        assert re.fullmatch(rf'127\.0\.0\.1 - - \[.*\] "GET /broken\?{number} HTTP/1.1" 500 \d+ .*', line)
        (record,) = map(json.loads, (here / f"errors.log{suffix}").read_text().splitlines())
        assert (record["logger"], record["request_id"]) == ("container.site", f"id-{number}")
        assert "LookupError: of the application" in record["traceback"]
    assert len(running.urls) == 1
    dated = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} "
    lines = [re.sub(dated, "", line) for line in running.lines if re.match(dated, line)]
    assert any(re.match("INFO container.server: container .* serving on ", line) for line in lines)
    assert lines.count("WARNING shop: nothing left") == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_its_files_belong_to_the_user(start: Callable[..., Running]) -> None:
    """LG-03, DM-04: who opens them again has no other rights; new ones are the arbiter's to make, which stays root."""
    with script_directory() as scripts:  # pytest's directories are root's alone
        here = scripts.path
        (here / "shop.py").write_text(APP)
        write_table(here / "log.json")
        rights = ("--user", "54321", "--group", "54322")
        running = start(*ONE, "--log-config", "log.json", "--workers", 2, *rights, cwd=here)
        running.fetch("/broken?1")
        for name in ("all.log", "access.log"):
            (here / name).rename(here / f"{name}.1")
        running.send(signal.SIGUSR1)
        until(
            lambda: open_files(running, "all.log.1") + open_files(running, "access.log.1") == 0, "new files"
        )
        running.fetch("/broken?2")
        assert running.stop() == 0
        for name in ("all.log", "all.log.1", "access.log", "access.log.1"):
            status = (here / name).stat()
            assert (status.st_uid, status.st_gid) == (54321, 54322), name
        assert "LookupError" in (here / "all.log").read_text()
        assert "/broken?2" in (here / "access.log").read_text()


def open_files(running: Running, name: str) -> int:
    """How many of its processes have such a file open."""
    pid = running.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    links = [link for each in (pid, *children) for link in Path(f"/proc/{each}/fd").iterdir()]
    return sum(Path(os.readlink(link)).name == name for link in links if link.is_symlink())


@pytest.mark.parametrize("name", TEXTS)
def test_the_suffix_tells_the_format(start: Callable[..., Running], here: Path, name: str) -> None:
    """LG-01, LG-04: both logs."""
    (here / name).write_text(TEXTS[name])
    running = start(*ONE, "--log-config-json", name, "--access-log-format", "%(m)s %(U)s %(s)s")
    running.fetch("/broken")
    assert running.stop() == 0
    assert json.loads((here / "access.log").read_text())["message"] == "GET /broken 500"
    lines = (here / "all.log").read_text().splitlines()
    assert lines[0].startswith("INFO container.server: container ")
    assert "WARNING shop: nothing left" in lines
    assert any(
        line.startswith("ERROR container.site: <Request GET /broken HTTP/1.1> failed") for line in lines
    )
    assert running.lines == [line for line in running.lines if " serving on " in line]
    assert running.output == ""


@pytest.mark.parametrize("spelling", ["file", "environment"])
def test_it_may_be_said_elsewhere(start: Callable[..., Running], here: Path, spelling: str) -> None:
    write_table(here / "log.json")
    variables = {"CONTAINER_LOG_CONFIG": "log.json"} if spelling == "environment" else {}
    if spelling == "file":
        (here / "container.toml").write_text('log-config = "log.json"\nwsgi = "shop:application"\n')
    running = start(*(ONE if variables else ONE[1:]), **variables)
    running.fetch("/broken")
    assert running.stop() == 0
    assert "LookupError: of the application" in (here / "all.log").read_text()
    assert "/broken" in (here / "access.log").read_text()


def test_what_the_file_leaves_open_is_ours(start: Callable[..., Running], here: Path) -> None:
    """A file that knows of the application only: no record of the server is lost, and its options hold."""
    loggers = {"shop": {"handlers": ["all"], "propagate": False}}
    write_table(here / "log.json", loggers=loggers, root={})
    options = ("--log-file", "server.log", "--log-format", "json", "--access-log-file", "requests.log")
    running = start(*ONE, "--log-config", "log.json", *options)
    running.fetch("/broken")
    assert running.stop() == 0
    assert (here / "all.log").read_text() == "WARNING shop: nothing left\n"
    records = [json.loads(line) for line in (here / "server.log").read_text().splitlines()]
    assert [each["logger"] for each in records if each["level"] == "error"] == ["container.site"]
    assert "/broken" in (here / "requests.log").read_text()


def test_a_reload_reads_the_file_again(start: Callable[..., Running], here: Path) -> None:
    """LC-02: for the arbiter and its new workers; what is wrong with it is one line, and all stays."""
    write_table(here / "log.json")
    running = start(*ONE, "--log-config", "log.json", "--workers", 2)
    write_table(here / "log.json", root={"handlers": ["al"]})
    running.send(signal.SIGHUP)
    text = "ERROR container.server: logging stays as it is: log.json: expected a configuration of logging, got an error"
    until(lambda: text in (here / "all.log").read_text(), "a line about the file")
    until(lambda: "INFO container.workers: reloading" in (here / "all.log").read_text(), "a reload")
    changed = TABLE["handlers"] | {"all": {"class": "logging.FileHandler", "filename": "new.log"}}
    write_table(here / "log.json", handlers=changed, loggers={})
    running.send(signal.SIGHUP)
    until((here / "new.log").exists, "the new file")
    until(lambda: open_files(running, "all.log") == 0, "the end of the old workers")
    running.fetch("/broken?2")
    assert running.stop() == 0
    assert "reloading\n" in (here / "new.log").read_text()
    assert "LookupError: of the application" in (here / "new.log").read_text()
    assert "?2" not in (here / "all.log").read_text()
    assert "?2" not in (here / "access.log").read_text()
    assert "GET /broken?2 " in running.output


def test_a_change_of_the_file_is_one_of_the_application(start: Callable[..., Running], here: Path) -> None:
    """With --reload."""
    write_table(here / "log.json")
    running = start(*ONE, "--log-config", "log.json", "--reload")
    changed = TABLE["handlers"] | {"all": {"class": "logging.FileHandler", "filename": "new.log"}}
    write_table(here / "log.json", handlers=changed)
    until(lambda: (here / "new.log").exists() and "reloading" in (here / "new.log").read_text(), "a reload")
    assert running.stop() == 0


def test_classes_of_the_application_are_imported_once(start: Callable[..., Running], here: Path) -> None:
    """Before the workers, so SIGHUP finds them unchanged, which is told."""
    (here / "store").mkdir()
    (here / "store" / "__init__.py").write_text("")
    (here / "store" / "logs.py").write_text("import logging\nclass Lines(logging.FileHandler):\n    pass\n")
    handlers = TABLE["handlers"] | {"all": {"class": "store.logs.Lines", "filename": "all.log"}}
    write_table(here / "log.json", handlers=handlers)
    warning = "container: warning: for log.json only a restart imports store, store.logs anew"
    for count, lines in ((2, [warning]), (1, [])):
        running = start(*ONE, "--log-config", "log.json", "--workers", count)
        running.fetch("/broken")
        assert running.stop() == 0
        assert [line for line in running.lines if "warning" in line] == lines
        assert "LookupError" in (here / "all.log").read_text()


def test_the_start_looks_like_the_rest_of_standard_error(start: Callable[..., Running], here: Path) -> None:
    """LG-04: once, whatever the level, where programs read it."""
    handlers = {"all": {"class": "logging.StreamHandler", "formatter": "json", "level": "ERROR"}}
    loggers = {"container": {"level": "WARNING"}}
    write_table(here / "log.json", handlers=handlers, loggers=loggers, root={"handlers": ["all"]})
    running = start(*ONE, "--log-config", "log.json")
    running.fetch("/broken")
    assert running.stop() == 0
    records = [json.loads(line) for line in running.lines]
    assert [(each["logger"], each["level"]) for each in records] == [
        ("container.server", "info"), ("container.site", "error")
    ]  # fmt: skip


def test_a_daemon_has_its_logs_where_the_file_says(daemon: Any, here: Path) -> None:
    """DM-03."""
    write_table(here / "log.json")
    port = daemon("--log-config", "log.json")
    assert status_of(port, "/broken") == 500
    until(lambda: "/broken" in (here / "access.log").read_text(), "the line of the request")
    assert "LookupError: of the application" in (here / "all.log").read_text()


def test_what_the_loop_says_is_where_our_records_are(start: Callable[..., Running], here: Path) -> None:
    """Also when only ours have handlers."""
    (here / "loop.py").write_text(
        "import asyncio\n"
        "async def fail():\n"
        "    raise LookupError('of a task')\n"
        "async def application(scope, receive, send):\n"
        "    task = asyncio.create_task(fail())\n"
        "    await asyncio.wait({task})\n"
        "    del task\n"
        "    await send({'type': 'http.response.start', 'status': 200})\n"
        "    await send({'type': 'http.response.body', 'body': b'x'})\n"
    )
    write_table(here / "log.json", loggers={"container": {"handlers": ["all"]}}, root={})
    running = start("--asgi", "loop:application", *ONE[1:], "--lifespan=off", "--log-config", "log.json")
    assert running.fetch("/").body == b"x"
    assert running.stop() == 0
    text = (here / "all.log").read_text()
    assert "ERROR asyncio: Task exception was never retrieved" in text
    assert "LookupError: of a task" in text


LEVELS: Final = [
    ([], None, "INFO"),
    ([], "WARNING", "WARNING"),
    (["--log-level=debug"], "WARNING", "DEBUG"),
    (["--log-level=error"], None, "ERROR"),
]


@pytest.mark.parametrize(("options", "level", "least"), LEVELS)
def test_the_level_is_that_of_the_file_unless_one_is_said(
    start: Callable[..., Running], here: Path, options: list[str], level: str | None, least: str
) -> None:
    """And requests are logged whatever it is."""
    (here / "shop.py").write_text(
        "import logging\n"
        "def application(environ, start_response):\n"
        "    for name in ('debug', 'info', 'warning', 'error'):\n"
        "        getattr(logging.getLogger('container.shop'), name)('of the application')\n"
        "    start_response('200 OK', [])\n"
        "    return [b'x']\n"
    )
    loggers = {"container": {} if level is None else {"level": level}}
    write_table(here / "log.json", loggers=TABLE["loggers"] | loggers)
    running = start(*ONE, "--log-config", "log.json", *options)
    running.fetch("/")
    assert running.stop() == 0
    lines = (here / "all.log").read_text().splitlines()
    assert next(line for line in lines if "container.shop" in line).split()[0] == least
    assert "GET / HTTP/1.1" in (here / "access.log").read_text()


OTHERS: Final = [
    (["--log-file=x"], "expected --log-file or the handlers of log.json, got both"),
    (["--log-format=text"], "expected --log-format or the handlers of log.json, got both"),
    (["--syslog", "--journal"], "expected --syslog and --journal or the handlers of log.json, got both"),
    (
        ["--access-log-file=x"],
        "expected --access-log-file or the logger container.access in log.json, got both",
    ),
]


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(("options", "line"), OTHERS)
def test_no_option_is_lost_in_silence(
    finish: Any, here: Path, options: list[str], line: str, command: str
) -> None:
    write_table(here / "log.json")
    done = finish(command, *ONE, "--log-config=log.json", *options)
    assert (done.returncode, done.stderr) == (2, f"container: {line}\n")


def test_a_check_leaves_no_trace(finish: Any, here: Path) -> None:
    """CF-07: no file is made, none is begun anew, and nothing that the application says meanwhile is in one."""
    (here / "shop.py").write_text(APP + "log.error('loaded')\n")
    (here / "requests.log").write_text("of the service\n")
    requests = {"class": "logging.FileHandler", "filename": "requests.log", "mode": "w"}
    write_table(here / "log.json", handlers=TABLE["handlers"] | {"requests": requests})
    before = sorted(os.listdir(here))
    done = finish("check", *ONE, "--log-config=log.json")
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "container: the configuration is fine"
    assert sorted(each for each in os.listdir(here) if each != "__pycache__") == before
    assert (here / "requests.log").read_text() == "of the service\n"
    (here / "all.log").mkdir()
    done = finish("check", *ONE, "--log-config=log.json")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"unable to configure handler 'all': '{here / 'all.log'}': is a directory" in done.stderr


def test_a_file_that_is_not_there_is_one_line(finish: Any, here: Path) -> None:
    done = finish(*ONE, "--log-config", "log.json")
    line = "container: expected a file to read for --log-config, got 'log.json': no such file or directory\n"
    assert (done.returncode, done.stderr) == (2, line)
