"""What every session store does (SE-07): one suite for all, each against the real thing."""

from __future__ import annotations

import asyncio
import itertools
import json
import stat
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from container.sessions.memory import MemoryStore
from container.sessions.redis import RedisStore
from container.sessions.sqlite import SQLiteStore
from container.sessions.store import Key, Record, SessionStore, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from tests.redis_server import RedisServer

_spaces = itertools.count()


@pytest.fixture(params=["memory", "sqlite", "redis"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], SessionStore]:
    """Makes stores that see the same sessions, as several processes would; a memory store sees its own."""
    if request.param == "memory":
        memory = MemoryStore()
        return lambda: memory
    if request.param == "sqlite":
        return lambda: SQLiteStore(tmp_path / "sessions.db")
    server: RedisServer = request.getfixturevalue("redis_server")
    return lambda: RedisStore(server.url)


@pytest.fixture
def space() -> str:
    """A namespace of the test's own."""
    return f"test {next(_spaces)}"


@asynccontextmanager
async def started(store: SessionStore) -> AsyncIterator[SessionStore]:
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


def encoded(store: SessionStore, value: object) -> Any:
    """A value as this store takes it."""
    return value if store.keeps_objects else json.dumps(value, separators=(",", ":"), sort_keys=True)


def record(store: SessionStore, expires: float = 2000.0, **values: object) -> Record:
    return Record({name: encoded(store, value) for name, value in values.items()}, 1000.0, 1000.0, expires)


async def values(store: SessionStore, key: Key) -> dict[str, Any] | None:
    found = await store.load(key)
    if found is None:
        return None
    return {name: value if store.keeps_objects else json.loads(value) for name, value in found.values.items()}


def test_what_was_created_comes_back(make_store: Callable[[], SessionStore], space: str) -> None:
    """SE-07: values and times survive, bit for bit; so do names and texts of every kind."""

    async def test() -> None:
        async with started(make_store()) as store:
            key = Key(space, "a")
            odd = {"": 1, "=": "expires", "created": [1, {"é\n": None}], "\u2028": "\U0001f600", "f": 0.1}
            assert await store.create(key, record(store, 1234.5678901, **odd), None) == []
            found = await store.load(key)
            assert found is not None
            assert (found.created, found.modified, found.expires) == (1000.0, 1000.0, 1234.5678901)
            assert await values(store, key) == odd
            assert await store.load(Key(space, "b")) is None
            assert await store.load(Key(space + "x", "a")) is None

    run(test())


def test_changes_are_merged_by_name(make_store: Callable[[], SessionStore], space: str) -> None:
    """SE-07: two writers that change different names do not undo each other."""

    async def test() -> None:
        async with started(make_store()) as one, started(make_store()) as two:
            key = Key(space, "a")
            await one.create(key, record(one, a=1, b=1, c=1), None)
            assert await one.update(key, {"a": encoded(one, 2)}, [], 1001.0, 2001.0)
            assert await two.update(
                key, {"b": encoded(two, 3), "d": encoded(two, 4)}, ["c", "none"], 1002.0, 2002.0
            )
            assert await values(one, key) == {"a": 2, "b": 3, "d": 4}
            found = await two.load(key)
            assert found is not None
            assert (found.created, found.modified, found.expires) == (1000.0, 1002.0, 2002.0)

    run(test())


def test_a_touch_changes_the_end_only(make_store: Callable[[], SessionStore], space: str) -> None:
    async def test() -> None:
        async with started(make_store()) as store:
            key = Key(space, "a")
            await store.create(key, record(store, n=1), None)
            assert await store.update(key, {}, [], 1500.0, 2500.0)
            found = await store.load(key)
            assert found is not None
            assert (found.modified, found.expires) == (1000.0, 2500.0)

    run(test())


def test_what_is_gone_does_not_come_back(make_store: Callable[[], SessionStore], space: str) -> None:
    """SE-05: a request that began before the end of a session cannot bring it back."""

    async def test() -> None:
        async with started(make_store()) as store:
            key = Key(space, "a")
            await store.create(key, record(store, n=1), None)
            first, second = await asyncio.gather(store.delete(key), store.delete(key))
            assert [each is None for each in (first, second)].count(True) == 1
            assert not await store.update(key, {"n": encoded(store, 2)}, [], 1001.0, 2001.0)
            assert await store.increment(key, "n", 1) is None
            assert await store.compare_and_set(key, "n", None, encoded(store, 2)) is None
            assert not await store.move(key, Key(space, "b"))
            assert await store.delete(key) is None
            assert await store.load(key) is None
            assert await store.count(space) == 0

    run(test())


def test_a_moved_session_keeps_all_and_its_old_key_is_dead(
    make_store: Callable[[], SessionStore], space: str
) -> None:
    """SE-10."""

    async def test() -> None:
        async with started(make_store()) as store:
            old, new = Key(space, "old"), Key(space, "new")
            await store.create(old, record(store, n=1, user="eva"), None)
            assert await store.move(old, new)
            assert await store.load(old) is None
            assert await values(store, new) == {"n": 1, "user": "eva"}
            assert await store.count(space) == 1
            swept = await store.sweep(space, 2000.0)
            assert [digest for digest, _ in swept] == ["new"]

    run(test())


def test_no_increment_is_lost(make_store: Callable[[], SessionStore], space: str) -> None:
    """SE-07: many writers in two processes' stores."""

    async def test() -> None:
        async with started(make_store()) as one, started(make_store()) as two:
            key = Key(space, "a")
            await one.create(key, record(one), None)
            sums = await asyncio.gather(
                *[store.increment(key, "n", 1) for store in (one, two) for _ in range(100)]
            )
            assert sorted(each or 0 for each in sums) == list(range(1, 201))
            assert await one.increment(key, "n", -50) == 150
            assert await values(two, key) == {"n": 150}

    run(test())


@pytest.mark.parametrize("value", ["1", 1.5, [1], True, {"a": 1}, 2**63, 2**63 - 1])
def test_only_integers_of_64_bits_are_incremented(
    make_store: Callable[[], SessionStore], space: str, value: object
) -> None:
    async def test() -> None:
        async with started(make_store()) as store:
            key = Key(space, "a")
            await store.create(key, record(store, n=value), None)
            with pytest.raises(TypeError, match=r"expected an integer of 64 bits in session\['n'\]"):
                await store.increment(key, "n", 1)
            assert await values(store, key) == {"n": value}

    run(test())


def test_an_increment_takes_none_for_nothing_and_large_numbers_whole(
    make_store: Callable[[], SessionStore], space: str
) -> None:
    async def test() -> None:
        async with started(make_store()) as store:
            key = Key(space, "a")
            await store.create(key, record(store, none=None, large=2**53), None)
            assert await store.increment(key, "none", 3) == 3
            assert await store.increment(key, "large", 1) == 2**53 + 1
            assert await store.increment(key, "large", 2**62) == 2**62 + 2**53 + 1

    run(test())


def test_one_of_many_wins_a_compare_and_set(make_store: Callable[[], SessionStore], space: str) -> None:
    async def test() -> None:
        async with started(make_store()) as one, started(make_store()) as two:
            key = Key(space, "a")
            await one.create(key, record(one, owner=None), None)
            tries = [
                store.compare_and_set(key, "owner", None, encoded(store, n))
                for n in range(20)
                for store in (one, two)
            ]
            done = await asyncio.gather(*tries)
            assert done.count(True) == 1
            owner = (await values(one, key) or {})["owner"]
            assert not await one.compare_and_set(key, "owner", None, encoded(one, "x"))
            assert await two.compare_and_set(key, "owner", encoded(two, owner), encoded(two, [1, "é"]))
            assert await two.compare_and_set(key, "missing", None, encoded(two, 1))
            assert await values(one, key) == {"owner": [1, "é"], "missing": 1}

    run(test())


def test_a_sweep_takes_what_is_past_its_time_and_tells_it_once(
    make_store: Callable[[], SessionStore], space: str
) -> None:
    """SE-05: whoever sweeps first is the one to tell."""

    async def test() -> None:
        async with started(make_store()) as one, started(make_store()) as two:
            for number in range(10):
                await one.create(Key(space, f"{number}"), record(one, 2000.0 + number, n=number), None)
            await one.create(Key(space + "x", "other"), record(one, 1.0), None)
            both = await asyncio.gather(one.sweep(space, 2004.0), two.sweep(space, 2004.0))
            assert sorted(digest for ended in both for digest, _ in ended) == ["0", "1", "2", "3", "4"]
            assert await one.sweep(space, 2004.0) == []
            assert await two.count(space) == 5
            assert await one.count(space + "x") == 1

    run(test())


def test_those_that_would_end_first_give_way(make_store: Callable[[], SessionStore], space: str) -> None:
    """SE-07: there is a most."""

    async def test() -> None:
        async with started(make_store()) as store:
            for number, end in enumerate((2005.0, 2001.0, 2003.0)):
                assert await store.create(Key(space, f"{number}"), record(store, end, n=number), 3) == []
            ended = await store.create(Key(space, "new"), record(store, 2000.0), 3)
            assert [(digest, each.expires) for digest, each in ended] == [("1", 2001.0)]
            await store.update(Key(space, "new"), {}, [], 1001.0, 2010.0)
            ended = await store.create(Key(space, "newer"), record(store), 2)
            assert [digest for digest, _ in ended] == ["2", "0"]
            assert await store.count(space) == 2

    run(test())


def test_a_store_can_be_started_twice_and_again(make_store: Callable[[], SessionStore], space: str) -> None:
    """Two scopes may use one store; and a site may be started again."""

    async def test() -> None:
        store = make_store()
        async with started(store), started(store):
            await store.create(Key(space, "a"), record(store, n=1), None)
        async with started(store):
            assert await values(store, Key(space, "a")) == {"n": 1}

    run(test())


# What only some can go through.


def test_the_file_of_sqlite_is_its_owners_only(tmp_path: Path) -> None:
    async def test() -> None:
        async with started(SQLiteStore(tmp_path / "s.db")) as store:
            await store.create(Key("s", "a"), record(store), None)
            assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}

    run(test())


def test_sqlite_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    async def test() -> None:
        store = SQLiteStore(tmp_path / "missing" / "s.db")
        with pytest.raises(StoreUnavailable) as caught:
            await store.start()
        assert "missing/s.db" in caught.value.cause
        with pytest.raises(StoreUnavailable):
            await store.load(Key("s", "a"))

    run(test())


def test_sqlite_gives_up_on_a_file_that_somebody_holds(tmp_path: Path) -> None:
    """A clear error after the timeout, and work goes on when the file is free."""
    import sqlite3

    async def test() -> None:
        async with started(SQLiteStore(tmp_path / "s.db", timeout=0.05)) as store:
            await store.create(Key("s", "a"), record(store), None)
            with sqlite3.connect(tmp_path / "s.db", isolation_level=None) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(StoreUnavailable) as caught:
                    await store.increment(Key("s", "a"), "n", 1)
                assert "locked" in caught.value.cause
                assert await values(store, Key("s", "a")) == {}, "readers do not wait for writers"
                other.execute("COMMIT")
            other.close()
            assert await store.increment(Key("s", "a"), "n", 1) == 1

    run(test())


def test_a_dead_redis_is_an_error_and_works_again_when_it_is_back(own_redis: RedisServer) -> None:
    async def test() -> None:
        async with started(RedisStore(own_redis.url, timeout=5)) as store:
            key = Key("s", "a")
            await asyncio.gather(*[store.create(Key("s", f"{n}"), record(store), None) for n in range(8)])
            own_redis.kill()
            for _ in range(3):
                with pytest.raises(StoreUnavailable):
                    await store.increment(key, "n", 1)
            own_redis.start()
            await store.create(key, record(store, n=1), None)
            sums = await asyncio.gather(*[store.increment(key, "n", 1) for _ in range(8)])
            assert sorted(each or 0 for each in sums) == list(range(2, 10))

    run(test())


def test_a_silent_redis_is_given_up_on(silent_port: int) -> None:
    async def test() -> None:
        async with started(RedisStore(f"redis://127.0.0.1:{silent_port}", timeout=0.05)) as store:
            with pytest.raises(StoreUnavailable):
                await store.load(Key("s", "a"))

    run(test())


def test_no_redis_keeps_nobody_from_starting(tmp_path: Path) -> None:
    async def test() -> None:
        async with started(RedisStore(f"unix://{tmp_path}/none")) as store:
            with pytest.raises(StoreUnavailable):
                await store.load(Key("s", "a"))

    run(test())


def test_a_url_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="redis://"):
        RedisStore("localhost:6379")


def test_redis_forgets_by_itself_what_nobody_sweeps(redis_server: RedisServer, space: str) -> None:
    """SE-04: not before its time."""

    async def test() -> None:
        async with started(RedisStore(redis_server.url, prefix="{keep}")) as store:
            assert isinstance(store, RedisStore)
            await store.create(Key(space, "a"), record(store, 1600.0), None)
            left = await store._batches.do(["TTL", f"{{keep}}:session:{space}:a"])
            assert 600 <= left <= 600 + 300
            await store.update(Key(space, "a"), {}, [], 1500.0, 1600.0)
            left = await store._batches.do(["TTL", f"{{keep}}:session:{space}:a"])
            assert 100 <= left <= 100 + 300

    run(test())
