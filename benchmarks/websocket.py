"""CPU time a WebSocket message, container against uvicorn: an echo of 64 bytes of text over loopback.

    python benchmarks/websocket.py --rounds 3 --peers-venv DIR

The servers run one after the other on one core, in turns (see `rounds.py`); the clients on another one keep
a message in flight on each connection. Their frames are made beforehand and nothing is unmasked or checked
but the length, so that the server is the slower side.
"""

from __future__ import annotations

import argparse
import os
import selectors
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from processes import StartError, end_on_sigterm, free_port, running
from rounds import Sample, Samples, markdown, medians, ratio, spread, times
from servers import HERE, Contender, Runnable, environment, find_runnable

PAYLOAD = b"0123456789abcdef" * 4
MASK = b"\x37\xfa\x21\x3d"
FRAME = bytes([0x81, 0x80 | len(PAYLOAD)]) + MASK + bytes(c ^ MASK[i % 4] for i, c in enumerate(PAYLOAD))
ANSWER = bytes([0x81, len(PAYLOAD)]) + PAYLOAD
BASE = "container"


def _container(port: int, threads: int) -> list[str]:
    return [
        *("-m", "container", "echo_tree:application", "--no-access-log"),
        *("--listen", f"tcp:{port}:interface=127.0.0.1"),
    ]


def _uvicorn(implementation: str) -> Contender:
    def arguments(port: int, threads: int) -> list[str]:
        return [
            *("-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--ws", implementation),
            *("--no-access-log", "--log-level", "warning", "--host", "127.0.0.1", "--port", str(port)),
            "echoes:asgi",
        ]

    return Contender(f"uvicorn-{implementation}", arguments, ("uvicorn", "uvloop", "websockets"))


CONTENDERS = (
    Contender(BASE, _container),
    Contender("container-asgi", _container),
    _uvicorn("websockets"),
    _uvicorn("websockets-sansio"),
)


@dataclass(frozen=True)
class Plan:
    """What every server gets."""

    rounds: int
    seconds: float
    connections: int
    deflate: bool


def connect(port: int, path: str, *, deflate: bool) -> socket.socket:
    """An open WebSocket, its opening handshake done."""
    fields = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" if deflate else ""
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    if not head.startswith(b"HTTP/1.1 101"):
        raise StartError(f"expected 101, got {head[:100]!r}")
    return sock


def exchange(sockets: list[socket.socket], seconds: float) -> int:
    """Keep a message in flight on each socket; how many came back."""
    count, end = 0, time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for sock in sockets:
            selector.register(sock, selectors.EVENT_READ)
            sock.sendall(FRAME)
        while time.monotonic() < end:
            for key, _ in selector.select(1):
                sock = key.fileobj  # type: ignore[assignment]
                answer = sock.recv(4096)
                if len(answer) != len(ANSWER):
                    raise StartError(f"expected an echo, got {answer!r}")
                count += 1
                sock.sendall(FRAME)
        for sock in sockets:
            sock.recv(4096)
    return count


def measure(runnable: Runnable, plan: Plan, output: Path) -> Sample:
    """Start one server, load it, stop it."""
    port = free_port()
    path = "/asgi/ws" if runnable.name == "container-asgi" else "/ws"
    command = runnable.command(port, 1)
    with running(command, port, cwd=HERE, env=environment(runnable), core=0, output=output) as server:
        sockets = [connect(port, path, deflate=plan.deflate) for _ in range(plan.connections)]
        exchange(sockets, 0.5)
        before, since = server.cpu_s(), time.monotonic()
        count = exchange(sockets, plan.seconds)
        took, cpu = time.monotonic() - since, server.cpu_s() - before
        for sock in sockets:
            sock.close()
    return {"cpu_us": cpu / count * 1e6, "rate": count / took}


def main() -> None:
    end_on_sigterm()
    parser = argparse.ArgumentParser(description="WebSocket echoes: container against uvicorn.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--deflate", action="store_true", help="offer permessage-deflate")
    parser.add_argument("--only", metavar="A,B", help="servers to run, in this order")
    parser.add_argument("--peers-venv", type=Path, metavar="DIR", help="use this one, install nothing")
    options = parser.parse_args()
    plan = Plan(options.rounds, options.seconds, options.connections, options.deflate)
    wanted = options.only.split(",") if options.only else [contender.name for contender in CONTENDERS]
    contenders = [contender for contender in CONTENDERS if contender.name in wanted]
    runnable, notes = find_runnable(contenders, options.peers_venv)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    samples: Samples = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(plan.rounds):
            for each in runnable:
                try:
                    sample = measure(each, plan, Path(folder) / each.name)
                except (StartError, OSError) as error:
                    notes.append(f"{each.name}: {error}")
                    continue
                samples.setdefault(each.name, {})[number] = sample
                print(f"{number + 1}/{plan.rounds} {each.name}: {sample['cpu_us']:.1f} µs", file=sys.stderr)
    rows = [
        [
            name, f"{medians(samples, name)['cpu_us']:.1f}", spread(samples, name, "cpu_us"),
            f"{medians(samples, name)['rate']:.0f}", times(ratio(samples, BASE, name, "cpu_us")),
        ]
        for name in samples
    ]  # fmt: skip
    print(markdown(["server", "CPU µs a message", "spread", "messages/s", f"{BASE} takes"], rows))
    for note in notes:
        print(f"\n{note}")


if __name__ == "__main__":
    main()
