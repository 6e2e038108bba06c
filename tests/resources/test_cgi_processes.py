"""What becomes of the processes of CGI scripts: clients that leave, limits, time, the end of the server."""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from container.resources.cgi import CGIDirectory, Gateway
from container.resources.cgi import gateway as module
from container.testing import Client
from tests.leaf import request
from tests.scripts import children_of, exists, is_running, open_fds, wait_until, warm_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from container.testing import Connection
    from tests.scripts import ScriptDirectory

# Tells the processes of the script, then goes on for long; its child does too.
FAMILY = """
    sleep 300 &
    printf "Content-Type: text/plain\\n\\n$$ $!\\n"
    sleep 300
"""


@pytest.fixture(params=["cold", "warm"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def gateway_of(kind: str = "cold", **options: Any) -> Gateway:
    graces = {"leave_grace": 0.05, "kill_grace": 0.1}
    return Gateway(**graces, **({"warm": True, **warm_options()} if kind == "warm" else {}), **options)


def serving(scripts: ScriptDirectory, gateway: Gateway) -> Client:
    return Client(CGIDirectory(scripts.path, gateway=gateway))


def begun(client: Client, path: str) -> tuple[Connection, list[int]]:
    """A connection whose script has told its processes."""
    connection = client.connect()
    connection.send(request(path))
    client.wait_until(lambda: b"\r\n\r\n" in connection.data and connection.data.count(b"\n") > 6, "the pids")
    body = connection.data.partition(b"\r\n\r\n")[2].split(b"\r\n")[1]
    return connection, [int(word) for word in body.split()]


@pytest.mark.parametrize("leave", ["leave", "send_eof"])
def test_a_client_that_leaves_ends_the_script_and_its_children(scripts: ScriptDirectory, leave: str) -> None:
    """CG-12: also one that only closes its side, after the grace."""
    scripts.sh("x.sh", FAMILY)
    gateway = gateway_of()
    with serving(scripts, gateway) as client:
        connection, pids = begun(client, "/x.sh")
        assert len(pids) == 2
        assert all(map(is_running, pids))
        getattr(connection, leave)()
        client.wait_until(lambda: not gateway.running, "the end of the script")
        wait_until(lambda: not any(map(is_running, pids)), "the end of its child")
        assert not exists(pids[0])  # reaped


def test_a_script_that_ignores_the_signal_is_killed(scripts: ScriptDirectory, kind: str) -> None:
    """CG-12: TERM, then KILL."""
    told = scripts.open_directory("told") / "term"
    scripts.python(
        "x.py",
        f"""
        import os, signal, time
        signal.signal(signal.SIGTERM, lambda *_: open({str(told)!r}, "w").close())
        print("Content-Type: text/plain\\n")
        print(os.getpid(), os.getpgrp(), flush=True)
        while True:
            time.sleep(1)
        """,
    )
    gateway = gateway_of(kind)
    with serving(scripts, gateway) as client:
        connection, pids = begun(client, "/x.py")
        assert pids[0] == pids[1], "it leads a group of its own"
        connection.leave()
        client.wait_until(lambda: not gateway.running, "the end of the script")
        wait_until(lambda: not exists(pids[0]), "the end of the process")
    assert told.exists()


def test_a_half_closed_client_gets_its_answer(scripts: ScriptDirectory) -> None:
    """CG-12: within the grace."""
    scripts.sh("x.sh", "sleep 0.1; echo; echo answer")
    with serving(scripts, Gateway()) as client:
        answer = client.send_raw(request("/x.sh"), eof=True)
    assert b"answer" in answer.data


def test_a_child_that_outlives_its_script_is_ended_with_the_answer(scripts: ScriptDirectory) -> None:
    """CG-12: the child holds the output open after the script has ended."""
    scripts.sh("x.sh", 'sleep 300 & printf "A: 1\\n\\n$$ $!\\n"')
    gateway = gateway_of()
    with serving(scripts, gateway) as client:
        connection, pids = begun(client, "/x.sh")
        client.wait_until(lambda: not gateway.running, "the end of the script")
        assert is_running(pids[1])
        connection.leave()
        client.wait_until(lambda: not is_running(pids[1]), "the end of the child")


def test_a_script_may_leave_work_behind(scripts: ScriptDirectory) -> None:
    """As under other servers: what has closed its output is left alone once the answer is complete."""
    scripts.sh("x.sh", 'sleep 300 >/dev/null 2>&1 & printf "A: 1\\n\\n$!\\n"')
    with serving(scripts, gateway_of()) as client:
        pid = int(client.get("/x.sh").text)
        assert is_running(pid)
    wait_until(lambda: not is_running(pid), "its end with that of the server")


def test_a_script_that_is_silent_too_long(scripts: ScriptDirectory, caplog: pytest.LogCaptureFixture) -> None:
    """CG-19: 504 before its head."""
    scripts.sh("x.sh", "sleep 300")
    gateway = gateway_of(timeout=0.2)
    with serving(scripts, gateway) as client:
        assert client.get("/x.sh").status == 504
        client.wait_until(lambda: not gateway.running, "the end of the script")
    assert "said nothing for 0.2 s" in caplog.text


def test_a_script_that_falls_silent_is_cut_off(scripts: ScriptDirectory) -> None:
    """CG-19: the client cannot take the answer for complete."""
    scripts.sh("x.sh", FAMILY)
    with serving(scripts, gateway_of(timeout=0.3)) as client:
        connection, pids = begun(client, "/x.sh")
        client.wait_until(lambda: connection.closed, "the end of the connection")
        assert not connection.data.endswith(b"0\r\n\r\n")
        wait_until(lambda: not any(map(is_running, pids)), "the end of the processes")


def test_a_script_that_takes_too_long_in_all(scripts: ScriptDirectory) -> None:
    """CG-19: however much it says."""
    scripts.sh("x.sh", "echo; while :; do echo x; sleep 0.02; done")
    with serving(scripts, gateway_of(deadline=0.3)) as client:
        connection = client.connect()
        connection.send(request("/x.sh"))
        client.wait_until(lambda: connection.closed, "the end of the connection")


def test_so_many_run_at_a_time_and_others_wait(scripts: ScriptDirectory) -> None:
    """CG-19"""
    going = scripts.open_directory("going")
    scripts.sh("x.sh", f"touch {going}/$$; while ! [ -e {going}/go ]; do sleep 0.02; done; echo; echo done")
    gateway = gateway_of(processes=2, queue_limit=2)
    with serving(scripts, gateway) as client:
        connections = [client.connect() for _ in range(5)]
        for connection in connections:
            connection.send(request("/x.sh"))
        client.wait_until(lambda: len(list(going.iterdir())) == 2, "two scripts")
        assert b" 503 " in connections[4].data
        assert b"Retry-After: 1\r\n" in connections[4].data
        assert gateway.running == 2
        (going / "go").touch()
        client.wait_until(lambda: all(b"done" in each.data for each in connections[:4]), "the answers")


def test_who_waits_and_leaves_is_never_run(scripts: ScriptDirectory) -> None:
    """CG-19, CG-12"""
    going = scripts.open_directory("going")
    scripts.sh(
        "x.sh", f"touch {going}/$QUERY_STRING; while ! [ -e {going}/go ]; do sleep 0.02; done; echo; echo"
    )
    gateway = gateway_of(processes=1)
    with serving(scripts, gateway) as client:
        first, second = client.connect(), client.connect()
        first.send(request("/x.sh?first"))
        second.send(request("/x.sh?second"))
        second.transport.reset()
        (going / "go").touch()
        client.wait_until(lambda: b"\r\n\r\n" in first.data and not gateway.running, "the answer")
    assert not (going / "second").exists()


def test_who_waits_too_long_is_told_to_come_back(scripts: ScriptDirectory) -> None:
    """CG-19"""
    scripts.sh("x.sh", "echo; while :; do echo x; sleep 0.02; done")
    with serving(scripts, gateway_of(processes=1, timeout=0.3)) as client:
        first = client.connect()
        first.send(request("/x.sh"))
        assert client.get("/x.sh").status == 503


def test_processes_have_limits(scripts: ScriptDirectory, kind: str) -> None:
    """CG-13, CG-19"""
    scripts.python(
        "x.py",
        """
        import resource
        print("Content-Type: text/plain\\n")
        print(resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_CPU))
        """,
    )
    with serving(scripts, gateway_of(kind, limits={"files": 50, "cpu": 7})) as client:
        assert client.get("/x.py").text == "(50, 50) (7, 7)\n"


def test_a_client_that_does_not_read_stops_the_script(scripts: ScriptDirectory) -> None:
    """CG-18: its pipe is not read either, and nothing is gathered in memory."""
    count = scripts.open_directory("count") / "count"
    scripts.python(
        "x.py",
        f"""
        import os
        os.write(1, b"Content-Type: text/plain\\n\\n")
        for number in range(100_000):
            os.write(1, b"x" * 10_000)
            with open({str(count)!r}, "w") as file:
                file.write(str(number))
        """,
    )
    gateway = gateway_of()
    with serving(scripts, gateway) as client:
        connection = client.connect()
        connection.transport.hold()
        connection.send(request("/x.py"))
        client.wait_until(count.exists, "the first pieces")
        still = stands_still(client, lambda: count.read_text())
        assert int(still or 0) * 10_000 < 1_000_000
        connection.transport.reset()
        client.wait_until(lambda: not gateway.running, "the end of the script")


def stands_still(client: Client, look: Callable[[], str]) -> str:
    seen = [look()]

    def is_still() -> bool:
        time.sleep(0.05)
        seen.append(look())
        return len(seen) > 4 and len(set(seen[-4:])) == 1

    client.wait_until(is_still, "no more progress")
    return seen[-1]


def test_the_starter_dies_and_another_takes_its_place(
    scripts: ScriptDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    scripts.sh("x.sh", FAMILY)
    scripts.sh("y.sh", "echo; echo $PPID")
    gateway = gateway_of()
    with serving(scripts, gateway) as client:
        connection, pids = begun(client, "/x.sh")
        starters = [int(client.get("/y.sh").text) for _ in range(2)]
        for pid in starters:
            os.kill(pid, signal.SIGKILL)
        client.wait_until(lambda: connection.closed, "the end of the answer")
        ended = "the process that starts scripts has ended"
        client.wait_until(lambda: caplog.text.count(ended) == 2, "the news of both ends")
        assert int(client.get("/y.sh").text) not in starters
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def test_the_end_of_the_server_is_the_end_of_its_scripts(scripts: ScriptDirectory) -> None:
    """CG-12: nothing is left, not even its starters."""
    scripts.sh("x.sh", FAMILY)
    before = set(children_of(os.getpid()))
    with serving(scripts, gateway_of()) as client:
        _, pids = begun(client, "/x.sh")
        assert len(set(children_of(os.getpid())) - before) == module._STARTERS
    wait_until(lambda: not any(map(is_running, pids)), "the end of the script")
    assert set(children_of(os.getpid())) == before


def test_no_descriptor_is_left_open(scripts: ScriptDirectory, kind: str) -> None:
    """CG-12, CG-13"""
    scripts.python("x.py", 'import sys; sys.stdin.read(5); print("A: 1\\n\\nbody")')
    scripts.write("bad", "#!/no/such/interpreter\n")
    with serving(scripts, gateway_of(kind)) as client:
        client.get("/x.py")
        before = open_fds()
        for _ in range(5):
            client.get("/x.py")
            client.post("/x.py", body=b"x" * 500_000)
            client.get("/bad")
        connection = client.connect()
        connection.send(request("/x.py", "Content-Length: 5", method="POST"))
        connection.leave()
        client.wait_until(lambda: open_fds() <= before, "as many descriptors as before")


def test_a_script_that_does_not_wait_for_its_input_leaves_nothing_open(
    scripts: ScriptDirectory, kind: str
) -> None:
    """CG-12: its answer is complete before the content is, which never comes."""
    scripts.python("x.py", 'print("Content-Length: 2\\n\\nok")')
    with serving(scripts, gateway_of(kind)) as client:
        client.get("/x.py")
        before = open_fds()
        for _ in range(3):
            connection = client.connect()
            connection.send(request("/x.py", "Content-Length: 5", method="POST") + b"ab")
            assert connection.receive().text == "ok"
            connection.leave()
        client.wait_until(lambda: open_fds() <= before, "as many descriptors as before")


def test_words_of_a_running_script_are_logged_as_they_come(
    scripts: ScriptDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    """CG-11"""
    caplog.set_level(logging.INFO, "container.cgi")
    scripts.sh("x.sh", "echo early >&2; sleep 300")
    with serving(scripts, gateway_of()) as client:
        connection = client.connect()
        connection.send(request("/x.sh"))
        client.wait_until(lambda: "x.sh: early" in caplog.text, "the line")
        connection.leave()


def test_scripts_can_have_another_user(scripts: ScriptDirectory) -> None:
    """CG-13: only root can choose one."""
    scripts.sh("x.sh", "echo; id -u; id -g; id -G")
    if os.geteuid() != 0:
        with pytest.raises(ValueError, match="expected to run as root"):
            gateway_of(user="root")
        return
    with serving(scripts, gateway_of(user="daemon", group="nogroup")) as client:
        assert client.get("/x.sh").text.split() == ["1", "65534", "65534"]


def test_only_root_can_choose_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """CG-13"""
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(ValueError, match="expected to run as root"):
        gateway_of(user="nobody")
    assert gateway_of().identity_name == "54321"


def test_the_starter_is_small() -> None:
    """It is what `posix_spawn` copies from: nothing of the server is in it."""
    source = Path(module.__file__).with_name("starter.py").read_text()
    assert "container" not in [
        line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith(("import ", "from "))
    ]


def test_what_a_script_leaves_behind_may_talk_without_end(scripts: ScriptDirectory) -> None:
    """CG-12: the answer goes on as long as somebody holds its output, and nobody else waits for that."""
    scripts.sh("x.sh", 'printf "Content-Type: text/plain\\n\\n"; cat /dev/zero & echo $! > ../told')
    scripts.sh("y.sh", 'printf "Content-Type: text/plain\\n\\nquick"')
    gateway = gateway_of()
    with serving(scripts, gateway) as client:
        connection = client.connect()
        connection.transport.hold()
        connection.send(request("/x.sh"))
        client.wait_until(lambda: not gateway.running, "the end of the script")
        assert client.get("/y.sh").text == "quick"
        pid = int((scripts.path.parent / "told").read_text())
        assert is_running(pid)
        connection.leave()
        wait_until(lambda: not is_running(pid), "the end of what it left behind")


def test_what_a_shared_module_does_at_its_end_is_done(scripts: ScriptDirectory) -> None:
    """CG-13: exit functions of modules that were imported beforehand are those of each run."""
    scripts.python(
        "x.py",
        """
        import logging, logging.handlers, sys
        print("Content-Type: text/plain\\n")
        target = logging.StreamHandler(sys.stdout)
        logging.getLogger().addHandler(logging.handlers.MemoryHandler(9, target=target))
        logging.warning("at last")
        """,
    )
    gateway = Gateway(warm=["logging.handlers"], **warm_options())
    with serving(scripts, gateway) as client:
        assert [client.get("/x.py").text for _ in range(2)] == ["at last\n"] * 2
