"""Two workers that come and go, again and again, while clients that keep their connections never stop asking."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import PATIENCE_S, start
from tests.system.pooled import Pool
from tests.system.test_workers import (
    app,
    change,
    children,
    is_gone,
    pid_of,
    port_of,
    recycle_under_load,
    reload_under_load,
    until,
    workers,
)

__all__ = ["app", "start", "workers"]  # fixtures

pytestmark = pytest.mark.soak

RELOADS = 100
RECYCLED = 50
KILLED = 20
UPGRADES = 10


def test_a_hundred_reloads_lose_no_request(workers: Any, app: Path) -> None:
    """LC-04."""
    running = workers()
    assert reload_under_load(running, app, RELOADS).failures == []
    until(lambda: len(children(running.process.pid)) == 2, "two workers")


def test_a_storm_of_reloads_loses_no_request(workers: Any, app: Path) -> None:
    """LC-04: not one waits for the last; in the end two workers serve what was written last."""
    running = workers()
    with Pool(port_of(running)) as pool:
        for number in range(RELOADS):
            change(app, f"v{number}")
            running.send(signal.SIGHUP)
            pool.wait_for_more(5)
        last = f"v{RELOADS - 1} "
        until(
            lambda: (
                len(children(running.process.pid)) == 2
                and all(running.fetch().body.decode().startswith(last) for _ in range(10))
            ),
            "the last version",
        )
    assert pool.failures == []


def test_fifty_recycled_workers_lose_no_request(workers: Any) -> None:
    """LC-04."""
    assert recycle_under_load(workers("--max-requests", 60), RECYCLED + 2).failures == []


def test_twenty_killed_workers_cost_their_own_requests_only(workers: Any) -> None:
    """LC-05: a connection fails at most once, and only if its worker was killed."""
    running = workers()
    clients = 6
    for _ in range(KILLED):
        with Pool(port_of(running), clients=clients) as pool:
            pool.wait_for_more(20)
            victim = pid_of(next(iter(pool.answers)))
            os.kill(victim, signal.SIGKILL)
            running.wait_for(f"worker {victim} ended")
            pool.wait_for_more(50)
        assert {pid_of(each) for each in pool.struck if each} <= {victim}
        assert len(pool.failures) <= clients
        until(lambda: len(children(running.process.pid)) == 2, "two workers")


def test_upgrades_lose_no_request(workers: Any, app: Path) -> None:
    """LC-04: USR2 to the arbiter there is, TERM to it once the next one serves, and so on."""
    pidfile = app / "pid"
    running = workers("--pidfile", pidfile)
    pids = [running.process.pid]
    try:
        with Pool(port_of(running)) as pool:
            for number in range(UPGRADES):
                upgrade(running, app, f"v{number} ", pids, pool)
            pool.wait_for_more(20)
        assert pool.failures == []
    finally:
        for pid in pids[1:]:
            if not is_gone(pid):
                os.kill(pid, signal.SIGTERM)
                until(lambda: is_gone(pid), "the end")  # noqa: B023


def upgrade(running: Any, app: Path, version: str, pids: list[int], pool: Pool) -> None:
    change(app, version.strip())
    old = pids[-1]
    os.kill(old, signal.SIGUSR2)
    running.wait_for(" serving on ")
    pids.append(int((app / "pid.2").read_text()))
    os.kill(old, signal.SIGTERM)
    if len(pids) == 2:
        assert running.process.wait(PATIENCE_S) == 0
    until(lambda: is_gone(old), "the old arbiter to end")
    until(lambda: (app / "pid").exists() and (app / "pid").read_text() == f"{pids[-1]}\n", "its pidfile")
    pool.forget()
    pool.wait_until(lambda came: any(each.startswith(version) for each in came), version)
