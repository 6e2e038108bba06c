"""Real programs behind CGI: git over smart HTTP, PHP, Perl, and the directories of http.server --cgi."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.certificates import Authority
from tests.scripts import ScriptDirectory, children_of, script_directory, wait_until
from tests.system.conftest import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.system.conftest import Running

ANY_PORT = ("--port", "0")


@pytest.fixture
def scripts() -> Iterator[ScriptDirectory]:
    with script_directory() as directory:
        yield directory


def test_the_directories_of_the_standard_library(
    start: Callable[..., Running], scripts: ScriptDirectory
) -> None:
    """PY-04, CG-01: files beside scripts, whose source is never shown, however their path is spelt."""
    scripts.write("index.html", "a page", 0o644)
    scripts.sh("cgi-bin/x.sh", "echo; echo $DOCUMENT_ROOT $PATH_TRANSLATED")
    scripts.sh("htbin/y.sh", "echo; echo from htbin")
    running = start("--cgi", scripts.path, *ANY_PORT)
    assert running.fetch("/").body == b"a page"
    assert running.fetch("/cgi-bin/x.sh/p").body == f"{scripts.path} {scripts.path}/p\n".encode()
    assert running.fetch("/%63gi-bin/x.sh").body.startswith(str(scripts.path).encode())
    assert running.fetch("/htbin/y.sh").body == b"from htbin\n"
    for path in ("/cgi-bin/", "//cgi-bin/x.sh", "/./cgi-bin/x.sh", "/cgi-bin%2fx.sh", "/x/../cgi-bin/x.sh"):
        answer = running.fetch(path)
        assert (answer.status, b"#!/bin/sh" in answer.body) == (404, False), path


def test_options_of_scripts(start: Callable[..., Running], scripts: ScriptDirectory) -> None:
    """CG-15, CG-17: variables that were named, interpreters by extension, one prefix for another directory."""
    scripts.write("run/x.txt", "echo; echo $GIVEN $PASSED ${SECRET:-none}", 0o644)
    (scripts.path / "files").mkdir()
    running = start(
        "--path", scripts.path / "files", "--cgi-bin", f"/scripts={scripts.path}/run", "--cgi-env", "GIVEN=1",
        "--cgi-env", "PASSED", "--cgi-interpreter", ".txt=sh", *ANY_PORT, PASSED="2", SECRET="3",
    )  # fmt: skip
    assert running.fetch("/scripts/x.txt").body == b"1 2 none\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cgi", "{}"], "expected cgi-bin or htbin in"),
        (["--cgi-bin", "/x"], "expected --path beside --cgi-bin /x"),
        (["--path", "{}", "--cgi-bin", "x"], 'expected "/prefix" or "/prefix=DIR"'),
        (["--mount", "/x=cgi:{}/none"], "nothing is there"),
        (
            ["--mount", "/x=cgi:{}", "--cgi-interpreter", ".x=no-such"],
            "expected an interpreter that is installed",
        ),
        (["--mount", "/x=cgi:{}", "--cgi-interpreter", "x"], 'expected ".ext=program"'),
        (["--mount", "/x=cgi:{}", "--cgi-env", "NO_SUCH"], "not set"),
        (["--mount", "/x=cgi:{}", "--cgi-user", "no-such"], "no-such"),
    ],
)
def test_a_mistake_is_one_line(
    finish: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    done = finish(*[each.format(tmp_path) for each in arguments])
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr


TELLING = """
    import os, sys
    told = [os.environ.get(name, "-") for name in
            ("HTTPS", "SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "REQUEST_SCHEME", "CONTENT_LENGTH", "SSL_PROTOCOL")]
    size, has_port = len(sys.stdin.buffer.read()), bool(os.environ.get("REMOTE_PORT"))
    print("Content-Type: text/plain\\n\\n" + "|".join([*told, str(size), str(has_port)]))
"""


def test_scripts_run_behind_every_kind_of_listener(
    start: Callable[..., Running], scripts: ScriptDirectory, tmp_path: Path
) -> None:
    """CG-21, CG-02, CG-05: TCP, IPv6, TLS, a UNIX socket; content of known length and in chunks, by curl."""
    scripts.python("x.py", TELLING)
    authority = Authority(tmp_path)
    certificate = authority.issue("site.pem", "localhost", "127.0.0.1")
    places = ["127.0.0.1:0", "[::1]:0", f"tls:0:interface=127.0.0.1:cert={certificate}", f"unix:{tmp_path}/s"]
    listen = [word for place in places for word in ("--listen", place)]
    running = start("--mount", f"/s=cgi:{scripts.path}", *listen, addresses=len(places))
    tcp, tcp6, tls = (urlsplit(url) for url in running.urls if url.startswith("http"))
    # The place, and what is told of it.
    asked = {
        tcp.netloc: ("http", [], f"-|127.0.0.1|{tcp.port}|127.0.0.1|http", "-", "True"),
        tcp6.netloc: ("http", [], f"-|::1|{tcp6.port}|::1|http", "-", "True"),
        f"localhost:{tls.port}": ("https", ["--cacert", authority.path, "--ipv4"],
                                  f"on|localhost|{tls.port}|127.0.0.1|https", "TLSv1.3", "True"),
        "a.example": ("http", ["--unix-socket", f"{tmp_path}/s"], "-|a.example|80||http", "-", "False"),
    }  # fmt: skip
    content = b"x" * 300_000
    for place, (scheme, options, told, protocol, has_port) in asked.items():
        url = f"{scheme}://{place}/s/x.py"
        for length, sent in {"-": [], "300000": ["--data-binary", "@-"]}.items():
            size = len(content) if sent else 0
            for chunks in [[]] if not sent else [[], ["--header", "Transfer-Encoding: chunked"]]:
                seen = curl(url, *options, *sent, *chunks, content=content if sent else b"")
                assert seen == f"{told}|{length}|{protocol}|{size}|{has_port}\n", place


def curl(url: str, *options: object, content: bytes = b"") -> str:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    command = ["curl", "--silent", "--show-error", "--globoff", "--noproxy", "*", *map(str, options), url]
    done = subprocess.run(command, input=content, capture_output=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@pytest.mark.skipif(shutil.which("php-cgi") is None, reason="php-cgi is not installed")
def test_php(start: Callable[..., Running], scripts: ScriptDirectory) -> None:
    """CG-17: out of the box, which means that REDIRECT_STATUS is set."""
    scripts.write(
        "x.php",
        "<?php http_response_code(201); echo $_SERVER['SCRIPT_NAME'], ' ', $_SERVER['PATH_INFO'], ' ',"
        " $_GET['q'], ' ', file_get_contents('php://input');",
        0o644,
    )
    running = start("--mount", f"/s=cgi:{scripts.path}", "--cgi-interpreter", ".php=php-cgi", *ANY_PORT)
    answer = running.fetch("/s/x.php/info?q=-s")
    assert (answer.status, answer.body) == (201, b"/s/x.php /info -s ")


def test_git_over_smart_http(start: Callable[..., Running], scripts: ScriptDirectory, tmp_path: Path) -> None:
    """CG-03, CG-05, CG-17: clone and push by git's own CGI program, small and with chunked content."""
    backend = git_backend()
    repository = scripts.open_directory("git") / "r.git"
    git("init", "--quiet", "--bare", repository)
    git("-C", repository, "config", "http.receivepack", "true")
    for path in (repository, *repository.rglob("*")):
        path.chmod(0o777)
    variables = {
        "GIT_PROJECT_ROOT": scripts.path / "git", "GIT_HTTP_EXPORT_ALL": 1, "HOME": scripts.path,
        "GIT_CONFIG_COUNT": 1, "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
    }  # fmt: skip
    options = [word for name, value in variables.items() for word in ("--cgi-env", f"{name}={value}")]
    running = start("--mount", f"/git=cgi:{backend}", *options, *ANY_PORT)
    url = f"{running.url}git/r.git"
    work, copy = tmp_path / "work", tmp_path / "copy"
    git("clone", "--quiet", url, work)
    (work / "small").write_text("small")
    (work / "large").write_bytes(os.urandom(3_000_000))
    git("-C", work, "add", ".")
    git("-C", work, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "first")
    git("-C", work, "push", "--quiet", "origin", "HEAD:main")  # more than http.postBuffer: chunked
    git("clone", "--quiet", "--branch", "main", url, copy)
    assert (copy / "large").read_bytes() == (work / "large").read_bytes()


def git(*arguments: object) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_TERMINAL_PROMPT": "0"}
    subprocess.run(
        ["git", *map(str, arguments)], check=True, capture_output=True, env=environment, timeout=PATIENCE_S
    )


def git_backend() -> str:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    path = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip()
    return os.path.join(path, "git-http-backend")


def test_two_hundred_clients_that_leave_leave_nothing(
    start: Callable[..., Running], scripts: ScriptDirectory
) -> None:
    """CG-12: in the midst of an answer; two seconds later there is no process, no zombie, no descriptor."""
    scripts.sh("x.sh", 'printf "A: 1\\n\\n"; echo begun; sleep 600')
    running = start(
        "--mount", f"/s=cgi:{scripts.path}", "--cgi-processes", "50", "--no-access-log", *ANY_PORT
    )
    pid = running.process.pid
    host, port = running.url.removeprefix("http://").rstrip("/").split(":")
    starters = children_of(pid)
    before = len(os.listdir(f"/proc/{pid}/fd"))
    for _ in range(4):
        clients = [socket.create_connection((host, int(port)), timeout=PATIENCE_S) for _ in range(50)]
        for client in clients:
            client.sendall(b"GET /s/x.sh HTTP/1.1\r\nHost: a\r\n\r\n")
        for client in clients:
            assert b"200 OK" in client.recv(1000)
        for client in clients:
            client.close()
        wait_until(lambda: not any(map(children_of, starters)), "the end of all scripts")
    assert children_of(pid) == starters
    wait_until(lambda: len(os.listdir(f"/proc/{pid}/fd")) <= before, "no more descriptors than before")
