"""What every endpoint is: how its sockets are opened, named and given back, and the errors of doing so.

Not here: the grammar of endpoint strings (grammar.py), and the schemes, each in a file of its own.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_BACKLOG = 2048


class EndpointError(ValueError):
    """An endpoint string that cannot be understood. The message is one line, for whoever wrote the string."""


class ListenError(OSError):
    """A socket that cannot be opened. The message is one line and names the address."""

    def __init__(self, address: str, reason: str, number: int | None = None) -> None:
        super().__init__(f"cannot listen on {address}: {reason}")
        self.errno = number

    @classmethod
    def of(cls, address: str, error: OSError) -> ListenError:
        reason = error.strerror or str(error)
        return cls(address, reason[:1].lower() + reason[1:], error.errno)


class Endpoint(Protocol):
    """A place to listen on; the value an endpoint string stands for."""

    def listen(self) -> list[socket.socket]:
        """Open, bind and listen: non-blocking sockets, or ListenError and nothing left open."""

    def describe(self, sock: socket.socket) -> str:
        """The URL to print for one of the sockets `listen` gave, with its real port."""

    def release(self, sock: socket.socket) -> None:
        """On a clean stop, before `sock` is closed: remove what `listen` left in the file system.

        In a forking server only the parent calls it.
        """


def listen_all(endpoints: Iterable[Endpoint]) -> list[tuple[Endpoint, socket.socket]]:
    """Listen on every endpoint, or on none: the first that fails closes those already open."""
    with ExitStack() as undo:
        opened: list[tuple[Endpoint, socket.socket]] = []
        for endpoint in endpoints:
            for sock in endpoint.listen():
                undo.callback(sock.close)
                undo.callback(endpoint.release, sock)
                opened.append((endpoint, sock))
        undo.pop_all()
        return opened


def describe_socket(sock: socket.socket, *, scheme: str = "http") -> str:
    """The URL under which a listening socket is reached, asked from the socket itself."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    host, port = name[:2]
    if host == "::" and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        return f"{scheme}://localhost:{port}/ (every interface)"
    if host == "::":
        return f"{scheme}://[::1]:{port}/ (every IPv6 interface)"
    if host == "0.0.0.0":
        return f"{scheme}://127.0.0.1:{port}/ (every IPv4 interface)"
    return f"{scheme}://{place(host, port)}/"


def place(host: str | None, port: int) -> str:
    if host is None:
        return f"*:{port}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
