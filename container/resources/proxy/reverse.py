"""A gateway: what is below its mount point is answered by other servers (RFC 9110 3.7)."""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from typing import Final, cast

from container.client.errors import UpstreamError
from container.client.pool import ClientTimeouts, Pool
from container.message.errors import HTTPError
from container.message.exchange import Exchange
from container.message.fields import FieldBlock, encode_fields
from container.message.gateway import (
    ANEW,
    Forwarding,
    RawField,
    asked_protocols,
    changed_lines,
    check_hops,
    client_lines,
    end_to_end,
    forwarding_lines,
    lines,
    text,
    without_claims,
)
from container.message.headers import Headers
from container.message.request import Request
from container.message.response import Response
from container.protocol.response_head import ResponseHead
from container.resources.proxy.balance import Balancer, Health, Policy, Upstream
from container.resources.proxy.call import ProxyCall
from container.resources.proxy.health import HealthWatch
from container.resources.proxy.rewrite import Rewriting
from container.tree.resource import Resource

# A segment that is or hides `..`, or a `.`: what it means is for neither side to guess.
_DOTS: Final = re.compile(rb"(?:^|[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?=$|[/\\;]|%2f|%5c|%3b)", re.IGNORECASE)
_NO_URI: Final = re.compile(rb"[^\x21-\x7e]")
_PRIVATE: Final = frozenset({b"proxy-authorization"})
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
            "cool_down": cool_down, "slow_start": slow_start, "health": health,
        }  # fmt: skip
        self.upstreams = tuple(Upstream(each) if isinstance(each, str) else each for each in upstreams)
        self.timeouts = timeouts or ClientTimeouts()
        self.tunnel_timeout = tunnel_timeout
        self.client_grace = client_grace
        self.tasks: set[asyncio.Task[None]] = set()
        self._host = host
        self._forwarding = forwarding
        self._trusts = trust_forwarding
        self._via = b"" if via is None else f"Via: 1.1 {via}\r\n".encode("latin-1")
        self._balancer = Balancer(
            self.upstreams, balance, max_fails=max_fails, cool_down=cool_down, slow_start=slow_start
        )
        self._clock = clock
        self._rewritings = (
            {each: Rewriting(each.address, each.base) for each in self.upstreams} if rewrite else {}
        )
        self._health = HealthWatch(self.upstreams, health, clock) if health is not None else None
        kind = type(self)
        self._changes_requests = kind.change_request is not ReverseProxy.change_request
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
        upstream = self._balancer.choose(cast("list[Upstream]", call.tried), self._clock())
        if upstream is None:
            return None
        upstream.active += 1
        return upstream, upstream.pool(self.timeouts)

    def settled(self, upstream: object, error: UpstreamError | None) -> None:
        assert isinstance(upstream, Upstream), "choose() gave it"
        upstream.active -= 1
        if error is None:
            if upstream._fails:
                self._balancer.succeeded(upstream, self._clock())
        else:
            self._balancer.failed(upstream, error, self._clock())

    def head(self, request: Request, upstream: object) -> bytes:
        assert isinstance(upstream, Upstream), "choose() gave it"
        memo = request.memo
        key = (self, upstream, request.consumed, request.connection.secure)
        known = memo.get(key) if memo is not None and not request.is_masked else None
        if isinstance(known, _Known) and known.is_of(request):
            octets = known.octets
        else:
            octets = self._make_head(request, upstream)
            if memo is not None and not (
                request.is_masked or self._changes_requests or b"\r\nUpgrade:" in octets
            ):
                memo[key] = _Known(request, octets)
        return octets if self._changes_requests else octets + self._client_lines(request)

    def _client_lines(self, request: Request) -> bytes:
        return client_lines(request, self._forwarding, appended=self._trusts)

    def _make_head(self, request: Request, upstream: Upstream) -> bytes:
        line = b"%b %b HTTP/1.1\r\n" % (request.method.encode(), _target(request, upstream.base))
        if self._host == "upstream":
            host = upstream.address.authority
        else:
            host = request.host if self._host == "preserve" else self._host
        fields = end_to_end(request.raw_headers, more=ANEW | _PRIVATE)
        if not self._trusts:
            fields = without_claims(fields)
        elif self._forwarding != "none":
            added = {b"x-forwarded-for"} if self._forwarding in ("x", "both") else set()
            added |= {b"forwarded"} if self._forwarding in ("standard", "both") else set()
            fields = [field for field in fields if field[0] not in added]
        fields = _one_hop_less(fields)
        check_hops(fields)
        own = [
            self._via,
            forwarding_lines(
                request, self._forwarding, upstream.base.encode("latin-1"), appended=self._trusts
            ),
            b"Connection: Upgrade\r\nUpgrade: %b\r\n" % protocols
            if (protocols := asked_protocols(request))
            else b"",
        ]
        if not self._changes_requests:
            return b"".join([line, b"Host: ", host.encode("latin-1"), b"\r\n", lines(fields), *own])
        return line + self._changed(request, host, fields) + b"".join([*own, self._client_lines(request)])

    def _changed(self, request: Request, host: str, fields: list[RawField]) -> bytes:
        headers = Headers([("Host", host), *text(fields)])
        self.change_request(request, headers)
        return changed_lines(headers)

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


class _Known:
    """The head for an upstream, and what it was made of: whoever changes a request replaces that."""

    __slots__ = ("_fields", "_path", "_query", "octets")

    def __init__(self, request: Request, octets: bytes) -> None:
        self._path = request.raw_path
        self._query = request.raw_query
        self._fields = request.raw_headers
        self.octets = octets

    def is_of(self, request: Request) -> bool:
        return (
            self._fields is request.raw_headers
            and self._path is request.raw_path
            and self._query is request.raw_query
        )


def _target(request: Request, base: str) -> bytes:
    """The request target for an upstream: segments as they were sent, below its base. Raises HTTPError(400)."""
    rest = request.raw_path[request.consumed :]
    if request.raw_path == b"*":
        return b"*"
    if (b"." in rest or b"%2" in rest) and _DOTS.search(rest) is not None:
        raise HTTPError(400, "The path must not hold dot segments.")
    target = base.encode("latin-1") + rest or b"/"
    if target[0] != 47:
        target = b"/" + target
    if request.raw_query:
        target = b"%b?%b" % (target, request.raw_query)
    return _NO_URI.sub(lambda match: b"%%%02X" % match[0][0], target)


def _ends_here(request: Request) -> bool:
    """Max-Forwards says that we are the last (RFC 9110 7.6.2)."""
    return request.raw_header(b"max-forwards") == b"0"


def _one_hop_less(fields: Sequence[RawField]) -> list[RawField]:
    """The fields with Max-Forwards counted down."""
    return [
        (name, b"%d" % (int(value) - 1))
        if name == b"max-forwards" and value.isdigit() and value != b"0"
        else (name, value)
        for name, value in fields
    ]
