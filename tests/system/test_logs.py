"""The logs of the real command: rotated, full, gone, at a daemon, in syslog. Covers DM-03, CL-03, LG-03, LG-04, LC-03,
LC-05, LC-06."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.system.conftest import COMMAND, PATIENCE_S, environment
from tests.system.test_workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator

APP = """\
import logging
log = logging.getLogger("shop")
def application(environ, start_response):
    if environ["PATH_INFO"] == "/broken":
        log.warning("nothing left")
        raise LookupError("of the application")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ.get("container.request_id", "none").encode()]
"""
ONE = ("shop:application", "--bind", "127.0.0.1:0")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APP)
    return tmp_path


@pytest.mark.parametrize("count", [1, 2])
def test_both_logs_are_rotated_and_no_line_is_lost(start: Any, here: Path, count: int) -> None:
    """What logrotate does: rename, USR1, and go on."""
    server, access = here / "server.log", here / "access.log"
    running = start(*ONE, "--workers", count, "--log-file", server, "--access-log-file", access)
    for number in range(4):
        running.fetch(f"/broken?{number}")
        if number == 1:
            server.rename(here / "server.log.1")
            access.rename(here / "access.log.1")
            running.send(signal.SIGUSR1)
            until(lambda: server.exists() and access.exists(), "new files")
    assert running.stop() == 0
    old, new = (here / "access.log.1").read_text(), access.read_text()
    assert sorted(re.findall(r"/broken\?(\d)", old + new)) == ["0", "1", "2", "3"]
    old, new = (here / "server.log.1").read_text(), server.read_text()
    assert re.findall(r"<Request GET /broken\?(\d) HTTP/1.1> failed \[client 127", old + new) == [
        "0",
        "1",
        "2",
        "3",
    ]
    assert old.count("Traceback") + new.count("Traceback") == 4
    assert "WARNING shop: nothing left" in old
    assert "?3" in new
    assert " serving on " in old


def test_the_logs_go_to_syslog(start: Any, here: Path) -> None:
    """DM-03: a line a datagram, whoever asks and whatever breaks."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(here / "log"))
        daemon.settimeout(PATIENCE_S)
        running = start(
            *ONE, "--syslog", "--syslog-address", here / "log", "--syslog-facility=local0", "--prefix=shop"
        )
        running.fetch("/broken?1")
        said: list[str] = []
        while not any('"GET /broken?1 HTTP/1.1" 500' in line for line in said):
            said.append(daemon.recv(1 << 16).decode())
        assert running.stop() == 0
    assert running.output == ""
    tag = rf"[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d shop\[{running.process.pid}\]: "
    assert all(re.match(rf"<13[0-9]>{tag}", line) for line in said)
    assert any("LookupError: of the application" in line for line in said)
    assert any(re.match("<131>", line) and "failed [client 127.0.0.1, request " in line for line in said)


def test_a_full_disk_is_no_reason_to_stop(start: Any, here: Path) -> None:
    running = start(*ONE, "--log-file", "/dev/full", "--access-log-file", "/dev/full")
    for _ in range(3):
        assert running.fetch("/broken").status == 500
        assert running.fetch("/").status == 200
    assert running.stop() == 0
    assert running.lines == [line for line in running.lines if " serving on " in line]


def test_nobody_who_reads_is_no_reason_to_stop(here: Path) -> None:
    """Standard output and standard error are pipes, and whoever read them has gone."""
    process = subprocess.Popen(
        [*COMMAND, *ONE], cwd=here, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        address = urlsplit(process.stderr.readline().split(" serving on ")[1].split(" ")[0])
        process.stdout.close()
        process.stderr.close()
        assert address.hostname is not None
        for target in ("/broken", "/", "/broken", "/"):
            with socket.create_connection((address.hostname, address.port or 0), PATIENCE_S) as client:
                client.sendall(f"GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
                answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
            assert answer.startswith(b"HTTP/1.1 500" if target == "/broken" else b"HTTP/1.1 200")
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait(PATIENCE_S)


@pytest.fixture
def daemon(finish: Any, here: Path) -> Iterator[Any]:
    """Start one in the background; it ends with the test. Gives its port."""
    pidfile = here / "pid"

    def begin(*options: object) -> int:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port: int = free.getsockname()[1]
        done = finish(
            "shop:application", "--bind", f"127.0.0.1:{port}", "--daemon", "--pidfile", pidfile, *options
        )
        assert done.returncode == 0, done.stderr
        return port

    yield begin
    if pidfile.exists():
        pid = int(pidfile.read_text())
        os.kill(pid, signal.SIGTERM)
        until(lambda: not Path(f"/proc/{pid}").exists(), "the daemon to end")


def status_of(port: int, target: str) -> int:
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client:
        client.sendall(f"GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        return int(client.makefile("rb").readline().split()[1])


def test_a_daemon_without_logs_serves(daemon: Any) -> None:
    port = daemon()
    assert [status_of(port, target) for target in ("/broken", "/", "/broken")] == [500, 200, 500]


def test_a_daemon_has_its_errors_in_its_log(daemon: Any, here: Path) -> None:
    """DM-03: there is nothing else left of them."""
    port = daemon("--log-file", "server.log", "--access-log-file", "access.log")
    assert status_of(port, "/broken") == 500
    until(lambda: "/broken" in (here / "access.log").read_text(), "the line of the request")
    assert "LookupError: of the application" in (here / "server.log").read_text()


def test_a_daemon_cannot_log_to_the_terminal(finish: Any, here: Path) -> None:
    done = finish(*ONE, "--daemon", "--log-file", "-")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "expected a file or --syslog for the log of a --daemon" in done.stderr


def test_the_log_of_requests_goes_where_it_is_sent_in_the_format_asked_for(start: Any, here: Path) -> None:
    """CL-03: standard output by `-`, a format of one's own; DM-03: the other log as JSON."""
    running = start(
        *ONE, "--access-log-file=-", "--access-log-format", "%(m)s %(U)s %(s)s %({x-request-id}i)s",
        "--log-format=json", "--request-id=accept",
    )  # fmt: skip
    assert running.fetch("/a", headers={"X-Request-ID": "abc"}).body == b"abc"
    running.fetch("/broken", headers={"X-Request-ID": "def"})
    assert running.stop() == 0
    assert running.output == "GET /a 200 abc\nGET /broken 500 def\n"
    records = [json.loads(line) for line in running.lines]
    assert " serving on http://127.0.0.1:" in records[0]["message"]
    told = [(each["logger"], each["level"], each.get("request_id")) for each in records[1:]]
    assert told == [("shop", "warning", "def"), ("container.site", "error", "def")]
    assert records[2]["error"] == "LookupError"


def test_log_files_are_found_from_the_directory_asked_for(start: Any, here: Path) -> None:
    """DM-03: both, after `--chdir`, however the process was started."""
    (here / "logs").mkdir()
    options = (
        "--app-dir",
        "..",
        "--chdir",
        "logs",
        "--log-file",
        "server.log",
        "--access-log-file",
        "access.log",
    )
    running = start(*ONE, *options)
    running.fetch("/broken")
    assert running.stop() == 0
    assert "/broken" in (here / "logs" / "server.log").read_text()
    assert "/broken" in (here / "logs" / "access.log").read_text()


@pytest.mark.parametrize("option", ["-l", "--logfile"])
def test_an_option_that_means_two_things_elsewhere_is_told_apart(
    finish: Any, here: Path, option: str
) -> None:
    """CL-03, DM-03."""
    done = finish(*ONE, option, "x.log")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "use --log-file for the log of the server, --access-log-file for that of requests" in done.stderr
    assert not (here / "x.log").exists()


def test_the_start_is_told_with_a_line_for_each_address(start: Any, here: Path) -> None:
    """LG-04, LC-06: after the sockets are open, on standard error and in the log."""
    name = here / "server.log"
    addresses = ("--bind", f"unix:{here / 'web.sock'}", "--bind", "[::1]:0")
    running = start(*ONE, *addresses, "--log-file", name, addresses=3)
    assert [running.fetch(url=url).status for url in running.urls] == [200] * 3
    assert running.stop() == 0
    url = r"(http://127\.0\.0\.1:\d+/|http://\[::1\]:\d+/|unix:/\S+web\.sock)"
    pattern = rf"container \S+ serving on {url} \(pid {running.process.pid}, .*\)"
    told = [line for line in running.lines if re.match(pattern, line)]
    assert len(told) == 3
    assert [line.split("container.server: ")[1] for line in name.read_text().splitlines()[:3]] == told


SERVICE = """\
from container import Application, Service
class Broken(Service):
    {phase} raise LookupError('of the site')
application = Application('x')
application.add_service(Broken('broken'))
"""
CRASH = """\
from container import Application
class Broken(Application):
    @property
    def bindings(self): raise LookupError('of the site')
    @bindings.setter
    def bindings(self, value): pass
application = Broken('x')
"""


@pytest.mark.parametrize(
    ("text", "code", "what"),
    [
        (SERVICE.format(phase="async def start(self):"), 3, "start failed"),
        (SERVICE.format(phase="def privileged_start(self):"), 3, "start failed"),
        (CRASH, 1, "crashed"),
    ],
    ids=["service", "privileged", "crash"],
)
def test_what_ends_the_process_is_in_the_log_with_its_traceback(
    finish: Any, tmp_path: Path, text: str, code: int, what: str
) -> None:
    """LC-05: and the exit code says so."""
    (tmp_path / "site.tac").write_text(text)
    done = finish("-y", "site.tac", "--log-file", "server.log")
    assert done.returncode == code
    for said in (done.stderr, (tmp_path / "server.log").read_text()):
        assert "Traceback (most recent call last)" in said
        assert f"{what}: LookupError: of the site" in said
