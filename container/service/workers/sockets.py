"""The listening sockets that several processes share: opened once, inherited by workers and by the next arbiter."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeAlias

from container.channel.endpoints import Endpoint, adopt_socket
from container.service.activation import provide_passed_sockets

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

log = logging.getLogger("container.workers")

# By binding of the application.
Endpoints: TypeAlias = "Sequence[Sequence[Endpoint]]"


class SharedSockets:
    """The listening sockets of the arbiter, in the order of bindings and endpoints.

    `open` or `inherit` comes first.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints
        self.sockets: list[tuple[int, int, socket.socket]] = []

    def open(self) -> None:
        """Listen on all of them, or on none: ListenError."""
        provide_passed_sockets()
        try:
            for binding, endpoints in enumerate(self.endpoints):
                for number, endpoint in enumerate(endpoints):
                    self.sockets += [(binding, number, sock) for sock in endpoint.listen()]
        except BaseException:
            self.close(release=True)
            raise

    def inherit(self, text: str) -> None:
        """Take over those of a predecessor."""
        for entry in text.split():
            binding, number, file = map(int, entry.split(":"))
            self.sockets.append((binding, number, adopt_socket(file)))

    def bequeath(self) -> str:
        """Let them survive an exec."""
        for _, _, sock in self.sockets:
            sock.set_inheritable(True)
        return " ".join(f"{binding}:{number}:{sock.fileno()}" for binding, number, sock in self.sockets)

    def keep(self) -> None:
        """No other program gets them."""
        for _, _, sock in self.sockets:
            sock.set_inheritable(False)

    def close(self, *, release: bool) -> None:
        """Listen no more; `release` what they have left in the file system, unless a successor needs it."""
        for binding, number, sock in self.sockets:
            if release:
                try:
                    self.endpoints[binding][number].release(sock)
                except OSError as error:
                    log.warning("a socket was left behind: %s", error)
            sock.close()
        self.sockets.clear()

    @property
    def addresses(self) -> list[str]:
        return [self.endpoints[binding][number].describe(sock) for binding, number, sock in self.sockets]
