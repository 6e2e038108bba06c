"""What blocking threads cost everybody else: latency beside a WSGI application that sleeps, or computes.

    python benchmarks/latency.py                     # 20 s: idle, asleep, computing, 5 s each and some

One process serves a WSGI application on 8 threads, an ASGI application, a native resource and a file. While all
threads of the first are kept busy, the other three are asked 200 times a second in all, on kept-alive connections,
each request at its appointed time whatever became of the one before. Reported: percentiles by kind and load.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from load import pin_to
from processes import end_on_sigterm, free_port, running
from rounds import markdown

HERE = Path(__file__).resolve().parent
THREADS = 8
KINDS = {"ASGI": "/asgi", "native": "/native", "file": "/file/page.html"}
LOADS = {"idle": "", "asleep": "/wsgi/sleep", "computing": "/wsgi/compute"}
_TREE = """
import sys, time
from container import Application, ASGIResource, Data, Files, Resource, Site, WSGIResource
sys.path.insert(0, {here!r})
import apps

def busy(environ, start_response):
    kind = environ["PATH_INFO"]
    if kind == "/sleep":
        time.sleep(5)
    elif kind == "/compute":
        until = time.thread_time() + 0.5
        while time.thread_time() < until:
            sum(range(1000))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]

root = Resource()
root.mount("", Data(apps.BODY, "text/plain"))
root.mount("wsgi", WSGIResource(busy, threads={threads}))
root.mount("asgi", ASGIResource(apps.asgi))
root.mount("native", Data(apps.BODY, "text/plain"))
root.mount("file", Files({folder!r}))
application = Application("latency")
application.serve(Site(root))
"""


async def ask(port: int, path: str, rate: float, seconds: float) -> list[float]:
    """Seconds each answer took, counted from when it was due."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    took = []
    begin = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = begin + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"expected 200 from {path}, got {head[:40]!r}")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.split(b":")[1]))
        took.append(time.perf_counter() - due)
    writer.close()
    return took


async def keep_busy(port: int, path: str) -> None:
    """Ask for `path` again and again, until cancelled."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        try:
            await reader.read()
        finally:
            writer.close()


async def measure(port: int, load: str, rate: float, seconds: float) -> dict[str, list[float]]:
    """Latencies by kind, while `load` keeps twice as many requests in flight as there are threads."""
    busy = [asyncio.create_task(keep_busy(port, load)) for _ in range(2 * THREADS)] if load else []
    await asyncio.sleep(0.3)
    try:
        found = await asyncio.gather(
            *(ask(port, path, rate / len(KINDS), seconds) for path in KINDS.values())
        )
    finally:
        for task in busy:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*busy, return_exceptions=True)
    return dict(zip(KINDS, found, strict=True))


def table(results: dict[str, dict[str, list[float]]]) -> str:
    rows = []
    for load, kinds in results.items():
        for kind, took in kinds.items():
            cuts = statistics.quantiles(took, n=1000)
            p50, p99, worst = cuts[499] * 1e3, cuts[989] * 1e3, max(took) * 1e3
            rows.append([load, kind, str(len(took)), f"{p50:.2f}", f"{p99:.2f}", f"{worst:.2f}"])
    return markdown(("threads are", "asked for", "requests", "p50 ms", "p99 ms", "worst ms"), rows)


def main() -> None:
    end_on_sigterm()
    parser = argparse.ArgumentParser(description="Latency beside blocking threads.")
    parser.add_argument("--rate", type=float, default=200, help="requests a second, of all kinds together")
    parser.add_argument("--seconds", type=float, default=5)
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    results = {}
    with tempfile.TemporaryDirectory(prefix="latency-") as folder:
        Path(folder, "page.html").write_text("Hello World!")
        tree = Path(folder, "latency.tac")
        tree.write_text(_TREE.format(here=str(HERE), folder=folder, threads=THREADS))
        for name, load in LOADS.items():
            port = free_port()
            command = [sys.executable, "-m", "container", "-y", str(tree), "--no-access-log"]
            with running(
                [*command, "--listen", f"tcp:{port}:interface=127.0.0.1"],
                port,
                cwd=HERE,
                env=os.environ | {"PYTHONPATH": str(HERE.parent)},
                core=cores[0],
                output=Path(folder, "output.log"),
            ):
                pin_to(cores[-1])
                results[name] = asyncio.run(measure(port, load, arguments.rate, arguments.seconds))
    print(table(results))


if __name__ == "__main__":
    main()
