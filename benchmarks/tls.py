"""TLS against uvicorn: CPU a request on kept connections, and CPU a connection with a full handshake.

    python benchmarks/tls.py --peers-venv DIR         # 5 rounds of 2 s; needs wrk and openssl

All servers have one process, the same ASGI application (ours also the WSGI one, on threads), the same
certificate (RSA 2048), TLS 1.3, no access log. They are started together and loaded in turn, A B C A B C, so
that ratios are formed between neighbours in time. Handshakes are made by `openssl s_time -new`, one after the
other, each with one request.
"""

from __future__ import annotations

import argparse
import platform
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from load import pin_to, run_load
from processes import Server, end_on_sigterm, free_port, running
from rounds import Samples, markdown, medians, ratio, spread, times
from servers import HERE, SERVERS, Runnable, environment

# The most that a ratio of container to uvicorn may be.
TARGETS = {"kept": 0.8, "handshake": 1.1}
_TIMED = re.compile(r"(\d+) connections in (\d+) real seconds")


def make_certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2",
         "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return certificate, key


def command_of(name: str, python: str, port: int, certificate: Path, key: Path) -> list[str]:
    files = ["--ssl-certfile", str(certificate), "--ssl-keyfile", str(key)]
    if name == "uvicorn":
        return [
            *(python, "-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--no-access-log"),
            *("--log-level", "warning", "--host", "127.0.0.1", "--port", str(port), "apps:asgi", *files),
        ]
    app = ["--asgi", "apps:asgi"] if name.endswith("asgi") else ["--wsgi", "apps.wsgi", "--threads", "8"]
    return [
        *(python, "-m", "container", *app, "--listen", f"tcp:{port}:interface=127.0.0.1"),
        *("--no-access-log", *files),
    ]


def shake_hands(port: int, seconds: float, core: int) -> int:
    """Connections made one after the other, none of them resumed."""
    done = subprocess.run(
        [
            "openssl",
            "s_time",
            "-connect",
            f"127.0.0.1:{port}",
            "-new",
            "-www",
            "/",
            "-time",
            str(round(seconds)),
        ],
        preexec_fn=pin_to(core),  # no thread runs in this process
        capture_output=True,
        text=True,
        timeout=seconds + 20,
        check=True,
    )
    match = _TIMED.search(done.stdout)
    if match is None:
        raise RuntimeError(f"expected the figures of s_time, got {done.stdout!r}")
    return int(match[1])


def sample(name: str, server: Server, seconds: float, core: int) -> dict[str, float]:
    before = server.cpu_s()
    load = run_load(server.port, connections=32, seconds=seconds, core=core, secure=True)
    between = server.cpu_s()
    if load.errors:
        raise RuntimeError(f"{name}: {load.errors} errors in {load.requests} requests")
    made = shake_hands(server.port, seconds, core)
    after = server.cpu_s()
    return {"kept": (between - before) * 1e6 / load.requests, "handshake": (after - between) * 1e6 / made}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers-venv", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    end_on_sigterm()
    samples: Samples = {"container-wsgi": {}, "container-asgi": {}, "uvicorn": {}}
    contenders = {each.name: each for each in SERVERS}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        certificate, key = make_certificate(folder)
        servers: dict[str, Server] = {}
        for name in samples:
            python = arguments.peers_venv / "bin/python" if name == "uvicorn" else None
            contender = contenders["uvicorn" if name == "uvicorn" else "container"]
            runnable = Runnable(contender, str(python or sys.executable), "")
            port = free_port()
            servers[name] = stack.enter_context(
                running(
                    command_of(name, runnable.python, port, certificate, key), port, cwd=HERE,
                    env=environment(runnable), core=0, output=folder / f"{name}.log", secure=True,
                )
            )  # fmt: skip
        for number in range(arguments.rounds):
            for name, server in servers.items():
                samples[name][number] = sample(name, server, arguments.seconds, 1)
    rows = []
    for name in samples:
        middle = medians(samples, name)
        row = [name]
        for figure in TARGETS:
            row += [f"{middle[figure]:.1f}", spread(samples, name, figure)]
            row.append(times(ratio(samples, name, "uvicorn", figure)))
        rows.append(row)
    header = ["server", "µs a request", "low..high", "/ uvicorn", "µs a connection", "low..high", "/ uvicorn"]
    print(f"{platform.python_implementation()} {platform.python_version()}, targets {TARGETS}\n")
    print(markdown(header, rows))


if __name__ == "__main__":
    main()
