"""Who may come in, how often, and how many at a time: small wrappers around anything (RFC 9110 15.5.4, RFC 6585 4)."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import partial
from math import ceil
from time import monotonic
from typing import Final

from container.message.errors import HTTPError
from container.message.exchange import Exchange
from container.message.networks import Networks
from container.message.request import Request
from container.tree.resource import Resource
from container.tree.wrapper import Wrapper

Key = Callable[[Request], str | None]

# How soon it is noticed that somebody has been answered who sends no more.
_LOOK_S: Final = 0.25


class Allow(Wrapper):
    """`inner` for clients of these networks only, 403 for all others: `Allow(admin, ["10.0.0.0/8", "::1"])`.

    Entries are addresses, networks, and `"unix"` for clients of UNIX sockets. It is the client that counts as
    trusted proxies tell it (docs/forwarding.md).
    """

    def __init__(self, inner: Resource, networks: Iterable[str]) -> None:
        super().__init__(inner)
        self.networks = Networks(networks)

    def enter(self, request: Request) -> Resource:
        if not self.networks.include(request.connection):
            raise HTTPError(403, "Your address may not see this.")
        return self.inner


class Deny(Wrapper):
    """`inner` for everybody but clients of these networks, who get 403."""

    def __init__(self, inner: Resource, networks: Iterable[str]) -> None:
        super().__init__(inner)
        self.networks = Networks(networks)

    def enter(self, request: Request) -> Resource:
        if self.networks.include(request.connection):
            raise HTTPError(403, "Your address may not see this.")
        return self.inner


def client_network(request: Request) -> str | None:
    """The client's address; of an IPv6 address the /64, which one customer has whole. None on a UNIX socket."""
    host = request.connection.client_host
    if ":" not in host:
        return host or None
    from ipaddress import IPv6Address  # late: most clients have short addresses

    return IPv6Address(host.partition("%")[0]).packed[:8].hex()


class RateLimit(Wrapper):
    """At most `rate` requests in `per` seconds for each key, else 429 with Retry-After.

    `burst`: how many may come at once after a pause, `rate` unless given; then one more every `per / rate`
    seconds. `key` tells who a request is counted for, None for nobody; the default is the client's address.
    `keys_max`: how many are remembered, those seen last. Counted in this process only.
    """

    def __init__(
        self,
        inner: Resource,
        rate: float,
        *,
        per: float = 1.0,
        burst: int | None = None,
        key: Key = client_network,
        keys_max: int = 10_000,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        super().__init__(inner)
        burst = max(1, int(rate)) if burst is None else burst
        if not (rate > 0 and per > 0 and burst >= 1 and keys_max >= 1):
            raise ValueError(
                f"expected a rate above 0 and a burst of at least 1, got {rate} per {per} s and {burst}"
            )
        self.rate, self.per, self.burst = rate, per, burst
        self.made_with: dict[str, object] = {"key": key, "keys_max": keys_max, "clock": clock}
        self._interval: Final = per / rate
        self._tolerance: Final = self._interval * (burst - 1)
        self._key = key
        self._keys_max = keys_max
        self._clock = clock
        # When the last request of a key would have been due at the even rate: the generic cell rate algorithm.
        self._due: OrderedDict[str, float] = OrderedDict()

    def enter(self, request: Request) -> Resource:
        key = self._key(request)
        if key is None:
            return self.inner
        now = self._clock()
        due = max(now, self._due.get(key, now))
        early = due - now - self._tolerance
        # Sums of fractions: a billionth of a second is not early.
        if early > 1e-9:
            seconds = max(1, ceil(early - 1e-9))
            raise HTTPError(429, "Too many requests.", headers={"Retry-After": str(seconds)})
        self._due[key] = due + self._interval
        self._due.move_to_end(key)
        if len(self._due) > self._keys_max:
            self._due.popitem(last=False)
        return self.inner


class ConcurrencyLimit(Wrapper):
    """At most `limit` requests at a time in `inner`, else 503 with Retry-After; nobody waits.

    A request counts until it is answered or its connection is cut: one whose client has only closed its side goes on.
    """

    def __init__(self, inner: Resource, limit: int, *, retry_after: int = 1) -> None:
        super().__init__(inner)
        if limit < 1:
            raise ValueError(f"expected a limit of at least 1, got {limit}")
        self.limit = limit
        self.made_with: dict[str, object] = {"retry_after": retry_after}
        self.active = 0
        self._headers = {"Retry-After": str(retry_after)}

    def enter(self, request: Request) -> Resource:
        if self.active >= self.limit:
            raise HTTPError(503, "Too many requests at a time.", headers=self._headers)
        self.active += 1
        request.exchange.on_close(partial(self._left, request.exchange))
        return self.inner

    def _left(self, exchange: Exchange, error: Exception | None) -> None:
        if error is None or exchange.gone:
            self.active -= 1
        else:  # it has only closed its side, and is still answered: nobody tells of the end of that
            asyncio.get_running_loop().call_later(_LOOK_S, self._left, exchange, error)
