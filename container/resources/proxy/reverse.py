"""A gateway: what is below its mount point is answered by other servers (RFC 9110 3.7)."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, cast

from container.client.errors import UpstreamError
from container.client.pool import ClientTimeouts, Pool
from container.message.errors import HTTPError
from container.message.exchange import Exchange
from container.message.fields import FieldBlock, encode_fields
from container.message.gateway import (
    Forwarding,
    asked_protocols,
    end_to_end,
    text,
)
from container.message.headers import Headers
from container.message.request import Request
from container.message.response import Response
from container.protocol.response_head import ResponseHead
from container.resources.proxy.balance import Balancer, Health, Policy, Upstream
from container.resources.proxy.call import ProxyCall
from container.resources.proxy.head import HeadMaker
from container.resources.proxy.health import HealthWatch
from container.resources.proxy.rewrite import Rewriting
from container.tree.resource import Resource

# Of proxies behind us: the client knows of none.
_UNKNOWN: Final = frozenset({b"proxy-authenticate"})
_REWRITTEN: Final = frozenset({"location", "content-location", "set-cookie"})


class ReverseProxy(Resource):
    """Passes on what comes below its mount point: `ReverseProxy("http://127.0.0.1:9000/app")`.

    `upstreams`: one or more, as URLs (`http://host:port/base`, `https://host`, `unix:/path:/base`) or `Upstream`s.
    `host`: the Host field they get: "upstream" for their own, "preserve" for the client's, or a name.
    `forwarding`: how they learn of the client: "x" for X-Forwarded-For, -Proto, -Host, -Port and -Prefix,
    "standard" for Forwarded (RFC 7239), "both", "none". What the client says of that itself is thrown away unless
    `trust_forwarding`; then it is added to. `via`: our name in Via, None for no Via.
    `rewrite`: whether Location, Content-Location, Path and Domain of cookies are translated to the mount point.
    `timeouts`: of the upstreams; `tunnel_timeout`: seconds in which nothing moves in a WebSocket or another tunnel.
    `client_grace`: seconds a client that has closed its side is still taken for one that reads.
    `balance`, `max_fails`, `cool_down`, `slow_start`: see `Balancer`; `health`: ask upstreams how they are.

    Subclasses may change what is passed on, see `change_request` and `change_response`.
    """

    is_leaf = True

    def __init__(
        self,
        *upstreams: str | Upstream,
        host: str = "upstream",
        forwarding: Forwarding = "x",
        trust_forwarding: bool = False,
        via: str | None = "container",
        rewrite: bool = True,
        timeouts: ClientTimeouts | None = None,
        tunnel_timeout: float = 3600.0,
        client_grace: float = 2.0,
        balance: Policy = "round-robin",
        max_fails: int = 3,
        cool_down: float = 10.0,
        slow_start: float = 0.0,
        health: Health | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not upstreams:
            raise ValueError("expected at least one upstream, got none")
        if forwarding not in ("x", "standard", "both", "none"):
            raise ValueError(f'expected "x", "standard", "both" or "none" as forwarding, got {forwarding!r}')
        encode_fields([("Host", host), ("Via", via or "")])  # an illegal value is an error now
        if tunnel_timeout <= 0:
            raise ValueError(f"expected a tunnel_timeout above 0, got {tunnel_timeout!r}")
        self.made_with: dict[str, object] = {
            "host": host, "forwarding": forwarding, "trust_forwarding": trust_forwarding, "via": via,
            "rewrite": rewrite, "tunnel_timeout": tunnel_timeout, "balance": balance, "max_fails": max_fails,
            "cool_down": cool_down, "slow_start": slow_start, "health": health, "client_grace": client_grace,
            "clock": clock,
        }  # fmt: skip
        self.upstreams = tuple(Upstream(each) if isinstance(each, str) else each for each in upstreams)
        self.timeouts = timeouts or ClientTimeouts()
        self.tunnel_timeout = tunnel_timeout
        self.client_grace = client_grace
        self.tasks: set[asyncio.Task[None]] = set()
        self._balancer = Balancer(
            self.upstreams, balance, max_fails=max_fails, cool_down=cool_down, slow_start=slow_start
        )
        # There is nobody else to ask, and nothing to choose.
        self._only = self.upstreams[0] if len(self.upstreams) == 1 else None
        self._clock = clock
        self._rewritings = (
            {each: Rewriting(each.address, each.base) for each in self.upstreams} if rewrite else {}
        )
        self._health = HealthWatch(self.upstreams, health, clock) if health is not None else None
        kind = type(self)
        change = None if kind.change_request is ReverseProxy.change_request else self.change_request
        self._heads = HeadMaker(host, forwarding, trusts=trust_forwarding, via=via, change=change)
        self._changes_responses = kind.change_response is not ReverseProxy.change_response

    # To be overridden.

    def change_request(self, request: Request, headers: Headers) -> None:
        """Change the fields that the upstream gets. Those of framing come later. HTTPError declines."""

    def change_response(self, request: Request, status: int, headers: Headers) -> None:
        """Change the fields of an answer that the client gets."""

    # The resource.

    def render(self, request: Request) -> Exchange | Response:
        if request.method in ("TRACE", "OPTIONS") and _ends_here(request):
            return Response(b"", 204)
        if request.method == "TRACE":  # it would show what we add
            raise HTTPError(405, headers={"Allow": "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"})
        exchange = request.exchange
        ProxyCall(self, exchange, asked_protocols(request)).begin()
        return exchange

    async def start(self) -> None:
        if self._health is not None:
            self._health.start()

    async def stop(self) -> None:
        if self._health is not None:
            await self._health.stop()
        for task in list(self.tasks):
            task.cancel()
        for upstream in self.upstreams:
            await upstream.close()

    # For the calls.

    def choose(self, call: ProxyCall) -> tuple[object, Pool] | None:
        upstream = self._only
        if upstream is None:
            upstream = self._balancer.choose(cast("list[Upstream]", call.tried), self._clock())
            if upstream is None:
                return None
        elif call.tried or upstream.is_down:
            return None
        upstream.active += 1
        return upstream, upstream._pool or upstream.pool(self.timeouts)

    def settled(self, upstream: object, error: UpstreamError | None) -> None:
        assert isinstance(upstream, Upstream), "choose() gave it"
        upstream.active -= 1
        if error is None:
            if upstream._fails:
                self._balancer.succeeded(upstream, self._clock())
        else:
            self._balancer.failed(upstream, error, self._clock())

    def head(self, call: ProxyCall, upstream: object) -> bytes:
        assert isinstance(upstream, Upstream), "choose() gave it"
        return self._heads.head(call.exchange.request, upstream, call.protocols)

    def answer(self, request: Request, head: ResponseHead, upstream: object) -> FieldBlock:
        assert isinstance(upstream, Upstream), "choose() gave it"
        known = head.memo.get(self)
        if isinstance(known, FieldBlock):
            return known
        fields = text(end_to_end(head.fields, more=_UNKNOWN))
        rewriting = self._rewritings.get(upstream)
        is_same = True
        if rewriting is not None:
            mount = request.raw_path[: request.consumed].decode("latin-1")
            for index, (name, value) in enumerate(fields):
                if name.lower() in _REWRITTEN:
                    is_same = False
                    translate = rewriting.cookie if name.lower() == "set-cookie" else rewriting.location
                    fields[index] = name, translate(value, mount)
        if self._changes_responses:
            headers = Headers(fields)
            self.change_response(request, head.status, headers)
            return encode_fields(headers.items())
        block = encode_fields(fields)
        if is_same:
            head.memo[self] = block
        return block


def _ends_here(request: Request) -> bool:
    """Max-Forwards says that we are the last (RFC 9110 7.6.2)."""
    return request.raw_header(b"max-forwards") == b"0"
