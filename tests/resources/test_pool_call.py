"""Calling a function in a thread of a pool and awaiting what becomes of it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from container.resources.pool import QueueFull, ThreadPool


def in_pool(body: Any, **options: Any) -> Any:
    async def main() -> Any:
        pool = ThreadPool(1, **options)
        pool.start()
        try:
            return await body(pool)
        finally:
            await pool.stop()

    return asyncio.run(main())


def test_a_call_runs_in_a_thread_of_the_pool_and_gives_back_its_result() -> None:
    async def body(pool: ThreadPool) -> Any:
        return await pool.call(lambda a, b: (threading.current_thread().name, a + b), 1, 2)

    assert in_pool(body, name="calls") == ("calls-1", 3)


def raise_(error: BaseException) -> None:
    raise error


def test_what_a_call_raises_comes_back() -> None:
    async def body(pool: ThreadPool) -> None:
        with pytest.raises(KeyError):
            await pool.call(raise_, KeyError("x"))
        for fatal in (SystemExit(3), StopIteration()):
            with pytest.raises(RuntimeError, match=type(fatal).__name__) as caught:
                await pool.call(raise_, fatal)
            assert caught.value.__cause__ is fatal
        assert await pool.call(lambda: "still here") == "still here"

    in_pool(body)


def test_a_call_beyond_the_queue_is_refused_and_a_cancelled_one_forgotten() -> None:
    gate = threading.Event()

    async def body(pool: ThreadPool) -> None:
        first = pool.call(gate.wait, 10)
        with pytest.raises(QueueFull):
            pool.call(gate.wait, 10)
        first.cancel()
        gate.set()
        while True:  # until the first has left the queue
            try:
                call = pool.call(lambda: "next")
            except QueueFull:
                await asyncio.sleep(0)
                continue
            assert await call == "next"
            return

    in_pool(body, queue_limit=1)
