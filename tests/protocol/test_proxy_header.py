"""EP-07: PROXY headers of both versions, whole and one byte at a time, and those that are refused."""

from __future__ import annotations

import struct

import pytest

from container.message.errors import ProtocolError
from container.protocol.proxy_header import SIGNATURE, V2_MAX, ProxyHeader, ProxyHeaderReader

Ends = tuple[tuple[str, int] | None, tuple[str, int] | None, bool]

FOUR = bytes([192, 0, 2, 1, 198, 51, 100, 2]) + struct.pack("!HH", 4321, 443)
SIX = bytes(15) + b"\x01" + bytes(15) + b"\x02" + struct.pack("!HH", 1, 2)
MAPPED = bytes(10) + b"\xff\xff\x01\x02\x03\x04" + bytes(15) + b"\x02" + struct.pack("!HH", 1, 2)


def v2(command: int, family: int, rest: bytes, length: int | None = None) -> bytes:
    return (
        SIGNATURE
        + bytes([command, family])
        + struct.pack("!H", len(rest) if length is None else length)
        + rest
    )


def tlv(kind: int, value: bytes) -> bytes:
    return bytes([kind]) + struct.pack("!H", len(value)) + value


GOOD: list[tuple[bytes, Ends]] = [
    (b"PROXY TCP4 192.0.2.1 198.51.100.2 4321 443\r\n", (("192.0.2.1", 4321), ("198.51.100.2", 443), False)),
    (b"PROXY TCP6 2001:db8::1 ::1 65535 0\r\n", (("2001:db8::1", 65535), ("::1", 0), False)),
    (b"PROXY TCP6 ::ffff:1.2.3.4 ::1 1 2\r\n", (("1.2.3.4", 1), ("::1", 2), False)),
    (b"PROXY UNKNOWN\r\n", (None, None, False)),
    (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", (None, None, False)),
    (v2(0x21, 0x11, FOUR), (("192.0.2.1", 4321), ("198.51.100.2", 443), False)),
    (v2(0x21, 0x21, SIX), (("::1", 1), ("::2", 2), False)),
    (v2(0x21, 0x21, MAPPED), (("1.2.3.4", 1), ("::2", 2), False)),
    (v2(0x20, 0x00, b""), (None, None, False)),
    (v2(0x20, 0xFF, b"anything"), (None, None, False)),
    (v2(0x21, 0x00, b""), (None, None, False)),
    (v2(0x21, 0x31, bytes(216)), (None, None, False)),
    (v2(0x21, 0x11, FOUR + tlv(0x20, b"\x01\0\0\0\0")), (("192.0.2.1", 4321), ("198.51.100.2", 443), True)),
    (v2(0x21, 0x11, FOUR + tlv(0x20, b"\x00\0\0\0\0")), (("192.0.2.1", 4321), ("198.51.100.2", 443), False)),
    (v2(0x21, 0x11, FOUR + tlv(4, b"x") + tlv(0x20, b"\x07\0\0\0\0")),
     (("192.0.2.1", 4321), ("198.51.100.2", 443), True)),
]  # fmt: skip

BAD = [
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01",
    b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
    b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
    b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 ::1 ::1 1 2\r\n",
    b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
    b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
    b"PROXY UNKNOWN \x00\r\n",
    b"PROXY \r\n",
    b"PROXY UNKNOWN " + b"x" * 200,
    b"\r\n\r\n\x00\r\nQUIX",
    v2(0x11, 0x11, FOUR),
    v2(0x22, 0x11, FOUR),
    v2(0x21, 0x12, FOUR),
    v2(0x21, 0x11, FOUR[:8]),
    v2(0x21, 0x11, b"", length=8),
    v2(0x21, 0x21, FOUR),
    v2(0x21, 0x11, b"", length=V2_MAX + 1),
    v2(0x21, 0x11, FOUR + b"\x20"),
    v2(0x21, 0x11, FOUR + b"\x20\x00\x09\x01"),
    v2(0x21, 0x11, FOUR + tlv(0x20, b"\x01")),
]


def ends(header: ProxyHeader | None) -> Ends | None:
    return None if header is None else (header.client, header.server, header.secure)


@pytest.mark.parametrize(("data", "expected"), GOOD)
def test_a_header_tells_the_ends_and_takes_nothing_behind_it(data: bytes, expected: Ends) -> None:
    reader = ProxyHeaderReader()
    assert reader.take(data + b"GET / HTTP/1.1\r\n\r\n") == len(data)
    assert ends(reader.header) == expected


@pytest.mark.parametrize(("data", "expected"), GOOD)
def test_a_header_may_come_byte_by_byte(data: bytes, expected: Ends) -> None:
    reader = ProxyHeaderReader()
    for at in range(len(data)):
        assert reader.header is None
        assert reader.take(data[at : at + 1]) == 1
    assert ends(reader.header) == expected


@pytest.mark.parametrize("data", BAD)
def test_what_is_no_header_is_refused_whole_or_in_bytes(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="PROXY"):
        ProxyHeaderReader().take(data)
    with pytest.raises(ProtocolError, match="PROXY"):
        take_bytes(data)


def take_bytes(data: bytes) -> None:
    reader = ProxyHeaderReader()
    for at in range(len(data)):
        reader.take(data[at : at + 1])


@pytest.mark.parametrize(
    ("version", "data"),
    [(1, v2(0x21, 0x11, FOUR)), (2, GOOD[0][0])],
)
def test_a_version_that_is_not_understood_is_no_header(version: int, data: bytes) -> None:
    with pytest.raises(ProtocolError, match="expected a PROXY header"):
        ProxyHeaderReader(frozenset({version})).take(data)


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n", b"\r\n\r\nGET /", b"PROPFIND / HTTP/1.1", b"\x16\x03"]
)
@pytest.mark.parametrize("whole", [True, False])
def test_a_header_may_be_missing_where_it_is_not_required(data: bytes, *, whole: bool) -> None:
    """What was taken for its begin is told, and with the rest is all there was."""
    reader = ProxyHeaderReader(required=False)
    rest = data
    for piece in [data] if whole else [data[at : at + 1] for at in range(len(data))]:
        if reader.is_absent:
            break
        rest = rest[reader.take(piece) :]
    assert reader.is_absent
    assert reader.taken + rest == data
    assert reader.header is None


def test_a_wrong_header_is_refused_where_none_is_required() -> None:
    with pytest.raises(ProtocolError, match="malformed"):
        ProxyHeaderReader(required=False).take(b"PROXY TCP4 nonsense\r\n")
