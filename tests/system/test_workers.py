"""Several processes for one application, seen from outside: reload, recycling, crashes, upgrade, the stop."""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.system.conftest import PATIENCE_S, Running
from tests.system.pooled import Pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Start = "Callable[..., Running]"

APP = """\
import os, pathlib, threading, time
VERSION = pathlib.Path(__file__).with_name("version").read_text()
if VERSION == "broken":
    raise RuntimeError("this version is broken")
stuck = threading.Event()
def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/stuck":
        stuck.wait()
    if path == "/fail":
        raise RuntimeError(f"{VERSION} failed")
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/slow":
        return slowly()
    return [f"{VERSION} {os.getpid()} {environ['wsgi.multiprocess']}".encode()]
def slowly():
    for _ in range(10):
        yield b"x" * 10
        time.sleep(0.05)
"""


SLOW_START = """\
import pathlib, time
pathlib.Path("importing").touch()
while not pathlib.Path("go").exists():
    time.sleep(0.01)
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    change(tmp_path, "1")
    return tmp_path


@pytest.fixture
def workers(start: Any, app: Path) -> Callable[..., Running]:
    """The command with two workers, or what else is said."""

    def begin(*arguments: object, count: int = 2, app: str = "app:application", **more: Any) -> Running:
        options = ("--bind", "127.0.0.1:0", "--workers", count, "--no-access-log")
        running: Running = start(app, *options, *arguments, **more)
        return running

    return begin


def change(directory: Path, version: str) -> None:
    (directory / "version").write_text(version)


def port_of(running: Running) -> int:
    port = urlsplit(running.url).port
    assert port is not None
    return port


def until(met: Callable[[], bool], what: str) -> None:
    """Other processes tell nobody when they are gone: look, for a while."""
    limit = time.monotonic() + PATIENCE_S
    while not met():
        assert time.monotonic() < limit, f"expected {what}"
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def pid_of(answer: str) -> int:
    return int(answer.split()[1])


def reload_under_load(running: Running, app: Path, rounds: int) -> Pool:
    with Pool(port_of(running)) as pool:
        for number in range(2, rounds + 2):
            version = f"v{number}"
            change(app, version)
            running.send(signal.SIGHUP)
            pool.wait_until(lambda came: any(each.startswith(f"{version} ") for each in came), version)  # noqa: B023
            pool.forget()
    return pool


def recycle_under_load(running: Running, workers: int) -> Pool:
    seen: set[int] = set()
    with Pool(port_of(running)) as pool:
        while len(seen) < workers:
            pool.wait_for_more(20)
            seen |= {pid_of(each) for each in list(pool.answers)}
    return pool


def test_applications_know_that_they_are_many(workers: Any) -> None:
    """GW-03: wsgi.multiprocess."""
    assert workers().fetch().body.split()[2] == b"True"


def test_a_reload_under_load_loses_no_request(workers: Any, app: Path) -> None:
    """LC-02, LC-04: HUP imports the application anew; old workers answer until new ones do."""
    running = workers()
    assert reload_under_load(running, app, 3).failures == []
    assert running.stop() == 0


def test_a_broken_version_leaves_the_old_workers_serving(workers: Any, app: Path) -> None:
    """LC-02: its error is told, and the next good version is loaded as usual."""
    running = workers()
    with Pool(port_of(running)) as pool:
        before = set(children(running.process.pid))
        change(app, "broken")
        running.send(signal.SIGHUP)
        running.wait_for("this version is broken")
        running.wait_for("did not start")
        pool.wait_for_more(50)
        assert {pid_of(each) for each in list(pool.answers)} <= before
        change(app, "good")
        running.send(signal.SIGHUP)
        pool.wait_until(lambda came: any(each.startswith("good ") for each in came), "the good version")
    assert pool.failures == []


def test_who_cannot_be_started_for_want_of_means_ends_nobody(workers: Any, app: Path) -> None:
    """LC-02: those that serve serve on, and the reload is made up for when there are files, or processes, again."""
    running = workers()
    pid = running.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
    change(app, "2")
    running.send(signal.SIGHUP)
    running.wait_for("a worker could not be started: Too many open files")
    assert running.fetch().body.startswith(b"1 ")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    until(lambda: running.fetch().body.startswith(b"2 "), "the new version")
    assert running.stop() == 0


def test_recycling_loses_no_request(workers: Any) -> None:
    """GW-01: max_requests; a worker is replaced before it goes."""
    running = workers("--max-requests", 100, "--max-requests-jitter", 20)
    assert recycle_under_load(running, 5).failures == []


def test_one_worker_is_recycled_without_loss_by_age(workers: Any) -> None:
    """LC-04: there is no moment without a worker, though there is only one."""
    running = workers("--max-worker-lifetime", "1s", count=1)
    assert recycle_under_load(running, 3).failures == []


def test_a_worker_that_needs_too_much_memory_is_replaced(workers: Any) -> None:
    """GW-01: every worker needs more than a megabyte."""
    running = workers("--max-worker-rss", "1M", count=1)
    assert recycle_under_load(running, 2).failures == []


def test_a_killed_worker_costs_its_own_requests_only(workers: Any) -> None:
    """LC-05: at most one request of each client is lost, and a new worker comes."""
    running = workers()
    with Pool(port_of(running), clients=4) as pool:
        pool.wait_for_more(20)
        victim = pid_of(next(iter(pool.answers)))
        os.kill(victim, signal.SIGKILL)
        running.wait_for(f"worker {victim} ended")
        until(lambda: len(set(children(running.process.pid)) - {victim}) == 2, "two workers")
        pool.wait_for_more(50)
    assert len(pool.failures) <= 4


def test_workers_are_added_and_taken_away(workers: Any) -> None:
    """GW-01: TTIN and TTOU."""
    running = workers()
    pid = running.process.pid
    with Pool(port_of(running)) as pool:
        running.send(signal.SIGTTIN)
        until(lambda: len(children(pid)) == 3, "three workers")
        running.send(signal.SIGTTOU)
        until(lambda: len(children(pid)) == 2, "two workers")
        running.send(signal.SIGWINCH)
        until(lambda: not children(pid), "no workers, as there is no terminal")
        running.send(signal.SIGHUP)
        pool.wait_for_more(10)
    assert pool.failures == []


def test_an_upgrade_hands_over_without_loss(workers: Any, app: Path) -> None:
    """LC-04: USR2 starts the command anew on the same socket, TERM then ends the old one."""
    running = workers("--pidfile", app / "pid")
    change(app, "next")
    running.send(signal.SIGUSR2)
    running.wait_for(" serving on ")
    successor = int((app / "pid.2").read_text())
    try:
        with Pool(port_of(running)) as pool:
            pool.wait_until(lambda came: any(each.startswith("next ") for each in came), "the next version")
            running.send(signal.SIGTERM)
            assert running.process.wait(PATIENCE_S) == 0
            pool.wait_for_more(50)
            until(lambda: (app / "pid").exists(), "its pidfile")
            assert (app / "pid").read_text() == f"{successor}\n"
        assert pool.failures == []
    finally:
        os.kill(successor, signal.SIGTERM)
        until(lambda: is_gone(successor), "its end")


def is_gone(pid: int) -> bool:
    """Has a process ended that is nobody's child here? Whoever was left it need not have reaped it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_unix_socket_is_taken_away_at_the_end(start: Any, app: Path) -> None:
    """LC-01: and not before."""
    path = app / "socket"
    running = start("app:application", "--bind", f"unix:{path}", "--workers", 2, "--no-access-log")
    assert running.fetch().status == 200
    assert path.is_socket()
    assert running.stop() == 0
    assert not path.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_stop_answers_what_is_in_flight(workers: Any, number: signal.Signals) -> None:
    """LC-01, WS-20: a slow answer is sent to its end; the exit code is 0."""
    running = workers()
    with socket.create_connection(("127.0.0.1", port_of(running)), PATIENCE_S) as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
        said = client.recv(4096)
        running.send(number)
        while more := client.recv(4096):
            said += more
    assert said.count(b"x") >= 100
    assert said.endswith(b"0\r\n\r\n")
    assert running.wait() == 0


def test_a_second_signal_forces_the_end(workers: Any) -> None:
    """LC-01: though a thread of the application is stuck; the exit code tells."""
    running = workers("--graceful-timeout", "60")
    with socket.create_connection(("127.0.0.1", port_of(running)), PATIENCE_S) as client:
        client.sendall(b"GET /stuck HTTP/1.1\r\nHost: h\r\n\r\n")
        running.fetch()
        running.send(signal.SIGTERM)
        time.sleep(0.2)  # both at one time are one to the system
        running.send(signal.SIGTERM)
        assert running.wait() == 128 + signal.SIGTERM


@pytest.mark.parametrize("shape", [("--workers", 2), ("--reload",)])
def test_nobody_waits_for_an_application_that_is_being_imported(start: Any, app: Path, shape: Any) -> None:
    """LC-01: Ctrl-C, while it takes its time, ends it as it ends a single process."""
    (app / "app.py").write_text(SLOW_START + APP)
    running = start("app:application", "--bind", "127.0.0.1:0", *shape, addresses=0)
    until(lambda: (app / "importing").exists(), "a worker that imports")
    assert running.stop(signal.SIGINT) == 0
    assert running.lines == []


def test_health_is_answered_when_every_thread_is_stuck(workers: Any) -> None:
    """LC-06: by the loop, and the worker is not killed for it."""
    running = workers(
        "--threads", 2, "--health", "--timeout", 1, "--graceful-timeout", 0, "--max-requests", 99999, count=1
    )
    port = port_of(running)
    stuck = [socket.create_connection(("127.0.0.1", port), PATIENCE_S) for _ in range(4)]
    for client in stuck:
        client.sendall(b"GET /stuck HTTP/1.1\r\nHost: h\r\n\r\n")
    (before,) = children(running.process.pid)
    limit = time.monotonic() + 2.5  # more than twice the heartbeat timeout
    while time.monotonic() < limit:
        assert running.fetch("/healthz").body == b"ok\n"
        assert running.fetch("/readyz").status == 200
        time.sleep(0.1)
    assert children(running.process.pid) == [before]
    for client in stuck:
        client.close()


@pytest.mark.parametrize("count", [1, 2])
def test_a_load_balancer_is_told_before_the_stop(workers: Any, count: int) -> None:
    """LC-06: --drain-delay: the service goes on while /readyz says 503."""
    running = workers("--health", "--drain-delay", "2s", count=count)
    running.send(signal.SIGTERM)
    until(lambda: running.fetch("/readyz").status == 503, "not to be ready any more")
    assert running.fetch("/healthz").status == 200
    assert running.fetch("/").status == 200
    assert running.wait() == 0


@pytest.mark.parametrize("count", [1, 2])
def test_a_second_signal_ends_the_time_for_the_load_balancer(workers: Any, app: Path, count: int) -> None:
    """LC-01, LC-06: what is to be stopped is stopped nevertheless."""
    with (app / "app.py").open("a") as file:
        file.write(
            "from container import Application, Data, Service, Site\n"
            "class Watch(Service):\n"
            "    async def stop(self):\n"
            "        pathlib.Path('stopped').touch()\n"
            "service = Application('x')\n"
            "service.add_service(Watch())\n"
            "service.serve(Site(Data(b'x', 'text/plain')))\n"
        )
    running = workers("--health", "--drain-delay", "60s", app="app:service", count=count)
    running.send(signal.SIGTERM)
    until(lambda: running.fetch("/readyz").status == 503, "not to be ready any more")
    running.send(signal.SIGINT)
    assert running.wait() == 128 + signal.SIGINT
    assert (app / "stopped").exists()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """What systemd is to a service."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(PATIENCE_S)
        yield listening


@pytest.mark.parametrize("count", [1, 2])
def test_the_service_manager_is_told(workers: Any, manager: socket.socket, count: int) -> None:
    """LC-06: READY=1 when it answers."""
    running = workers(count=count, NOTIFY_SOCKET=manager.getsockname())
    said = manager.recv(1000).decode().splitlines()
    assert said[0] == "READY=1"
    assert f"MAINPID={running.process.pid}" in said
    assert running.fetch().status == 200
    assert running.stop() == 0


@pytest.mark.parametrize("count", [1, 2])
def test_logs_are_opened_again(start: Any, app: Path, count: int) -> None:
    """LC-03, LG-03: USR1, after the file was renamed."""
    name = app / "access.log"
    running = start("app:application", "--bind", "127.0.0.1:0", "--workers", count, "--access-log-file", name)
    running.fetch("/first")
    until(lambda: "/first" in name.read_text(), "the first line")
    name.rename(app / "access.log.1")
    running.send(signal.SIGUSR1)
    until(lambda: name.exists(), "a new file")
    running.fetch("/second")
    until(lambda: "/second" in name.read_text() + (app / "access.log.1").read_text(), "the second line")
    assert "/first" in (app / "access.log.1").read_text()
    assert running.stop() == 0


def test_a_worker_that_is_being_started_opens_the_logs_again_too(start: Any, app: Path) -> None:
    """LC-03: it hears of USR1 when it can; its records do not go to a file that was put away."""
    log = app / "server.log"
    running = start(
        "app:application",
        "--bind",
        "127.0.0.1:0",
        "--max-requests",
        99999,
        "--no-access-log",
        "--log-file",
        log,
    )
    change(app, "2")
    (app / "app.py").write_text(SLOW_START + APP)
    running.send(signal.SIGHUP)
    until(lambda: (app / "importing").exists(), "a worker that imports")
    log.rename(app / "server.log.1")
    running.send(signal.SIGUSR1)
    until(log.exists, "a new file")
    (app / "go").touch()
    until(lambda: running.fetch().body.startswith(b"2 "), "the new version")

    def is_told() -> bool:
        running.fetch("/fail")
        return "2 failed" in log.read_text()

    until(is_told, "a record of the new version in the new file")
    assert running.stop() == 0


def test_one_process_survives_a_hangup(workers: Any) -> None:
    """LC-02: without a terminal."""
    running = workers(count=1)
    running.send(signal.SIGHUP)
    running.wait_for("reloads nothing")
    assert running.fetch().status == 200


def test_the_first_error_is_told_once(finish: Any, app: Path) -> None:
    """GW-01: exit code 4 as everywhere when the application cannot be loaded."""
    change(app, "broken")
    done = finish("app:application", "--bind", "127.0.0.1:0", "--workers", 3)
    assert done.returncode == 4
    assert done.stderr.count("container: importing 'app' failed") == 1


DEAF = """\
import pathlib, signal, time
kept = signal.signal(signal.SIGTERM, signal.SIG_IGN)
here = pathlib.Path(__file__).parent
(here / "deaf").touch()
limit = time.monotonic() + 20
while not (here / "go").exists() and time.monotonic() < limit:
    time.sleep(0.01)
signal.signal(signal.SIGTERM, kept)
"""


def test_a_signal_that_was_lost_is_said_again(workers: Any, app: Path) -> None:
    """LC-02: a process that was just forked forgets signals. Here it ignores the one that tells it to go, while it
    imports a version that is outdated by then."""
    running = workers()
    before: set[int] = set()
    while len(before) < 2:  # both have imported what was there at the start
        before.add(pid_of(running.fetch().body.decode()))
    (app / "app.py").write_text(DEAF + APP)
    running.send(signal.SIGHUP)
    until(lambda: (app / "deaf").exists(), "a worker that hears nothing")
    (deaf,) = set(children(running.process.pid)) - before
    (app / "app.py").write_text(APP)
    change(app, "2")
    running.send(signal.SIGHUP)
    until(lambda: running.fetch().body.startswith(b"2 "), "the second version")
    assert deaf in children(running.process.pid)
    (app / "go").touch()
    until(lambda: deaf not in children(running.process.pid), "the deaf one to end")
    assert running.fetch().body.startswith(b"2 ")
    assert len(children(running.process.pid)) == 2


def test_memory_sessions_of_several_workers_are_warned_of(start: Any, app: Path) -> None:
    """GW-03: told once."""
    running = start("app:application", "--bind", "127.0.0.1:0", "--workers", 2, "--sessions", "memory")
    assert sum("users will lose them" in line for line in running.lines) == 1


def test_a_daemon_tells_whether_it_started(finish: Any, app: Path) -> None:
    """DM-01: the parent's exit code; the daemon leads no session, and nobody else may write what it writes."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        options = ("app:application", "--daemon", "--pidfile", "pid", "--workers", 2, "--bind")
        refused = finish(*options, f"127.0.0.1:{port}")
    assert refused.returncode == 1
    assert "address already in use" in refused.stderr
    assert not (app / "pid").exists()
    served = finish(*options, f"127.0.0.1:{port}")
    assert served.returncode == 0, served.stderr
    pid = int((app / "pid").read_text())
    try:
        assert os.getsid(pid) not in (pid, os.getsid(0))
        assert "Umask:\t0077" in Path(f"/proc/{pid}/status").read_text()
        again = finish(*options, f"127.0.0.1:{port}")
        assert again.returncode == 1
        assert "Already running" in again.stderr
    finally:
        os.kill(pid, signal.SIGTERM)
    until(lambda: not Path(f"/proc/{pid}").exists(), "the daemon to end")
    assert not (app / "pid").exists()


def test_nothing_is_written_where_nobody_asked(start: Any, app: Path) -> None:
    """DM-01: neither a home nor a place for temporary files nor the directory we are in can be written to."""
    nowhere = app / "nowhere"
    nowhere.mkdir()
    before = sorted(app.iterdir())
    running = start(
        "app:application", "--bind", "127.0.0.1:0", "--workers", 2, "--no-access-log",
        HOME=str(nowhere / "home"), TMPDIR=str(nowhere / "tmp"), XDG_RUNTIME_DIR=str(nowhere / "run"),
    )  # fmt: skip
    assert running.fetch().status == 200
    assert running.stop() == 0
    assert [each for each in app.iterdir() if each not in before and not each.name.startswith("output")] == []
    assert list(nowhere.iterdir()) == []
