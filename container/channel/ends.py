"""The two ends of a transport, and what is known of its TLS, as values for resources."""

import asyncio
import ssl
import sys

from container.channel.certificates import ServerContext
from container.message.connection import Connection
from container.message.tls import TLS
from container.protocol.proxy_header import ProxyHeader

if sys.platform == "linux":
    import fcntl
    import termios


def connection_of(transport: asyncio.BaseTransport, header: ProxyHeader | None = None) -> Connection:
    """Who is connected to what; a PROXY header knows better than the socket."""
    peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
    secure = transport.get_extra_info("sslcontext") is not None
    ssl_object = transport.get_extra_info("ssl_object") if secure else None
    tls = _facts(ssl_object) if ssl_object is not None else None
    if header is not None:
        secure = secure or header.secure
        if header.client is not None:
            return Connection(header.client, header.server, secure=secure, tls=tls)
    if isinstance(peer, tuple) and isinstance(local, tuple):
        ends = (_plain(peer[0]), peer[1]), (_plain(local[0]), local[1])
        return Connection(*ends, secure=secure, tls=tls)
    return Connection(path=local if isinstance(local, str) else None, secure=secure, tls=tls)


def unsent_in_kernel(transport: asyncio.BaseTransport) -> int:
    """Bytes the client has not acknowledged; 0 where the system does not tell."""
    sock = transport.get_extra_info("socket")
    if sock is None or sys.platform != "linux" or sock.fileno() < 0:
        return 0
    try:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:
        return 0


def _facts(ssl_object: ssl.SSLObject) -> TLS:
    cipher = ssl_object.cipher()
    name = cipher[0] if cipher else ""
    context = ssl_object.context
    known = context if isinstance(context, ServerContext) else None
    chain: tuple[str, ...] = ()
    facts = None
    if context.verify_mode is not ssl.CERT_NONE:
        own = ssl_object.getpeercert(True)
        if own is not None:
            chain = _chain(ssl_object) or (ssl.DER_cert_to_PEM_cert(own),)
            facts = ssl_object.getpeercert()
    return TLS(
        ssl_object.version() or "",
        name,
        known.suite_number(name) if known is not None else None,
        server_certificate=known.certificate_pem if known is not None else None,
        client_chain=chain,
        client_facts=facts,
    )


def _chain(ssl_object: ssl.SSLObject) -> tuple[str, ...]:
    """The client's certificate and those it sent with it; Python tells from 3.13 on."""
    get_chain = getattr(ssl_object, "get_verified_chain", None)
    return tuple(map(ssl.DER_cert_to_PEM_cert, get_chain())) if get_chain is not None else ()


def _plain(address: str) -> str:
    """An IPv4 client of a dual-stack socket is an IPv4 client."""
    return address.removeprefix("::ffff:") if "." in address else address
