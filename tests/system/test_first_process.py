"""As process 1 of a container: signals arrive, orphans are reaped, the exit code is the server's (LC-01)."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.system.conftest import COMMAND, PATIENCE_S, Running, environment
from tests.system.test_workers import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

APP = """\
import os, pathlib, subprocess
def state(entry):
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"
def application(environ, start_response):
    if environ["PATH_INFO"] == "/orphan":
        # Its parent ends at once: it is left to process 1.
        subprocess.run(["sh", "-c", "sleep 0.1 & echo"], stdout=subprocess.DEVNULL)
    processes = [each for each in pathlib.Path("/proc").iterdir() if each.name.isdigit()]
    facts = [os.getpid(), sum(state(each) == "Z" for each in processes), len(processes)]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [repr(facts).encode()]
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a process the first")


@pytest.fixture
def contained(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """The command as process 1 of a namespace; signals go to it."""
    (tmp_path / "app.py").write_text(APP)
    begun: list[tuple[Running, subprocess.Popen[str]]] = []

    def begin(*options: str) -> Running:
        command = [*COMMAND, "app:application", "--bind", "127.0.0.1:0", "--no-access-log", *options]
        process = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *command],
            cwd=tmp_path, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        running = Running(process, tmp_path / "output")
        begun.append((running, process))
        running.wait_for(" serving on ")
        return running

    yield begin
    for running, _ in begun:
        running.end()


def first_of(running: Running) -> int:
    """Process 1 of the namespace, as it is called outside of it."""
    pid = running.process.pid
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_orphans_are_reaped_and_signals_arrive(contained: Callable[..., Running], workers: str) -> None:
    running = contained("--workers", workers)
    for _ in range(5):
        running.fetch("/orphan")

    def facts() -> list[int]:
        return list(eval(running.fetch("/").body))

    assert facts()[0] != 1
    # Process 1 and the server, or the workers; no orphan and no zombie.
    until(lambda: facts()[1:] == [0, 3 if workers == "2" else 2], "all orphans to be reaped")
    os.kill(first_of(running), signal.SIGTERM)
    assert running.process.wait(PATIENCE_S) == 0


def test_the_exit_code_is_the_servers(contained: Callable[..., Running]) -> None:
    """And a server that is killed ends process 1, and with it the container."""
    running = contained()
    first = first_of(running)
    (server,) = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    os.kill(int(server), signal.SIGKILL)
    assert running.process.wait(PATIENCE_S) == 128 + signal.SIGKILL
