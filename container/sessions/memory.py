"""Sessions in the memory of the process: the default. Gone at its end, and unknown to other processes.

Values are kept as they are, so any object will do, and a list that is changed in place has changed.
"""

import threading
from heapq import nsmallest
from typing import Any

from container.sessions.store import Ended, Key, Record, added

# How many records are looked at again after one had to give way: finding it means looking at all of them.
_EVICT_SHARE = 64


class MemoryStore:
    """Keeps sessions in memory; never waits. Any thread may call it."""

    is_local = True
    is_shared = False
    keeps_objects = True

    def __init__(self) -> None:
        self._spaces: dict[str, dict[str, Record]] = {}
        self._lock = threading.Lock()

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def load(self, key: Key) -> Record | None:
        with self._lock:
            record = self._find(key)
            if record is None:
                return None
            return Record(dict(record.values), record.created, record.modified, record.expires)

    async def create(self, key: Key, record: Record, limit: int | None) -> list[Ended]:
        with self._lock:
            space = self._spaces.setdefault(key.space, {})
            ended: list[Ended] = []
            if limit is not None and len(space) >= limit:
                # A few more than needed: looking for the next to give way is dear.
                surplus = len(space) - limit + 1 + limit // _EVICT_SHARE
                first = nsmallest(surplus, space, key=lambda digest: space[digest].expires)
                ended = [(digest, space.pop(digest)) for digest in first]
            space[key.digest] = record
            return ended

    async def update(
        self, key: Key, sets: dict[str, Any], removed: list[str], modified: float, expires: float
    ) -> bool:
        with self._lock:
            record = self._find(key)
            if record is None:
                return False
            record.values.update(sets)
            for name in removed:
                record.values.pop(name, None)
            if sets or removed:
                record.modified = modified
            record.expires = expires
            return True

    async def move(self, key: Key, new: Key) -> bool:
        with self._lock:
            record = self._spaces.get(key.space, {}).pop(key.digest, None)
            if record is None:
                return False
            self._spaces.setdefault(new.space, {})[new.digest] = record
            return True

    async def delete(self, key: Key) -> Record | None:
        with self._lock:
            return self._spaces.get(key.space, {}).pop(key.digest, None)

    async def increment(self, key: Key, name: str, by: int) -> int | None:
        with self._lock:
            record = self._find(key)
            if record is None:
                return None
            value = record.values[name] = added(name, record.values.get(name), by)
            return value

    async def compare_and_set(self, key: Key, name: str, expected: Any, value: Any) -> bool | None:
        with self._lock:
            record = self._find(key)
            if record is None:
                return None
            if record.values.get(name) != expected:
                return False
            record.values[name] = value
            return True

    async def sweep(self, space: str, now: float) -> list[Ended]:
        with self._lock:
            records = self._spaces.get(space, {})
            expired = [digest for digest, record in records.items() if record.expires <= now]
            return [(digest, records.pop(digest)) for digest in expired]

    async def count(self, space: str) -> int:
        return len(self._spaces.get(space, {}))

    def _find(self, key: Key) -> Record | None:
        return self._spaces.get(key.space, {}).get(key.digest)
