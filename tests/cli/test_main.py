"""What the command says to a mistake, run as a user runs it, and how its options are read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import container
from container.channel.endpoints import FDEndpoint, TCPEndpoint, UnixEndpoint
from container.cli import main as cli
from container.cli.options import read_line
from container.config.assemble import endpoints_of, is_exposed, settings_of
from container.config.kinds.registry import KINDS
from container.config.layers import Configuration, from_texts, merge
from container.config.settings import Settings

ROOT = Path(__file__).resolve().parents[2]

HELLO = """
def application(environ, start_response): ...

def create_app():
    return application

def broken_factory():
    raise RuntimeError("no database")

async def asgi(scope, receive, send): ...

class Asgi:
    async def __call__(self, scope, receive, send): ...

asgi_object = Asgi()
not_callable = {}
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "hello.py").write_text(HELLO)
    (tmp_path / "raises.py").write_text("def divide():\n    return 1 / 0\ndivide()\n")
    (tmp_path / "syntax.py").write_text("x = 1\ny = = 2\n")
    (tmp_path / "public").mkdir()
    return tmp_path


def finish(here: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "container", *arguments],
        cwd=here,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


KIND_NAMES = ", ".join(KINDS)
MISTAKES = [
    (2, ["--prot=1"], "expected a known option, got --prot (did you mean --port?)"),
    (2, ["-q"], "expected a known option, got -q"),
    (2, ["--port"], "expected a value for --port, got none"),
    (2, ["--factory=1"], "expected no value for --factory, got one"),
    (2, ["--port=x"], "expected a number from 0 to 65535 for --port, got 'x'"),
    (2, ["--host="], "expected a name or an address for --host, got ''"),
    (2, ["--port=65536"], "expected a number from 0 to 65535 for --port, got '65536'"),
    (2, ["--threads=-1"], "expected a number from 0 to 10000 for --threads, got '-1'"),
    (2, ["--max-body=ten"], "expected a size such as 10M for --limit-request-body, got 'ten'"),
    (2, ["--limit-request-line=1"], "expected a size from 16 to 1M for --limit-request-line, got '1'"),
    (2, ["--keep-alive=1y"], "expected a duration such as 30, 500ms or 5m for --keep-alive, got '1y'"),
    (2, ["--header=none"], "expected \"Name: value\" for --header, got 'none'"),
    (2, ["--header=a b: c"], "expected a token as field name, got 'a b'"),
    (2, ["--header=X: \x01"], "expected no control characters in field 'X', got '\\x01'"),
    (2, ["--header=Connection: close"],
     "expected a field that is not the server's own for --header, got 'Connection: close'"),
    (2, ["--listen=tpc:80"], "expected \"tcp:PORT\", got 'tpc:80' (did you mean \"tcp\"?)"),
    (2, ["--log-level=wrning"],
     "expected debug, info, warning, error, critical for --log-level, got 'wrning' "
     '(did you mean "warning"?)'),
    (2, ["--loop=trio"], "expected auto, uvloop, asyncio for --loop, got 'trio'"),
    (2, ["a:b", "c:d"], "expected one APP, got 'a:b' and 'c:d'"),
    (2, ["hello", "--path=public"], "expected one root, got APP and --path; use --mount for more"),
    (2, ["hello", "--mount=/=hello"], "expected one root, got APP and --mount /; use --mount for more"),
    (2, ["--wsgi=hello", "-y", "x.tac"], "expected one root, got --wsgi and --python; use --mount for more"),
    (2, ["--factory"], "expected APP, --wsgi or --asgi with --factory, got none of them"),
    (2, ["public"], "expected APP as \"module:name\", got 'public' (did you mean --path public?)"),
    (2, ["site.tac"], "expected APP as \"module:name\", got 'site.tac' (did you mean -y site.tac?)"),
    (2, ["--path=nowhere"], "expected a directory, got 'nowhere': nothing is there"),
    (2, ["--access-log-file=no/such.log"],
     "expected a file to write to for --access-log-file, got 'no/such.log': no such file or directory"),
    (2, ["--access-log-format=%(D)s %(hh)s"],
     "--access-log-format: expected an atom such as %(h)s, %(l)s, %(u)s, %(t)s in the format, got %(hh)s "
     "(did you mean %(h)s?)"),
    (2, ["--access-log-format=jsn"],
     "--access-log-format: expected combined, common, vhost, json or a format such as %h \"%r\" %>s, got 'jsn' "
     "(did you mean json?)"),
    (2, ["--log-file=x", "--syslog"], "expected one place for the log, got --log-file and --syslog"),
    (2, ["--log-file=no/such.log"],
     "expected a file to write to for --log-file, got 'no/such.log': no such file or directory"),
    (2, ["--syslog-address=tcp://a:1"],
     "--syslog-address: expected a socket of datagrams such as /dev/log or udp://host:514, got 'tcp://a:1'"),
    (2, ["--syslog-prefix=a b"], "--syslog-prefix: expected a word without spaces, colons and brackets, got 'a b'"),
    (2, ["--send-request-id"], "expected --request-id accept or issue with --send-request-id, got neither"),
    (2, ["--no-access-log", "--access-log-file=x"],
     "expected --access-log-file or --no-access-log, got both"),
    (2, ["--mount=x"], "expected a mount as \"/prefix=KIND:ARG\", got 'x'"),
    (2, ["--mount=x=path:public"],
     "expected a mount as \"/prefix=KIND:ARG\", got 'x=path:public' (did you mean \"/x=path:public\"?)"),
    (2, ["--mount=/a//b=path:public"],
     "expected a prefix without empty segments, got '/a//b' in '/a//b=path:public'"),
    (2, ["--mount=/a=path:public", "--mount=/a/=path:."],
     "expected one mount at /a, got '/a=path:public' and '/a/=path:.'"),
    (2, ["--mount=/x=pth:public"],
     f'expected {KIND_NAMES} or "module:name" to mount, got \'pth:public\' '
     '(did you mean "path"?)'),
    (2, ["--mount=/x=public"],
     f'expected {KIND_NAMES} or "module:name" to mount, got \'public\' '
     '(did you mean "path:public"?)'),
    (2, ["--mount=/x=path:"], 'expected something after "path:", got nothing'),
    (2, ["--mount=/x=path:nowhere"], "expected a directory, got 'nowhere': nothing is there"),
    (4, ["--mount=/x=wsgi:hello:aplication"],
     "expected a name 'aplication' in module 'hello', got none (did you mean \"application\"?)"),
    (4, ["helo:application"], "no module named 'helo' in {here} (did you mean \"hello\"?)"),
    (4, ["hello:aplication"],
     "expected a name 'aplication' in module 'hello', got none (did you mean \"application\"?)"),
    (4, ["hello:not_callable"], "expected an application, got dict object from 'hello:not_callable'"),
    (4, ["hello:create_app"],
     "expected a WSGI application, called with (environ, start_response), got 'hello:create_app' with () "
     '(is it a factory? add "()" to call it)'),
    (4, ["--wsgi=hello:asgi"],
     "expected a WSGI application, got 'hello:asgi': that is ASGI (give it as asgi)"),
    (4, ["--mount=/x=wsgi:hello:asgi_object"],
     "expected a WSGI application, got 'hello:asgi_object': that is ASGI (give it as asgi)"),
    (4, ["--asgi=hello:application"],
     "expected an ASGI application, called with (scope, receive, send), got 'hello:application' with "
     "(environ, start_response)"),
    (4, ["--asgi=hello:create_app"],
     "expected an ASGI application, called with (scope, receive, send), got 'hello:create_app' with () "
     '(is it a factory? add "()" to call it)'),
    (2, ["--ws-ping-timeout=0", "hello:asgi"], "expected ping_timeout above 0, got 0.0"),
    (2, ["--metrics=here", "hello:application"],
     "expected \"tcp:PORT\", got 'here' (known: fd, haproxy, ssl, systemd, tcp, tcp6, tls, unix)"),
    (2, ["--metrics-port=9100", "hello:application"],
     "expected a known option, got --metrics-port: use --metrics ADDRESS:PORT"),
    (2, ["--lifespan=yes", "hello:asgi"], "expected auto, on, off for --lifespan, got 'yes'"),
    (4, ["-y", "nowhere.tac"], "cannot read nowhere.tac: no such file or directory"),
    (4, ["-y", "public"], "cannot read public: is a directory"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "arguments", "line"), MISTAKES, ids=[" ".join(row[1]) for row in MISTAKES])
def test_a_mistake_is_one_line(here: Path, code: int, arguments: list[str], line: str) -> None:
    done = finish(here, *arguments)
    assert done.stderr == f"container: {line.format(here=here) if '{here}' in line else line}\n"
    assert (done.returncode, done.stdout) == (code, "")


@pytest.mark.parametrize(
    ("arguments", "shown", "line"),
    [
        (["raises:x"], "Traceback", "importing 'raises' failed: ZeroDivisionError: division by zero"),
        (["syntax:application"], "y = = 2", "importing 'syntax' failed: SyntaxError: invalid syntax"),
        (["hello:broken_factory()"], "Traceback", "calling 'hello:broken_factory' failed: RuntimeError"),
        (["-y", "raises.py"], "Traceback", "raises.py failed: ZeroDivisionError: division by zero"),
    ],
)
def test_an_error_of_the_users_code_shows_their_frames_only(
    here: Path, arguments: list[str], shown: str, line: str
) -> None:
    done = finish(here, *arguments)
    assert done.returncode == 4
    assert shown in done.stderr
    assert "cli/main.py" not in done.stderr
    assert "importlib" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"container: {line}")


@pytest.mark.parametrize(("option", "warned"), [("--debug", True), ("--no-reload", False)])
def test_debug_that_cannot_reload_says_so(here: Path, option: str, warned: bool) -> None:
    script = (
        "import sys; sys.modules['watchfiles'] = None; from container.cli.main import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "check", "--path=public", "--debug", option],
        cwd=here, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0
    warning = 'container: warning: --debug does not reload without watchfiles: pip install "container-server[reload]"'
    assert (warning in done.stderr.splitlines()) is warned


def test_version_and_help(here: Path) -> None:
    version = finish(here, "--version")
    assert re.fullmatch(r"container \d+\.\d+\.\d+\n", version.stdout)
    assert (version.returncode, version.stderr) == (0, "")
    shown = finish(here, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    for words in ("Usage: container [OPTIONS] [APP]", "--mount /PREFIX=KIND:ARG", "8080]", "2G]", "75]"):
        assert words in " ".join(shown.stdout.split())


def parsed(*arguments: str) -> Configuration:
    return merge([from_texts(read_line(arguments)[1])])


def test_addresses_that_were_given() -> None:
    def endpoints(*arguments: str) -> list[object]:
        return list(endpoints_of(parsed(*arguments)))

    assert endpoints() == []
    assert endpoints("--port=1") == [TCPEndpoint("127.0.0.1", 1)]
    assert endpoints("--host=0.0.0.0") == [TCPEndpoint("0.0.0.0", 8080)]
    assert endpoints("--host=[::1]", "--port=2") == [TCPEndpoint("::1", 2)]
    assert endpoints("--port=3", "-b", "unix:x", "--bind=127.0.0.1:4", "--uds=y", "--fd=5") == [
        UnixEndpoint("x"), TCPEndpoint("127.0.0.1", 4), UnixEndpoint("y"), FDEndpoint(5),
        TCPEndpoint("127.0.0.1", 3),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["hello:application"], None),
        (["--metrics", "hello:application"], TCPEndpoint("127.0.0.1", 9090)),
        (["hello:application", "--metrics"], TCPEndpoint("127.0.0.1", 9090)),
        (["--metrics", "--port=80", "hello:application"], TCPEndpoint("127.0.0.1", 9090)),
        (["--metrics", "9100", "hello:application"], TCPEndpoint("127.0.0.1", 9100)),
        (["--metrics=0.0.0.0:9100", "hello:application"], TCPEndpoint("0.0.0.0", 9100)),
        (["--metrics", "unix:/run/m.sock", "hello:application"], UnixEndpoint("/run/m.sock")),
        (["--metrics=no", "hello:application"], None),
    ],
)
def test_the_address_of_metrics_may_be_left_out(arguments: list[str], expected: object) -> None:
    """What follows is APP unless it is an address; a port alone is not for everybody."""
    values = parsed(*arguments).values
    assert (values["metrics"], values["app"]) == (expected, "hello:application")


def test_only_what_was_given_becomes_a_setting() -> None:
    def settings(*arguments: str) -> object:
        return settings_of(parsed(*arguments), None)

    assert settings() == Settings()
    assert settings("--max-body=off", "--limit-request-fields=9") == Settings(
        limits={"body": None, "fields": 9}
    )
    assert settings("--limit-request-field-size=64K") == Settings(
        limits={"field_size": 65536, "field_section": 65536 + 16384}
    )
    assert settings("--keep-alive=5", "--request-timeout=1m", "--access-log") == Settings(
        timeouts={"keep_alive": 5.0}, request_timeout=60.0, override_log=True
    )


@pytest.mark.parametrize(
    ("endpoint", "exposed"),
    [
        (TCPEndpoint(None, 80), True),
        (TCPEndpoint("0.0.0.0", 80), True),
        (TCPEndpoint("www.example.org", 80), True),
        (TCPEndpoint("127.1.2.3", 80), False),
        (TCPEndpoint("::1", 80), False),
        (TCPEndpoint("localhost", 80), False),
        (UnixEndpoint("x"), False),
    ],
)
def test_what_other_machines_can_reach(endpoint: TCPEndpoint | UnixEndpoint, exposed: bool) -> None:
    assert is_exposed(endpoint) is exposed


def test_main_returns_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert cli.main(["--zzzzzz"]) == 2
    out, err = capsys.readouterr()
    assert out == f"container {container.__version__}\n"
    assert err == "container: expected a known option, got --zzzzzz\n"
