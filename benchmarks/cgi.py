"""CGI scripts a second: container against lighttpd, Twisted and `http.server --cgi`, in turns.

    python benchmarks/cgi.py [--rounds 3] [--seconds 3] [--connections 8 32] [--twisted-python PYTHON]

A `sh` script that says hello, and two Python ones that container also runs warm: one that says hello and imports next
to nothing, and one that does what such scripts were written for, reading a form and a cookie and escaping what
it shows. Servers are started once and take turns, A B A B; figures are requests a second and CPU milliseconds a
request, of the server and its children. All run scripts as the user the benchmark runs as, so that none has to
change it. Needs wrk; lighttpd and Twisted are left out where they are not installed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from processes import Server, end_on_sigterm, free_port
from rounds import Sample, Samples, markdown, medians, ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[1]
_SH = '#!/bin/sh\necho "Content-Type: text/plain"\necho\necho "Hello World!"\n'
_PYTHON = '#!/usr/bin/env python3\nimport os\nprint("Content-Type: text/plain\\n")\nprint("Hello World!")\n'
_FORM = """#!/usr/bin/env python3
import html
import os
from datetime import datetime
from http.cookies import SimpleCookie
from urllib.parse import parse_qs

form = parse_qs(os.environ["QUERY_STRING"])
visitor = SimpleCookie(os.environ.get("HTTP_COOKIE", "")).get("visitor")
name = form.get("name", [visitor.value if visitor else "World"])[0]
print("Content-Type: text/html; charset=utf-8\\n")
print(f"<p>Hello {html.escape(name)}, it is {datetime.now():%H:%M}.")
"""
# By name: the text, and what the target adds to the path.
_SCRIPTS = {"hello.sh": (_SH, ""), "hello.py": (_PYTHON, ""), "form.py": (_FORM, "?name=%3Cmary%3E")}
_LIGHTTPD = """
server.document-root = "{root}"
server.port = {port}
server.bind = "127.0.0.1"
server.modules = ("mod_cgi")
$HTTP["url"] =~ "^/cgi-bin/" {{ cgi.assign = ("" => "") }}
"""
_TWISTED = """
from twisted.internet import reactor
from twisted.web import resource, server, twcgi
root = resource.Resource()
root.putChild(b"cgi-bin", twcgi.CGIDirectory("{root}/cgi-bin"))
reactor.listenTCP({port}, server.Site(root), interface="127.0.0.1")
reactor.run()
"""
_START_TIMEOUT_S = 20.0


def commands(root: Path, twisted: str) -> dict[str, tuple[list[str], int]]:
    """Contender to command line and port."""
    found: dict[str, tuple[list[str], int]] = {}
    own = [sys.executable, "-m", "container", "--cgi", str(root), "--no-access-log", "--log-level", "error"]
    if os.geteuid() == 0:
        own += ["--cgi-user", "root"]
    for name, more in (("container", []), ("container-warm", ["--cgi-warm"])):
        port = free_port()
        found[name] = [*own, *more, "--port", str(port)], port
    if shutil.which("lighttpd"):
        port = free_port()
        (root / "lighttpd.conf").write_text(_LIGHTTPD.format(root=root, port=port))
        found["lighttpd"] = ["lighttpd", "-D", "-f", str(root / "lighttpd.conf")], port
    if twisted:
        port = free_port()
        found["twisted"] = [twisted, "-c", _TWISTED.format(root=root, port=port)], port
    port = free_port()
    found["http.server"] = (
        [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "http.server",
            "--cgi",
            "-b",
            "127.0.0.1",
            "-d",
            str(root),
            str(port),
        ],
        port,
    )
    return found


def start(command: Sequence[str], port: int, root: Path, stack: ExitStack) -> Server:
    process = subprocess.Popen(
        command, cwd=root, env=os.environ | {"PYTHONPATH": str(ROOT)}, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    server = Server(process, port)
    stack.callback(server.stop)
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        with suppress(OSError):
            done = subprocess.run(
                ["curl", "-sf", f"http://127.0.0.1:{port}/cgi-bin/hello.sh"], capture_output=True, check=False
            )
            if done.stdout == b"Hello World!\n":
                return server
        time.sleep(0.1)
    raise SystemExit(f"no answer from {' '.join(command)}")


def measure(server: Server, starters: list[int], script: str, connections: int, seconds: int) -> Sample:
    before = cpu_s(server, starters)
    output = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s",
         f"http://127.0.0.1:{server.port}/cgi-bin/{script}{_SCRIPTS[script][1]}"],
        capture_output=True, text=True, check=True, timeout=seconds + 60,
    ).stdout  # fmt: skip
    count = re.search(r"(\d+) requests in", output)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    assert count is not None
    assert rate is not None
    served = int(count[1]) - (int(bad[1]) if bad else 0)
    if not served:
        raise SystemExit(f"nothing was served: {output}")
    return {
        "req/s": float(rate[1]) * served / int(count[1]),
        "CPU ms": (cpu_s(server, starters) - before) / served * 1000,
    }


def cpu_s(server: Server, starters: list[int]) -> float:
    """The session's, and that of the starters, which lead sessions of their own."""
    ticks = 0
    for pid in starters:
        ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return server.cpu_s() + ticks / os.sysconf("SC_CLK_TCK")


def starters_of(server: Server) -> list[int]:
    """The children that have left the session of the server."""
    session = set(server._pids())
    found = []
    for pid in session:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        found += [int(child) for child in children if int(child) not in session]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--twisted-python", default="", help="an interpreter that has Twisted")
    options = parser.parse_args()
    end_on_sigterm()
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="container-cgi-")))
        root.chmod(0o755)
        (root / "cgi-bin").mkdir()
        for name, (text, _) in _SCRIPTS.items():
            (root / "cgi-bin" / name).write_text(text)
            (root / "cgi-bin" / name).chmod(0o755)
        servers = {
            name: start(command, port, root, stack)
            for name, (command, port) in commands(root, options.twisted_python).items()
        }
        starters = {
            name: starters_of(server) if name.startswith("container") else []
            for name, server in servers.items()
        }
        runs = [("hello.sh", each) for each in options.connections] + [
            (script, options.connections[0]) for script in _SCRIPTS if script.endswith(".py")
        ]
        for script, connections in runs:
            report(script, connections, turns(servers, starters, script, connections, options))


def turns(
    servers: dict[str, Server],
    starters: dict[str, list[int]],
    script: str,
    connections: int,
    options: argparse.Namespace,
) -> Samples:
    names = [name for name in servers if script.endswith(".py") or name != "container-warm"]
    samples: Samples = {name: {} for name in names}
    for number in range(options.rounds):
        for name in names:
            samples[name][number] = measure(
                servers[name], starters[name], script, connections, options.seconds
            )
    return samples


def report(script: str, connections: int, samples: Samples) -> None:
    rows = []
    for name in samples:
        middle = medians(samples, name)
        against = ratio(samples, "container", name, "req/s")
        rows.append(
            [name, f"{middle['req/s']:.0f}", f"{middle['CPU ms']:.2f}", f"{against:.2f}x" if against else "-"]
        )
    print(f"\n{script}, {connections} connections\n")
    print(markdown(["server", "req/s", "CPU ms a request", "container / it"], rows), flush=True)


if __name__ == "__main__":
    main()
