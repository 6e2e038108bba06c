"""Content coding against nginx: the CPU of gzip for 100 KiB of JSON, at the same level, A B A B in one run.

    python benchmarks/encoding.py --level 6 --rounds 5

Needs nginx. Both servers send the same bytes from one worker; the client asks for one answer after the other.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from processes import Server, free_port
from rounds import markdown, medians, ratio, spread, times

ROOT = Path(__file__).resolve().parents[1]
SIZE = 100 * 1024

NGINX = """
daemon off; worker_processes 1; pid {here}/nginx.pid; error_log {here}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/fcgi;
  uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi; sendfile on; open_file_cache max=10;
  keepalive_requests 1000000;
  types {{ application/json json; }}
  gzip on; gzip_comp_level {level}; gzip_types application/json;
  server {{ listen 127.0.0.1:{port}; root {here}; }}
}}
"""
OURS = """
from pathlib import Path
from container import Application, Encoded, Gzip, Resource, Response
content = Path({page!r}).read_bytes()
class Page(Resource):
    def get(self, request):  # anew for each request: what is mounted as data would be encoded once
        return Response(content, content_type="application/json")
root = Resource()
root.mount("page.json", Encoded(Page(), [Gzip(level={level})]))
application = Application("bench")
application.serve(root, "tcp:{port}:interface=127.0.0.1")
"""


def page() -> bytes:
    """100 KiB of JSON as an API would send it: the same in every run."""
    chance = random.Random(1)
    rows = [
        {
            "id": number, "name": f"user {chance.randrange(10**6)}", "email": f"u{chance.randrange(10**6)}@example.org",
            "active": bool(number % 3), "score": chance.random(),
        }
        for number in range(1100)
    ]  # fmt: skip
    return json.dumps(rows).encode()[:SIZE]


def start(stack: ExitStack, command: list[str], port: int) -> Server:
    process = subprocess.Popen(command, start_new_session=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    server = Server(process, port)
    stack.callback(server.stop)
    deadline = time.monotonic() + 20
    while True:
        try:
            fetch(port, 1)
        except OSError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise
            time.sleep(0.05)
        else:
            return server


def fetch(port: int, count: int) -> int:
    """Ask `count` times on one connection; the size of one answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    size = 0
    for _ in range(count):
        connection.request("GET", "/page.json", headers={"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        size = len(answer.read())
        assert (answer.status, answer.headers["Content-Encoding"]) == (200, "gzip"), (
            answer.headers.as_string()
        )
    connection.close()
    return size


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--level", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--stdlib", action="store_true", help="gzip by Python's own zlib, not by zlib-ng")
    options = parser.parse_args()
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    samples: dict[str, dict[int, dict[str, float]]] = {"nginx": {}, "container": {}}
    with ExitStack() as stack:
        here = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        here.chmod(0o755)  # the worker of nginx is another user
        (here / "page.json").write_bytes(page())
        ports = {name: free_port() for name in samples}
        (here / "nginx.conf").write_text(NGINX.format(here=here, level=options.level, port=ports["nginx"]))
        tac = OURS.format(page=str(here / "page.json"), level=options.level, port=ports["container"])
        (here / "ours.tac").write_text(
            "import sys\nsys.modules['zlib_ng'] = None\n" + tac if options.stdlib else tac
        )
        ours = [sys.executable, "-m", "container", "-y", str(here / "ours.tac"), "--no-access-log"]
        servers = {
            "nginx": start(
                stack, [nginx, "-c", str(here / "nginx.conf"), "-e", str(here / "e.log")], ports["nginx"]
            ),
            "container": start(stack, ours, ports["container"]),
        }
        for number in range(options.rounds):
            for name, server in servers.items():
                before = server.cpu_s()
                size = fetch(server.port, options.requests)
                used = (server.cpu_s() - before) / options.requests
                samples[name][number] = {"us": used * 1e6, "bytes": size}
    rows = [
        [
            name, f"{medians(samples, name)['us']:.0f}", spread(samples, name, "us"),
            f"{medians(samples, name)['bytes']:.0f}", times(ratio(samples, name, "nginx", "us")),
        ]
        for name in samples
    ]  # fmt: skip
    header = [f"gzip, level {options.level}", "CPU µs/request", "spread", "bytes", "against nginx"]
    print(markdown(header, rows))


if __name__ == "__main__":
    main()
