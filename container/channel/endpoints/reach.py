"""Who can reach an endpoint: everybody, or only programs on this machine."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from container.channel.endpoints.haproxy import ProxiedEndpoint
from container.channel.endpoints.tcp import TCPEndpoint
from container.channel.endpoints.tls import plain_endpoint

if TYPE_CHECKING:
    from container.channel.endpoints.base import Endpoint


def is_loopback(endpoint: Endpoint) -> bool:
    """A TCP port of the loopback, for clients that speak for nobody else. Of sockets that were opened elsewhere,
    and UNIX sockets, which web servers use, it cannot be told."""
    if isinstance(endpoint, ProxiedEndpoint):
        return False
    plain = plain_endpoint(endpoint)
    return isinstance(plain, TCPEndpoint) and plain.host is not None and is_loopback_host(plain.host)


def is_loopback_host(host: str) -> bool:
    """`localhost`, a name below it (RFC 6761 6.3), or an address of the loopback without brackets."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
