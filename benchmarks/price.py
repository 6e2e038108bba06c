"""The price list: CPU µs a request in memory, without sockets.

    python benchmarks/price.py                          # uvicorn from benchmarks/.venv, made by throughput.py
    python benchmarks/price.py --only floor,wsgi-inline --rounds 15

A change to a module marked "Hot path:" quotes this table before and after. All rows run in one process on
one core, on a uvloop loop, with as many requests in flight as there are connections. CPU is that of the
whole process, so the threads of a pool are in it.

uvicorn need not be installed beside container: the site-packages folder of the peers' venv is *appended* to
`sys.path`, so uvicorn and h11 come from there, but uvloop and httptools are the ones container itself uses,
the same for every row. The venv must be of the same Python version.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import price_container
import price_uvicorn
import uvloop
from bench import Bench, Opening, Receiver, measure
from rounds import Samples, markdown, medians, ratio, spread, times

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

HERE = Path(__file__).resolve().parent
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nHello World!"
HEADER = ("row", "CPU us/request", "low..high", "of it on the loop", "x uvicorn", "writes/request")
PEER = "uvicorn"


class _Fixed:
    """A connection that answers without looking."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes, /) -> None:
        self._transport.write(ANSWER)


@asynccontextmanager
async def floor(bench: Bench) -> AsyncIterator[Sequence[Receiver]]:
    """What the bench itself costs, to be taken off every other row by the reader."""
    yield [_Fixed(bench.transport()) for _ in range(bench.connections)]


ROWS: Mapping[str, Opening] = {
    "floor": floor,
    "parse": price_container.parse_only,
    "native": price_container.native,
    "wsgi-inline": price_container.wsgi_inline,
    "wsgi-pool": price_container.wsgi_pool,
    "wsgi-pool-log": price_container.wsgi_pool_log,
    "wsgi-pool-new": price_container.wsgi_pool_new,
    PEER: price_uvicorn.httptools_protocol,
}


def add_peers(venv: Path) -> str | None:
    """Append the venv's site-packages to the path; a note if there is none for this Python."""
    folder = venv / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    if not folder.is_dir():
        return f"no {folder}: uvicorn is used only if this interpreter has it"
    sys.path.append(str(folder))
    return None


def measure_all(names: Sequence[str], arguments: argparse.Namespace) -> tuple[Samples, list[str]]:
    """All rounds, A B C … A B C …; a row that cannot run is left out with a note."""
    samples: Samples = {}
    notes: list[str] = []
    left_out: set[str] = set()
    for number in range(1, arguments.rounds + 1):
        for name in names:
            if name in left_out:
                continue
            run = measure(
                ROWS[name],
                requests=arguments.requests,
                connections=arguments.connections,
                threads=arguments.threads,
            )
            try:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    samples.setdefault(name, {})[number] = runner.run(run)
            except (ImportError, price_container.NotWiredError) as error:
                left_out.add(name)
                notes.append(f"{name} is left out: {error}")
    return samples, notes


def table(samples: Samples) -> str:
    """Medians over the rounds; the ratio is the row over uvicorn, formed in each round."""
    rows = []
    for name in samples:
        middle = medians(samples, name)
        rows.append(
            [
                name,
                f"{middle['cpu_us']:.2f}",
                spread(samples, name, "cpu_us"),
                f"{middle['loop_us']:.2f}",
                times(ratio(samples, name, PEER, "cpu_us")),
                f"{middle['writes']:.0f}",
            ]
        )
    return markdown(HEADER, rows)


def describe(arguments: argparse.Namespace, core: int) -> dict[str, str]:
    """The circumstances, for the text under the table and for the JSON file."""
    libraries = []
    for name in ("container-server", "uvicorn", "uvloop", "httptools"):
        try:
            libraries.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return {
        "rounds": f"{arguments.rounds} of {arguments.requests} requests a row",
        "in flight": f"{arguments.connections} requests; {arguments.threads} threads in wsgi-pool",
        "machine": f"core {core}, Linux {platform.release()}, Python {platform.python_version()}",
        "versions": ", ".join(libraries),
    }


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU time a request costs in memory.")
    parser.add_argument("--only", metavar="A,B", help=f"rows to run, of: {', '.join(ROWS)}")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=20_000, help="for each row in each round")
    parser.add_argument("--connections", type=int, default=32, help="requests in flight")
    parser.add_argument("--threads", type=int, default=8, help="of the pool in wsgi-pool")
    parser.add_argument("--peers-venv", type=Path, metavar="DIR", default=HERE / ".venv")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample of every round")
    arguments = parser.parse_args()
    arguments.names = list(dict.fromkeys(arguments.only.split(","))) if arguments.only else list(ROWS)
    if unknown := [name for name in arguments.names if name not in ROWS]:
        parser.error(f"expected names of {', '.join(ROWS)}, got {', '.join(unknown)}")
    if min(arguments.rounds, arguments.requests, arguments.connections, arguments.threads) < 1:
        parser.error("rounds, requests, connections and threads are at least 1")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})  # threads inherit it: one core, as in throughput.py
    sys.path.insert(1, str(HERE.parent))  # this repository's container, installed or not
    notes = [note for note in [add_peers(arguments.peers_venv)] if note]
    samples, left_out = measure_all(arguments.names, arguments)
    notes += left_out
    if not samples:
        sys.exit("\n".join(["nothing could be measured", *notes]))
    circumstances = describe(arguments, core)
    print(table(samples), end="\n\n")
    for subject, text in circumstances.items():
        print(f"* {subject}: {text}")
    for note in notes:
        print(f"* note: {note}")
    if arguments.json:
        report = {"circumstances": circumstances, "notes": notes, "samples": samples}
        arguments.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
