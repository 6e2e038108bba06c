"""Guessing made slow: how long somebody has to wait after failures. No clock of its own, bounded memory."""

import math
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from time import monotonic
from typing import Final, Generic, TypeVar

from container.message.errors import HTTPError
from container.message.request import Request

K = TypeVar("K")

_EXPONENT_MAX: Final = 32


class SlowDown:
    """Makes those wait who fail again and again: 429 with Retry-After, and no password is looked at.

    After `free` failures of one client with one user name, or `free_per_client` with any names, each further
    one doubles the wait, from `wait` up to `longest_wait` seconds. A success forgets the failures of that pair;
    `forget` seconds without a failure forget all. IPv6 clients count by their /64, those of a UNIX socket only
    with their user name. At most `size` clients and as many pairs are remembered, those that failed last.

    An instance may be shared, so that failures count wherever they happen. `clock` gives seconds.
    """

    def __init__(
        self,
        *,
        free: int = 5,
        free_per_client: int = 50,
        wait: float = 1.0,
        longest_wait: float = 300.0,
        forget: float = 900.0,
        size: int = 10_000,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        if free < 1 or free_per_client < 1 or size < 1:
            raise ValueError(
                f"expected numbers above 0, got free={free}, free_per_client={free_per_client}, size={size}"
            )
        if not 0 < wait <= longest_wait <= forget:
            raise ValueError(
                f"expected 0 < wait <= longest_wait <= forget, got {wait}, {longest_wait} and {forget} seconds"
            )
        self._clients: _Failures[str] = _Failures(free_per_client, wait, longest_wait, forget, size)
        self._pairs: _Failures[tuple[str, str]] = _Failures(free, wait, longest_wait, forget, size)
        self._clock = clock

    def attempt(self, request: Request, user: str) -> None:
        """Somebody tries. Counts as a failure until `succeeded`. Raises HTTPError(429) when it is too early."""
        self.check(request, user)
        self.failed(request, user)

    def check(self, request: Request, user: str) -> None:
        """Raises HTTPError(429) when it is too early to try."""
        client = client_of(request)
        now = self._clock()
        wait = max(self._pairs.wait((client, user), now), self._clients.wait(client, now) if client else 0.0)
        if wait > 0:
            raise HTTPError(
                429, "Too many failed attempts. Please wait.", headers={"Retry-After": str(math.ceil(wait))}
            )

    def failed(self, request: Request, user: str) -> None:
        """It was the attempt of a stranger."""
        client = client_of(request)
        now = self._clock()
        self._pairs.add((client, user), now)
        if client:
            self._clients.add(client, now)

    def succeeded(self, request: Request, user: str) -> None:
        """The attempt was none of a stranger."""
        self.forget(request, user)
        client = client_of(request)
        if client:
            self._clients.take_back(client)

    def undecided(self, request: Request, user: str) -> None:
        """It could not be found out whose attempt it was: as if there had been none."""
        client = client_of(request)
        self._pairs.take_back((client, user))
        if client:
            self._clients.take_back(client)

    def forget(self, request: Request, user: str) -> None:
        """Forget the failures of this client with this name."""
        self._pairs.remove((client_of(request), user))


class _Failures(Generic[K]):
    """How often, and when last, by whom; the oldest entry first."""

    def __init__(self, free: int, wait: float, longest_wait: float, forget: float, size: int) -> None:
        self._free, self._wait, self._longest_wait = free, wait, longest_wait
        self._forget, self._size = forget, size
        self._entries: OrderedDict[K, tuple[int, float]] = OrderedDict()

    def wait(self, key: K, now: float) -> float:
        """Seconds from now until the next attempt may be made."""
        count, last = self._entries.get(key, (0, 0.0))
        if count < self._free:
            return 0.0
        if now - last >= self._forget:
            del self._entries[key]
            return 0.0
        doubled = self._wait * 2.0 ** min(count - self._free, _EXPONENT_MAX)
        return last + min(doubled, self._longest_wait) - now

    def add(self, key: K, now: float) -> None:
        count, last = self._entries.pop(key, (0, now))
        if now - last >= self._forget:
            count = 0
        self._entries[key] = count + 1, now
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def remove(self, key: K) -> None:
        self._entries.pop(key, None)

    def take_back(self, key: K) -> None:
        count, last = self._entries.get(key, (0, 0.0))
        if count > 1:
            self._entries[key] = count - 1, last
        else:
            self.remove(key)


def client_of(request: Request) -> str:
    """What stands for the client: its IPv4 address, the /64 of its IPv6 address, "" on a UNIX socket."""
    client = request.client
    if client is None:
        return ""
    try:
        address = ip_address(client[0].partition("%")[0])
    except ValueError:
        return client[0]
    if isinstance(address, IPv6Address):
        four = address.ipv4_mapped
        return str(four) if four is not None else str(IPv6Address(int(address) >> 64 << 64))
    return str(address)
