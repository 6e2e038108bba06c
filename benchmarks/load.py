"""The load generator: `wrk` when it is installed, else a plain Python one.

Both keep `connections` kept-alive connections busy, one request in flight on each (no pipelining), from a
process of their own that is pinned to one core. The Python generator is this file run as a script; it costs
more per request than the faster servers do, so it cannot saturate them: trust its CPU figures less, its
req/s not at all.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
"""What the Python generator sends; wrk sends the same but for the port in Host."""

_UNIT_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
_PERCENTILE = re.compile(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s|m)\s*$", re.M)
_COMPLETED = re.compile(r"(\d+) requests in ([\d.]+)(us|ms|s|m)")
_BAD_STATUS = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_SOCKET_ERRORS = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.I)

_GRACE_S = 20.0
"""How long a generator may overrun its time before it is killed."""


@dataclass(frozen=True)
class Load:
    """What one run of a generator saw."""

    requests: int
    elapsed_s: float
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.elapsed_s


def generator_name() -> str:
    """Which generator `run_load` will use."""
    return "wrk" if shutil.which("wrk") else "load.py (plain Python)"


def run_load(
    port: int,
    *,
    connections: int,
    seconds: float,
    core: int,
    path: str = "/",
    field: str | None = None,
    secure: bool = False,
) -> Load:
    """Load `http://127.0.0.1:port/` for `seconds` from a process pinned to `core`.

    Another `path`, a further header field, or TLS, only with wrk.
    """
    whole_s = max(1, round(seconds))
    if wrk := shutil.which("wrk"):
        target = f"{'https' if secure else 'http'}://127.0.0.1:{port}{path}"
        command = [wrk, "-t1", f"-c{connections}", f"-d{whole_s}s", "--latency", target]
        command += ["-H", field] if field is not None else []
        return parse_wrk(_run_pinned(command, core, whole_s + _GRACE_S))
    if path != "/" or field is not None or secure:
        raise RuntimeError("expected wrk to be installed: the plain Python generator knows one request")
    command = [sys.executable, __file__, str(port), str(connections), str(whole_s)]
    return Load(**json.loads(_run_pinned(command, core, whole_s + _GRACE_S)))


def pin_to(core: int) -> Callable[[], None]:
    """A `preexec_fn` that ties the new process, and all it will start, to one core."""
    return lambda: os.sched_setaffinity(0, {core})


def _run_pinned(command: list[str], core: int, timeout_s: float) -> str:
    done = subprocess.run(
        command,
        preexec_fn=pin_to(core),  # no thread runs in this process, so a preexec_fn is safe
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} exited with {done.returncode}: {done.stdout.strip()}")
    return done.stdout


def parse_wrk(text: str) -> Load:
    """Read what `wrk --latency` prints."""
    completed = _COMPLETED.search(text)
    latency_ms = {int(p): float(value) * _UNIT_MS[unit] for p, value, unit in _PERCENTILE.findall(text)}
    if completed is None or latency_ms.keys() != {50, 99}:
        raise ValueError(f"expected the output of wrk --latency, got {text!r}")
    requests, amount, unit = completed.groups()
    bad_status = _BAD_STATUS.search(text)
    socket_errors = _SOCKET_ERRORS.search(text)
    return Load(
        requests=int(requests),
        elapsed_s=float(amount) * _UNIT_MS[unit] / 1000,
        p50_ms=latency_ms[50],
        p99_ms=latency_ms[99],
        errors=(int(bad_status[1]) if bad_status else 0)
        + (sum(map(int, socket_errors.groups())) if socket_errors else 0),
    )


# ---- the plain Python generator ------------------------------------------------------------


@dataclass
class _Tally:
    """What all connections of one run have seen so far."""

    latencies_s: list[float] = field(default_factory=list)
    errors: int = 0
    stopping: bool = False


class _Client(asyncio.Protocol):
    """One connection: send, wait for the whole answer, note the time, send again."""

    def __init__(self, tally: _Tally) -> None:
        self._tally = tally
        self._buffer = b""
        self._sent_at = 0.0
        self._transport: asyncio.WriteTransport | None = None
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not _is_whole(self._buffer):
            return
        now = time.perf_counter()
        self._tally.latencies_s.append(now - self._sent_at)
        self._tally.errors += not self._buffer.startswith(b"HTTP/1.1 200 ")
        self._buffer = b""
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _send(self) -> None:
        assert self._transport is not None
        if self._tally.stopping:
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(REQUEST)


def _is_whole(answer: bytes) -> bool:
    """Is this head and body, by Content-Length? The two applications always send one."""
    head_end = answer.find(b"\r\n\r\n")
    if head_end < 0:
        return False
    length = _CONTENT_LENGTH.search(answer, 0, head_end)
    if length is None:
        raise ValueError(f"expected an answer with Content-Length, got {answer[:head_end]!r}")
    return len(answer) >= head_end + 4 + int(length[1])


async def _keep_connected(port: int, tally: _Tally) -> None:
    """Hold one connection; a connection the server drops counts as an error and is opened again."""
    loop = asyncio.get_running_loop()
    while not tally.stopping:
        _, client = await loop.create_connection(lambda: _Client(tally), "127.0.0.1", port)
        try:
            await client.lost
        finally:
            client.close()
        tally.errors += not tally.stopping


async def _generate(port: int, connections: int, seconds: float) -> Load:
    tally = _Tally()
    begun = time.perf_counter()
    tasks = [asyncio.create_task(_keep_connected(port, tally)) for _ in range(connections)]
    await asyncio.sleep(seconds)
    tally.stopping = True
    elapsed_s = time.perf_counter() - begun
    latencies = sorted(tally.latencies_s)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if not latencies:
        raise RuntimeError(f"127.0.0.1:{port} answered nothing in {seconds} s")
    p50_ms, p99_ms = (1000 * latencies[int(len(latencies) * part)] for part in (0.50, 0.99))
    return Load(len(latencies), elapsed_s, p50_ms, p99_ms, tally.errors)


if __name__ == "__main__":
    seen = asyncio.run(_generate(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
    print(json.dumps(vars(seen)))
