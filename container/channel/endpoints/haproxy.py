"""`haproxy:ENDPOINT`: connections that begin with a PROXY header, of which the real client is learned.

Only for ports that nobody but the proxy reaches: whoever connects can claim any address. The header itself is
read in `channel/arrival.py`.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

from container.channel.endpoints.base import Endpoint, EndpointError
from container.channel.endpoints.grammar import Arguments, parse_endpoint, register


@dataclass(frozen=True, slots=True)
class ProxiedEndpoint:
    """`inner`, each of whose connections begins with a PROXY header; any that does not is closed."""

    inner: Endpoint

    def listen(self) -> list[socket.socket]:
        return self.inner.listen()

    def describe(self, sock: socket.socket) -> str:
        return self.inner.describe(sock)

    def release(self, sock: socket.socket) -> None:
        self.inner.release(sock)


def _parse(arguments: Arguments) -> ProxiedEndpoint:
    if not arguments.rest:
        raise EndpointError(f'expected "{arguments.scheme}:ENDPOINT", got {arguments.text!r}')
    inner = parse_endpoint(arguments.rest)
    if isinstance(inner, ProxiedEndpoint):
        raise EndpointError(f"expected one PROXY header a connection, got {arguments.text!r}")
    return ProxiedEndpoint(inner)


register("haproxy", _parse)
