"""A proxy for clients that are set up to use it: absolute-form and CONNECT (RFC 9110 3.7, 9.3.6, RFC 9112 3.2.2)."""

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from typing import Final

from container.client.address import Address, parse_url
from container.client.errors import UpstreamError
from container.client.pool import ClientTimeouts, Pool
from container.client.tunnel import open_tunnel
from container.message.authority import split_authority
from container.message.errors import HTTPError
from container.message.exchange import Exchange
from container.message.fields import NO_FIELDS, FieldBlock, encode_fields
from container.message.gateway import (
    ANEW,
    asked_protocols,
    changed_lines,
    check_hops,
    connection_lines,
    end_to_end,
    text,
)
from container.message.headers import Headers
from container.message.request import Request
from container.message.response import Response
from container.message.tunnel import join
from container.protocol.response_head import ResponseHead
from container.resources.proxy.access import Access
from container.resources.proxy.call import ProxyCall
from container.tree.resource import Answer, Resource
from container.tree.traverse import render_below

log = logging.getLogger("container.proxy")

_POOLS_MAX: Final = 512
_PRIVATE: Final = frozenset({b"proxy-authorization"})
_HERE: Final = "This is a proxy: set it as the HTTP proxy of a client, or ask for an absolute URI."


class ForwardProxy(Resource):
    """The root of a Site that passes on requests for other servers: `Site(ForwardProxy())`.

    Nothing is proxied unless one is made, and then only for `clients` (networks; this machine by default), to `ports`
    by HTTP and to `connect_ports` by CONNECT, to names that match one of `hosts` and none of `deny` (patterns such
    as `*.example.com`), and to public addresses: private ones have to be in `networks`. Names are looked up once,
    and what was checked is what is connected to.
    `parent`: another proxy to ask, which then looks up names. `here`: answers what is asked of this server itself.
    `via`, `timeouts`, `tunnel_timeout`, `client_grace`: as of `ReverseProxy`.

    Subclasses may change what is passed on, see `change_request` and `change_response`; what goes through a CONNECT
    is encrypted and nobody's business.
    """

    is_leaf = True
    is_proxy = True

    def __init__(
        self,
        *,
        clients: Iterable[str] = ("127.0.0.0/8", "::1/128"),
        hosts: Iterable[str] = ("*",),
        deny: Iterable[str] = (),
        networks: Iterable[str] = (),
        ports: Iterable[int] = (80,),
        connect_ports: Iterable[int] = (443,),
        parent: str | None = None,
        here: Resource | None = None,
        via: str | None = "container",
        timeouts: ClientTimeouts | None = None,
        tunnel_timeout: float = 3600.0,
        client_grace: float = 2.0,
    ) -> None:
        self._access = Access(clients, hosts, deny, networks, ports, connect_ports)
        self._parent = parse_url(parent)[0] if parent is not None else None
        self._here = here
        self._via = () if via is None else ((b"Via", f"1.1 {via}".encode("latin-1")),)
        encode_fields(text(self._via))  # an illegal value is an error now
        self.timeouts = timeouts or ClientTimeouts()
        self.tunnel_timeout = tunnel_timeout
        self.client_grace = client_grace
        self.tasks: set[asyncio.Task[None]] = set()
        self._pools: dict[tuple[str, int], Pool] = {}

    # To be overridden.

    def change_request(self, request: Request, headers: Headers) -> None:
        """Change the fields that the server gets. HTTPError declines."""

    def change_response(self, request: Request, status: int, headers: Headers) -> None:
        """Change the fields of an answer that the client gets."""

    # The resource.

    @property
    def children(self) -> dict[str, Resource]:
        """What answers here counts as one, so that it is started and stopped with the tree."""
        return {} if self._here is None else {"": self._here}

    def render(self, request: Request) -> "Answer | Awaitable[Answer]":
        is_tunnel = request.method == "CONNECT"
        if not is_tunnel and request.raw_target[:1] in (b"/", b"*"):
            return self._answer_here(request)
        if not self._access.admits(request.client):
            raise HTTPError(403, "This proxy is not for you.")
        host, port = _asked_server(request)
        if not self._access.allows(host, port, tunnel=is_tunnel):
            raise HTTPError(403, "The proxy is not allowed to connect there.")
        if is_tunnel and self._parent is None:
            return self._connect(request.exchange, Address("http", host, port))
        ProxyCall(self, request.exchange, asked_protocols(request)).begin()
        return request.exchange

    def _answer_here(self, request: Request) -> "Answer | Awaitable[Answer]":
        if self._here is None:
            return Response.text(_HERE + "\n", 400)
        return render_below(self._here, request)

    async def _connect(self, exchange: Exchange, address: Address) -> Exchange:
        try:
            async with asyncio.timeout(self.timeouts.connect):
                end = await open_tunnel(address, self._access.permits)
        except TimeoutError as error:
            raise HTTPError(504, "The server did not answer in time.") from error
        except UpstreamError as error:
            raise HTTPError(error.status, "The proxy is not allowed to connect there.") from error
        except (OSError, UnicodeError) as error:
            log.warning("%s: no connection: %s", exchange.request, error)
            raise HTTPError(502, "The server could not be reached.") from error
        try:
            join(end, await exchange.tunnel(200, NO_FIELDS, idle_timeout=self.tunnel_timeout))
        except BaseException:
            end.abort()
            raise
        return exchange

    async def stop(self) -> None:
        for task in list(self.tasks):
            task.cancel()
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.close()

    # For the calls.

    def choose(self, call: ProxyCall) -> tuple[object, Pool] | None:
        if call.tried:
            return None
        host, port = _asked_server(call.exchange.request)
        address = self._parent or Address("http", host, port)
        return address.authority, self._pool_of(address)

    def _pool_of(self, address: Address) -> Pool:
        key = address.host, address.port
        pool = self._pools.get(key)
        if pool is None:
            if len(self._pools) >= _POOLS_MAX:
                self._pools = {each: pool for each, pool in self._pools.items() if not pool.is_unused}
            if len(self._pools) >= _POOLS_MAX:
                raise HTTPError(
                    503, "The proxy is connected to too many servers.", headers={"Retry-After": "5"}
                )
            permit = self._access.permits if self._parent is None else None
            pool = self._pools[key] = Pool(address, self.timeouts, permit=permit)
        return pool

    def settled(self, upstream: object, error: UpstreamError | None) -> None:
        """There is nobody else to ask."""

    def head(self, call: ProxyCall, upstream: object) -> bytes:
        request = call.exchange.request
        path = request.raw_path if request.raw_path != b"*" or self._parent is None else b""
        if request.raw_query or request.raw_target.endswith(b"?"):
            path = b"%b?%b" % (path, request.raw_query)
        authority = request.host.encode("latin-1")
        if request.method == "CONNECT":
            authority = path = request.raw_target
        elif self._parent is not None:
            path = b"http://%b%b" % (authority, path)
        fields = end_to_end(request.raw_headers, more=ANEW | _PRIVATE)
        check_hops(fields)
        headers = Headers(text([(b"Host", authority), *fields, *self._via]))
        self.change_request(request, headers)
        ours = connection_lines(request, call.protocols)
        return b"%b %b HTTP/1.1\r\n%b%b" % (request.method.encode(), path, changed_lines(headers), ours)

    def answer(self, request: Request, head: ResponseHead, upstream: object) -> FieldBlock:
        headers = Headers(text([*end_to_end(head.fields), *self._via]))
        self.change_response(request, head.status, headers)
        return encode_fields(headers.items())


def _asked_server(request: Request) -> tuple[str, int]:
    """Host and port of the request target. Raises HTTPError(400)."""
    if request.method == "CONNECT":
        host, port = split_authority(request.raw_target.decode("latin-1"))
    else:
        if request.raw_target[:5].lower() != b"http:":
            raise HTTPError(400, "The proxy speaks http; ask for https by CONNECT.")
        host, port = split_authority(request.host)
        port = 80 if port is None else port
    if not host or port is None or not 0 < port < 65536:
        raise HTTPError(400, "expected a host and a port from 1 to 65535")
    return host, port
