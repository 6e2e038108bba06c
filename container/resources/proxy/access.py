"""Who may use a forward proxy, and where it may connect to. Everything that is not public has to be listed."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

from container.message.networks import Networks

# IPv4 in the last four octets: NAT64 (RFC 6052, RFC 8215) and what was meant for it before.
_TRANSLATED: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"), IPv6Network("::/96"))


class Access:
    """The rules of one proxy. `clients` and `networks` are networks as text, `hosts` and `deny` patterns of names."""

    __slots__ = ("_clients", "_connect_ports", "_deny", "_hosts", "_networks", "_ports")

    def __init__(
        self,
        clients: Iterable[str],
        hosts: Iterable[str],
        deny: Iterable[str],
        networks: Iterable[str],
        ports: Iterable[int],
        connect_ports: Iterable[int],
    ) -> None:
        self._clients = Networks(clients)
        self._networks = Networks(networks)
        self._hosts = _lower(hosts)
        self._deny = _lower(deny)
        self._ports = frozenset(ports)
        self._connect_ports = frozenset(connect_ports)

    def admits(self, client: tuple[str, int] | None) -> bool:
        """May `client` use the proxy? A client of a UNIX socket has been let in by its file."""
        return client is None or client[0] in self._clients

    def allows(self, host: str, port: int, *, tunnel: bool) -> bool:
        """May `host` be asked, as far as its name tells?"""
        name = host.lower().rstrip(".")
        if port not in (self._connect_ports if tunnel else self._ports):
            return False
        if any(fnmatchcase(name, pattern) for pattern in self._deny):
            return False
        address = _address(name)
        if address is not None and not self.permits(name):
            return False
        return any(fnmatchcase(name, pattern) for pattern in self._hosts)

    def permits(self, host: str) -> bool:
        """May there be a connection to the IP address `host`?"""
        address = _address(host)
        if address is None:
            return False
        return host in self._networks or all(
            each.is_global and not each.is_multicast
            for each in (address, _inner(address))
            if each is not None
        )


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a gateway makes of an IPv6 address: a private one may hide in a public one."""
    if isinstance(address, IPv4Address):
        return None
    if any(address in network for network in _TRANSLATED):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _lower(patterns: Iterable[str]) -> tuple[str, ...]:
    return tuple(each.lower() for each in _texts(patterns))


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    if isinstance(values, str):
        raise TypeError(f"expected a list of texts, got {values!r}")
    return tuple(values)
