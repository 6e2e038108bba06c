"""SCGI and the protocol of uWSGI, from the side of the web server: the variables of a request as bytes. No I/O.

Both send variables, then content, on a connection of its own, and read the answer to its end.
"""

import struct
from collections.abc import Mapping


def encode_scgi(variables: Mapping[str, str]) -> bytes:
    """A netstring of names and values, CONTENT_LENGTH first (SCGI 1). Text is latin-1.

    Raises ValueError where a value holds a NUL.
    """
    ordered = {"CONTENT_LENGTH": variables.get("CONTENT_LENGTH") or "0", "SCGI": "1"} | {
        name: value for name, value in variables.items() if name != "CONTENT_LENGTH"
    }
    parts = [part for pair in ordered.items() for part in pair]
    text = "\0".join(parts) + "\0"
    if text.count("\0") != len(parts):
        raise ValueError("expected no NUL in the variables of a request")
    block = text.encode("latin-1")
    return b"%d:%s," % (len(block), block)


def encode_uwsgi(variables: Mapping[str, str]) -> bytes:
    """A packet of modifier 0: names and values, each after its length in 16 bits. Text is latin-1.

    Raises ValueError when they take more than 65 535 bytes.
    """
    block = b"".join([_sized(text.encode("latin-1")) for pair in variables.items() for text in pair])
    if len(block) > 0xFFFF:
        raise ValueError(f"expected at most 65535 bytes of variables, got {len(block)}")
    return struct.pack("<BHB", 0, len(block), 0) + block


def _sized(data: bytes) -> bytes:
    if len(data) > 0xFFFF:
        raise ValueError(f"expected at most 65535 bytes in a variable, got {len(data)}")
    return struct.pack("<H", len(data)) + data
