"""Static files against nginx, and against Starlette's StaticFiles under uvicorn: CPU a request, in one run.

    python benchmarks/files.py --peers-venv DIR         # 5 rounds of 2 s; needs wrk and nginx

All servers have one process, the same tree, no access log; nginx has sendfile and tcp_nopush on and no
open_file_cache. They are started together and loaded in turn, A B C A B C, so that ratios are formed between
neighbours in time. The figure is CPU µs a request (user + system of the server, from /proc).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from load import run_load
from processes import Server, end_on_sigterm, free_port, running
from rounds import Samples, markdown, medians, ratio, spread, times
from servers import HERE

if TYPE_CHECKING:
    from collections.abc import Sequence

PAST = 1_000_000_000
_SINCE = "If-Modified-Since: Sun, 09 Sep 2001 01:46:40 GMT"

# What is asked for: path, a further field, connections.
CASES: dict[str, tuple[str, str | None, int]] = {
    "1 KiB": ("/1k.html", None, 32),
    "100 KiB": ("/100k.html", None, 16),
    "10 MiB": ("/10m.bin", None, 4),
    "304": ("/1k.html", _SINCE, 32),
}
# Of these container also answers with a sidecar of the same size, in place of a file twice as large.
SIDECARS = ("1 KiB", "100 KiB", "10 MiB")
# The most that a ratio of container to a peer may be.
TARGETS = {
    ("nginx", "1 KiB"): 1.0,
    ("nginx", "100 KiB"): 1.0,
    ("nginx", "10 MiB"): 1.2,
    ("nginx", "304"): 1.0,
    ("starlette", "1 KiB"): 0.125,
}

NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    types {{ text/html html; }}
    default_type application/octet-stream;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; root {tree}; }}
}}
"""
STARLETTE = """
import sys, uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
app = Starlette(routes=[Mount("/", StaticFiles(directory=sys.argv[1], html=True))])
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), loop="uvloop", http="httptools",
            access_log=False, log_level="warning")
"""


def make_tree(folder: Path) -> Path:
    """The files to serve. The index is what a starting server is asked for."""
    tree = folder / "tree"
    tree.mkdir()
    (tree / "side").mkdir()
    files = {
        "index.html": b"Hello World!",
        "1k.html": b"x" * 1024,
        "100k.html": b"x" * 100 * 1024,
        "10m.bin": b"x" * 10 * 1024 * 1024,
    }
    for case in SIDECARS:
        name = CASES[case][0].removeprefix("/")
        files |= {f"side/{name}": files[name] * 2, f"side/{name}.gz": files[name]}
    for name, content in files.items():
        (tree / name).write_bytes(content)
        os.utime(tree / name, (PAST, PAST))
    return tree


def commands(folder: Path, tree: Path, venv: Path | None) -> dict[str, tuple[int, list[str]]]:
    """Port and command line of each server that can be run here."""
    found: dict[str, tuple[int, list[str]]] = {}
    port = free_port()
    found["container"] = (
        port,
        [
            *(sys.executable, "-m", "container", "--path", str(tree), "--no-access-log"),
            *("--listen", f"tcp:{port}:interface=127.0.0.1"),
        ],
    )
    if nginx := shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"):
        port = free_port()
        config = folder / "nginx.conf"
        config.write_text(NGINX.format(folder=folder, port=port, tree=tree))
        # A worker of root gives up its rights and must still reach the tree.
        found["nginx"] = port, [nginx, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
    if venv is not None:
        port = free_port()
        found["starlette"] = port, [str(venv / "bin" / "python"), "-c", STARLETTE, str(tree), str(port)]
    return found


def measure(
    server: Server, case: str, seconds: float, cores: tuple[int, int], *, sidecar: bool = False
) -> dict[str, float]:
    path, field, connections = CASES[case]
    if sidecar:
        path, field = f"/side{path}", "Accept-Encoding: gzip"
    before_s = server.cpu_s()
    load = run_load(
        server.port, connections=connections, seconds=seconds, core=cores[1], path=path, field=field
    )
    cpu_s = server.cpu_s() - before_s
    return {"cpu_us": cpu_s / load.requests * 1e6, "rate": load.rate, "p99_ms": load.p99_ms}


def run(arguments: argparse.Namespace, folder: Path) -> dict[str, Samples]:
    tree = make_tree(folder)
    folder.chmod(0o755)
    cores = (arguments.server_core, arguments.load_core)
    samples: dict[str, Samples] = {case: {} for case in arguments.cases}
    environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(
                running(
                    command, port, cwd=folder, env=environment, core=cores[0], output=folder / f"{name}.log"
                )
            )
            for name, (port, command) in commands(folder, tree, arguments.peers_venv).items()
        }
        for case in arguments.cases:
            for server in servers.values():
                measure(server, case, 1, cores)
            for number in range(arguments.rounds):
                for name, server in servers.items():
                    sample = measure(server, case, arguments.seconds, cores)
                    samples[case].setdefault(name, {})[number] = sample
                    print(f"[{number + 1}] {case:8} {name:10} {sample['cpu_us']:9.1f} µs", file=sys.stderr)
                    if name == "container" and case in SIDECARS:
                        sample = measure(server, case, arguments.seconds, cores, sidecar=True)
                        samples[case].setdefault("sidecar", {})[number] = sample
    return samples


def table(samples: dict[str, Samples]) -> str:
    rows: list[Sequence[str]] = []
    for case, of_case in samples.items():
        for name in of_case:
            middle = medians(of_case, name)
            target = TARGETS.get((name, case))
            rows.append(
                [
                    f"{case}, {name}",
                    f"{middle['cpu_us']:.1f}",
                    spread(of_case, name, "cpu_us"),
                    times(ratio(of_case, "container", name, "cpu_us")),
                    f"{target:.2f}x" if target is not None else "",
                    f"{middle['rate']:,.0f}",
                    f"{middle['p99_ms']:.2f}",
                ]
            )
    header = ("answer, server", "CPU us/request", "low..high", "CPU ratio", "at most", "req/s", "p99 ms")
    return markdown(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Static files against nginx and Starlette.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of load a server and round; whole")
    parser.add_argument("--cases", type=lambda text: text.split(","), default=list(CASES), metavar="A,B")
    parser.add_argument("--peers-venv", type=Path, metavar="DIR", help="has starlette, uvicorn and uvloop")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample of every round")
    arguments = parser.parse_args()
    if unknown := [case for case in arguments.cases if case not in CASES]:
        parser.error(f"expected cases of {', '.join(CASES)}, got {', '.join(unknown)}")
    arguments.server_core, arguments.load_core = 0, min(1, (os.cpu_count() or 1) - 1)
    end_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="files-") as folder:
        samples = run(arguments, Path(folder))
    print(table(samples))
    print(
        f"\n* ratio: container over the row's server, per round, then the median; {arguments.rounds} rounds"
    )
    print(f"* Linux {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} cores")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(samples, indent=1))


if __name__ == "__main__":
    main()
