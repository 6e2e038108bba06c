"""Operations that came while a store was busy, done together: one round trip, one transaction for many requests.

What an operation is, and how it is done, is the store's.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar

from container.sessions.store import StoreUnavailable

Operation = TypeVar("Operation")

# Operations that are done together.
_BATCH_MAX: Final = 500


class Batches(Generic[Operation]):
    """One batch at a time; an operation waits for the one before and its own, never longer than `timeout` seconds.

    `perform` returns what came of each operation, an exception for one that failed alone; what it raises holds
    for all of its batch. On one loop.
    """

    def __init__(
        self, perform: Callable[[list[Operation]], Awaitable[list[Any]]], timeout: float, place: str
    ) -> None:
        self._perform = perform
        self._timeout = timeout
        self._place = place
        self._waiting: list[tuple[Operation, asyncio.Future[Any]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def do(self, operation: Operation) -> Any:
        """What came of `operation`. Raises StoreUnavailable."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((operation, outcome))
        if self._worker is None:
            self._worker = loop.create_task(self._work())
        try:
            async with asyncio.timeout(self._timeout):
                return await outcome
        except TimeoutError:
            raise StoreUnavailable(f"{self._place} took longer than {self._timeout:g} s") from None

    async def stop(self) -> None:
        """Nobody asks any more: what is still being done comes to its end."""
        if self._worker is not None:
            await asyncio.wait({self._worker})

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_BATCH_MAX], self._waiting[_BATCH_MAX:]
                batch = [each for each in batch if not each[1].done()]  # nobody waits for it any more
                if batch:
                    await self._do(batch)
        finally:
            self._worker = None

    async def _do(self, batch: list[tuple[Operation, asyncio.Future[Any]]]) -> None:
        try:
            results = await self._perform([operation for operation, _ in batch])
        except StoreUnavailable as error:
            # Each his own, or one would gather the tracebacks of all.
            results = [StoreUnavailable(error.cause) for _ in batch]
        except Exception as error:  # noqa: BLE001  # whatever it is, it is theirs who wait
            results = [error] * len(batch)
        for (_, outcome), result in zip(batch, results, strict=True):
            if outcome.done():
                continue
            if isinstance(result, Exception):
                outcome.set_exception(result)
            else:
                outcome.set_result(result)
