"""`haproxy:ENDPOINT`: connections that begin with a PROXY header, of which the real client is learned.

Only for ports that nobody but the proxy reaches: whoever connects can claim any address. The header itself is
read in `channel/arrival.py`.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TypeAlias

from container.channel.endpoints.base import Endpoint, EndpointError
from container.channel.endpoints.grammar import Arguments, parse_endpoint, register
from container.protocol.proxy_header import BOTH_VERSIONS

Network: TypeAlias = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class ProxyPolicy:
    """Which PROXY headers are taken: `versions`, and of which `peers`, UNIX sockets besides; None: of all.

    Where one is `required`, a connection without it is closed. From other peers none is understood.
    """

    versions: frozenset[int] = BOTH_VERSIONS
    required: bool = True
    peers: tuple[Network, ...] | None = None

    def covers(self, peer: object) -> bool:
        """May the peer at this socket address send one?"""
        if self.peers is None or not isinstance(peer, tuple):
            return True
        address = ip_address(peer[0].partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)  # of a dual-stack socket
        return any((mapped or address) in network for network in self.peers)


@dataclass(frozen=True, slots=True)
class ProxiedEndpoint:
    """`inner`, whose connections begin with a PROXY header, as `policy` says."""

    inner: Endpoint
    policy: ProxyPolicy = ProxyPolicy()

    def listen(self) -> list[socket.socket]:
        return self.inner.listen()

    def describe(self, sock: socket.socket) -> str:
        return self.inner.describe(sock)

    def release(self, sock: socket.socket) -> None:
        self.inner.release(sock)


def _parse(arguments: Arguments) -> ProxiedEndpoint:
    if not arguments.rest:
        raise EndpointError(f'expected "{arguments.scheme}:ENDPOINT", got {arguments.text!r}')
    inner = parse_endpoint(arguments.rest)
    if isinstance(inner, ProxiedEndpoint):
        raise EndpointError(f"expected one PROXY header a connection, got {arguments.text!r}")
    return ProxiedEndpoint(inner)


register("haproxy", _parse)
