"""DM-02, DM-04, DM-05, LC-06, EP-06: pidfiles, whom the process becomes, what systemd passes and is told."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from container.service.activation import passed_names
from container.service.notify import Notifier
from container.service.pidfile import Pidfile, PidfileProblem
from container.service.privileges import (
    PrivilegeProblem,
    Privileges,
    become,
    find_group,
    find_user,
    groups_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# Pidfiles.


def test_a_pidfile_is_written_and_removed(tmp_path: Path) -> None:
    """DM-02"""
    path = tmp_path / "run.pid"
    pidfile = Pidfile(str(path))
    pidfile.write()
    assert path.read_text() == f"{os.getpid()}\n"
    pidfile.remove()
    pidfile.remove()
    assert not path.exists()


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("whose", ["ended", "own", "nobody's"])
def test_a_stale_pidfile_is_replaced(tmp_path: Path, whose: str) -> None:
    """DM-02: of a process that ended, of this one (pid 1 after a crash of its container), or empty."""
    path = tmp_path / "run.pid"
    texts = {"ended": str(ended_process()), "own": str(os.getpid()), "nobody's": ""}
    path.write_text(texts[whose])
    pidfile = Pidfile(str(path))
    pidfile.write()
    assert path.read_text() == f"{os.getpid()}\n"
    pidfile.remove()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (str(os.getppid()), f"another server is running, pid {os.getppid()} in "),
        ("1", "another server is running, pid 1 in "),
        ("rubbish", "expected a process id in the pidfile .*, got 'rubbish'"),
        ("-1", "expected a process id in the pidfile .*, got '-1'"),
    ],
)
def test_a_pidfile_in_use_or_of_something_else_stays(tmp_path: Path, content: str, message: str) -> None:
    """DM-02"""
    path = tmp_path / "run.pid"
    path.write_text(content)
    pidfile = Pidfile(str(path))
    with pytest.raises(PidfileProblem, match=message):
        pidfile.write()
    pidfile.remove()
    assert path.read_text() == content


def test_a_pidfile_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """DM-02"""
    with pytest.raises(
        PidfileProblem, match=r"cannot write the pidfile '.*/none/x': no such file or directory"
    ):
        Pidfile(str(tmp_path / "none/x")).write()
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(PidfileProblem, match="cannot write the pidfile"):
        Pidfile(str(tmp_path / "link")).write()


def test_a_pidfile_of_a_successor_is_left_alone(tmp_path: Path) -> None:
    """DM-02"""
    path = tmp_path / "run.pid"
    pidfile = Pidfile(str(path))
    pidfile.write()
    path.unlink()
    path.write_text("12345\n")
    pidfile.remove()
    assert path.read_text() == "12345\n"


# Rights.


def test_rights_are_given_up_group_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """DM-04"""
    calls: list[tuple[str, object]] = []
    for name in ("setuid", "setgid", "setgroups"):
        monkeypatch.setattr(os, name, lambda value, name=name: calls.append((name, value)))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    become(None, None)
    assert calls == []
    become(0, None)
    assert calls == [("setgroups", os.getgrouplist("root", 0)), ("setgid", 0), ("setuid", 0)]
    calls.clear()
    become(54321, 7)
    assert calls == [("setgroups", [7]), ("setgid", 7), ("setuid", 54321)]
    calls.clear()
    become(54321, None)
    assert calls == [("setgroups", []), ("setuid", 54321)]


def test_users_and_groups_have_names_or_numbers() -> None:
    """DM-04"""
    assert find_user("root") == find_group("root") == 0
    assert (find_user("123"), find_group("456")) == (123, 456)
    with pytest.raises(
        PrivilegeProblem, match="expected a number or a user this system knows, got 'nobody else'"
    ):
        find_user("nobody else")
    with pytest.raises(PrivilegeProblem, match="expected a number or a group this system knows, got ''"):
        find_group("")
    assert groups_of(None, None) == (None, [])
    assert groups_of(None, 5) == (5, [5])


def test_a_directory_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """DM-05"""
    with pytest.raises(PrivilegeProblem, match=r"cannot change to '.*none': no such file or directory"):
        Privileges(rundir=str(tmp_path / "none")).drop()


# systemd.


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({}, ()),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "2"}, ("unknown", "unknown")),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web:admin"}, ("web", "admin")),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web"}, ("web", "unknown")),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web:more"}, ("web",)),
        ({"LISTEN_PID": "8", "LISTEN_FDS": "2"}, ()),
        ({"LISTEN_FDS": "2"}, ()),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "two"}, ()),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "-2"}, ()),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "0"}, ()),
    ],
)
def test_passed_sockets_are_counted_and_named(environ: dict[str, str], names: tuple[str, ...]) -> None:
    """EP-06: only those that were meant for this process."""
    assert passed_names(environ, 7) == names


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(10)
        yield sock, str(tmp_path / "notify")


def test_a_supervisor_is_told_each_phase(supervisor: tuple[socket.socket, str]) -> None:
    """LC-06"""
    sock, path = supervisor
    notifier = Notifier({"NOTIFY_SOCKET": path})
    assert notifier.watchdog_s is None
    notifier.ready("serving")
    assert sock.recv(1000) == f"READY=1\nSTATUS=serving\nMAINPID={os.getpid()}".encode()
    notifier.reloading()
    first, _, second = sock.recv(1000).partition(b"\n")
    assert first == b"RELOADING=1"
    assert second.startswith(b"MONOTONIC_USEC=")
    notifier.stopping()
    assert sock.recv(1000) == b"STOPPING=1"
    notifier.close()
    notifier.stopping()
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        sock.recv(1)


def test_the_loop_feeds_the_watchdog(supervisor: tuple[socket.socket, str]) -> None:
    """LC-06"""
    sock, path = supervisor
    sock.setblocking(False)
    environ = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "20000", "WATCHDOG_PID": str(os.getpid())}

    async def main() -> None:
        loop = asyncio.get_running_loop()
        notifier = Notifier(environ)
        assert notifier.watchdog_s == 0.02
        notifier.start_watchdog(loop)
        async with asyncio.timeout(10):
            for _ in range(3):
                assert await loop.sock_recv(sock, 100) == b"WATCHDOG=1"
        notifier.close()

    asyncio.run(main())


@pytest.mark.parametrize("address", ["", "relative", "/no/such/socket", "@nobody-listens-at-this-name"])
def test_a_supervisor_that_is_not_there_stops_nobody(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"})
    notifier.ready("serving")
    assert notifier.watchdog_s is None
    notifier.close()


def test_a_watchdog_of_another_process_is_not_ours(supervisor: tuple[socket.socket, str]) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": supervisor[1], "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"})
    assert notifier.watchdog_s is None
    notifier.close()


def test_a_process_leaves_also_when_nobody_reads_what_it_says() -> None:
    """LC-01: a thread of the application that never ends, and a standard error whose reader has gone."""
    program = (
        "import threading; from container.service.loop import leave_within\n"
        "leave_within(0.01, 7); threading.Event().wait(20)"
    )
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run([sys.executable, "-c", program], stderr=writing, check=False)
    finally:
        os.close(writing)
    assert done.returncode == 7
