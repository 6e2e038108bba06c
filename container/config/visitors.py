"""Who asks: the person who sits at this machine, or anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from container.channel.endpoints import is_loopback_host
from container.message.authority import split_authority

if TYPE_CHECKING:
    from container.message.request import Request

# What proxies say of those they speak for.
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def is_from_here(request: Request) -> bool:
    """Was it sent by a program of this machine, on its own behalf, to a name of this machine? The name counts: one
    of somebody else's may lead here, and his page would read the answer (DNS rebinding)."""
    host, _ = split_authority(request.headers.get("host") or "")
    by_proxy = any(request.headers.get(name) is not None for name in _FORWARDED)
    return is_loopback_host(host) and is_loopback_host(request.connection.client_host) and not by_proxy
