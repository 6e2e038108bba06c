"""Metrics of the real command: over all workers, whoever of them answers, whatever becomes of the others."""

from __future__ import annotations

import os
import signal
import socket
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.service.test_metrics import samples
from tests.system.conftest import PATIENCE_S, Running
from tests.system.pooled import Pool
from tests.system.ports import free_port
from tests.system.test_gunicorn import gunicorn
from tests.system.test_workers import children, port_of, until

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["gunicorn"]  # a fixture
APP = """\
import os, threading
stuck = threading.Event()
def application(environ, start_response):
    if environ["PATH_INFO"] == "/stuck":
        stuck.wait()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


@pytest.fixture
def metered(start: Any, tmp_path: Path) -> Any:
    """The command with metrics, one worker or more."""
    (tmp_path / "app.py").write_text(APP)

    def begin(*arguments: object, count: int) -> Running:
        options = ("--bind=127.0.0.1:0", "--workers", count, "--metrics=127.0.0.1:0")
        running: Running = start("app:application", *options, *arguments, addresses=2)
        until(lambda: told(running)["container_workers"] == count, "all workers to serve")
        return running

    return begin


def told(running: Running) -> dict[str, float]:
    return samples(running.fetch("/metrics", url=running.urls[1]).body.decode())


def answered(running: Running) -> float:
    return told(running)["container_requests_total 2xx"]


@pytest.mark.parametrize("count", [1, 2])
def test_counts_add_up_over_workers_under_load(metered: Any, count: int) -> None:
    running = metered(count=count)
    answers: Counter[str] = Counter()

    def ask() -> bool:
        """One worker may have all connections that are opened in the first second of the other."""
        with Pool(port_of(running)) as pool:
            pool.wait_for_more(200)
        assert not pool.failures
        answers.update(pool.answers)
        return len(answers) == count

    until(ask, f"answers of {count} workers")
    until(lambda: answered(running) == answers.total(), f"{answers.total()}, got {told(running)}")
    now = told(running)
    assert now["container_workers"] == now["container_worker_starts_total"] == count
    assert now["container_request_duration_seconds_count"] == answers.total()
    assert now["container_response_bytes_total"] == sum(len(each) * n for each, n in answers.items())
    memory = [value for name, value in now.items() if name.startswith("container_worker_memory_bytes")]
    assert len(memory) == count
    assert min(memory) > 1 << 20
    assert running.fetch("/metrics").body.isdigit()  # nobody gets at it by the other address
    assert running.stop() == 0
    assert running.output.count("GET /metrics HTTP") == 1  # nor is it in the log


def test_counts_survive_recycling(metered: Any) -> None:
    """GW-03"""
    running = metered("--max-requests=30", count=2)
    low = 0.0
    with Pool(port_of(running)) as pool:
        while len(pool.answers) < 6:
            pool.wait_for_more(20)
            now = answered(running)
            assert now >= low
            low = now
    assert not pool.failures
    until(lambda: answered(running) == pool.answers.total(), f"{pool.answers.total()}, got {told(running)}")
    assert told(running)["container_worker_starts_total"] >= 6
    assert "container_worker_memory_bytes 4" not in told(running)  # places are taken again


def test_a_killed_worker_takes_no_counts_with_it(metered: Any) -> None:
    running = metered(count=2)
    for _ in range(50):
        running.fetch()
    until(lambda: answered(running) == 50, "fifty")
    victim, _ = children(running.process.pid)
    os.kill(victim, signal.SIGKILL)
    running.wait_for(f"worker {victim} ended")
    until(lambda: told(running)["container_worker_starts_total"] == 3, "a third worker")
    until(lambda: told(running)["container_workers"] == 2, "two of them")
    for _ in range(50):
        running.fetch()
    until(lambda: answered(running) == 100, "a hundred")
    assert len([each for each in told(running) if each.startswith("container_worker_memory_bytes")]) == 2


@pytest.mark.parametrize("count", [1, 2])
def test_it_is_answered_when_every_thread_is_stuck(metered: Any, count: int) -> None:
    running = metered("--threads=1", "--graceful-timeout=0", count=count)
    with ExitStack() as stuck:

        def one_more() -> int:
            client = stuck.enter_context(
                socket.create_connection(("127.0.0.1", port_of(running)), PATIENCE_S)
            )
            client.sendall(b"GET /stuck HTTP/1.1\r\nHost: h\r\n\r\n")
            clients.append(client)
            return int(told(running)["container_threads_busy"])

        clients: list[socket.socket] = []
        until(lambda: one_more() == count, "every thread to be busy")
        until(lambda: one_more() == count and len(clients) >= 8, "more than there are threads")
        names = ("connections", "requests_in_progress", "requests_waiting", "threads", "threads_busy")
        expected = [len(clients), len(clients), len(clients) - count, count, count]

        def is_told() -> bool:
            now = told(running)
            return [now[f"container_{name}"] for name in names] == expected

        until(is_told, f"{expected}, got {told(running)}")


def test_nobody_listens_unless_told_to(start: Any, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    running = start("app:application", "--bind=127.0.0.1:0")
    assert len(running.urls) == 1


def test_a_port_alone_is_one_of_the_loopback_and_app_may_follow(start: Any, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    port = free_port()
    running = start("--bind=127.0.0.1:0", "--metrics", port, "app:application", addresses=2)
    assert urlsplit(running.urls[1]).netloc == f"127.0.0.1:{port}"


def test_it_may_be_mounted_by_its_name(start: Any, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    mount = "--mount=/metrics=container:Metrics()"
    running = start("app:application", "--bind=127.0.0.1:0", "--workers=2", mount)
    for _ in range(5):
        running.fetch()
    until(
        lambda: samples(running.fetch("/metrics").body.decode())["container_requests_total 2xx"] >= 5, "five"
    )


def test_gunicorns_workers_are_told_of_whatever_becomes_of_them(gunicorn: Any) -> None:
    running = gunicorn("-w", 2, "--max-requests", 60, "apps:metered")

    def told() -> dict[str, float]:
        return samples(running.fetch("/metrics").body.decode())

    with Pool(running.port, path="/hello") as pool:
        pool.wait_for_more(400)
    until(lambda: told()["container_requests_total 2xx"] >= pool.answers.total(), "all of them")
    assert told()["container_worker_starts_total"] >= 4
    until(lambda: told()["container_workers"] == 2, "two of them")
    assert "container_worker_memory_bytes 9" not in told()  # places are taken again
