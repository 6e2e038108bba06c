"""Several upstreams: which one is asked next, and which are left alone for a while.

Passive health: an upstream that fails `max_fails` times in a row rests for `cool_down` seconds. Active health
(health.py) asks it without being asked. After a rest it is given its share little by little.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from container.client.address import parse_url
from container.client.errors import UpstreamError
from container.client.pool import ClientTimeouts, Pool

Policy: TypeAlias = Literal["round-robin", "least-connections"]


@dataclass(frozen=True, slots=True)
class Health:
    """Asking upstreams how they are: GET `path` every `interval` seconds; 2xx and 3xx within `timeout` is well.

    `rise` good answers in a row bring one back, `fall` bad ones take it away.
    """

    path: str = "/"
    interval: float = 5.0
    timeout: float = 2.0
    rise: int = 2
    fall: int = 3

    def __post_init__(self) -> None:
        if (
            not self.path.startswith("/")
            or not self.path.isascii()
            or not self.path.isprintable()
            or " " in self.path
        ):
            raise ValueError(f'expected a path such as "/health", got {self.path!r}')
        if self.interval <= 0 or self.timeout <= 0 or self.rise < 1 or self.fall < 1:
            raise ValueError("expected interval and timeout above 0, rise and fall of at least 1")


class Upstream:
    """One server behind a proxy: `Upstream("http://10.0.0.1:8000", weight=2)`.

    `weight`: its share. `max_connections`, `max_idle`: see `client/pool.py`. `active`: requests it is answering.
    """

    def __init__(
        self,
        url: str,
        *,
        weight: int = 1,
        max_connections: int = 256,
        max_idle: int = 64,
        tls: "object | None" = None,
    ) -> None:
        import ssl

        if tls is not None and not isinstance(tls, ssl.SSLContext):
            raise TypeError(f"expected an ssl.SSLContext, got {tls!r}")
        if weight < 1:
            raise ValueError(f"expected a weight of at least 1, got {weight!r}")
        if max_connections < 1 or max_idle < 0:
            raise ValueError("expected at least one connection")
        self.url = url
        self.address, self.base = parse_url(url, tls)
        self.weight = weight
        self.max_connections = max_connections
        self.max_idle = max_idle
        self.active = 0
        self.is_down = False  # says the active health
        self._fails = 0
        self._rests_until = 0.0
        self._back_since = float("-inf")
        self._current = 0.0
        self._pool: Pool | None = None

    def pool(self, timeouts: ClientTimeouts) -> Pool:
        if self._pool is None:
            self._pool = Pool(
                self.address, timeouts, max_connections=self.max_connections, max_idle=self.max_idle
            )
        return self._pool

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    def came_back(self, now: float) -> None:
        self.is_down = False
        self._fails = 0
        self._rests_until = 0.0
        self._back_since = now

    def __repr__(self) -> str:
        return f"Upstream({self.url!r})"


class Balancer:
    """Chooses among `upstreams`.

    "round-robin": in turn, by weight, smoothly. "least-connections": the one with the fewest requests for its weight.
    One upstream alone is never left alone: there is nobody else to ask.
    """

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        policy: Policy = "round-robin",
        *,
        max_fails: int = 3,
        cool_down: float = 10.0,
        slow_start: float = 0.0,
    ) -> None:
        if policy not in ("round-robin", "least-connections"):
            raise ValueError(f'expected "round-robin" or "least-connections", got {policy!r}')
        if max_fails < 1 or cool_down < 0 or slow_start < 0:
            raise ValueError(
                "expected max_fails of at least 1, cool_down and slow_start of at least 0 seconds"
            )
        self.upstreams = tuple(upstreams)
        self._policy = policy
        self._max_fails = max_fails
        self._cool_down = cool_down
        self._slow_start = slow_start

    def choose(self, tried: Collection[Upstream], now: float) -> Upstream | None:
        """The next to ask that was not `tried` yet; None when no other is up."""
        if len(self.upstreams) == 1:
            only = self.upstreams[0]
            return None if only in tried or only.is_down else only
        up = [each for each in self.upstreams if not each.is_down and each not in tried]
        awake = [each for each in up if each._rests_until <= now]
        if not awake:  # all rest: the one that has nearly rested enough is better than none
            return min(up, key=lambda each: each._rests_until, default=None)
        if self._policy == "least-connections":
            fewest = min((each.active + 1) / self._share(each, now) for each in awake)
            awake = [each for each in awake if (each.active + 1) / self._share(each, now) <= fewest]
        return self._next_in_turn(awake, now)

    def _next_in_turn(self, awake: list[Upstream], now: float) -> Upstream:
        if len(awake) == 1:
            return awake[0]
        total = 0.0
        for each in awake:
            share = self._share(each, now)
            each._current += share
            total += share
        best = max(awake, key=lambda each: each._current)
        best._current -= total
        return best

    def _share(self, upstream: Upstream, now: float) -> float:
        """The weight, less than all of it for a while after a rest."""
        back = now - upstream._back_since
        if back >= self._slow_start:
            return upstream.weight
        return upstream.weight * max(0.1, back / self._slow_start)

    def succeeded(self, upstream: Upstream, now: float) -> None:
        """It has answered, whatever the answer."""
        if upstream._fails:
            if upstream._fails >= self._max_fails:
                upstream._back_since = now
            upstream._fails = 0
            upstream._rests_until = 0.0

    def failed(self, upstream: Upstream, error: UpstreamError, now: float) -> None:
        if error.blames:
            upstream._fails += 1
            if upstream._fails >= self._max_fails:
                upstream._rests_until = now + self._cool_down
