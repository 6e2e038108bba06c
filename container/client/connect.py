"""Opening a connection: TCP, TLS or a UNIX socket, and which addresses a name may lead to."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final, TypeAlias

from container.client.address import Address
from container.client.errors import UpstreamError

# How often a server is knocked at whose queue is full.
_KNOCK_S: Final = 0.02

# Whether a connection to an IP address may be made.
Permit: TypeAlias = Callable[[str], bool]


async def open_connection(
    address: Address, protocol: Callable[[], asyncio.Protocol], permit: Permit | None = None
) -> None:
    """Connect `protocol` to `address`. Raises OSError (DNS included), ssl.SSLError and UpstreamError.

    With `permit` the name is looked up once, and only addresses that it lets through are tried: what was
    checked is what is connected to.
    """
    loop = asyncio.get_running_loop()
    if address.path is not None:
        await loop.create_unix_connection(protocol, sock=await _reach(address.path))
        return
    server_hostname = address.host if address.tls is not None else None
    if permit is None:
        await loop.create_connection(
            protocol, address.host, address.port, ssl=address.tls, server_hostname=server_hostname
        )
        return
    found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    hosts = [host for host in dict.fromkeys(str(each[4][0]) for each in found) if permit(host)]
    if not hosts:
        raise UpstreamError(403, f"connections to {address.host} are not allowed", was_sent=False)
    for host in hosts:
        try:
            await loop.create_connection(
                protocol, host, address.port, ssl=address.tls, server_hostname=server_hostname
            )
            return
        except OSError:
            if host == hosts[-1]:
                raise


async def _reach(path: str) -> socket.socket:
    """A connected UNIX socket. Where the queue of the server is full the system says so instead of waiting, as it
    does by TCP."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        while True:
            try:
                sock.connect(path)
            except BlockingIOError:
                await asyncio.sleep(_KNOCK_S)
            else:
                return sock
    except BaseException:
        sock.close()
        raise
