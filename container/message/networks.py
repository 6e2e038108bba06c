"""Addresses and networks that something holds for: who is trusted, who may come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from container.message.connection import Connection

EVERYBODY: Final = "*"
UNIX: Final = "unix"
LOOPBACK: Final = ("127.0.0.0/8", "::1")
_REMEMBERED_MAX: Final = 4096


class Networks:
    """A set of addresses: `Networks(["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"])`.

    `"*"` is every address and every UNIX socket, `"unix"` the clients of UNIX sockets. Raises ValueError for
    what is neither an address nor a network. An IPv4 address in IPv6 clothes counts as what it is.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        from ipaddress import ip_network  # late: most trees trust nobody

        if isinstance(entries, str):
            raise TypeError(f"expected a list of networks, got the text {entries!r}")
        self.entries = [entry.strip() for entry in entries]
        self.everybody = EVERYBODY in self.entries
        self.unix = self.everybody or UNIX in self.entries
        self._networks = []
        for entry in self.entries:
            if entry in (EVERYBODY, UNIX):
                continue
            try:
                self._networks.append(ip_network(entry))
            except ValueError as error:
                hint = f" ({error})" if "host bits" in str(error) else ""
                raise ValueError(
                    f'expected an address or a network such as 10.0.0.0/8, got "{entry}"{hint}'
                ) from error
        # What was asked before; cleared when full, so that nobody can make it grow.
        self._known: dict[str, bool] = {}

    def __contains__(self, address: str) -> bool:
        """False for what is no address."""
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= _REMEMBERED_MAX:
                self._known.clear()
            known = self._known[address] = self._look(address)
        return known

    def _look(self, text: str) -> bool:
        from ipaddress import ip_address

        try:
            address = ip_address(text)
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return self.everybody or any(address in network for network in self._networks)

    def include(self, connection: Connection) -> bool:
        """Is the client's end of `connection` among them? Who has no address has to come by a UNIX socket."""
        if connection.client is not None:
            return connection.client_host in self
        return self.unix and (connection.path is not None or self.everybody)
