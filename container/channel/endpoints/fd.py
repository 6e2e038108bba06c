"""`fd:N`: a listening socket that whoever started this process has left open as descriptor N."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from container.channel.endpoints.base import describe_socket
from container.channel.endpoints.grammar import Arguments, register
from container.channel.endpoints.inherited import adopt


@dataclass(frozen=True, slots=True)
class FDEndpoint:
    """The socket of a descriptor; its address, mode and end are the business of whoever opened it."""

    descriptor: int

    def listen(self) -> list[socket.socket]:
        return [adopt(f"fd:{self.descriptor}", self.descriptor)]

    def describe(self, sock: socket.socket) -> str:
        return describe_socket(sock)

    def release(self, sock: socket.socket) -> None:
        """What this process has not made it does not remove."""


def _parse(arguments: Arguments) -> FDEndpoint:
    bound = arguments.bind("descriptor")
    return FDEndpoint(arguments.number("descriptor", bound["descriptor"], 0, 1_000_000))


register("fd", _parse)
