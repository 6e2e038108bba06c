"""The real command at its addresses: TLS under load, systemd, HAProxy, and whom it becomes.

EP-01 to EP-07, DM-02, DM-04 to DM-06, LC-06.
"""

from __future__ import annotations

import fcntl
import http.client
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.certificates import Authority
from tests.system.conftest import PATIENCE_S, environment
from tests.system.ports import await_port, free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.conftest import Running

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
HAPROXY = shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")
LOCAL = "127.0.0.1:0"
APP = """
import os

def application(environ, start_response):
    if environ["PATH_INFO"] == "/file":
        open("written", "w").close()
    facts = [os.getuid(), os.getgid(), sorted(os.getgroups()), os.getcwd(), environ["REMOTE_ADDR"],
             environ["wsgi.url_scheme"]]
    body = repr(facts).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


@pytest.fixture(autouse=True)
def app(tmp_path: Path) -> None:
    (tmp_path / "facts.py").write_text(APP)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def fetch_https(url: str, context: ssl.SSLContext) -> bytes:
    connection = http.client.HTTPSConnection(urlsplit(url).netloc, timeout=PATIENCE_S, context=context)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read()
    finally:
        connection.close()


def shown_serial(port: int, authority: Authority) -> str:
    """The serial number of the certificate that is shown now."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as plain:
        with authority.client().wrap_socket(plain, server_hostname="localhost") as sock:
            shown = sock.getpeercert()
            assert shown is not None
            return str(shown["serialNumber"])


def test_https_by_options_and_by_addresses(start: Callable[..., Running], authority: Authority) -> None:
    """EP-04: --ssl-certfile holds for every address; one that has its own keeps it."""
    first = authority.issue("first.pem", "127.0.0.1")
    second = authority.issue("second.pem", "127.0.0.1")
    tls = f"tls:0:interface=127.0.0.1:cert={second}"
    running = start("facts:application", "--listen", LOCAL, "--listen", tls, "--tls-cert", first, addresses=2)
    assert all(url.startswith("https://127.0.0.1:") for url in running.urls)
    for url in running.urls:
        assert b"'https'" in fetch_https(url, authority.client())
    assert running.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_certificate_is_swapped_under_load(
    start: Callable[..., Running], authority: Authority, workers: int
) -> None:
    """EP-04: no request fails and no kept connection ends while certificates change."""
    path = authority.issue("server.pem", "localhost", "127.0.0.1")
    running = start(
        "facts:application", "--listen", f"tls:0:interface=127.0.0.1:cert={path}", "--no-access-log",
        "--workers", workers,
    )  # fmt: skip
    address = urlsplit(running.url).netloc
    port = int(address.rpartition(":")[2])
    stop = threading.Event()
    counts, failures = [0, 0], list[BaseException]()

    def load(number: int, keep: bool) -> None:
        context = authority.client()
        connection = http.client.HTTPSConnection(address, timeout=PATIENCE_S, context=context)
        try:
            connection.connect()
            connection.auto_open = 0  # a connection that was dropped is a failure
            while not stop.is_set():
                if not keep:
                    connection.close()
                    connection.connect()
                connection.request("GET", "/")
                assert connection.getresponse().read()
                counts[number] += 1
        except BaseException as error:  # noqa: BLE001  # whatever it is, it fails the test
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=load, args=(number, number == 0)) for number in range(2)]
    for thread in threads:
        thread.start()
    seen = {shown_serial(port, authority)}
    for round_ in range(3):
        authority.issue("server.pem", "localhost", "127.0.0.1")
        while len(seen) < round_ + 2:
            seen.add(shown_serial(port, authority))
        if round_ == 1:
            path.write_text("broken")  # replaced in the next round
    stop.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not failures
    assert min(counts) > 10
    assert len(seen) == 4
    assert running.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_each_of_three_names_has_its_certificate(
    start: Callable[..., Running], authority: Authority, tmp_path: Path, workers: int
) -> None:
    """EP-05: by SNI, over real connections; one of them is replaced while the server runs."""
    names = ["shop.example", "blog.example", "www.shop.example"]
    for name in names[:2]:
        authority.issue(f"sites/{name}.pem", name)
    authority.issue("sites/_.shop.example.pem", "*.shop.example")
    running = start(
        "facts:application", "--listen", f"tls:{tmp_path}/sites:0:interface=127.0.0.1", "--workers", workers
    )
    port = int(urlsplit(running.url).netloc.rpartition(":")[2])
    shown = {name: names_shown(port, authority, name) for name in names}
    assert shown == {
        "shop.example": {"shop.example"}, "blog.example": {"blog.example"}, "www.shop.example": {"*.shop.example"},
    }  # fmt: skip
    authority.issue("sites/blog.example.pem", "blog.example", "new.example")
    limit = time.monotonic() + PATIENCE_S
    while "new.example" not in names_shown(port, authority, "blog.example"):
        assert time.monotonic() < limit
    assert names_shown(port, authority, "shop.example") == {"shop.example"}
    assert running.stop() == 0


def names_shown(port: int, authority: Authority, name: str) -> set[str]:
    """Whom the certificate is for that a client asking for `name` is shown."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as plain:
        with authority.client().wrap_socket(plain, server_hostname=name) as sock:
            shown = sock.getpeercert()
            assert shown is not None
            return {str(value) for _, value in shown["subjectAltName"]}


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["--ssl-certfile", "none.pem"], 1, "cannot listen on TLS: cannot read '.*none.pem': no such file or d"),
        (["--ssl-keyfile", "x"], 2, "expected --ssl-certfile with --ssl-keyfile, got none"),
        (["--ssl-certfile", "x", "--ssl-client", "required"], 2, "expected --ssl-ca-certs with --ssl-client required"),
        (["--ssl-certfile", "x", "--ssl-min-version", "1.1"], 2, "expected 1.2 or 1.3 for --ssl-min-version, got"),
        (["--listen", "systemd:0"], 1, "cannot listen on systemd:index=0: no sockets were passed"),
        (["--listen", "fd:99"], 1, "cannot listen on fd:99: bad file descriptor"),
        (["--listen", "haproxy:"], 2, 'expected "haproxy:ENDPOINT", got'),
        (["--user", "nobody else"], 2, "expected a number or a user this system knows, got 'nobody else'"),
        (["--umask", "9"], 2, "expected an octal number such as 027 for --umask, got '9'"),
        (["--chdir", "/none"], 2, "expected a directory for --chdir, got '/none': no such file or directory"),
        (["--rundir", "/none"], 1, "cannot change to '/none': no such file or directory"),
        (["--pidfile", "/none/x"], 1, "cannot write the pidfile '/none/x': no such file or directory"),
        (["--pidfile", "facts.py"], 1, "expected a process id in the pidfile '.*facts.py', got "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(
    finish: Callable[..., subprocess.CompletedProcess[str]], arguments: list[str], code: int, line: str
) -> None:
    """EP-01, DM-02, DM-05"""
    where = [] if "--listen" in arguments else ["--listen", LOCAL]
    done = finish("facts:application", *where, *arguments)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1

    assert re.search(line, done.stderr)


# systemd.

LAUNCHER = """
import os, sys
count = int(sys.argv[1])
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(count), LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.executable, [sys.executable, "-m", "container", *sys.argv[3:]])
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_systemd_passes_sockets_and_is_told(tmp_path: Path, authority: Authority, workers: int) -> None:
    """EP-06, LC-06: three sockets handed over as systemd does it, by name and index, and sd_notify."""
    path = authority.issue("server.pem", "127.0.0.1")
    with (
        socket.create_server(("127.0.0.1", 0)) as web,
        socket.create_server(("127.0.0.1", 0)) as admin,
        socket.socket(socket.AF_UNIX) as local,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told,
    ):
        local.bind(str(tmp_path / "app.sock"))
        local.listen()
        told.bind(str(tmp_path / "notify"))
        told.settimeout(PATIENCE_S)
        passed = [web, admin, local]
        targets = range(3, 3 + len(passed))

        def place() -> None:
            # Where nothing else is: not on one another, nor on the pipe of Popen.
            copies = [fcntl.fcntl(sock, fcntl.F_DUPFD, 10) for sock in passed]
            for copy, target in zip(copies, targets, strict=True):
                os.dup2(copy, target)

        arguments = ["--listen", "systemd:web", "--listen", "systemd:index=1:domain=INET", "--listen",
                     "systemd:name=local:domain=UNIX", "--ssl-certfile", str(path),
                     "--workers", str(workers)]  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, "3", "web:admin:local", "facts:application", *arguments],
            cwd=tmp_path,
            env=environment(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="60000000"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=place,
            pass_fds=list(targets),
        )
        try:
            ready = told.recv(4096).decode()
            assert ready.startswith("READY=1\nSTATUS=serving on https://")
            assert ready.endswith(f"MAINPID={process.pid}")
            assert told.recv(4096) == b"WATCHDOG=1"
            for sock in (web, admin):
                url = f"https://127.0.0.1:{sock.getsockname()[1]}/"
                assert b"'https'" in fetch_https(url, authority.client())
            process.send_signal(signal.SIGTERM)
            assert told.recv(4096) == b"STOPPING=1"
            assert process.wait(PATIENCE_S) == 0
            assert (tmp_path / "app.sock").exists()  # it is systemd's
        finally:
            process.kill()
            process.wait()


# HAProxy.

HAPROXY_CONFIG = """
global
    maxconn 100
defaults
    mode tcp
    timeout connect 10s
    timeout client 10s
    timeout server 10s
frontend one
    bind 127.0.0.1:{front1}
    default_backend one
backend one
    server s 127.0.0.1:{port} send-proxy
frontend two
    bind 127.0.0.1:{front2}
    default_backend two
backend two
    server s 127.0.0.1:{port} send-proxy-v2
frontend three
    bind 127.0.0.1:{front3} ssl crt {certificate}
    default_backend three
backend three
    server s 127.0.0.1:{port} send-proxy-v2-ssl check check-send-proxy inter 100
"""


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed")
def test_haproxy_tells_who_the_client_is(
    start: Callable[..., Running], tmp_path: Path, authority: Authority, workers: int
) -> None:
    """EP-07: HAProxy's own headers, of both versions and with TLS at its side, from another address."""
    running = start("facts:application", "--listen", f"haproxy:{LOCAL}", "--workers", workers)
    fronts = [free_port() for _ in range(3)]
    config = tmp_path / "haproxy.cfg"
    certificate = authority.issue("front.pem", "127.0.0.1")
    config.write_text(
        HAPROXY_CONFIG.format(
            front1=fronts[0], front2=fronts[1], front3=fronts[2], certificate=certificate,
            port=urlsplit(running.url).port,
        )
    )  # fmt: skip
    process = subprocess.Popen(
        [str(HAPROXY), "-db", "-f", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for front in fronts:
            await_port(front, process)
        for front, scheme in zip(fronts, ("http", "http", "https"), strict=True):
            with socket.create_connection(
                ("127.0.0.1", front), timeout=PATIENCE_S, source_address=("127.0.0.7", 0)
            ) as plain:
                sock = plain
                if scheme == "https":
                    sock = authority.client().wrap_socket(plain, server_hostname="127.0.0.1")
                sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answer = b""
                while data := sock.recv(4096):
                    answer += data
                sock.close()
                assert f"'127.0.0.7', '{scheme}'".encode() in answer
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
    assert running.stop() == 0


# Rights.


@needs_root
def test_root_becomes_somebody_after_the_port_is_open(start: Callable[..., Running], tmp_path: Path) -> None:
    """DM-02, DM-04, DM-06: a privileged port, no group left, a pidfile that can be removed by its owner."""
    nobody = pwd.getpwnam("nobody")
    home = tmp_path / "run"
    home.mkdir()
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    for folder in (tmp_path, *tmp_path.parents):  # pytest's directories are root's alone
        if folder != Path("/") and stat.S_IMODE(folder.stat().st_mode) == 0o700:
            folder.chmod(0o711)
    tmp_path.chmod(0o755)
    port = next(number for number in range(600, 1000) if is_free(number))
    running = start(
        "facts:application", "--listen", f"127.0.0.1:{port}", "--user", "nobody", "--umask", "077",
        "--rundir", home, "--pidfile", home / "pid",
    )  # fmt: skip
    facts = running.fetch("/file").body.decode()
    assert facts.startswith(f"[{nobody.pw_uid}, {nobody.pw_gid}, [{nobody.pw_gid}], '{home}'")
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    assert f"Uid:\t{nobody.pw_uid}\t{nobody.pw_uid}\t{nobody.pw_uid}\t{nobody.pw_uid}" in status
    assert "CapEff:\t0000000000000000" in status
    assert "CapPrm:\t0000000000000000" in status
    assert stat.S_IMODE((home / "written").stat().st_mode) == 0o600
    assert (home / "pid").read_text() == f"{running.process.pid}\n"
    assert running.stop() == 0
    assert not (home / "pid").exists()


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@needs_root
def test_a_pidfile_in_a_directory_of_root_is_left_empty(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    """DM-02: without the right to remove it, it names nobody, and the next start takes it for stale."""
    for _ in range(2):
        running = start(
            "facts:application", "--listen", LOCAL, "--user", "54321", "--group", "54322", "--pidfile", "pid"
        )
        assert "[54321, 54322, [54322]" in running.fetch().body.decode()
        assert running.stop() == 0
        assert (tmp_path / "pid").read_bytes() == b""
        assert any("left behind, empty" in line for line in running.lines)


@needs_root
def test_the_process_may_be_shut_into_a_directory(start: Callable[..., Running], tmp_path: Path) -> None:
    """DM-05: loaded from outside, its working directory inside, the pidfile still found at the end."""
    jail = tmp_path / "jail"
    (jail / "inside").mkdir(parents=True)
    running = start(
        "facts:application", "--listen", LOCAL, "--chroot", jail, "--rundir", "/inside", "--pidfile", "pid"
    )
    assert "'/inside'" in running.fetch("/file").body.decode()
    assert (jail / "inside/written").exists()
    assert (tmp_path / "pid").exists()
    assert running.stop() == 0
    assert not (tmp_path / "pid").exists()


NOT_ROOT = """
import encodings.idna, os, pwd, sys, asyncio, uvloop
from container.cli.main import main
import container.config.welcome, container.resources.static, container.service.loop
os.setgroups([]); os.setgid(54321); os.setuid(54321)
sys.exit(main(sys.argv[1:]))
"""


@needs_root
def test_only_root_can_become_somebody() -> None:
    """DM-04: one line. The interpreter may be out of the reach of others, so the rights go when all is loaded."""
    done = subprocess.run(
        [sys.executable, "-c", NOT_ROOT, "--listen", LOCAL, "--user", "nobody"],
        cwd="/",
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    nobody = pwd.getpwnam("nobody")
    assert done.returncode == 1
    assert done.stderr.startswith(f"container: cannot become uid {nobody.pw_uid}, gid None: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_second_start_is_refused(
    start: Callable[..., Running], finish: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """DM-02: and a start after kill -9 is not."""
    arguments = ("facts:application", "--listen", LOCAL, "--pidfile", "pid")
    running = start(*arguments)
    done = finish(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"container: another server is running, pid {running.process.pid} in ")
    assert (tmp_path / "pid").read_text() == f"{running.process.pid}\n"
    running.send(signal.SIGKILL)
    running.wait()
    again = start(*arguments)
    assert (tmp_path / "pid").read_text() == f"{again.process.pid}\n"
    assert again.stop() == 0
    assert not (tmp_path / "pid").exists()


def test_a_directory_may_be_entered_before_or_after_loading(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    """DM-05: --chdir finds the application, --rundir does not hide it."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    before = start("facts:application", "--listen", LOCAL, "--chdir", tmp_path, cwd=elsewhere)
    assert f"'{tmp_path}'" in before.fetch().body.decode()
    after = start("facts:application", "--listen", LOCAL, "--rundir", elsewhere)
    assert f"'{elsewhere}'" in after.fetch().body.decode()
