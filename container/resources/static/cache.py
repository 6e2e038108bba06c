"""Small files in memory with answers that are ready to be sent. Hot path.

An entry is believed for a second after it was looked at; then the file is opened again and compared. Which
file that is, is `finder.py`'s business.
"""

import os
from collections.abc import Sequence
from typing import Final, TypeAlias

from container.message.conditional import not_modified
from container.message.fields import Pair
from container.message.response import Response

# Files up to this size are kept.
SMALL: Final = 256 * 1024
# How long an answer is given without a look at the disk, in seconds.
BELIEVED_S: Final = 1.0
# A file this young may change again without its time telling: clocks of file systems tick coarsely.
_SETTLES_NS: Final = 2_000_000_000
# What an entry costs besides its content.
_OVERHEAD: Final = 4096

Key: TypeAlias = tuple[bytes, tuple[str, ...]]
"""A safe path, and the codings the client would take."""
Identity: TypeAlias = tuple[int, int, int, int, int]


class Entry:
    """One file, or one coding of it. `full` is its 200, `same` its 304; both are frozen.

    `until`: how long it is believed, in seconds of the cache's clock; 0 when it has been dropped.
    """

    __slots__ = ("body", "etag", "fields", "full", "identity", "modified", "same", "settled", "until")

    def __init__(
        self,
        body: bytes,
        fields: Sequence[Pair],
        status: os.stat_result,
        *,
        etag: str,
        modified: int | None,
        now_ns: int,
    ) -> None:
        self.body = body
        self.fields = fields
        self.etag = etag
        self.modified = modified
        self.identity = identify(status)
        self.settled = now_ns - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLES_NS
        self.until = 0.0
        length = [] if body else [("Content-Length", "0")]  # or an answer to HEAD would not have it
        self.full = Response(body, 200, [*fields, *length])
        self.full.keep_codings()
        self.same = not_modified(self.full.headers)
        self.same.block()

    @property
    def cost(self) -> int:
        return self.identity[2] + _OVERHEAD

    def drop(self) -> None:
        """Whoever remembers this entry shall look again, and not keep its content alive."""
        self.until = 0.0
        self.full = self.same
        self.body = b""


class Cache:
    """Entries by key, at most `limit` bytes of them, the least recently looked up leave first."""

    __slots__ = ("_entries", "limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._entries: dict[Key, Entry] = {}

    def get(self, key: Key) -> Entry | None:
        return self._entries.get(key)

    def believe(self, key: Key, entry: Entry, until: float) -> None:
        """`entry` has been compared with its file, or just read from it."""
        entry.until = until
        known = self._entries.pop(key, None)
        if known is not entry:
            if known is not None:
                self._forget(known)
            self.used += entry.cost
        self._entries[key] = entry
        while self.used > self.limit and len(self._entries) > 1:
            oldest = next(iter(self._entries))
            self._forget(self._entries.pop(oldest))

    def discard(self, key: Key) -> None:
        """The file of `key` has gone or has become another."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._forget(entry)

    def __len__(self) -> int:
        return len(self._entries)

    def _forget(self, entry: Entry) -> None:
        self.used -= entry.cost
        entry.drop()


def identify(status: os.stat_result) -> Identity:
    """What stays the same as long as a file does."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class Kept:
    """What a head that comes again and again was answered with. Lives in the memo of its requests."""

    __slots__ = ("consumed", "entry", "fields", "is_same", "path")

    def __init__(self, entry: Entry, is_same: bool, path: bytes, fields: object, consumed: int) -> None:
        self.entry = entry
        self.is_same = is_same
        # What of the head may be replaced on the way down the tree.
        self.path = path
        self.fields = fields
        self.consumed = consumed
