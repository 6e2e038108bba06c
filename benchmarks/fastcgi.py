"""A page of PHP over one php-fpm: container against nginx, CPU of the server in front alone, in one run.

    python benchmarks/fastcgi.py [--rounds 5] [--seconds 2] [--connections 8]      # needs wrk, nginx, php-fpm

Both ask the same php-fpm for the same page and keep their connections to it; they have one process and no access
log, and are loaded in turn, A B A B, so that ratios are formed between neighbours in time.
"""

from __future__ import annotations

import argparse
import getpass
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from load import run_load
from processes import Server, end_on_sigterm, free_port, running
from rounds import Sample, Samples, markdown, medians, ratio, spread, times
from servers import HERE

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = 1.5
# Connections that each may keep; php-fpm has a process for every one of them, so that nobody waits.
CHILDREN = 8
NGINX = """
worker_processes 1;
daemon off;
user {user};
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream php {{ server unix:{folder}/php.sock; keepalive {children}; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            fastcgi_pass php;
            fastcgi_keep_conn on;
            include /etc/nginx/fastcgi_params;
            fastcgi_param SCRIPT_FILENAME {folder}/index.php;
        }}
    }}
}}
"""
FPM = """
[global]
error_log = {folder}/fpm.log
daemonize = no
[www]
listen = {folder}/php.sock
user = {user}
pm = static
pm.max_children = {children}
"""


@contextmanager
def php(folder: Path, command: str, user: str) -> Iterator[None]:
    (folder / "fpm.conf").write_text(FPM.format(folder=folder, user=user, children=2 * CHILDREN))
    arguments = [command, "-n", "-F", "-O", "-y", str(folder / "fpm.conf")] + (
        ["-R"] if user == "root" else []
    )
    process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        if not any("ready to handle connections" in line for line in process.stderr):
            raise SystemExit(f"php-fpm did not start: {(folder / 'fpm.log').read_text()}")
        yield
    finally:
        process.terminate()
        process.wait(20)
        process.stderr.close()


def commands(folder: Path, nginx: str, user: str) -> dict[str, tuple[int, list[str]]]:
    ours, theirs = free_port(), free_port()
    site = folder / "site.tac"
    site.write_text(
        "from container import FastCGIResource\n"
        f"application = FastCGIResource('unix:{folder}/php.sock', script='{folder}/index.php',"
        f" connections={CHILDREN})\n"
    )
    listen = f"tcp:{ours}:interface=127.0.0.1"
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=theirs, user=user, children=CHILDREN))
    return {
        "container": (
            ours,
            [sys.executable, "-m", "container", "-y", str(site), "--no-access-log", "--listen", listen],
        ),
        "nginx": (theirs, [nginx, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]),
    }


def measure(server: Server, options: argparse.Namespace, core: int) -> Sample:
    before = server.cpu_s()
    load = run_load(server.port, connections=options.connections, seconds=options.seconds, core=core)
    if load.errors:
        raise SystemExit(f"expected no errors, got {load.errors}")
    return {
        "cpu_us": (server.cpu_s() - before) / load.requests * 1e6,
        "rate": load.rate,
        "p99_ms": load.p99_ms,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="A page of PHP over FastCGI, against nginx.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--connections", type=int, default=8)
    options = parser.parse_args()
    everywhere = os.environ["PATH"] + ":/usr/sbin"
    nginx = shutil.which("nginx", path=everywhere)
    fpm = next(iter(sorted(Path("/usr/sbin").glob("php-fpm*"))), None)
    if nginx is None or fpm is None:
        parser.error("expected nginx and php-fpm to be installed")
    cores = 0, min(1, (os.cpu_count() or 1) - 1)
    user = getpass.getuser()
    end_on_sigterm()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastcgi-")))
        (folder / "index.php").write_text('<?php header("Content-Type: text/plain"); echo "Hello World!";')
        stack.enter_context(php(folder, str(fpm), user))
        servers = {
            name: stack.enter_context(
                running(
                    command, port, cwd=folder, env=os.environ | {"PYTHONPATH": str(HERE.parent)},
                    core=cores[0], output=folder / f"{name}.log",
                )
            )
            for name, (port, command) in commands(folder, nginx, user).items()
        }  # fmt: skip
        samples: Samples = {name: {} for name in servers}
        for number in range(options.rounds):
            for name, server in servers.items():
                samples[name][number] = measure(server, options, cores[1])
    rows = []
    for name in samples:
        middle = medians(samples, name)
        against = times(ratio(samples, "container", name, "cpu_us"))
        rate = f"{middle['rate']:,.0f}"
        rows.append([name, f"{middle['cpu_us']:.1f}", spread(samples, name, "cpu_us"), against, rate])
    print(markdown(["server", "CPU us/request", "low..high", "CPU ratio", "req/s"], rows))
    print(f"\n* the ratio of container to nginx shall be at most {TARGET:.2f}x")


if __name__ == "__main__":
    main()
