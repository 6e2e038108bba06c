"""What a session store is: a Protocol, and the values that go in and out. Stores are one a file beside this.

A store knows no cookies and decides no lifetimes: it keeps records by key and forgets those it is told to.
"""

from typing import Any, NamedTuple, Protocol

from container.message.errors import HTTPError


class StoreUnavailable(HTTPError):
    """The store does not answer, or not in time: 503."""

    def __init__(self, cause: str) -> None:
        super().__init__(503, "The session store does not answer.", headers={"Retry-After": "1"})
        self.cause = cause


class Key(NamedTuple):
    """Where a record is kept: `space` is the namespace of a scope, `digest` a hash of the session's id, so that
    who reads the store cannot take over sessions."""

    space: str
    digest: str


class Record:
    """What a store keeps of a session; times are seconds since the epoch.

    Values are JSON text, or objects in a store that keeps those.
    """

    __slots__ = ("created", "expires", "modified", "values")

    def __init__(self, values: dict[str, Any], created: float, modified: float, expires: float) -> None:
        self.values = values
        self.created = created
        self.modified = modified
        self.expires = expires


Ended = tuple[str, Record]
"""The digest of a session that has ended, and its last record."""


class SessionStore(Protocol):
    """Keeps sessions. All methods raise StoreUnavailable when that is impossible now, within a bounded time."""

    is_local: bool  # none of its methods ever waits for anything
    is_shared: bool  # several processes can use it
    keeps_objects: bool  # values are any objects; otherwise JSON text

    async def start(self) -> None:
        """Get ready, on the running loop. Called once by every scope that uses the store."""

    async def stop(self) -> None:
        """Let go. Called as often as `start`."""

    async def load(self, key: Key) -> Record | None:
        """The record, which may be past its time; None when there is none."""

    async def create(self, key: Key, record: Record, limit: int | None) -> list[Ended]:
        """Keep a new record. When its space has `limit` of them already, those that would expire first are
        forgotten, and returned."""

    async def update(
        self, key: Key, sets: dict[str, Any], removed: list[str], modified: float, expires: float
    ) -> bool:
        """Change single values and the times, `modified` only with values. False when there is no record."""

    async def move(self, key: Key, new: Key) -> bool:
        """Keep the record under another key. False when there is none."""

    async def delete(self, key: Key) -> Record | None:
        """Forget a record, and return it: to one caller only."""

    async def increment(self, key: Key, name: str, by: int) -> int | None:
        """Add to an integer, 0 when it is missing, and return the sum; None when there is no record.

        TypeError when the value is no integer of 64 bits. Nothing comes between reading and writing.
        """

    async def compare_and_set(self, key: Key, name: str, expected: Any, value: Any) -> bool | None:
        """Set a value if it is `expected`, and say whether it was; None when there is no record.

        An expected None (or `null`) is also a value that is missing. Nothing comes between.
        """

    async def sweep(self, space: str, now: float) -> list[Ended]:
        """Forget the records of `space` that have expired by `now`, and return them: each to one caller only."""

    async def count(self, space: str) -> int:
        """How many records there are."""


def added(name: str, value: object, by: int) -> int:
    """The sum, for stores that do it in Python. Raises TypeError when `value` is no integer of 64 bits."""
    if value is None:
        value = 0
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value + by < 2**63:
        raise TypeError(f"expected an integer of 64 bits in session[{name!r}] to increment, got {value!r}")
    return value + by
