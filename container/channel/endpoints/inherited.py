"""Listening sockets that another process has opened and handed over, as descriptors."""

from __future__ import annotations

import os
import socket
import stat

from container.channel.endpoints.base import ListenError

_FAMILIES = {"INET": socket.AF_INET, "INET6": socket.AF_INET6, "UNIX": socket.AF_UNIX}
DOMAINS = tuple(_FAMILIES)


def adopt(address: str, descriptor: int, domain: str | None = None) -> socket.socket:
    """The listening stream socket behind `descriptor`, not blocking; ListenError when it is none.

    It stays bound when this process closes it: the other one has it still.
    """
    try:
        is_socket = stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError as error:
        raise ListenError.of(address, error) from error
    if not is_socket:
        raise ListenError(address, f"expected a socket as descriptor {descriptor}, got something else")
    sock = socket.socket(fileno=descriptor)
    try:
        if sock.type != socket.SOCK_STREAM or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ListenError(address, f"expected a socket that listens as descriptor {descriptor}")
        if domain is not None and sock.family != _FAMILIES[domain]:
            got = next((name for name, family in _FAMILIES.items() if family == sock.family), "another")
            raise ListenError(address, f"expected a socket of domain {domain}, got {got}")
        sock.setblocking(False)
        sock.set_inheritable(False)
    except BaseException:
        sock.detach()  # not ours to close
        raise
    return sock
