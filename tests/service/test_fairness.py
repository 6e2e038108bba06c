"""The switch interval follows what the loop suffers."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from container.service import fairness
from container.service.fairness import KEEP_S, SHORT_S, FairSwitching

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def usual() -> Iterator[float]:
    before = sys.getswitchinterval()
    yield before
    sys.setswitchinterval(before)


def interval() -> float:
    return round(sys.getswitchinterval(), 6)


def test_the_interval_is_short_while_the_loop_comes_late(usual: float) -> None:
    watch = FairSwitching(asyncio.new_event_loop())
    watch.judge(0.001, now=0)
    assert interval() == usual
    watch.judge(0.05, now=1)
    assert interval() == SHORT_S
    watch.judge(0.003, now=9)  # less late, but that is because the interval is short
    watch.judge(0.001, now=9 + KEEP_S - 1)
    assert interval() == SHORT_S
    watch.judge(0.001, now=9 + KEEP_S + 1)
    assert interval() == usual
    watch._loop.close()


def test_an_interval_that_is_shorter_already_is_left_alone() -> None:
    sys.setswitchinterval(0.0001)
    watch = FairSwitching(asyncio.new_event_loop())
    watch.judge(1, now=1)
    assert interval() == 0.0001
    watch._loop.close()


def test_threads_that_compute_are_noticed(monkeypatch: pytest.MonkeyPatch, usual: float) -> None:
    monkeypatch.setattr(fairness, "LOOK_S", 0.01)
    monkeypatch.setattr(fairness, "LATE_S", 0.0)
    over = threading.Event()

    def compute() -> None:
        while not over.is_set():
            sum(range(1000))

    async def watched() -> float:
        watch = FairSwitching(asyncio.get_running_loop())
        watch.start()
        async with asyncio.timeout(30):
            while interval() != SHORT_S:
                await asyncio.sleep(0.001)
        watch.stop()
        return interval()

    threads = [threading.Thread(target=compute) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        assert asyncio.run(watched()) == usual
    finally:
        over.set()
        for thread in threads:
            thread.join()
