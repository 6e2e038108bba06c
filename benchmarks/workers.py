"""What a second worker is worth: requests a second of a handler that burns 5 ms of CPU, with one worker and with two.

    python benchmarks/workers.py [--threads 8] [--by-clock]        # 3 rounds of 4 s; needs wrk and two cores

The servers are started together and loaded in turn, 1 2 1 2, so that the ratio is formed between neighbours in time.
The load generator shares the cores: at 400 requests a second it needs little of them.

A request is the same piece of work each time, one that took 5 ms when it ran alone. With `--by-clock` it burns 5 ms by
the clock of its thread instead; that runs as well while threads only wake to ask each other for the interpreter, so one
worker with many threads then seems to serve more than a core can.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from load import run_load
from processes import Server, end_on_sigterm, free_port, running
from rounds import Samples, markdown, medians, ratio, spread, times
from servers import HERE

# The least that two workers may be worth.
TARGET = 1.8
BURNED_S = 0.005
CONNECTIONS = 32
# Of a request: the servers are told by whoever measures.
UNITS = int(os.environ.get("WORK_UNITS", "0"))


def work(units: int) -> int:
    total = 0
    for number in range(units):
        total += number * number
    return total


def units_of_work() -> int:
    """How many take `BURNED_S` of an idle core: by the fastest of some tries."""
    tried = 50_000
    work(tried)
    fastest = min(_seconds_of(tried) for _ in range(50))
    return round(tried * BURNED_S / fastest)


def _seconds_of(units: int) -> float:
    begin = time.thread_time()
    work(units)
    return time.thread_time() - begin


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    work(UNITS)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "12")])
    return [b"Hello World!"]


def by_clock(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    until = time.thread_time() + BURNED_S
    while time.thread_time() < until:
        pass
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "12")])
    return [b"Hello World!"]


def sample(server: Server, seconds: float) -> dict[str, float]:
    before = server.cpu_s()
    load = run_load(server.port, connections=CONNECTIONS, seconds=seconds, core=max(os.sched_getaffinity(0)))
    if load.errors:
        raise RuntimeError(f"{load.errors} errors in {load.requests} requests")
    cpu_ms = (server.cpu_s() - before) * 1000 / load.requests
    return {"rate": load.rate, "cpu_ms": cpu_ms, "p99_ms": load.p99_ms}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=8, help="of each worker")
    parser.add_argument("--by-clock", action="store_true", help="burn time, not work")
    arguments = parser.parse_args()
    end_on_sigterm()
    samples: Samples = {"1": {}, "2": {}}
    environment = os.environ | {"PYTHONPATH": str(HERE.parent), "WORK_UNITS": str(units_of_work())}
    handler = "by_clock" if arguments.by_clock else "application"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers: dict[str, Server] = {}
        for workers in samples:
            port = free_port()
            command = [sys.executable, "-m", "container", "--wsgi", f"workers.{handler}", "--workers", workers,
                       "--threads", str(arguments.threads),
                       "--listen", f"tcp:{port}:interface=127.0.0.1", "--no-access-log"]  # fmt: skip
            servers[workers] = stack.enter_context(
                running(command, port, cwd=HERE, env=environment, core=None, output=folder / workers)
            )
        for number in range(arguments.rounds):
            for workers, server in servers.items():
                samples[workers][number] = sample(server, arguments.seconds)
    rows = []
    for workers in samples:
        middle = medians(samples, workers)
        rows.append(
            [workers, f"{middle['rate']:.0f}", spread(samples, workers, "rate"), f"{middle['cpu_ms']:.2f}",
             f"{middle['p99_ms']:.0f}", times(ratio(samples, workers, "1", "rate"))]
        )  # fmt: skip
    print(f"{os.cpu_count()} cores, target {TARGET}\n")
    print(markdown(["workers", "req/s", "low..high", "CPU ms a request", "p99 ms", "/ one"], rows))


if __name__ == "__main__":
    main()
