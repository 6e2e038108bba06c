"""Sessions in an SQLite file, for several processes on one machine, and for those that outlive a restart.

SQLite blocks, so two threads of the store do it all, one reads and one writes. Writers of several processes
take turns; in WAL mode readers do not wait for them.
"""

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from container.sessions.batch import Batches
from container.sessions.store import Ended, Key, Record, StoreUnavailable, added

P = ParamSpec("P")
T = TypeVar("T")

TIMEOUT_S: Final = 5.0
# Records that one turn of the sweep takes away, so that no writer waits for long.
_SWEEP_MAX: Final = 500
# Times are seconds since the epoch. The trigger counts, because SQLite would look at every row to do so.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS session (
  space TEXT NOT NULL, digest TEXT NOT NULL, created REAL NOT NULL, modified REAL NOT NULL, expires REAL NOT NULL,
  PRIMARY KEY (space, digest)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS session_expires ON session (space, expires);
CREATE TABLE IF NOT EXISTS session_value (
  space TEXT NOT NULL, digest TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (space, digest, name),
  FOREIGN KEY (space, digest) REFERENCES session ON DELETE CASCADE ON UPDATE CASCADE
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS session_count (space TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS session_added AFTER INSERT ON session BEGIN
  INSERT INTO session_count VALUES (new.space, 1) ON CONFLICT (space) DO UPDATE SET count = count + 1;
END;
CREATE TRIGGER IF NOT EXISTS session_removed AFTER DELETE ON session BEGIN
  UPDATE session_count SET count = count - 1 WHERE space = old.space;
END;
"""
_WHERE: Final = "WHERE space = ? AND digest = ?"
_PUT: Final = "INSERT INTO session_value VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"


class SQLiteStore:
    """Keeps sessions in the file `path`, which is made, for its owner only, when it is not there.

    `timeout`: seconds that one transaction may wait for the file and for others, until it is answered with 503.
    """

    is_local = False
    is_shared = True
    keeps_objects = False

    def __init__(self, path: str | os.PathLike[str], *, timeout: float = TIMEOUT_S) -> None:
        self.path = os.fspath(path)
        self.timeout = timeout
        self._users = 0
        self._reader = _Lane(self.path, timeout, "BEGIN")
        # It has the right to write from its beginning: what it reads stays true.
        self._writer = _Lane(self.path, timeout, "BEGIN IMMEDIATE")

    async def start(self) -> None:
        """Raises StoreUnavailable when the file cannot be used."""
        self._users += 1
        if self._users == 1:
            try:
                await self._writer.start(_SCHEMA)
                await self._reader.start()
            except BaseException:
                await self.stop()
                raise

    async def stop(self) -> None:
        self._users -= 1
        if not self._users:
            await self._reader.stop()
            await self._writer.stop()

    async def load(self, key: Key) -> Record | None:
        return await self._reader.run(_record, key)

    async def create(self, key: Key, record: Record, limit: int | None) -> list[Ended]:
        return await self._writer.run(_create, key, record, limit)

    async def update(
        self, key: Key, sets: dict[str, Any], removed: list[str], modified: float, expires: float
    ) -> bool:
        return await self._writer.run(_update, key, sets, removed, modified, expires)

    async def move(self, key: Key, new: Key) -> bool:
        return await self._writer.run(_move, key, new)

    async def delete(self, key: Key) -> Record | None:
        return await self._writer.run(_delete, key)

    async def increment(self, key: Key, name: str, by: int) -> int | None:
        return await self._writer.run(_increment, key, name, by)

    async def compare_and_set(self, key: Key, name: str, expected: Any, value: Any) -> bool | None:
        return await self._writer.run(_compare_and_set, key, name, expected, value)

    async def sweep(self, space: str, now: float) -> list[Ended]:
        return await self._writer.run(_sweep, space, now)

    async def count(self, space: str) -> int:
        return await self._reader.run(_count, space)


class _Lane:
    """A thread with a connection of its own; what is asked while it is busy becomes one transaction."""

    def __init__(self, path: str, timeout: float, begin: str) -> None:
        self._path = path
        self._timeout = timeout
        self._begin = begin
        self._thread: ThreadPoolExecutor | None = None
        self._database: sqlite3.Connection | None = None
        # For the batch before, and for its own; and for a disk that hangs.
        self._batches: Batches[Callable[[sqlite3.Connection], Any]] = Batches(
            self._perform, 2 * timeout, path
        )

    async def start(self, schema: str = "") -> None:
        self._thread = ThreadPoolExecutor(1, "sessions")
        await self._call(self._open, schema)

    async def stop(self) -> None:
        await self._batches.stop()
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.get_running_loop().run_in_executor(thread, self._close)
            thread.shutdown(wait=False)

    async def run(
        self, function: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call `function` in a transaction. Raises StoreUnavailable, and what `function` says of values."""
        result: T = await self._batches.do(lambda database: function(database, *args, **kwargs))
        return result

    async def _perform(self, functions: list[Callable[[sqlite3.Connection], Any]]) -> list[Any]:
        return await self._call(self._transact, functions)

    async def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._thread is None:
            raise StoreUnavailable(f"expected {self._path} to be opened before it is used")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function, *args)
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self._path}: {error}") from error

    # In the thread.

    def _open(self, schema: str) -> None:
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(self._path, timeout=self._timeout, isolation_level=None)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("PRAGMA foreign_keys = ON")
            if schema:
                database.executescript(f"BEGIN IMMEDIATE; {schema} COMMIT;")
        except BaseException:
            database.close()
            raise
        self._database = database

    def _close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def _transact(self, functions: list[Callable[[sqlite3.Connection], Any]]) -> list[Any]:
        """All of them or none, except those that refuse a value before they have written anything."""
        database = self._database
        if database is None:
            raise sqlite3.OperationalError("it is not open")
        results: list[Any] = []
        database.execute(self._begin)
        try:
            for function in functions:
                try:
                    results.append(function(database))
                except TypeError as error:
                    results.append(error)
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")
        return results


# Inside a transaction.


def _create(database: sqlite3.Connection, key: Key, record: Record, limit: int | None) -> list[Ended]:
    ended: list[Ended] = []
    if limit is not None:
        surplus = _count(database, key.space) - limit + 1
        if surplus > 0:
            query = "SELECT digest FROM session WHERE space = ? ORDER BY expires LIMIT ?"
            ended = _take(database, query, key.space, surplus)
    times = record.created, record.modified, record.expires
    database.execute("INSERT INTO session VALUES (?, ?, ?, ?, ?)", (*key, *times))
    database.executemany(_PUT, [(*key, name, value) for name, value in record.values.items()])
    return ended


def _update(
    database: sqlite3.Connection,
    key: Key,
    sets: dict[str, str],
    removed: list[str],
    modified: float,
    expires: float,
) -> bool:
    changed = database.execute(f"UPDATE session SET expires = ? {_WHERE}", (expires, *key))
    if not changed.rowcount:
        return False
    if sets or removed:
        database.execute(f"UPDATE session SET modified = ? {_WHERE}", (modified, *key))
        database.executemany(_PUT, [(*key, name, value) for name, value in sets.items()])
        names = [(*key, name) for name in removed]
        database.executemany(f"DELETE FROM session_value {_WHERE} AND name = ?", names)
    return True


def _move(database: sqlite3.Connection, key: Key, new: Key) -> bool:
    changed = database.execute(f"UPDATE session SET space = ?, digest = ? {_WHERE}", (*new, *key))
    return changed.rowcount > 0


def _delete(database: sqlite3.Connection, key: Key) -> Record | None:
    record = _record(database, key)
    if record is not None:
        database.execute(f"DELETE FROM session {_WHERE}", key)
    return record


def _increment(database: sqlite3.Connection, key: Key, name: str, by: int) -> int | None:
    if not _exists(database, key):
        return None
    text = _value(database, key, name)
    value = added(name, None if text is None else json.loads(text), by)
    database.execute(_PUT, (*key, name, str(value)))
    return value


def _compare_and_set(
    database: sqlite3.Connection, key: Key, name: str, expected: str | None, value: str
) -> bool | None:
    if not _exists(database, key):
        return None
    text = _value(database, key, name)
    if (None if text == "null" else text) != (None if expected == "null" else expected):
        return False
    database.execute(_PUT, (*key, name, value))
    return True


def _sweep(database: sqlite3.Connection, space: str, now: float) -> list[Ended]:
    query = f"SELECT digest FROM session WHERE space = ? AND expires <= ? LIMIT {_SWEEP_MAX}"
    return _take(database, query, space, now)


def _exists(database: sqlite3.Connection, key: Key) -> bool:
    return database.execute(f"SELECT 1 FROM session {_WHERE}", key).fetchone() is not None


def _value(database: sqlite3.Connection, key: Key, name: str) -> str | None:
    found = database.execute(
        f"SELECT value FROM session_value {_WHERE} AND name = ?", (*key, name)
    ).fetchone()
    text: str | None = found[0] if found is not None else None
    return text


def _record(database: sqlite3.Connection, key: Key) -> Record | None:
    times = database.execute(f"SELECT created, modified, expires FROM session {_WHERE}", key).fetchone()
    if times is None:
        return None
    return Record(dict(database.execute(f"SELECT name, value FROM session_value {_WHERE}", key)), *times)


def _count(database: sqlite3.Connection, space: str) -> int:
    found = database.execute("SELECT count FROM session_count WHERE space = ?", (space,)).fetchone()
    return int(found[0]) if found is not None else 0


def _take(database: sqlite3.Connection, query: str, space: str, *arguments: float) -> list[Ended]:
    """Delete the sessions that `query` finds, and return them."""
    ended: list[Ended] = []
    for (digest,) in database.execute(query, (space, *arguments)).fetchall():
        record = _record(database, Key(space, digest))
        assert record is not None, "it was found in this transaction"
        database.execute(f"DELETE FROM session {_WHERE}", (space, digest))
        ended.append((digest, record))
    return ended
