"""What a second worker is worth: requests a second of a handler that burns 5 ms of CPU, with one worker and with two.

    python benchmarks/workers.py [--threads 4]        # 3 rounds of 4 s; needs wrk and two cores

The servers are started together and loaded in turn, 1 2 1 2, so that the ratio is formed between neighbours in time.
The load generator shares the cores: at 400 requests a second it needs little of them.
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


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """CPU time of its own thread, so that waiting for others does not count."""
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
    parser.add_argument("--threads", type=int, default=4, help="of each worker")
    arguments = parser.parse_args()
    end_on_sigterm()
    samples: Samples = {"1": {}, "2": {}}
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers: dict[str, Server] = {}
        for workers in samples:
            port = free_port()
            command = [sys.executable, "-m", "container", "--wsgi", "workers.application", "--workers", workers,
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
