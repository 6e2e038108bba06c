"""What serving would stumble over although all is loaded: users, directories, addresses, certificates.

Nothing is opened, written or changed. What only the place knows where it is served is left to that: whether ports are
free, addresses the machine's, sockets passed on (`--fd`, systemd), directories of sockets made.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from container.channel.endpoints import (
    ListenError,
    TCPEndpoint,
    UnixEndpoint,
    plain_endpoint,
    prepare_endpoint,
)
from container.cli.processes import check_processes, wants_arbiter
from container.config.addresses import spell_endpoint
from container.config.assemble import privileges_of, source_of
from container.service.loop import EXIT_ERROR, EXIT_START_FAILED, choose_loop
from container.service.pidfile import Pidfile, PidfileProblem
from container.service.privileges import PrivilegeProblem
from container.tree.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from container.channel.endpoints import Endpoint
    from container.config.gather import Gathered
    from container.service.application import Application
    from container.service.privileges import Privileges
    from container.tree.resource import Resource


class CheckFailed(Exception):
    """What serving would end with: a line, and its exit code."""

    def __init__(self, line: str, code: int) -> None:
        super().__init__(line)
        self.code = code


def check(gathered: Gathered, application: Application, options: Mapping[str, Any]) -> None:
    """CheckFailed, or the problem that serving would raise."""
    choose_loop(options["loop"])
    if wants_arbiter(options):
        check_processes(options, source_of(gathered.configuration, gathered.mounts))
    privileges = privileges_of(options)
    try:
        _check_process(application, options, privileges)
    except (ListenError, PidfileProblem, PrivilegeProblem) as problem:
        raise CheckFailed(str(problem), EXIT_ERROR) from problem
    if privileges.chroot is None and privileges.rundir is None:  # else only what is there then is known
        sites = [binding.site for binding in application.bindings if isinstance(binding.site, Site)]
        for site in sites:
            _check_stores(site.all_resources())


def _check_process(application: Application, options: Mapping[str, Any], privileges: Privileges) -> None:
    privileges.check()
    if options["pidfile"] is not None:
        Pidfile(options["pidfile"]).check()
    endpoints = [each for binding in application.bindings for each in binding.endpoints]
    _check_addresses(endpoints)
    for endpoint in endpoints:
        prepare_endpoint(endpoint)


def _check_addresses(endpoints: Iterable[Endpoint]) -> None:
    """Each once. ListenError for one that somebody before has taken."""
    before: list[Endpoint] = []
    for each in map(plain_endpoint, endpoints):
        if (other := next((other for other in before if _overlap(each, other)), None)) is not None:
            raise ListenError(spell_endpoint(each), f"{spell_endpoint(other)} is served already")
        before.append(each)


def _overlap(one: Endpoint, other: Endpoint) -> bool:
    """Are they one address, or has one of them every interface?"""
    if isinstance(one, UnixEndpoint) and isinstance(other, UnixEndpoint):
        return os.path.realpath(one.path) == os.path.realpath(other.path)
    if not (isinstance(one, TCPEndpoint) and isinstance(other, TCPEndpoint)):
        return False
    if one.port != other.port or not one.port or (one.reuse_port and other.reuse_port):
        return False
    return one.host == other.host or None in (one.host, other.host)


def _check_stores(resources: Iterable[Resource]) -> None:
    """Sessions in a file need its directory."""
    for each in resources:
        path = getattr(getattr(each, "store", None), "path", None)
        if isinstance(path, str) and not os.path.isdir(directory := os.path.dirname(os.path.abspath(path))):
            raise CheckFailed(
                f"expected a directory for sessions in {path!r}, got {directory!r}: none is there",
                EXIT_START_FAILED,
            )
