"""Proxies side by side: container, nginx and Twisted in front of the same server, in one run.

    python benchmarks/proxy.py --peers-venv DIR         # 5 rounds of 2 s; needs wrk and nginx

What is behind them is nginx for "Hello World!" and a file of 1 GiB, and container for WebSocket echoes; it runs
on the core of the load, the proxies on another one. All keep their connections to it, where they can. They are
started together and loaded in turn, A B C A B C, so that ratios are formed between neighbours in time. The
figures are CPU µs a request or a message (user + system of the proxy, from /proc), and MiB/s.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import socket
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from load import pin_to, run_load
from processes import Server, end_on_sigterm, free_port, running
from rounds import Samples, markdown, medians, ratio, spread, times
from servers import HERE
from websocket import connect, exchange

if TYPE_CHECKING:
    from collections.abc import Sequence

# The most that a ratio of container to a peer may be.
TARGETS = {
    ("nginx", "hello"): 2.0,
    ("twisted", "hello"): 0.12,
    ("nginx", "websocket"): 2.0,
    ("nginx", "1 GiB"): 2.0,
}
UNITS = {
    "hello": "CPU µs/request",
    "cookie": "CPU µs/request",
    "websocket": "CPU µs/message",
    "1 GiB": "s of transfer",
}
GIB = 1 << 30

HTTP = """
worker_processes 1; daemon off; pid {folder}/{name}.pid; error_log {folder}/{name}.error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; keepalive_requests 100000000; default_type text/plain;
    client_body_temp_path {folder}/{name}-body; proxy_temp_path {folder}/{name}-proxy;
    fastcgi_temp_path {folder}/{name}-fastcgi;
    uwsgi_temp_path {folder}/{name}-uwsgi; scgi_temp_path {folder}/{name}-scgi;
    {more}
}}
"""
ORIGIN = "server {{ listen 127.0.0.1:{port}; root {tree}; location = / {{ return 200 'Hello World!'; }} }}"
PROXY = """
    upstream origin {{ server 127.0.0.1:{origin}; keepalive 64; keepalive_requests 100000000; }}
    upstream echo {{ server 127.0.0.1:{echo}; }}
    server {{
        listen 127.0.0.1:{port}; proxy_http_version 1.1;
        location / {{ proxy_pass http://origin; proxy_set_header Connection ""; proxy_max_temp_file_size 0; }}
        location /ws {{
            proxy_pass http://echo; proxy_set_header Connection "upgrade"; proxy_set_header Upgrade $http_upgrade;
        }}
    }}
"""
TWISTED = """
import sys
from twisted.internet import reactor
from twisted.web import proxy, server
site = server.Site(proxy.ReverseProxyResource("127.0.0.1", int(sys.argv[1]), b""))
reactor.listenTCP(int(sys.argv[2]), site, interface="127.0.0.1")
reactor.run()
"""


def _nginx(folder: Path, name: str, more: str) -> list[str]:
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    if program is None:
        raise SystemExit("expected nginx to be installed")
    config = folder / f"{name}.conf"
    config.write_text(HTTP.format(folder=folder, name=name, more=more))
    return [program, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]


def _proxies(folder: Path, origin: int, echo: int, venv: Path | None) -> dict[str, tuple[int, list[str]]]:
    """Port and command line of each proxy."""
    port = free_port()
    found = {
        "container": (
            port,
            [
                *(sys.executable, "-m", "container", "--no-access-log"),
                *("--mount", f"/=proxy:http://127.0.0.1:{origin}"),
                *("--mount", f"/ws=proxy:http://127.0.0.1:{echo}/ws"),
                *("--listen", f"tcp:{port}:interface=127.0.0.1"),
            ],
        )
    }
    port = free_port()
    found["nginx"] = port, _nginx(folder, "proxy", PROXY.format(port=port, origin=origin, echo=echo))
    if venv is not None:
        port = free_port()
        found["twisted"] = port, [str(venv / "bin" / "python"), "-c", TWISTED, str(origin), str(port)]
    return found


def hello(server: Server, seconds: float, core: int) -> dict[str, float]:
    before_s = server.cpu_s()
    load = run_load(server.port, connections=32, seconds=seconds, core=core, path="/")
    return {"figure": (server.cpu_s() - before_s) / load.requests * 1e6, "rate": load.rate}


def cookie(server: Server, seconds: float, core: int) -> dict[str, float]:
    """Heads with cookies are not remembered: each is read and made anew."""
    before_s = server.cpu_s()
    field = "Cookie: session=0123456789abcdef; theme=dark"
    load = run_load(server.port, connections=32, seconds=seconds, core=core, path="/", field=field)
    return {"figure": (server.cpu_s() - before_s) / load.requests * 1e6, "rate": load.rate}


def websocket(server: Server, seconds: float, core: int) -> dict[str, float]:
    sockets = [connect(server.port, "/ws", deflate=False) for _ in range(16)]
    exchange(sockets, 0.3)
    before_s, since = server.cpu_s(), time.monotonic()
    count = exchange(sockets, seconds)
    took, cpu_s = time.monotonic() - since, server.cpu_s() - before_s
    for sock in sockets:
        sock.close()
    return {"figure": cpu_s / count * 1e6, "rate": count / took}


def download(server: Server, seconds: float, core: int) -> dict[str, float]:
    buffer = bytearray(1 << 20)
    before_mb = highest_mb = server.memory().anon_mb
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as sock:
        sock.sendall(b"GET /large.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        since, got, looks = time.monotonic(), 0, 0
        while count := sock.recv_into(buffer):
            got += count
            if got >> 26 > looks:  # every 64 MiB
                looks = got >> 26
                highest_mb = max(highest_mb, server.memory().anon_mb)
    if got < GIB:
        raise RuntimeError(f"expected {GIB} bytes, got {got}")
    took = time.monotonic() - since
    return {"figure": took, "rate": got / took / (1 << 20), "growth": highest_mb - before_mb}


CASES = {"hello": hello, "cookie": cookie, "websocket": websocket, "1 GiB": download}


def run(arguments: argparse.Namespace, folder: Path) -> dict[str, Samples]:
    tree = folder / "tree"
    tree.mkdir()
    with (tree / "large.bin").open("wb") as file:
        file.truncate(GIB)  # sparse: it costs nothing to make, and its pages are as good as others
    folder.chmod(0o755)
    environment = os.environ | {"PYTHONPATH": f"{HERE}:{HERE.parent}"}
    samples: dict[str, Samples] = {case: {} for case in arguments.cases}
    origin, echo = free_port(), free_port()
    echoes = [sys.executable, "-m", "container", "--no-access-log", "echo_tree:application"]
    echoes += ["--listen", f"tcp:{echo}:interface=127.0.0.1"]
    behind = {
        "origin": (origin, _nginx(folder, "origin", ORIGIN.format(port=origin, tree=tree))),
        "echo": (echo, echoes),
    }
    with ExitStack() as stack:

        def start(name: str, port: int, command: list[str], core: int) -> Server:
            output = folder / f"{name}.log"
            return stack.enter_context(
                running(command, port, cwd=HERE, env=environment, core=core, output=output)
            )

        for name, (port, command) in behind.items():
            start(name, port, command, arguments.load_core)
        proxies = _proxies(folder, origin, echo, arguments.peers_venv)
        servers = {name: start(name, port, command, 0) for name, (port, command) in proxies.items()}
        for case in arguments.cases:
            names = [name for name in servers if case == "hello" or name != "twisted"]
            for number in range(-1, arguments.rounds):
                for name in names:
                    sample = CASES[case](servers[name], arguments.seconds, arguments.load_core)
                    if number < 0:  # a first round to warm up
                        continue
                    samples[case].setdefault(name, {})[number] = sample
                    print(f"[{number + 1}] {case:10} {name:10} {sample['figure']:9.2f}", file=sys.stderr)
    return samples


def table(samples: dict[str, Samples]) -> str:
    rows: list[Sequence[str]] = []
    for case, of_case in samples.items():
        for name in of_case:
            target = TARGETS.get((name, case))
            rows.append(
                [
                    f"{case}, {name}",
                    UNITS[case],
                    f"{medians(of_case, name)['figure']:.2f}",
                    spread(of_case, name, "figure"),
                    times(ratio(of_case, "container", name, "figure")),
                    f"{target:.2f}x" if target is not None else "",
                    f"{medians(of_case, name)['rate']:,.0f}",
                ]
            )
    return markdown(
        ("case, proxy", "figure", "median", "low..high", "container to it", "at most", "per s"), rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Proxies: container against nginx and Twisted.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of load a proxy and round; whole")
    parser.add_argument("--cases", type=lambda text: text.split(","), default=list(CASES), metavar="A,B")
    parser.add_argument("--peers-venv", type=Path, metavar="DIR", help="has Twisted")
    arguments = parser.parse_args()
    if unknown := [case for case in arguments.cases if case not in CASES]:
        parser.error(f"expected cases of {', '.join(CASES)}, got {', '.join(unknown)}")
    arguments.load_core = min(1, (os.cpu_count() or 1) - 1)
    end_on_sigterm()
    pin_to(arguments.load_core)()
    with tempfile.TemporaryDirectory(prefix="proxy-") as folder:
        samples = run(arguments, Path(folder))
    print(table(samples))
    print(f"\n* container to it: per round, then the median; {arguments.rounds} rounds; 1 GiB: rate in MiB/s")
    for name, rounds in samples.get("1 GiB", {}).items():
        growth = max(sample["growth"] for sample in rounds.values())
        print(f"* memory of {name} during 1 GiB: {growth:+.1f} MiB at most")
    print(f"* Linux {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
