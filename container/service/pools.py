"""The threads for applications that there are in the trees of several sites."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from container.tree.site import resources_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from container.tree.site import Site


class Pool(Protocol):
    """How many threads there are, how many have something to do, how many jobs wait for one, and how many were refused
    because too many waited."""

    threads: int
    refused: int

    @property
    def busy(self) -> int: ...

    @property
    def waiting(self) -> int: ...


def pools_of(sites: Iterable[Site]) -> list[Pool]:
    """All distinct pools in these trees: of resources that have a `pool` with `threads`."""
    pools: dict[Pool, None] = {}
    for resource in resources_of(sites):
        pool = getattr(resource, "pool", None)
        if hasattr(pool, "threads") and not getattr(resource, "inline", False):
            pools[pool] = None  # type: ignore[index]  # it has threads
    return list(pools)
