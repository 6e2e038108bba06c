"""`tcp:PORT` and `tcp6:PORT`: TCP ports, on one address or on every interface."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from container.channel.endpoints.base import DEFAULT_BACKLOG, ListenError, describe_socket, place
from container.channel.endpoints.grammar import NAMED_HOST, Arguments, parse_backlog, register

# The machine lacks the address or the whole protocol: /etc/hosts often names a ::1 that does not exist.
_ABSENT = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

_Address: TypeAlias = tuple[str | int | bytes, ...]


@dataclass(frozen=True, slots=True)
class TCPEndpoint:
    """A TCP port on one address, on all addresses of a name, or, with no host, on every interface.

    Every interface is one IPv6 socket that speaks IPv4 as well; its IPv4 clients have addresses such as
    ::ffff:192.0.2.1. Where that cannot be had it is 0.0.0.0. With a host, IPv6 sockets speak IPv6 only, so
    `tcp6:80` can stand beside `0.0.0.0:80`. Port 0 lets the system choose, once for all addresses of a name.
    """

    host: str | None
    port: int
    backlog: int = DEFAULT_BACKLOG
    reuse_port: bool = False
    family: socket.AddressFamily = socket.AF_UNSPEC

    def listen(self) -> list[socket.socket]:
        with ExitStack() as undo:
            opened: list[socket.socket] = []
            absent = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
            port = self.port
            for family, address in self._addresses():
                try:
                    sock = self._open(family, (address[0], port, *address[2:]))
                except OSError as error:
                    if error.errno not in _ABSENT:
                        raise ListenError.of(place(self.host, port), error) from error
                    absent = error
                    continue
                undo.callback(sock.close)
                opened.append(sock)
                port = sock.getsockname()[1]
                if self.host is None:
                    break
            if not opened:
                raise ListenError.of(place(self.host, port), absent) from absent
            undo.pop_all()
            return opened

    def describe(self, sock: socket.socket) -> str:
        return describe_socket(sock)

    def release(self, sock: socket.socket) -> None:
        """A TCP socket leaves nothing behind."""

    def _addresses(self) -> list[tuple[socket.AddressFamily, _Address]]:
        if self.host is None:
            four: tuple[socket.AddressFamily, _Address] = (socket.AF_INET, ("0.0.0.0", 0))
            return [(socket.AF_INET6, ("::", 0, 0, 0)), four] if socket.has_dualstack_ipv6() else [four]
        try:
            found = socket.getaddrinfo(
                self.host, self.port, self.family, socket.SOCK_STREAM, 0, socket.AI_PASSIVE
            )
        except OSError as error:
            raise ListenError.of(place(self.host, self.port), error) from error
        # /etc/hosts may hold the same address twice.
        return list(dict.fromkeys((family, address) for family, _, _, _, address in found))

    def _open(self, family: socket.AddressFamily, address: _Address) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if os.name == "posix":  # elsewhere it lets a second server steal the port
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, self.host is not None)
            sock.bind(address)
            # Of two sockets bound with SO_REUSEADDR the second may learn only here that the port is taken.
            sock.listen(self.backlog)
        except BaseException:
            sock.close()
            raise
        return sock


def parse_tcp(arguments: Arguments, version: int | None = None) -> TCPEndpoint:
    bound = arguments.bind("port", "interface", "backlog", "reuse_port")
    host = "::" if version == 6 else None
    if "interface" in bound:
        host = _interface(arguments, bound["interface"], version)
    return TCPEndpoint(
        host,
        arguments.number("port", bound["port"], 0, 65535),
        parse_backlog(arguments, bound),
        arguments.switch("reuse_port", bound.get("reuse_port", "0")),
        socket.AF_INET6 if version == 6 else socket.AF_UNSPEC,
    )


def _interface(arguments: Arguments, host: str, version: int | None) -> str:
    """An IP address, "localhost" or a dotted name; a bare word is more often a slip than a host."""
    try:
        right = version in (None, ipaddress.ip_address(host).version)
    except ValueError:
        right = NAMED_HOST.fullmatch(host) is not None
    if not right:
        kind = "IPv6 address" if version == 6 else "IP address"
        raise arguments.error(f"interface to be an {kind}", host, arguments.hint())
    return host


register("tcp", parse_tcp)
register("tcp6", partial(parse_tcp, version=6))
