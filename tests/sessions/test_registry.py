"""How stores are spelt."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from typing import TYPE_CHECKING

import pytest

from container.sessions import MemoryStore, registry
from container.sessions.redis import RedisStore
from container.sessions.registry import make_store
from container.sessions.sqlite import SQLiteStore

if TYPE_CHECKING:
    from pathlib import Path


def test_stores_are_spelt_by_kind_and_place(tmp_path: Path) -> None:
    assert isinstance(make_store("memory"), MemoryStore)
    store = make_store(f"sqlite:{tmp_path}/s.db")
    assert isinstance(store, SQLiteStore)
    assert store.path == f"{tmp_path}/s.db"
    for url in ("redis://127.0.0.1:6379/1", "rediss://example.com", f"unix://{tmp_path}/redis.sock"):
        assert isinstance(make_store(url), RedisStore)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "expected memory, sqlite:PATH or redis://"),
        ("mysql://x", "expected memory, sqlite:PATH or redis://"),
        ("sqlite:", 'expected a file after "sqlite:"'),
        ("var/s.db", r'did you mean "sqlite:var/s.db"\?'),
        ("memory:1", 'did you mean "memory"'),
        ("redis:localhost", "redis://"),
    ],
)
def test_a_slip_is_told(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_store(spec)


def found(spec: str) -> MemoryStore:
    store = MemoryStore()
    store.spec = spec  # type: ignore[attr-defined]
    return store


def test_others_may_add_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """By entry point: nobody edits a table."""
    mine = EntryPoints([EntryPoint("mine", f"{__name__}:found", registry.GROUP)])
    monkeypatch.setattr("importlib.metadata.entry_points", mine.select)
    monkeypatch.setattr(EntryPoint, "load", lambda self: found)
    store = make_store("mine:there")
    assert store.spec == "mine:there"  # type: ignore[attr-defined]
