"""The WSGI application of the drills: what it does is in the path.

/                answers at once
/digest          reads the whole content and answers its size and SHA-256
/stream/MIB      so many MiB in pieces of 64 KiB
/wait/MS         takes so long
/counts          streams begun and closed so far
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIEnvironment

BLOCK: Final = 256 * 1024
PIECE: Final = bytes(range(256)) * 256
PIECES_PER_MIB: Final = (1 << 20) // len(PIECE)
counts = {"begun": 0, "closed": 0}


class Stream:
    """Counts its end: `close` comes exactly once, whatever the client does (PEP 3333)."""

    def __init__(self, mib: int) -> None:
        counts["begun"] += 1
        self._left = mib * PIECES_PER_MIB

    def __iter__(self) -> Iterator[bytes]:
        while self._left:
            self._left -= 1
            yield PIECE

    def close(self) -> None:
        counts["closed"] += 1


def digest(environ: WSGIEnvironment, argument: str) -> Iterable[bytes]:
    found, size, content = hashlib.sha256(), 0, environ["wsgi.input"]
    while data := content.read(BLOCK):
        found.update(data)
        size += len(data)
    return [f"{size} {found.hexdigest()}".encode()]


def stream(environ: WSGIEnvironment, argument: str) -> Iterable[bytes]:
    return Stream(int(argument))


def wait(environ: WSGIEnvironment, argument: str) -> Iterable[bytes]:
    time.sleep(int(argument) / 1000)
    return [b"waited"]


def tell(environ: WSGIEnvironment, argument: str) -> Iterable[bytes]:
    return [json.dumps(counts).encode()]


def greet(environ: WSGIEnvironment, argument: str) -> Iterable[bytes]:
    return [b"ok"]


DRILLS: Final[dict[str, Callable[[dict[str, Any], str], Iterable[bytes]]]] = {
    "": greet, "digest": digest, "stream": stream, "wait": wait, "counts": tell,
}  # fmt: skip


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    name, _, argument = environ["PATH_INFO"].strip("/").partition("/")
    content = DRILLS[name](environ, argument)
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return content
