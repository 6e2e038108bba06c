"""Time that passes when a test says so, and the channels that live by it."""

import asyncio
from collections.abc import Callable

from container.channel.group import SWEEP_S, ChannelGroup
from container.message.exchange import Host


class FakeClock:
    """Seconds that stand still until `advance`. Calling the clock tells the time, as `time.monotonic` does.

    It is what the deadlines of connections see: head, body, keep-alive, write, linger. Timers of the event
    loop, such as those of `asyncio.sleep`, go by real time.
    """

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self._next_sweep = now + SWEEP_S
        self._sweeps: list[Callable[[], None]] = []

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass, with one sweep at the end of each whole second since the clock was made."""
        if seconds < 0:
            raise ValueError(f"expected time to go forward, got {seconds} seconds")
        end = self.now + seconds
        while self._next_sweep <= end:
            self.now = self._next_sweep
            self._next_sweep += SWEEP_S
            for sweep in list(self._sweeps):
                sweep()
        self.now = end

    def each_second(self, sweep: Callable[[], None]) -> None:
        """Call `sweep` at the end of every second that passes."""
        self._sweeps.append(sweep)

    def forget(self, sweep: Callable[[], None]) -> None:
        """Call `sweep` no more."""
        self._sweeps.remove(sweep)


class SweptGroup(ChannelGroup):
    """The channels of one client: swept when its clock advances and at no other time."""

    __slots__ = ("clock",)

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop, clock: FakeClock) -> None:
        self.clock = clock
        super().__init__(host, loop)

    def tick(self) -> None:
        super().tick()
        self.now = self.clock.now

    def start(self) -> None:
        self.clock.each_second(self.sweep)

    def stop(self) -> None:
        self.clock.forget(self.sweep)

    def sweep(self) -> None:
        """Look at the deadlines of every channel once."""
        self.tick()
        for channel in list(self.channels):
            channel.sweep(self.now)
