"""UNIX sockets that only some users may connect to, whatever the mode of their file says (Linux: SO_PEERCRED)."""

import asyncio
import logging
import socket
import struct
from collections.abc import Collection
from typing import Final

from container.channel.group import ChannelGroup
from container.channel.h1 import H1Channel
from container.protocol.proxy_header import ProxyHeader

log = logging.getLogger("container.channel")

_CREDENTIALS: Final = struct.Struct("3i")


class PeerCheckedChannel(H1Channel):
    """Cuts the connection of whoever is none of `peers`, numbers of users, before anything is read."""

    __slots__ = ("_peers",)

    def __init__(
        self,
        group: ChannelGroup,
        peers: Collection[int],
        header: ProxyHeader | None = None,
        early: bytes = b"",
    ) -> None:
        super().__init__(group, header, early)
        self._peers = peers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        uid = _CREDENTIALS.unpack(raw)[1]
        if uid not in self._peers:
            log.warning("a connection of uid %d to %s was cut", uid, sock.getsockname())
            self.abort()
