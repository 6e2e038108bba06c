"""The test client over sockets: what a `container.testing.Client` sends goes to a port, the answers come from there.

So one test body speaks to a tree in memory and to a server that runs. Windows and clients that do not read, leave or
reset are the same in both; only `clock` moves nothing here, and `settle` does not wait for the server.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from container.testing import Client
from container.tree.resource import Resource
from tests.conformance.client import PATIENCE_S, RESET

_READ_MAX: Final = 64 * 1024


def client_of(port: int) -> Client:
    """A client of the server at this port of this machine."""
    return Client(Resource(), channel=lambda group: Relay(group.loop, port))


class Relay(asyncio.Protocol):
    """One connection, carried on to a port. It reads from there no faster than the client does."""

    _transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, port: int) -> None:
        self._loop = loop
        self._outbox = bytearray()
        self._client_ends = False
        self._server_ends = False
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        self._socket.setblocking(False)

    # From the client.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._loop.add_reader(self._socket, self._receive)

    def data_received(self, data: bytes) -> None:
        self._outbox += data
        self._send()

    def eof_received(self) -> bool:
        self._client_ends = True
        self._send()
        return not self._server_ends  # the answer may still come

    def pause_writing(self) -> None:
        self._loop.remove_reader(self._socket)

    def resume_writing(self) -> None:
        self._loop.add_reader(self._socket, self._receive)

    def connection_lost(self, error: Exception | None) -> None:
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        if error is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._socket.close()

    # To the server and back.

    def _send(self) -> None:
        try:
            if self._outbox:
                del self._outbox[: self._socket.send(self._outbox)]
            if self._client_ends and not self._outbox:
                self._socket.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:  # reset by the server
            self._transport.abort()
            return
        if self._outbox:
            self._loop.add_writer(self._socket, self._send)
        else:
            self._loop.remove_writer(self._socket)

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_READ_MAX)
        except BlockingIOError:
            return
        except OSError:
            self._transport.abort()
            return
        if data:
            self._transport.write(data)
            return
        self._server_ends = True
        self._loop.remove_reader(self._socket)
        self._transport.write_eof()
        if self._client_ends:
            self._transport.close()
