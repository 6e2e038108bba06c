"""Connections that carry bytes for somebody else, from their first one on."""

import asyncio
from typing import cast

from container.client.address import Address
from container.client.connect import Permit, open_connection
from container.message.tunnel import TunnelEnd, Wire


class OutgoingEnd(TunnelEnd):
    """The end at another server. It has a transport once `open_tunnel` gives it out."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(Wire, transport)


async def open_tunnel(address: Address, permit: Permit | None = None) -> TunnelEnd:
    """Connect, and give what is to be joined to the client's end. Raises like `open_connection`."""
    end = OutgoingEnd(cast(Wire, None))
    await open_connection(address, lambda: cast(asyncio.Protocol, end), permit)
    return end
