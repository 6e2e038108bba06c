"""The PROXY header, versions 1 and 2: who a proxy says has connected to it (haproxy's proxy-protocol.txt).

Strict and bounded: a connection that does not begin with one, or with a wrong one, is a ProtocolError. Not
here: sockets, and whether a peer may be believed.
"""

import ipaddress
import re
from typing import Final

from container.message.errors import ProtocolError

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
BOTH_VERSIONS: Final = frozenset({1, 2})
V1_MAX: Final = 107  # with its CRLF
V2_MAX: Final = 4096  # what follows the fixed part; addresses take at most 216, the rest are TLVs
_V2_FIXED: Final = 16
_V1_BEGIN: Final = b"PROXY "
_V1: Final = re.compile(
    rb"PROXY (TCP4|TCP6) ([0-9a-fA-F.:]{2,39}) ([0-9a-fA-F.:]{2,39}) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})\r\n"
)
_V1_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN(?: [\x21-\x7e ]*)?\r\n")
# Family and transport, and how many bytes of addresses they mean.
_UNSPECIFIED, _TCP4, _TCP6, _UNIX_STREAM = 0x00, 0x11, 0x21, 0x31
_SIZES: Final = {_UNSPECIFIED: 0, _TCP4: 12, _TCP6: 36, _UNIX_STREAM: 216}
_TLV_SSL: Final = 0x20
_CLIENT_SSL: Final = 0x01

Address = tuple[str, int]


class ProxyHeader:
    """What a header said. `client` and `server` are None where the real ends of the connection hold:
    a health check of the proxy itself, or a protocol it could not tell. `secure`: the client used TLS."""

    __slots__ = ("client", "secure", "server")

    def __init__(
        self, client: Address | None = None, server: Address | None = None, *, secure: bool = False
    ) -> None:
        self.client = client
        self.server = server
        self.secure = secure


class ProxyHeaderReader:
    """Takes a header piece by piece and never a byte more; `header` is set when it is complete.

    `versions` are those understood. Where it is not `required`, `is_absent` tells of a connection that begins with
    something else: what was `taken` of that is not a header's.
    """

    __slots__ = ("_required", "_versions", "header", "is_absent", "taken")

    def __init__(self, versions: frozenset[int] = BOTH_VERSIONS, *, required: bool = True) -> None:
        self._versions = versions
        self._required = required
        self.taken = b""
        self.header: ProxyHeader | None = None
        self.is_absent = False

    def take(self, data: bytes) -> int:
        """How many bytes of `data` belong to the header; they are taken. ProtocolError for a wrong one."""
        before = len(self.taken)
        seen = self.taken + data
        if 2 in self._versions and seen[: len(SIGNATURE)] == SIGNATURE[: len(seen)]:
            end = self._end_of_v2(seen)
        elif 1 in self._versions and seen[: len(_V1_BEGIN)] == _V1_BEGIN[: len(seen)]:
            end = self._end_of_v1(seen)
        elif self._required:
            raise ProtocolError(400, "expected a PROXY header")
        else:
            self.is_absent = True
            return 0
        self.taken = seen[:end]
        return end - before

    def _end_of_v1(self, seen: bytes) -> int:
        newline = seen.find(b"\n", 0, V1_MAX)
        if newline < 0:
            if len(seen) >= V1_MAX:
                raise ProtocolError(400, f"expected a PROXY header of at most {V1_MAX} bytes")
            return len(seen)
        self.header = _parse_v1(seen[: newline + 1])
        return newline + 1

    def _end_of_v2(self, seen: bytes) -> int:
        if len(seen) < _V2_FIXED:
            return len(seen)
        length = int.from_bytes(seen[14:16], "big")
        if length > V2_MAX:
            raise ProtocolError(400, f"expected a PROXY header of at most {V2_MAX} bytes, got {length}")
        end = _V2_FIXED + length
        if len(seen) < end:
            _check_v2(seen[12], seen[13], length)
            return len(seen)
        self.header = _parse_v2(seen[12], seen[13], seen[_V2_FIXED:end])
        return end


def _parse_v1(line: bytes) -> ProxyHeader:
    if _V1_UNKNOWN.fullmatch(line):
        return ProxyHeader()
    match = _V1.fullmatch(line)
    if match is None:
        raise ProtocolError(400, "expected a PROXY header, got a malformed one")
    version = 4 if match[1] == b"TCP4" else 6
    ports = int(match[4]), int(match[5])
    try:
        client, server = (ipaddress.ip_address(match[index].decode("ascii")) for index in (2, 3))
    except ValueError as error:
        raise ProtocolError(400, "expected addresses in a PROXY header") from error
    if client.version != version or server.version != version or max(ports) > 65535:
        raise ProtocolError(400, f"expected IPv{version} addresses and ports in a PROXY header")
    return ProxyHeader((_text(client), ports[0]), (_text(server), ports[1]))


def _check_v2(version_command: int, family: int, length: int) -> None:
    if version_command not in (0x20, 0x21):
        raise ProtocolError(400, "expected a PROXY header of version 2 with a command that exists")
    if version_command == 0x21 and (family not in _SIZES or length < _SIZES[family]):
        raise ProtocolError(400, "expected a PROXY header of a stream, with its addresses")


def _parse_v2(version_command: int, family: int, rest: bytes) -> ProxyHeader:
    _check_v2(version_command, family, len(rest))
    if version_command == 0x20:  # LOCAL: the proxy's own connection, whatever else it says
        return ProxyHeader()
    size = _SIZES[family]
    secure = _says_secure(rest[size:])
    if family not in (_TCP4, _TCP6):
        return ProxyHeader(secure=secure)
    width = 4 if family == _TCP4 else 16
    client, server = (_text(ipaddress.ip_address(rest[at : at + width])) for at in (0, width))
    ports = rest[2 * width : size]
    return ProxyHeader(
        (client, int.from_bytes(ports[:2], "big")), (server, int.from_bytes(ports[2:], "big")), secure=secure
    )


def _says_secure(rest: bytes) -> bool:
    """Look through the TLVs for the one of TLS; each has to be complete."""
    secure = False
    at = 0
    while at < len(rest):
        length = int.from_bytes(rest[at + 1 : at + 3], "big")
        value = rest[at + 3 : at + 3 + length]
        if at + 3 > len(rest) or len(value) != length:
            raise ProtocolError(400, "expected complete TLVs in a PROXY header")
        if rest[at] == _TLV_SSL:
            if length < 5:
                raise ProtocolError(400, "expected five bytes or more about TLS in a PROXY header")
            secure = bool(value[0] & _CLIENT_SSL)
        at += 3 + length
    return secure


def _text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """An IPv4 client of a dual-stack proxy is an IPv4 client."""
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
