"""Container against its peers over loopback: "Hello World!", kept-alive connections, all in one run.

    python benchmarks/throughput.py                     # the peers go to benchmarks/.venv; 3 rounds of 3 s
    python benchmarks/throughput.py --only container,bjoern,uvicorn --rounds 5 --json out.json

The server has one core (all its processes and threads), the load generator another. The figure to trust is
CPU µs a request (user + system of the server, from /proc, over the requests made): it depends on the
generator far less than req/s does. `README.md` says what each column means.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from load import generator_name, run_load
from processes import StartError, end_on_sigterm, free_port, running
from rounds import Sample, Samples, markdown, medians, ratio, spread, times
from servers import HERE, SERVERS, Runnable, environment, find_runnable

WARM_UP_S = 1.0
HEADER = (
    *("server", "CPU us/request", "low..high", "CPU ratio", "req/s", "req/s ratio"),
    *("p99 ms", "p50 ms, c=1", "RSS MB", "anon MB"),
)
_FAILURES = (StartError, RuntimeError, ValueError, ZeroDivisionError, subprocess.TimeoutExpired)


@dataclass(frozen=True)
class Plan:
    """What one run does."""

    rounds: int
    seconds: float
    connections: int
    threads: int
    server_core: int
    load_core: int


def measure(runnable: Runnable, plan: Plan, output: Path) -> Sample:
    """Start one server, warm it up, load it, meter it, stop it."""
    port = free_port()
    with running(
        runnable.command(port, plan.threads),
        port,
        cwd=HERE,
        env=environment(runnable),
        core=plan.server_core,
        output=output,
    ) as server:
        run_load(port, connections=plan.connections, seconds=WARM_UP_S, core=plan.load_core)
        before_s = server.cpu_s()
        busy = run_load(port, connections=plan.connections, seconds=plan.seconds, core=plan.load_core)
        cpu_s = server.cpu_s() - before_s
        memory = server.memory()
        alone = run_load(port, connections=1, seconds=max(1.0, plan.seconds / 3), core=plan.load_core)
    return {
        "cpu_us": cpu_s / busy.requests * 1e6,
        "rate": busy.rate,
        "p99_ms": busy.p99_ms,
        "p50_single_ms": alone.p50_ms,
        "rss_mb": memory.rss_mb,
        "rss_anon_mb": memory.anon_mb,
        "core_busy": cpu_s / busy.elapsed_s,
        "requests": busy.requests,
        "errors": busy.errors + alone.errors,
    }


def measure_all(contenders: list[Runnable], plan: Plan) -> tuple[Samples, list[str]]:
    """All rounds, A B C … A B C …, and a note for each server that failed in one."""
    samples: Samples = {}
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="throughput-") as folder:
        for number in range(1, plan.rounds + 1):
            for contender in contenders:
                output = Path(folder, f"{contender.name}-{number}.log")
                try:
                    sample = measure(contender, plan, output)
                except _FAILURES as error:
                    notes.append(f"round {number}: {contender.name} failed: {error}")
                    print(notes[-1], file=sys.stderr)
                    continue
                finally:
                    output.unlink(missing_ok=True)  # an access log of a few hundred thousand lines
                samples.setdefault(contender.name, {})[number] = sample
                _progress(number, plan.rounds, contender.name, sample)
    return samples, notes


def _progress(number: int, rounds: int, name: str, sample: Sample) -> None:
    print(
        f"[{number}/{rounds}] {name:18} {sample['cpu_us']:7.1f} µs  {sample['rate']:8.0f} req/s  "
        f"p99 {sample['p99_ms']:.2f} ms  core {sample['core_busy']:.0%} busy  {sample['errors']:.0f} errors",
        file=sys.stderr,
    )


def table(samples: Samples, base: str) -> str:
    """Medians over the rounds; ratios are `base` over the row's server, formed in each round."""
    rows = []
    for name in samples:
        middle = medians(samples, name)
        rows.append(
            [
                name,
                f"{middle['cpu_us']:.1f}",
                spread(samples, name, "cpu_us"),
                times(ratio(samples, base, name, "cpu_us")),
                f"{middle['rate']:,.0f}",
                times(ratio(samples, base, name, "rate")),
                f"{middle['p99_ms']:.2f}",
                f"{middle['p50_single_ms']:.3f}",
                f"{middle['rss_mb']:.0f}",
                f"{middle['rss_anon_mb']:.0f}",
            ]
        )
    return markdown(HEADER, rows)


def remarks(samples: Samples, plan: Plan) -> list[str]:
    """What a reader should know before believing a row."""
    found = []
    if plan.server_core == plan.load_core:
        found.append("one core only: server and load generator share it, req/s and latencies mean little")
    for name in samples:
        middle = medians(samples, name)
        if middle["errors"]:
            found.append(f"{name}: {middle['errors']:.0f} errors a round (median)")
        if middle["core_busy"] < 0.9:
            found.append(f"{name}: its core was {middle['core_busy']:.0%} busy, so req/s is not its limit")
    return found


def describe(plan: Plan, contenders: list[Runnable], base: str) -> dict[str, str]:
    """The circumstances, for the text under the table and for the JSON file."""
    size = f"{plan.connections} connections, {plan.rounds} rounds of {plan.seconds:g} s"
    versions = sorted({version for contender in contenders for version in contender.version.split(", ")})
    return {
        "load": f"{generator_name()}, {size}",
        "cores": f"server on {plan.server_core}, load generator on {plan.load_core}, of {os.cpu_count()}",
        "machine": f"{_processor()}, Linux {platform.release()}, Python {platform.python_version()}",
        "threads": f"{plan.threads} (where the server has an option for it)",
        "versions": ", ".join(versions),
        "ratios": f"{base} over the row's server, per round, then the median",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def parse_arguments() -> argparse.Namespace:
    names = ", ".join(server.name for server in SERVERS)
    parser = argparse.ArgumentParser(description="Container against its peers over loopback.")
    parser.add_argument("--only", metavar="A,B", help=f"servers to run, in this order, of: {names}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3, help="of load a server and round; whole")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--threads", type=int, default=8, help="for the application")
    parser.add_argument("--peers-venv", type=Path, metavar="DIR", help="use this one, install nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample of every round")
    arguments = parser.parse_args()
    known = {server.name: server for server in SERVERS}
    chosen = arguments.only.split(",") if arguments.only else list(known)
    if unknown := [name for name in chosen if name not in known]:
        parser.error(f"expected names of {names}, got {', '.join(unknown)}")
    if min(arguments.rounds, arguments.connections, arguments.threads, arguments.seconds) < 1:
        parser.error("rounds, seconds, connections and threads are at least 1")
    arguments.servers = [known[name] for name in dict.fromkeys(chosen)]
    return arguments


def main() -> None:
    end_on_sigterm()
    arguments = parse_arguments()
    cores = sorted(os.sched_getaffinity(0))
    plan = Plan(
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        connections=arguments.connections,
        threads=arguments.threads,
        server_core=cores[0],
        load_core=cores[-1],
    )
    contenders, notes = find_runnable(arguments.servers, arguments.peers_venv)
    samples, failures = measure_all(contenders, plan)
    if not samples:
        sys.exit("\n".join(["nothing could be measured", *notes, *failures]))
    base = next(iter(samples))  # the first one measured: container, unless --only says otherwise
    circumstances = describe(plan, contenders, base)
    notes += [*failures, *remarks(samples, plan)]
    print(table(samples, base), end="\n\n")
    for subject, text in circumstances.items():
        print(f"* {subject}: {text}")
    for note in notes:
        print(f"* note: {note}")
    if arguments.json:
        report = {"circumstances": circumstances, "notes": notes, "samples": samples}
        arguments.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
