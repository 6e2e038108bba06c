"""Threads that run jobs, and the way back to the loop.

Hot path. Jobs that became ready in one turn of the loop are put on the queue together, finished ones cross
back through a deque with at most one wake-up in flight. Each method says which thread calls it.
"""

import asyncio
import logging
import threading
from collections import deque
from queue import SimpleQueue
from typing import Protocol

log = logging.getLogger("container.wsgi")


class Job(Protocol):
    """Something to be done in a thread."""

    abandoned: bool  # nobody waits for it any more; the pool has replaced the thread that runs it

    def run(self) -> None:
        """In a thread. Never raises."""

    def delivered(self) -> None:
        """On the loop, once for every `deliver`. Never raises."""


class ThreadPool:
    """`threads` threads that belong to one loop, from `start` to `stop`.

    Several resources may share a pool: it starts with the first and stops with the last of them. Threads are
    made at `start`, so after any fork; they are daemons, so a stuck one never keeps the process alive.
    """

    def __init__(self, threads: int = 8, *, queue_limit: int = 1000, name: str = "wsgi") -> None:
        if threads < 1:
            raise ValueError(f"expected at least one thread, got {threads}")
        self.threads = threads
        self.queue_limit = queue_limit
        self.name = name
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._ready: list[Job] = []
        self._outbox: deque[Job] = deque()
        self._waking = False
        self.loop: asyncio.AbstractEventLoop | None = None
        self._alive: set[threading.Thread] = set()
        self._made = 0
        self._users = 0

    # On the loop.

    def start(self) -> None:
        """Make the threads, unless another user of the pool has."""
        self._users += 1
        if self._users == 1:
            self.loop = asyncio.get_running_loop()
            for _ in range(self.threads):
                self.add_thread()

    async def stop(self, timeout: float = 2.0) -> None:
        """Let the threads end after what they are doing; those that need longer than `timeout` s are left."""
        self._users -= 1
        if self._users:
            return
        alive = list(self._alive)
        for _ in alive:
            self._jobs.put(None)
        await asyncio.to_thread(_join, alive, timeout)
        stuck = [thread.name for thread in alive if thread.is_alive()]
        if stuck:
            log.warning("still busy at the end, left behind: %s", ", ".join(stuck))

    def submit(self, job: Job) -> bool:
        """Run `job` soon; False when the queue is full."""
        ready = self._ready
        if self._jobs.qsize() + len(ready) >= self.queue_limit:
            return False
        ready.append(job)
        if len(ready) == 1:
            assert self.loop is not None, "the pool was not started"
            self.loop.call_soon(self._flush)
        return True

    def _flush(self) -> None:
        ready, self._ready = self._ready, []
        put = self._jobs.put
        for job in ready:
            put(job)

    def add_thread(self) -> None:
        """One more thread: at the start, or in place of one that is stuck."""
        self._made += 1
        thread = threading.Thread(target=self._work, name=f"{self.name}-{self._made}", daemon=True)
        self._alive.add(thread)
        thread.start()

    def _collect(self) -> None:
        # Cleared first: a thread that appends from now on wakes the loop again.
        self._waking = False
        outbox = self._outbox
        while outbox:
            outbox.popleft().delivered()

    # In a thread.

    def _work(self) -> None:
        get = self._jobs.get
        while (job := get()) is not None:
            job.run()
            if job.abandoned:
                break
        self._alive.discard(threading.current_thread())

    def deliver(self, job: Job) -> None:
        """Have `job.delivered()` called on the loop soon."""
        self._outbox.append(job)
        if not self._waking:
            self._waking = True
            assert self.loop is not None, "the pool was not started"
            try:
                self.loop.call_soon_threadsafe(self._collect)
            except RuntimeError:  # the loop has ended: so has everybody who would care
                pass


def _join(threads: list[threading.Thread], timeout: float) -> None:
    share = timeout / max(1, len(threads))
    for thread in threads:
        thread.join(share)
