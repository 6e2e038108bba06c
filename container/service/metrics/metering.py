"""Has requests counted where a tree has `Metrics`, and tells of this process once a second and when it is asked."""

from __future__ import annotations

import os
from array import array
from typing import TYPE_CHECKING, Final

from container.service.metrics import figures as of
from container.service.metrics.figures import Counted, timed
from container.service.metrics.page import Metrics, is_page
from container.service.pools import pools_of
from container.tree.site import resources_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Mapping

    from container.channel.group import ChannelGroup
    from container.service.metrics.figures import Figures
    from container.tree.site import Site

SAMPLE_S: Final = 1.0


def pages_of(sites: Iterable[Site]) -> list[Metrics]:
    """What tells of them, and has them counted."""
    return [each for each in resources_of(sites) if isinstance(each, Metrics)]


class Metering:
    """From `start`, when the sites have started and nobody is connected yet, to `stop`. `groups` have their
    connections; sites that only tell of others are left out."""

    def __init__(self, groups: Mapping[Site, ChannelGroup], figures: Figures) -> None:
        self._figures = figures
        self._groups = {site: group for site, group in groups.items() if not is_page(site)}
        self._logs = {site: site.log for site in self._groups}
        self._pages = pages_of(groups)
        self._pools = pools_of(groups)
        # Those before us at this place have counted so far.
        self._words: list[float] = [*figures.own]
        self._refused = self._words[of.REFUSED] - sum(pool.refused for pool in self._pools)
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        for site, group in self._groups.items():
            site.log = Counted(site.log, self._words)
            group.dispatch = timed(group.dispatch)
        for page in self._pages:
            page.figures, page.sample = self._figures, self.sample
        self._words[of.PID] = os.getpid()
        self._sample_on_time(loop)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._words[of.PID] = 0
        self.sample()
        for site, log in self._logs.items():
            site.log = log
        for page in self._pages:
            page.figures = page.sample = None

    def _sample_on_time(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(SAMPLE_S, self._sample_on_time, loop)
        self.sample()

    def sample(self) -> None:
        """Tell the others what was counted, and how it is at this moment."""
        words, pools = self._words, self._pools
        channels = [each for group in self._groups.values() for each in group.channels]
        words[of.CONNECTIONS] = len(channels)
        words[of.IN_PROGRESS] = sum(getattr(each, "exchange", None) is not None for each in channels)
        words[of.THREADS] = sum(pool.threads for pool in pools)
        words[of.BUSY] = sum(pool.busy for pool in pools)
        words[of.WAITING] = sum(pool.waiting for pool in pools)
        words[of.REFUSED] = self._refused + sum(pool.refused for pool in pools)
        words[of.MEMORY] = memory_of_process()
        self._figures.own[of.PID :] = array("d", words[of.PID :])


def memory_of_process() -> int:
    """Bytes of memory this process has in use; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
