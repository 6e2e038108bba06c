"""What the scripts of one tree share from request to request: a mapping that lives as long as the tree."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Hashable, Iterator, MutableMapping
from typing import Any, Protocol, TypeVar

log = logging.getLogger("container.script")

T = TypeVar("T")


class Living(Protocol):
    """What begins and ends: a service of an application, a resource."""

    def start(self) -> Awaitable[object]: ...

    def stop(self) -> Awaitable[object]: ...


L = TypeVar("L", bound=Living)


class Registry(MutableMapping[Hashable, Any]):
    """Objects by class or by any other hashable key.

    A class stands for its module and qualified name: a script defines its classes anew with every run, and
    the next run's `Counter` must find what the last one's left. `getComponent`, `setComponent` and
    `unsetComponent` are Twisted's spelling of the same. Safe in threads; `get_or_make` is for what two
    scripts may want to make at the same time, `attach` for what runs beside the requests.
    """

    def __init__(self, held: dict[Any, Any] | None = None) -> None:
        """`held`: keep everything in this dictionary."""
        self._held: dict[Any, Any] = held if held is not None else {}
        self._lock = threading.RLock()
        self._attaching = threading.Lock()
        self._attached: list[Living] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def __getitem__(self, key: Hashable) -> Any:
        return self._held[_name(key)]

    def __setitem__(self, key: Hashable, value: Any) -> None:
        self._held[_name(key)] = value

    def __delitem__(self, key: Hashable) -> None:
        del self._held[_name(key)]

    def __contains__(self, key: object) -> bool:
        return _name(key) in self._held

    def __iter__(self) -> Iterator[Hashable]:
        """The keys; a class comes as its `(module, qualified name)`."""
        return iter(list(self._held))

    def __len__(self) -> int:
        return len(self._held)

    def get_or_make(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is held for `key`; when there is nothing, what `make()` gives is held from now on."""
        with self._lock:
            if key not in self:
                self[key] = make()
            value: T = self[key]
            return value

    # What lives: attached in threads, where scripts run; started and stopped on the loop.

    def attach(self, key: Hashable, make: Callable[[], L]) -> L:
        """What is held for `key`. When there is nothing, what `make()` gives is started, and held until it is
        stopped with the tree. Raises what `start` raises, RuntimeError on the loop and before the tree has started."""
        with self._attaching:
            if key not in self:
                if self._loop is None or _runs_here(self._loop):
                    raise RuntimeError(
                        "expected attach() in the run of a script, not where a request is answered"
                    )
                living = make()
                asyncio.run_coroutine_threadsafe(_start(living), self._loop).result()
                self._attached.append(living)
                self[key] = living
            found: L = self[key]
            return found

    def open(self) -> None:
        """There is a loop now: things may be attached."""
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """Stop what was attached, last first."""
        self._loop = None
        attached, self._attached = self._attached, []
        for living in reversed(attached):
            for key in [key for key, held in self._held.items() if held is living]:
                del self._held[key]
            try:
                await living.stop()
            except Exception:  # foreign code
                log.exception("%r did not stop cleanly", living)

    # Twisted's names.

    def getComponent(self, key: Hashable, default: Any = None) -> Any:  # noqa: N802
        return self.get(key, default)

    def setComponent(self, key: Hashable, value: Any) -> None:  # noqa: N802
        self[key] = value

    def unsetComponent(self, key: Hashable) -> None:  # noqa: N802
        self.pop(key, None)


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


async def _start(living: Living) -> None:
    await living.start()


def _name(key: Any) -> Hashable:
    return (key.__module__, key.__qualname__) if isinstance(key, type) else key
