"""What the scripts of one tree share from request to request: a mapping that lives as long as the tree."""

import threading
from collections.abc import Callable, Hashable, Iterator, MutableMapping
from typing import Any, TypeVar

T = TypeVar("T")


class Registry(MutableMapping[Hashable, Any]):
    """Objects by class or by any other hashable key.

    A class stands for its module and qualified name: a script defines its classes anew with every run, and
    the next run's `Counter` must find what the last one's left. `getComponent`, `setComponent` and
    `unsetComponent` are Twisted's spelling of the same. Safe in threads; `get_or_make` is for what two
    scripts may want to make at the same time.
    """

    def __init__(self, held: dict[Any, Any] | None = None) -> None:
        """`held`: keep everything in this dictionary."""
        self._held: dict[Any, Any] = held if held is not None else {}
        self._lock = threading.RLock()

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

    # Twisted's names.

    def getComponent(self, key: Hashable, default: Any = None) -> Any:  # noqa: N802
        return self.get(key, default)

    def setComponent(self, key: Hashable, value: Any) -> None:  # noqa: N802
        self[key] = value

    def unsetComponent(self, key: Hashable) -> None:  # noqa: N802
        self.pop(key, None)


def _name(key: Any) -> Hashable:
    return (key.__module__, key.__qualname__) if isinstance(key, type) else key
