"""Threads: how many run, how many wait, sharing, starting, stopping, and who is mounted in front."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from container.resources.data import Data
from container.resources.wsgi import ThreadPool, WSGIResource
from container.testing import Client
from container.tree.resource import Resource
from tests.leaf import GET, request

if TYPE_CHECKING:
    from collections.abc import Iterator


class Gated:
    """An application that waits at a gate; counts how many are inside."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.lock = threading.Lock()
        self.inside = self.most = self.done = 0
        self.threads: set[str] = set()

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.threads.add(threading.current_thread().name)
        assert self.gate.wait(10)
        with self.lock:
            self.inside -= 1
            self.done += 1
        start_response("200 OK", [])
        return [b"x"]


def connections(client: Client, count: int, target: str = "/") -> list[Any]:
    made = [client.connect() for _ in range(count)]
    for connection in made:
        connection.send(request(target))
    return made


# How many run.


def test_no_more_run_at_a_time_than_there_are_threads() -> None:
    app = Gated()
    with Client(WSGIResource(app, threads=2)) as client:
        waiting = connections(client, 4)
        client.wait_until(lambda: app.inside == 2)
        client.settle()
        assert app.inside == 2
        app.gate.set()
        assert [each.receive().status for each in waiting] == [200] * 4
    assert (app.most, app.done, len(app.threads)) == (2, 4, 2)


def test_a_thread_that_is_busy_does_not_keep_others_from_what_came_with_its_job() -> None:
    app = Gated()

    async def all_at_once(client: Any) -> None:
        for connection in [client.connect() for _ in range(4)]:
            connection.transport.feed(GET)

    with Client(WSGIResource(app, threads=4)) as client:
        client._run(all_at_once(client._client))
        client.wait_until(lambda: app.inside == 4)
        app.gate.set()
        client.wait_until(lambda: app.done == 4)


def test_requests_beyond_the_queue_are_answered_503() -> None:
    app = Gated()
    with Client(WSGIResource(app, threads=1, queue_limit=2)) as client:
        running = connections(client, 1)
        client.wait_until(lambda: app.inside == 1)
        waiting = connections(client, 2)
        refused = connections(client, 2)
        for connection in refused:
            answer = connection.receive()
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        late = client.connect()
        late.send(request("/", "Content-Length: 5", method="POST"))
        late.send(b"hello")
        assert late.receive().status == 503
        app.gate.set()
        assert [each.receive().status for each in running + waiting] == [200] * 3
        assert client.get("/").status == 200


def test_a_connection_that_was_refused_for_want_of_room_goes_on() -> None:
    app = Gated()
    with Client(WSGIResource(app, threads=1, queue_limit=1)) as client:
        first = connections(client, 1)
        client.wait_until(lambda: app.inside == 1)
        second, third = connections(client, 2)
        assert third.receive().status == 503
        third.send(GET)
        assert third.receive().status == 503
        app.gate.set()
        assert (first[0].receive().status, second.receive().status) == (200, 200)
        third.send(GET)
        assert third.receive().status == 200


def test_many_requests_on_few_threads_are_all_answered() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["PATH_INFO"].encode()]

    with Client(WSGIResource(app, threads=3)) as client:
        pipelines = [client.connect() for _ in range(10)]
        for index, connection in enumerate(pipelines):
            connection.send(b"".join(request(f"/{index}/{number}") for number in range(50)))
        for index, connection in enumerate(pipelines):
            got = [connection.receive().text for _ in range(50)]
            assert got == [f"/{index}/{number}" for number in range(50)]


# Sharing.


def test_several_applications_can_share_a_pool() -> None:
    pool = ThreadPool(2, name="shared")
    one, two = Gated(), Gated()
    root = Resource()
    root.mount("one", WSGIResource(one, pool=pool))
    root.mount("two", WSGIResource(two, pool=pool))
    with Client(root) as client:
        waiting = connections(client, 2, "/one") + connections(client, 2, "/two")
        client.wait_until(lambda: one.inside == 2)
        assert two.inside == 0
        one.gate.set()
        two.gate.set()
        assert [each.receive().status for each in waiting] == [200] * 4
    assert one.threads | two.threads == {"shared-1", "shared-2"}


def test_a_pool_of_ones_own_is_not_held_up_by_another() -> None:
    stuck, free = Gated(), Gated()
    free.gate.set()
    root = Resource()
    root.mount("stuck", WSGIResource(stuck, threads=1))
    root.mount("free", WSGIResource(free, threads=1))
    with Client(root) as client:
        waiting = connections(client, 3, "/stuck")
        assert client.get("/free").status == 200
        stuck.gate.set()
        assert [each.receive().status for each in waiting] == [200] * 3


def test_an_application_mounted_twice_has_one_pool() -> None:
    app = Gated()
    app.gate.set()
    resource = WSGIResource(app, threads=1)
    root = Resource()
    root.mount("a", resource)
    root.mount("b", resource)
    with Client(root) as client:
        assert (client.get("/a").status, client.get("/b").status) == (200, 200)
    assert len(app.threads) == 1


# Start and stop.


@pytest.fixture
def no_threads_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.mark.usefixtures("no_threads_left")
def test_starting_and_stopping_leaves_no_threads() -> None:
    app = Gated()
    app.gate.set()
    resource = WSGIResource(app, threads=4)
    for _ in range(20):
        with Client(resource) as client:
            assert client.get("/").status == 200
    assert app.done == 20


def test_threads_are_made_at_the_start() -> None:
    before = threading.active_count()
    WSGIResource(Gated(), threads=8)
    assert threading.active_count() == before


def test_a_pool_has_at_least_one_thread() -> None:
    with pytest.raises(ValueError, match="at least one thread"):
        ThreadPool(0)


class Job:
    """Something for a thread to do."""

    replaced = False

    def __init__(self, act: Any = lambda: None) -> None:
        self.act = act
        self.ran = threading.Event()
        self.times_delivered = 0

    def run(self) -> None:
        self.act()
        self.ran.set()

    def delivered(self) -> None:
        self.times_delivered += 1


def test_stopping_lets_what_is_queued_run_and_does_not_wait_for_what_is_stuck(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate, stuck_gate = threading.Event(), threading.Event()
    stuck, brief, queued = Job(lambda: stuck_gate.wait(10)), Job(lambda: gate.wait(10)), Job()

    async def main() -> None:
        pool = ThreadPool(2, name="halting")
        pool.start()
        for job in (stuck, brief, queued):
            assert pool.submit(job)
        await asyncio.sleep(0.005)
        stopping = asyncio.ensure_future(pool.stop(0.2))
        await asyncio.sleep(0)
        gate.set()
        await stopping

    asyncio.run(main())
    assert queued.ran.is_set()
    assert not stuck.ran.is_set()
    assert "still busy at the end, left behind: halting-" in caplog.text
    stuck_gate.set()
    assert stuck.ran.wait(5)


class Late(deque[Any]):
    """Jobs of which the first comes just after a thread has found none."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job: Job | None = job

    def popleft(self) -> Any:
        try:
            return super().popleft()
        finally:
            if self.job is not None:
                job, self.job = self.job, None
                self.append(job)


class Opened(list[Any]):
    """Sleeping threads of which the first is woken at once by somebody else."""

    def append(self, gate: Any) -> None:
        if not hasattr(self, "was_opened"):
            self.was_opened = True
            gate.release()
        else:
            super().append(gate)


@pytest.mark.parametrize("is_woken", [False, True])
def test_a_job_that_comes_while_a_thread_goes_to_sleep_is_run(is_woken: bool) -> None:
    job = Job()

    async def main() -> None:
        pool = ThreadPool(1)
        pool._jobs = Late(job)
        if is_woken:
            pool._idle = Opened()
        pool.start()
        assert await asyncio.to_thread(job.ran.wait, 5)
        await pool.stop()

    asyncio.run(main())


def test_what_comes_after_the_loop_has_ended_is_dropped() -> None:
    pool = ThreadPool(1)
    gate = threading.Event()
    job = Job(lambda: (gate.wait(10), pool.deliver(job)))

    async def main() -> None:
        pool.start()
        pool.submit(job)
        await asyncio.sleep(0.005)
        await pool.stop(0)

    asyncio.run(main())
    gate.set()
    assert job.ran.wait(5)
    assert job.times_delivered == 0


@pytest.mark.parametrize("is_late", [False, True])
def test_a_pool_that_left_a_thread_behind_may_start_again(is_late: bool) -> None:
    pool = ThreadPool(1)
    gate = threading.Event()
    stuck = Job(lambda: (gate.wait(10), pool.deliver(stuck)))

    async def leave_behind() -> None:
        pool.start()
        pool.submit(stuck)
        await asyncio.sleep(0.005)
        await pool.stop(0)

    async def use() -> int:
        pool.start()
        try:
            return await asyncio.wait_for(pool.call(lambda: 42), 5)
        finally:
            await pool.stop()

    asyncio.run(leave_behind())
    if is_late:  # it speaks up between the two loops
        gate.set()
        assert stuck.ran.wait(5)
    assert asyncio.run(use()) == 42
    gate.set()


def test_deliveries_of_one_moment_wake_the_loop_once() -> None:
    woken: list[Any] = []

    async def main() -> None:
        pool = ThreadPool(1)
        pool.start()
        loop = asyncio.get_running_loop()
        job = Job()
        real = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *args: (woken.append(args), real(*args))[1]  # type: ignore[method-assign,assignment,misc]
        for _ in range(5):
            pool.deliver(job)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert job.times_delivered == 5
        loop.call_soon_threadsafe = real  # type: ignore[method-assign]
        await pool.stop()

    asyncio.run(main())
    assert len(woken) == 1


# In front of an application.


def test_resources_can_be_mounted_in_front_of_an_application() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}".encode()]

    outer = WSGIResource(app, threads=1)
    outer.mount("static/a.css", Data(b"css", "text/css"))
    outer.mount("inner", WSGIResource(app, threads=1))
    with Client(outer) as client:
        got = [client.get(target).text for target in ("/", "/static/a.css", "/inner/x", "/innerx", "/other/")]
        statuses = [client.get(target).status for target in ("/static", "/static/b.css")]
    assert got == ["|/", "css", "/inner|/x", "|/innerx", "|/other/"]
    assert statuses == [405, 404]
