"""What stands between the outside and a tree, as settings spell it: virtual hosts and trusted proxies.

Not here: what a KIND:ARG makes (build.py), the names of options (cli/).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from container.config.problems import ConfigProblem
from container.message.authority import HostPattern
from container.message.networks import Networks
from container.tree.forwarded import Forwarded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from container.tree.resource import Resource

NOBODY = "none"


def parse_proxies(text: str) -> tuple[str, ...]:
    """The entries of a list separated by commas. ValueError for what is no network; `none` stands alone."""
    entries = tuple(entry for each in text.split(",") if (entry := each.strip()))
    if entries == (NOBODY,):
        return entries
    Networks(entries)
    return entries


def behind_proxies(root: Resource, proxies: tuple[str, ...] | None, *, unix: bool) -> Resource:
    """`root`, believing `proxies`; whoever comes by a UNIX socket, if the site has one, unless it is nobody."""
    if proxies == (NOBODY,) or (proxies is None and not unix):
        return root
    return Forwarded(root, proxies or ())


def parse_hosts(texts: Iterable[str]) -> dict[str, tuple[str, str]]:
    """`NAME=KIND:ARG` of each: host and spec by normal name; two of one name are a problem."""
    hosts: dict[str, tuple[str, str]] = {}
    for text in texts:
        host, equals, spec = text.partition("=")
        if not equals or not spec:
            raise ConfigProblem(f'expected a virtual host as "NAME=KIND:ARG", got {text!r}')
        try:
            key = HostPattern(host).key
        except ValueError as error:
            raise ConfigProblem(f"{error} in {text!r}") from error
        if key in hosts:
            raise ConfigProblem(f"expected one virtual host {host}, got two")
        hosts[key] = host, spec
    return hosts


def hosts_before(
    default: Resource | None, hosts: Mapping[str, tuple[str, str]], make: Callable[[str], Resource]
) -> Resource:
    """Virtual hosts, each of what `make` makes of its spec."""
    from container.resources.vhost import VirtualHosts

    return VirtualHosts({host: make(spec) for host, spec in hosts.values()}, default=default)


def host_directory(path: str, makers: Mapping[str, Callable[[str], Resource]]) -> Resource:
    """A host for every entry of a directory: `makers` by extension, "" for directories."""
    from container.resources.vhost import HostDirectory

    if not os.path.isdir(path):
        raise ConfigProblem(f"expected a directory of hosts, got {path!r}: none is there")
    by_extension = {extension: make for extension, make in makers.items() if extension}
    return HostDirectory(path, makers[""], makers=by_extension)
