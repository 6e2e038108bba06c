"""Commands that look at a configuration: check, print, routes, inspect, schema."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from container.cli.options import read_line

ROOT = Path(__file__).resolve().parents[2]
SITE = """
listen = "127.0.0.1:0"
threads = 2
readyz = "/ready"

[headers]
X-One = "1"

[[mount]]
path = "/"
wsgi = "hello:application"

[[mount]]
path = "/static"
files = "public"
allow = "10.0.0.0/8"
compress = "gzip"

[[mount]]
host = "a.example"
app = "hello:page"
htpasswd = "users.txt"
"""
HELLO = """
from container import Redirect
def application(environ, start_response): ...
page = Redirect("/elsewhere")
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "hello.py").write_text(HELLO)
    (tmp_path / "public").mkdir()
    (tmp_path / "users.txt").write_text("mary:{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=\n")
    (tmp_path / "container.toml").write_text(SITE)
    return tmp_path


def finish(here: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "container", *arguments],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", ["check", "--check-config"])
def test_check_loads_all_and_listens_nowhere(here: Path, command: str) -> None:
    """CF-07, CL-10"""
    done = finish(here, command)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "container reads container.toml\ncontainer: container.toml is fine\n"


@pytest.mark.parametrize(
    ("more", "code", "line"),
    [
        ("\n[[mount]]\npath = '/x'\nfiles = 'public'\nlistin = 1\n", 2, 'did you mean "listing"?'),
        (
            "\n[[mount]]\npath = '/x'\nwsgi = 'hello:nothing'\n",
            4,
            "expected a name 'nothing' in module 'hello'",
        ),
        ("\n[[mount]]\npath = '/x'\nwsgi = 'raises:x'\n", 4, "importing 'raises' failed: ZeroDivisionError"),
    ],
)
def test_check_says_what_is_wrong(here: Path, more: str, code: int, line: str) -> None:
    (here / "raises.py").write_text("1 / 0\n")
    (here / "container.toml").write_text(SITE + more)
    done = finish(here, "check")
    assert done.returncode == code
    last = done.stderr.splitlines()[-1]
    assert last.startswith("container: container.toml:")
    assert line in last
    # What is shown besides is of the user's own module.
    assert ("Traceback" in done.stderr) is ("raises" in more)


def test_check_reads_certificates(here: Path) -> None:
    (here / "bad.pem").write_text("no certificate")
    done = finish(here, "check", "--ssl-certfile=bad.pem")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("container: cannot listen on TLS: ")


def test_routes_is_the_tree(here: Path) -> None:
    done = finish(here, "routes")
    assert done.stdout.splitlines() == [
        "listening on 127.0.0.1:0",
        "  headers = X-One=1",
        "  readyz = /ready",
        "  /             wsgi hello:application  (threads=2)",
        "  /static       files public  (allow=10.0.0.0/8, compress=gzip)",
        "  //a.example/  redirect /elsewhere  (htpasswd=users.txt)",
    ]
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["/a/b?c"], [
            "GET /a/b?c of localhost", "  /: through health", "  /: through virtual hosts to wsgi hello:application",
            "answered by wsgi hello:application", "  script_name '', path_info '/a/b'",
        ]),
        (["http://b.example:81/static/x", "-X", "post"], [
            "POST /static/x of b.example:81", "  /: through health",
            "  /: through virtual hosts to wsgi hello:application", "  /static: allow 10.0.0.0/8 is mounted",
            "answered 403: Your address may not see this.",
        ]),
        (["/x", "-H", "Host: a.example", "--request-header=Authorization: Basic bWFyeToxMjM0NTY="], [
            "GET /x of a.example", "  /: through health", "  /: through virtual hosts to htpasswd users.txt",
            "  /: through htpasswd users.txt", "answered by redirect /elsewhere", "  script_name '', path_info '/x'",
            "  user 'mary' by Basic",
        ]),
        (["https://a.example/x"], [
            "GET /x of a.example", "  /: through health", "  /: through virtual hosts to htpasswd users.txt",
            "  /: through htpasswd users.txt to Challenge", "answered by Challenge",
            "  script_name '', path_info '/x'",
        ]),
        (["/ready"], [
            "GET /ready of localhost", "  /: through health to Readiness", "answered by Readiness",
            "  script_name '', path_info '/ready'",
        ]),
    ],
)  # fmt: skip
def test_inspect_tells_who_answers_and_why(here: Path, arguments: list[str], lines: list[str]) -> None:
    done = finish(here, "inspect", *arguments)
    assert done.stdout.splitlines() == lines
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["inspect", "x"], 'expected "/path" or "http://host/path" as URL, got \'x\' (did you mean "/x"?)'),
        (["inspect", "ftp://x/"], 'expected "/path" or "http://host/path" as URL, got \'ftp://x/\''),
        (["inspect", "/", "-H", "x"], "expected \"Name: value\" for --request-header, got 'x'"),
        (["inspect", ""], 'expected "/path" or "http://host/path" as URL, got \'\''),
        (
            ["inspect", "http://[::1/"],
            'expected "/path" or "http://host/path" as URL, got \'http://[::1/\': ',
        ),
        (
            ["inspect", "http://x:99999/"],
            'expected "/path" or "http://host/path" as URL, got \'http://x:99999/\': ',
        ),
        (
            ["inspect", "http://a..b/"],
            'expected "/path" or "http://host/path" as URL, got \'http://a..b/\': ',
        ),
        (["inspect", "http://x y/"], 'expected "/path" or "http://host/path" as URL, got \'http://x y/\': '),
        (["inspect", "/", "-X", "G T"], "expected a method such as GET, got 'G T'"),
        (["inspect", "/", "-H", "Host: x y"], 'expected one Host such as "name" or "name:port", got \'x y\''),
        (
            ["inspect", "/", "-H", "A: b\r\nC: d"],
            "expected no control characters in field 'A', got 'b\\r\\nC: d'",
        ),
        (["inspect", "/", "-H", "a b: c"], "expected a token as field name, got 'a b'"),
        (["inspect"], "expected URL, got none"),
        (["chek"], "no module named 'chek' in "),
    ],
)
def test_a_mistake_is_one_line(here: Path, arguments: list[str], line: str) -> None:
    done = finish(here, *arguments)
    assert done.returncode in (2, 4)
    assert done.stderr.splitlines()[-1].startswith(f"container: {line}")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("variables", [{"PYTHONIOENCODING": "ascii:strict"}, {"LC_ALL": "C.UTF-8"}])
def test_what_utf_8_cannot_say_is_told_but_not_printed(
    here: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    os.mkdir(os.fsencode(here) + b"/\xff")
    (here / "caf\u00e9").mkdir()
    done = finish(here, "print", "--path", "\udcff")
    assert (done.returncode, done.stdout) == (2, "")
    line = "container: expected what can be said in UTF-8, got 'files = \"\\udcff\"'\n"
    assert done.stderr == line
    assert "  files \\udcff  " in finish(here, "routes", "--path", "\udcff").stdout
    assert finish(here, "inspect", "/\udcff", "hello:page").stdout.startswith("GET /%FF of localhost\n")
    # TOML is UTF-8, whatever the terminal is.
    assert 'files = "caf\u00e9"' in finish(here, "print", "--path", "caf\u00e9").stdout


def test_schema_is_printed_without_looking_for_anything(here: Path) -> None:
    (here / "container.toml").write_text("this is no TOML")
    for command in ("schema", "--print-schema"):
        done = finish(here, command)
        assert json.loads(done.stdout)["title"] == "container.toml"
        assert (done.returncode, done.stderr) == (0, "")


def test_help_has_sections_and_commands_have_help(here: Path) -> None:
    """CL-08, CL-10"""
    done = finish(here, "--help")
    words = " ".join(done.stdout.split())
    for title in (
        "What is served:",
        "Configuration:",
        "TLS:",
        "Workers:",
        "Logs:",
        "Development:",
        "Commands:",
    ):
        assert title in words
    for option in (
        "--threads", "--timeout", "--max-body", "--tls-cert", "--tls-key", "--access-log-format", "--trusted-proxy",
        "--reload", "--check-config", "--workers",
    ):  # fmt: skip
        assert option in words
    assert (done.returncode, done.stderr) == (0, "")
    assert "Tell which resource answers" in " ".join(finish(here, "inspect", "--help").stdout.split())


def test_a_first_word_may_be_a_command() -> None:
    """Without a colon or dot it is one; `container run app` is `container app`."""
    assert read_line(["run", "hello", "--threads=2"])[:2] == ("run", {"app": ["hello"], "threads": ["2"]})
    assert read_line(["check:app"])[:2] == ("run", {"app": ["check:app"]})
    assert read_line(["routes", "check"])[:2] == ("routes", {"app": ["check"]})
    assert read_line([])[:2] == ("run", {})
