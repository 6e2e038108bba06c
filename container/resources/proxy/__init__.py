"""Proxies: a gateway to other servers (reverse.py), and one for clients that ask for it (forward.py)."""

from container.resources.proxy.balance import Health, Upstream
from container.resources.proxy.forward import ForwardProxy
from container.resources.proxy.reverse import ReverseProxy

__all__ = ["ForwardProxy", "Health", "ReverseProxy", "Upstream"]
