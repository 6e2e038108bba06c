"""Asking upstreams how they are, so that requests need not find out."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from container.client.connect import open_connection
from container.client.errors import UpstreamError
from container.resources.proxy.balance import Health, Upstream

log = logging.getLogger("container.proxy")

_HEAD_MAX = 1024


class HealthWatch:
    """A task for each upstream while it runs. Each question is a connection of its own: whether it can be made is
    half of the answer."""

    def __init__(self, upstreams: Sequence[Upstream], health: Health, clock: Callable[[], float]) -> None:
        self._upstreams = upstreams
        self._health = health
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._watch(each)) for each in self._upstreams]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _watch(self, upstream: Upstream) -> None:
        health, in_a_row, was_well = self._health, 0, True
        while True:
            is_well = await self._ask(upstream)
            in_a_row = in_a_row + 1 if is_well is was_well else 1
            was_well = is_well
            if is_well and upstream.is_down and in_a_row >= health.rise:
                log.info("%s is up", upstream)
                upstream.came_back(self._clock())
            elif not is_well and not upstream.is_down and in_a_row >= health.fall:
                log.warning("%s is down", upstream)
                upstream.is_down = True
            await asyncio.sleep(health.interval)

    async def _ask(self, upstream: Upstream) -> bool:
        question = _Question(upstream, self._health.path)
        try:
            async with asyncio.timeout(self._health.timeout):
                await open_connection(upstream.address, lambda: question)
                status = await question.status
        except (OSError, UpstreamError, UnicodeError):  # TimeoutError is an OSError
            return False
        finally:
            question.close()
        return 200 <= status < 400


class _Question(asyncio.Protocol):
    """One GET whose status line is all that counts. `status`: 0 when what came is no HTTP."""

    def __init__(self, upstream: Upstream, path: str) -> None:
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._octets = (
            f"GET {path} HTTP/1.1\r\nHost: {upstream.address.authority}\r\nConnection: close\r\n\r\n".encode(
                "latin-1"
            )
        )
        self._transport: asyncio.Transport | None = None
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports are not asyncio's
        self._transport.write(self._octets)  # type: ignore[union-attr]  # the same

    def data_received(self, data: bytes) -> None:
        self._seen += data
        if len(self._seen) >= _HEAD_MAX or b"\r\n" in self._seen:
            line = self._seen.partition(b"\r\n")[0]
            good = line.startswith(b"HTTP/1.") and line[9:12].isdigit()
            self._tell(int(line[9:12]) if good else 0)

    def connection_lost(self, exc: Exception | None) -> None:
        self._tell(0)

    def _tell(self, status: int) -> None:
        if not self.status.done():
            self.status.set_result(status)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self.status.cancel()
