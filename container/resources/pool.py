"""Threads that run jobs, and the way back to the loop.

Hot path. A thread that is woken while another holds the interpreter costs two switches for nothing, so jobs
that became ready in one turn of the loop are handed over together and wake one thread, the one that slept
last; if some of them are still waiting a millisecond later, because that thread is blocked, more are woken.
Finished jobs cross back through a deque with at most one wake-up in flight, when the thread has no more to do or
that millisecond is over.

Each method says which thread calls it.
"""

import asyncio
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Generic, Protocol, TypeVar

T = TypeVar("T")

log = logging.getLogger("container.pool")

# How long jobs may wait behind others of their turn while threads are idle.
RELIEF_S: Final = 0.001


class Job(Protocol):
    """Something to be done in a thread."""

    replaced: bool  # the pool has been given another thread in place of the one that ran it

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
        # How many jobs found the queue full.
        self.refused = 0
        self._jobs: deque[Job | None] = deque()
        # One closed gate per sleeping thread, the last to sleep at the end.
        self._idle: list[threading.Lock] = []
        self._ready: list[Job] = []
        self._relieving = False
        self._outbox: deque[Job] = deque()
        self._waking = False
        self.loop: asyncio.AbstractEventLoop | None = None
        self._alive: set[threading.Thread] = set()
        self._made = 0
        self._users = 0

    # On the loop.

    @property
    def waiting(self) -> int:
        """How many jobs wait for a thread."""
        return len(self._jobs) + len(self._ready)

    @property
    def busy(self) -> int:
        """How many threads have a job, those that were replaced too."""
        return len(self._alive) - len(self._idle)

    def start(self) -> None:
        """Make the threads, unless another user of the pool has."""
        self._users += 1
        if self._users == 1:
            self.loop = asyncio.get_running_loop()
            # Nothing of a loop that has ended will call back.
            self._ready = []
            self._relieving = self._waking = False
            for _ in range(self.threads):
                self.add_thread()

    async def stop(self, timeout: float = 2.0) -> None:
        """Let the threads end after what they are doing; those that need longer than `timeout` s are left."""
        self._users -= 1
        if self._users:
            return
        alive = list(self._alive)
        self._jobs.extend([None] * len(alive))
        self._wake(len(alive))
        await asyncio.to_thread(_join, alive, timeout)
        stuck = [thread.name for thread in alive if thread.is_alive()]
        if stuck:
            log.warning("still busy at the end, left behind: %s", ", ".join(stuck))
        # Those keep what tells them to end: it is not for the threads of another start.
        self._jobs, self._idle = deque(), []

    def submit(self, job: Job) -> bool:
        """Run `job` soon; False when the queue is full."""
        ready = self._ready
        if len(self._jobs) + len(ready) >= self.queue_limit:
            self.refused += 1
            return False
        if not ready:
            assert self.loop is not None, "the pool was not started"
            self.loop.call_soon(self._gather)
        ready.append(job)
        return True

    def call(self, function: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        """Call `function` in a thread and await what it gives back or raises; a BaseException that is none of
        Exception comes as the cause of a RuntimeError. Raises QueueFull at once."""
        assert self.loop is not None, "the pool was not started"
        call = Call(self, self.loop.create_future(), function, *arguments)
        if not self.submit(call):
            raise QueueFull(f"expected at most {self.queue_limit} jobs to wait for a thread")
        return call.future

    def _gather(self) -> None:
        """Let the loop read once more, without waiting: requests come in swarms, and a swarm costs one wake-up."""
        assert self.loop is not None, "the pool was not started"
        self.loop.call_soon(self._flush)

    def _flush(self) -> None:
        ready, self._ready = self._ready, []
        self._jobs.extend(ready)
        self._wake(1)
        if len(ready) > 1 and not self._relieving:
            self._relieving = True
            assert self.loop is not None, "the pool was not started"
            self.loop.call_later(RELIEF_S, self._relieve)

    def _relieve(self) -> None:
        """The thread that was woken is busy with something else: wake as many as there is work for."""
        self._relieving = False
        self._wake(len(self._jobs))
        self._collect()

    def _wake(self, threads: int) -> None:
        idle = self._idle
        try:
            for _ in range(threads):
                idle.pop().release()
        except IndexError:  # all are awake
            pass

    def add_thread(self) -> None:
        """One more thread: at the start, or in place of one that is stuck. Raises RuntimeError when the system has no
        more of them."""
        self._made += 1
        thread = threading.Thread(target=self._work, name=f"{self.name}-{self._made}", daemon=True)
        self._alive.add(thread)
        try:
            thread.start()
        except RuntimeError:
            self._alive.discard(thread)
            raise

    def _collect(self) -> None:
        # Cleared first: a thread that appends from now on wakes the loop again.
        self._waking = False
        outbox = self._outbox
        # What is appended meanwhile has its own wake-up: an endless answer must not keep the loop here.
        for _ in range(len(outbox)):
            outbox.popleft().delivered()

    # In a thread.

    def _work(self) -> None:
        jobs, idle = self._jobs, self._idle
        _yield_to_loop()
        gate = threading.Lock()
        gate.acquire()
        while True:
            try:
                job = jobs.popleft()
            except IndexError:
                idle.append(gate)
                # A job that came before the line above woke nobody: look once more before sleeping.
                if jobs:
                    try:
                        idle.remove(gate)
                        continue
                    except ValueError:  # somebody is opening the gate at this moment
                        pass
                gate.acquire()
                continue
            if job is None:
                break
            job.run()
            if job.replaced:
                break
        self._alive.discard(threading.current_thread())

    def deliver(self, job: Job) -> None:
        """Have `job.delivered()` called on the loop soon."""
        self._outbox.append(job)
        if self._relieving and self._jobs:
            return  # more follows at once, and `_relieve` is sure to look into the outbox after this
        if not self._waking:
            self._waking = True
            assert self.loop is not None, "the pool was not started"
            try:
                self.loop.call_soon_threadsafe(self._collect)
            except RuntimeError:  # the loop has ended: so has everybody who would care
                pass


class QueueFull(RuntimeError):
    """More jobs wait for a thread than may."""


class Call(Generic[T]):
    """A job that is one call of a function; `future` gets what it gives back or raises."""

    __slots__ = ("_arguments", "_error", "_function", "_pool", "_result", "future", "replaced")

    _result: T

    def __init__(
        self, pool: ThreadPool, future: asyncio.Future[T], function: Callable[..., T], *arguments: Any
    ) -> None:
        self.future = future
        self.replaced = False
        self._pool = pool
        self._function = function
        self._arguments = arguments
        self._error: BaseException | None = None

    def run(self) -> None:
        self.perform()
        self._pool.deliver(self)

    def perform(self) -> None:
        """Call the function, in a thread."""
        try:
            self._result = self._function(*self._arguments)
        except BaseException as error:  # noqa: BLE001  # foreign code, SystemExit included
            self._error = error

    def delivered(self) -> None:
        future, error = self.future, self._error
        if future.done():  # cancelled
            return
        if error is None:
            future.set_result(self._result)
        elif isinstance(error, Exception) and not isinstance(error, StopIteration):
            future.set_exception(error)
        else:  # one that a future cannot carry, or that would end the loop
            wrapped = RuntimeError(f"expected a result, got {type(error).__name__}")
            wrapped.__cause__ = error
            future.set_exception(wrapped)


def _yield_to_loop() -> None:
    """Have this thread wait for its turn when it is woken, instead of taking the processor from the loop that
    woke it and still holds the interpreter: two switches less a batch. Linux only; anybody may ask for it."""
    with suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _join(threads: list[threading.Thread], timeout: float) -> None:
    share = timeout / max(1, len(threads))
    for thread in threads:
        thread.join(share)
