"""Files for logging.config: what is wrong with one is a line that names the file and the place. Covers CF-07, LG-04.

All of them are applied by one process that does nothing else: logging is of the whole process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from container.service.logs import LogProblem
from container.service.logs.configured import apply_config

if TYPE_CHECKING:
    from pathlib import Path

INI: Final = """\
[loggers]
keys = {loggers}
[handlers]
keys = hand
[formatters]
keys =

[handler_hand]
class = {kind}
args = {arguments}
[logger_root]
level = {level}
handlers = {handlers}
"""
FINE: Final = {
    "loggers": "root", "kind": "StreamHandler", "arguments": "()", "level": "INFO", "handlers": "hand"
}  # fmt: skip


def ini(**different: str) -> str:
    return INI.format(**FINE | different)


def table(handler: dict[str, Any], **more: Any) -> str:
    return json.dumps({"version": 1, "handlers": {"hand": handler}} | more)


EXPECTED: Final = "expected a configuration of logging, got an error"
WRONG: Final[dict[str, tuple[str | bytes, str]]] = {
    "brace.json": ('{\n"version"', ":2: expected JSON, got an error: expecting ':' delimiter"),
    "deep.json": ("[" * 100_000, ": expected JSON, got an error: maximum recursion depth exceeded"),
    "value.toml": ("version = 1\na =\n", ":2: expected TOML, got an error: invalid value"),
    "key.toml": ("a", ": expected TOML, got an error: expected '=' after a key in a key/value pair (at end"),
    "list.yaml": ("a: [\nb", ":2: expected YAML, got an error: expected ',' or ']', but got '<stream end>'"),
    "control.yml": ("a: \x01", ": expected YAML, got an error: unacceptable character #x0001: special"),
    "plain.ini": ("version: 1", ":1: expected a [section] or NAME = VALUE, got 'version: 1'"),
    "key.conf": ("[loggers]\nkeys", ":2: expected a [section] or NAME = VALUE, got "),
    "twice.ini": ("[a]\nb=1\nb=2", ":3: expected a [section] or NAME = VALUE, got b twice"),
    "section.ini": ("[a]\n[a]", ":2: expected a [section] or NAME = VALUE, got [a] twice"),
    "latin.ini": (b"\xe9", ": expected UTF-8, got byte 0xe9"),
    "array.json": ("[]", ": expected a table with version = 1, handlers and loggers, got a list"),
    "empty.yaml": ("", ": expected a table with version = 1, handlers and loggers, got nothing"),
    "number.json": ("7", ": expected a table with version = 1, handlers and loggers, got 7"),
    "empty.toml": ("", f": {EXPECTED}: dictionary doesn't specify a version"),
    "shape.json": ('{"version": 1, "handlers": ["a"]}', f": {EXPECTED}: "),
    "module.json": (
        table({"class": "nope.Hand"}),
        f": {EXPECTED}: unable to configure handler 'hand': cannot resolve 'nope.Hand': No module named 'nope'",
    ),
    "class.json": (
        table({"class": "logging.StremHandler"}),
        f": {EXPECTED}: unable to configure handler 'hand': cannot resolve 'logging.StremHandler'",
    ),
    "none.json": (table({}), f": {EXPECTED}: unable to configure handler 'hand': "),
    "argument.json": (
        table({"class": "logging.FileHandler"}),
        f": {EXPECTED}: unable to configure handler 'hand': FileHandler.__init__() missing 1 required",
    ),
    "folder.json": (
        table({"class": "logging.FileHandler", "filename": "/nowhere/x.log"}),
        f": {EXPECTED}: unable to configure handler 'hand': '/nowhere/x.log': no such file or directory",
    ),
    "root.json": (
        table({"class": "logging.NullHandler"}, root={"handlers": ["hnad"]}),
        f": {EXPECTED}: unable to configure root logger: unable to add handler 'hnad'",
    ),
    "level.json": (
        table({"class": "logging.NullHandler"}, loggers={"a": {"level": "LOUD"}}),
        f": {EXPECTED}: unable to configure logger 'a': unknown level: 'LOUD'",
    ),
    "empty.ini": ("", ": expected a section [loggers], got none"),
    "formatters.ini": ("[loggers]\nkeys=root", ": expected a section [formatters], got none"),
    "root.ini": (ini(loggers="a"), ":1: expected root among the keys of [loggers], got none"),
    "other.ini": (ini(loggers="root, a"), ": expected a section [logger_a], got none"),
    "module.ini": (ini(kind="nope.Hand"), f":8: {EXPECTED} in [handler_hand]: no module named 'nope'"),
    "syntax.ini": (ini(arguments="("), f":8: {EXPECTED} in [handler_hand]: "),
    "folder.ini": (
        ini(kind="FileHandler", arguments="('/nowhere/x',)"),
        f":8: {EXPECTED} in [handler_hand]: '/nowhere/x': no such file or directory",
    ),
    "level.ini": (ini(level="LOUD"), f":11: {EXPECTED} in [logger_root]: unknown level: 'LOUD'"),
    "hand.ini": (ini(handlers="hnad"), f":11: {EXPECTED} in [logger_root]: no 'hnad'"),
    "joint.ini": (ini(arguments="%(nowhere)s"), f":8: {EXPECTED} in [handler_hand]: "),
}  # fmt: skip
PROGRAM: Final = """
import json, sys
from container.service.logs import LogProblem
from container.service.logs.configured import apply_config

for name in sys.argv[1:]:
    try:
        apply_config(name)
    except LogProblem as problem:
        print(json.dumps([name, str(problem)]))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What was told of each wrong file."""
    here = tmp_path_factory.mktemp("wrong")
    for name, (text, _) in WRONG.items():
        (here / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *WRONG],
        cwd=here,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_line_with_its_place(name: str, told: dict[str, str]) -> None:
    """CF-07."""
    assert told[name].startswith(name + WRONG[name][1])
    assert "\n" not in told[name]


def test_a_file_that_cannot_be_read_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(LogProblem, match=r"got 'no\.json': no such file or directory"):
        apply_config("no.json")
    with pytest.raises(LogProblem, match=r"expected a file to read for --log-config, got .*: is a directory"):
        apply_config(str(tmp_path))


def test_yaml_needs_a_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    path = tmp_path / "log.yml"
    path.write_text("version: 1")
    with pytest.raises(
        LogProblem, match=r'^expected PyYAML to be installed for .*log\.yml: pip install "cont'
    ):
        apply_config(str(path))
