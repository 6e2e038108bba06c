"""What a WebSocket server that echoes must answer (RFC 6455): a table of bytes in, messages and frames out.

It has the subject matter of the well-known test suites: framing, control frames, reserved bits, fragments,
UTF-8, closing. Driven without I/O by `tests/protocol/test_ws.py`, over sockets by `tests/conformance`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK: Final = b"\x37\xfa\x21\x3d"


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """One frame of a client; `rsv` are the three reserved bits as a number."""
    head = bytes([fin << 7 | rsv << 4 | opcode])
    size, mask_bit = len(payload), masked << 7
    if size < 126:
        head += bytes([mask_bit | size])
    elif size < 65536:
        head += struct.pack("!BH", mask_bit | 126, size)
    else:
        head += struct.pack("!BQ", mask_bit | 127, size)
    if not masked:
        return head + payload
    if payload:
        repeated = (MASK * (size // 4 + 1))[:size]
        payload = (int.from_bytes(payload) ^ int.from_bytes(repeated)).to_bytes(size)
    return head + MASK + payload


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


END: Final = close(1000)


@dataclass(frozen=True)
class Case:
    """`sent` by the client, and what comes back; `code` of the Close frame, None for one without a code."""

    name: str
    sent: bytes
    echoes: list[str | bytes] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    code: int | None = 1000


def _framing() -> list[Case]:
    cases = []
    for size in (0, 1, 125, 126, 127, 128, 65535, 65536, 65537):
        cases += [
            Case(f"text of {size}", frame(TEXT, b"*" * size) + END, ["*" * size]),
            Case(f"bytes of {size}", frame(BINARY, b"\xfe" * size) + END, [b"\xfe" * size]),
        ]
    return [
        *cases,
        Case("two messages", frame(TEXT, b"a") + frame(BINARY, b"b") + END, ["a", b"b"]),
        Case("unmasked text", frame(TEXT, b"a", masked=False), code=1002),
        Case("unmasked close", frame(CLOSE, masked=False), code=1002),
        Case("length without end", b"\x82\xff" + b"\xff" * 8 + MASK, code=1009),
    ]


def _ping(number: int) -> bytes:
    return frame(PING, b"%d" % number)


def _control() -> list[Case]:
    return [
        *(
            Case(f"ping of {len(payload)}", frame(PING, payload) + END, pongs=[payload])
            for payload in (b"", b"hello", b"\0\xff\xfe", b"\xfe" * 125)
        ),
        Case("ping of 126", frame(PING, b"x" * 126), code=1002),
        Case("pong of 126", frame(PONG, b"x" * 126), code=1002),
        Case("unsolicited pong", frame(PONG, b"x") + END),
        Case("pong before ping", frame(PONG, b"x") + frame(PING, b"y") + END, pongs=[b"y"]),
        Case("ten pings", b"".join(map(_ping, range(10))) + END, pongs=[b"%d" % number for number in range(10)]),
        Case("ping in fragments", frame(PING, b"a", fin=False) + frame(CONT, b"b"), code=1002),
        Case("pong in fragments", frame(PONG, b"a", fin=False) + frame(CONT, b"b"), code=1002),
        Case("close in fragments", frame(CLOSE, b"", fin=False), code=1002),
    ]  # fmt: skip


def _reserved() -> list[Case]:
    return [
        *(Case(f"reserved bits {bits} of {opcode}", frame(opcode, b"a", rsv=bits), code=1002)
          for bits in range(1, 8) for opcode in (TEXT, BINARY, PING)),
        *(Case(f"reserved opcode {opcode} with {len(payload)}", frame(opcode, payload), code=1002)
          for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15) for payload in (b"", b"hello")),
    ]  # fmt: skip


def _fragments() -> list[Case]:
    first, last = frame(TEXT, b"frag", fin=False), frame(CONT, b"ment")
    return [
        Case("two fragments", first + last + END, ["fragment"]),
        Case("fragments of bytes", frame(BINARY, b"\xff", fin=False) + frame(CONT, b"\xfe") + END, [b"\xff\xfe"]),
        Case("empty fragments", frame(TEXT, fin=False) + frame(CONT, fin=False) + frame(CONT) + END, [""]),
        Case("only the middle has content",
             frame(TEXT, fin=False) + frame(CONT, b"mid", fin=False) + frame(CONT) + END, ["mid"]),
        Case("many fragments", first + frame(CONT, b"1", fin=False) * 98 + last + END, ["frag" + "1" * 98 + "ment"]),
        Case("a ping between fragments", first + frame(PING, b"p") + last + END, ["fragment"], [b"p"]),
        Case("pings everywhere",
             frame(PING, b"1") + first + frame(PING, b"2") + frame(PONG) + last + frame(PING, b"3") + END,
             ["fragment"], [b"1", b"2", b"3"]),
        Case("two messages in fragments", (first + last) * 2 + END, ["fragment"] * 2),
        Case("nothing to continue", last, code=1002),
        Case("nothing to continue, no end", frame(CONT, b"x", fin=False), code=1002),
        Case("continued after its end", first + last + last, ["fragment"], code=1002),
        Case("text within a message", first + frame(TEXT, b"x"), code=1002),
        Case("bytes within a message", first + frame(BINARY, b"x"), code=1002),
        Case("a close between fragments", first + END),
    ]  # fmt: skip


_GOOD: Final = [
    "κόσμε", "Hello-µ@ßöäüàá-UTF-8!!", "\0", "\x7f", "\x80", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufffd",
    "\uffff", "\U00010000", "\U0010ffff", "\ufeffbom",
]  # fmt: skip
_BAD: Final = {
    "lone continuation": b"\x80",
    "all continuations": bytes(range(0x80, 0xC0)),
    "cut off after one of two": b"\xc3",
    "cut off after two of three": b"\xe2\x82",
    "cut off after three of four": b"\xf0\x9f\x98",
    "overlong slash": b"\xc0\xaf",
    "overlong of three": b"\xe0\x80\xaf",
    "overlong of four": b"\xf0\x80\x80\xaf",
    "surrogate": b"\xed\xa0\x80",
    "pair of surrogates": b"\xed\xa0\x80\xed\xb0\x80",
    "above the last": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "fe": b"\xfe",
    "ff": b"\xff",
    "good, then bad": "κόσμε".encode() + b"\xed\xa0\x80edited",
}


def _text() -> list[Case]:
    cases = [Case(f"good text {text!a}", frame(TEXT, text.encode()) + END, [text]) for text in _GOOD]
    for text in _GOOD[:2]:
        octets = text.encode()
        pieces = frame(TEXT, octets[:1], fin=False)
        pieces += b"".join(frame(CONT, octets[at : at + 1], fin=False) for at in range(1, len(octets)))
        cases.append(Case(f"good text byte by byte {text!a}", pieces + frame(CONT) + END, [text]))
    for name, octets in _BAD.items():
        cases += [
            Case(f"bad text: {name}", frame(TEXT, octets), code=1007),
            Case(f"bad text: {name}, then more", frame(TEXT, octets) + frame(PING) + END, code=1007),
            Case(
                f"bad text at the end: {name}", frame(TEXT, b"a", fin=False) + frame(CONT, octets), code=1007
            ),
            Case(f"no text: {name}", frame(BINARY, octets) + END, [octets]),
        ]
    return [
        *cases,
        Case("bad text fails before its end", frame(TEXT, b"a\xff", fin=False), code=1007),
        Case("bad text fails with its fragment",
             frame(TEXT, "ß".encode()[:1], fin=False) + frame(CONT, b"a", fin=False), code=1007),
        Case("a character in two fragments", frame(TEXT, b"\xc3", fin=False) + frame(CONT, b"\x9f") + END, ["ß"]),
    ]  # fmt: skip


def _closing() -> list[Case]:
    good = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
    bad = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]
    return [
        *(Case(f"close with {code}", close(code), code=code) for code in good),
        *(Case(f"close with {code}", close(code), code=1002) for code in bad),
        Case("close without a code", frame(CLOSE), code=None),
        Case("close of one byte", frame(CLOSE, b"\x03"), code=1002),
        Case("close with the longest reason", close(1000, b"x" * 123)),
        Case("close with too long a reason", close(1000, b"x" * 124), code=1002),
        Case("close with bad text", close(1000, b"\xff"), code=1007),
        Case("two closes", END + close(1001)),
        Case("a ping after the close", END + frame(PING, b"x")),
        Case("a message after the close", END + frame(TEXT, b"x")),
        Case("rubbish after the close", END + b"\xff" * 100),
    ]


CASES: Final = [*_framing(), *_control(), *_reserved(), *_fragments(), *_text(), *_closing()]


def server_frames(data: bytes) -> list[tuple[int, bytes]]:
    """The frames of a server, as opcode and payload; strict: none is masked, reserved or in fragments."""
    frames = []
    while data:
        assert data[0] & 0xF0 == 0x80, f"expected a final frame without reserved bits, got {data[0]:#x}"
        opcode, size, at = data[0] & 15, data[1], 2
        assert size < 128, "expected no mask from a server"
        if size == 126:
            size, at = int.from_bytes(data[2:4]), 4
        elif size == 127:
            size, at = int.from_bytes(data[2:10]), 10
        assert len(data) >= at + size, "expected a whole frame"
        frames.append((opcode, data[at : at + size]))
        data = data[at + size :]
    return frames


def check(case: Case, data: bytes, *, messages: bool = True) -> None:
    """Was `data` the right answer? Without `messages`, echoes are not looked at."""
    frames = server_frames(data)
    echoes = [
        payload.decode() if code == TEXT else payload for code, payload in frames if code in (TEXT, BINARY)
    ]
    if messages:
        assert echoes == case.echoes
    assert [payload for opcode, payload in frames if opcode == PONG] == case.pongs
    opcode, payload = frames[-1]
    assert opcode == CLOSE
    assert [opcode for opcode, _ in frames].count(CLOSE) == 1
    assert (int.from_bytes(payload[:2]) if payload else None) == case.code
