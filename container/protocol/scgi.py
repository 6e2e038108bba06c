"""SCGI and the protocol of uWSGI, from the side of the web server: the variables of a request as bytes. No I/O.

Both send variables, then content, on a connection of its own, and read the answer to its end. Variables are encoded
in parts, which may be kept, and put together for each request. Text is latin-1.
"""

import struct
from collections.abc import Mapping


def encode_scgi_part(variables: Mapping[str, str]) -> bytes:
    """Some variables; CONTENT_LENGTH is left out. Raises ValueError where a value holds a NUL."""
    entries = [f"{name}\0{value}\0" for name, value in variables.items() if name != "CONTENT_LENGTH"]
    text = "".join(entries)
    if text.count("\0") != 2 * len(entries):
        raise ValueError("expected no NUL in the variables of a request")
    return text.encode("latin-1")


def encode_scgi(parts: bytes, length: int) -> bytes:
    """A netstring of names and values, the length of the content first (SCGI 1)."""
    block = b"CONTENT_LENGTH\0%d\0SCGI\x001\0%b" % (length, parts)
    return b"%d:%b," % (len(block), block)


def encode_uwsgi_part(variables: Mapping[str, str]) -> bytes:
    """Some variables, each text after its length in 16 bits. Raises ValueError for one of more than 65 535 bytes."""
    return b"".join([_sized(text.encode("latin-1")) for pair in variables.items() for text in pair])


def encode_uwsgi(parts: bytes) -> bytes:
    """A packet of modifier 0. Raises ValueError when the variables take more than 65 535 bytes."""
    if len(parts) > 0xFFFF:
        raise ValueError(f"expected at most 65535 bytes of variables, got {len(parts)}")
    return struct.pack("<BHB", 0, len(parts), 0) + parts


def _sized(data: bytes) -> bytes:
    if len(data) > 0xFFFF:
        raise ValueError(f"expected at most 65535 bytes in a variable, got {len(data)}")
    return struct.pack("<H", len(data)) + data
