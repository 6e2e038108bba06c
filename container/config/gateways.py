"""What stands between the outside and a tree, as settings spell it: virtual hosts and trusted proxies.

Not here: what a KIND:ARG makes (build.py), the names of options (cli/).
"""

from __future__ import annotations

import os
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from container.config.problems import ConfigProblem
from container.message.networks import EVERYBODY, UNIX, Networks
from container.tree.forwarded import Forwarded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from container.channel.endpoints.haproxy import Network
    from container.tree.resource import Resource

NOBODY = "none"
_EVERY_NETWORK: Final = ("0.0.0.0/0", "::/0")


def parse_proxies(text: str) -> tuple[str, ...]:
    """The entries of a list separated by commas. ValueError for what is no network; `none` stands alone."""
    entries = tuple(entry for each in text.split(",") if (entry := each.strip()))
    if entries == (NOBODY,):
        return entries
    Networks(entries)
    return entries


def parse_peers(text: str) -> tuple[Network, ...]:
    """The networks of a list separated by commas, * for every address. ValueError for what is no network."""
    entries = [entry for each in text.split(",") if (entry := each.strip())]
    if not entries or UNIX in entries:
        raise ValueError(f'expected addresses and networks such as 10.0.0.0/8, got "{text}"')
    Networks(entries)
    spelt = [net for each in entries for net in (_EVERY_NETWORK if each == EVERYBODY else (each,))]
    return tuple(map(ip_network, spelt))


def spell_peers(peers: Iterable[Network]) -> list[str]:
    """The texts that `parse_peers` reads, a single address as itself."""
    return [str(each.network_address if each.num_addresses == 1 else each) for each in peers]


def behind_proxies(root: Resource, proxies: tuple[str, ...] | None, *, unix: bool) -> Resource:
    """`root`, believing `proxies`; whoever comes by a UNIX socket, if the site has one, unless it is nobody."""
    if proxies == (NOBODY,) or (proxies is None and not unix):
        return root
    return Forwarded(root, proxies or ())


def host_directory(path: str, makers: Mapping[str, Callable[[str], Resource]]) -> Resource:
    """A host for every entry of a directory: `makers` by extension, "" for directories."""
    from container.resources.vhost import HostDirectory

    if not os.path.isdir(path):
        raise ConfigProblem(f"expected a directory of hosts, got {path!r}: none is there")
    by_extension = {extension: make for extension, make in makers.items() if extension}
    return HostDirectory(path, makers[""], makers=by_extension)
