"""From how a store is spelt to a store: `memory`, `sqlite:PATH`, `redis://...`, or what an entry point names.

A further kind is an entry point of the group `container.session_stores`: its name is the word before the
colon, its object is called with the whole spelling and returns a SessionStore.
"""

from collections.abc import Callable
from typing import Final

from container.sessions.memory import MemoryStore
from container.sessions.store import SessionStore

GROUP: Final = "container.session_stores"
_EXPECTED: Final = "memory, sqlite:PATH or redis://HOST:PORT/DATABASE"


def make_store(spec: str) -> SessionStore:
    """The store that `spec` describes. Raises ValueError when it cannot be understood."""
    kind, _, rest = spec.partition(":")
    make = _MAKERS.get(kind)
    if make is not None:
        return make(spec, rest)
    from importlib.metadata import entry_points  # late: it is slow to import

    for entry in entry_points(group=GROUP, name=kind):
        store: SessionStore = entry.load()(spec)
        return store
    hint = f' (did you mean "sqlite:{spec}"?)' if spec.endswith((".db", ".sqlite", ".sqlite3")) else ""
    raise ValueError(f"expected {_EXPECTED} as session store, got {spec!r}{hint}")


def _memory(spec: str, rest: str) -> SessionStore:
    if spec != "memory":
        raise ValueError(f'expected {_EXPECTED} as session store, got {spec!r} (did you mean "memory"?)')
    return MemoryStore()


def _sqlite(spec: str, path: str) -> SessionStore:
    from container.sessions.sqlite import SQLiteStore

    if not path:
        raise ValueError(f'expected a file after "sqlite:", got {spec!r}')
    return SQLiteStore(path)


def _redis(spec: str, rest: str) -> SessionStore:
    try:
        from container.sessions.redis import RedisStore
    except ImportError:
        raise ValueError(
            f"expected the package redis for {spec!r}, got none: pip install container-server[redis]"
        ) from None
    if not rest.startswith("//"):  # its own parser would take it for localhost
        raise ValueError(f"expected a URL such as redis://HOST:PORT/DATABASE, got {spec!r}")
    try:
        return RedisStore(spec)
    except ValueError as error:
        raise ValueError(
            f"expected a URL such as redis://HOST:PORT/DATABASE, got {spec!r}: {error}"
        ) from error


_MAKERS: Final[dict[str, Callable[[str, str], SessionStore]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "redis": _redis,
    "rediss": _redis,
    "unix": _redis,
}
