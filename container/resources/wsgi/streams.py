"""The streams of an environ: `wsgi.errors`, `wsgi.file_wrapper`, and `wsgi.input` of content still on its way.

Content that is complete is read from a BytesIO or a temporary file and needs nothing of this.
"""

import io
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from tempfile import _TemporaryFileWrapper
from typing import BinaryIO

from container.message.errors import ClientDisconnected
from container.message.exchange import Exchange

log = logging.getLogger("container.wsgi.errors")


class ErrorStream(io.TextIOBase):
    """`wsgi.errors`: every line becomes one record of the server's log, whole lines per thread."""

    def __init__(self) -> None:
        self._begun = threading.local()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"expected text for wsgi.errors, got {type(text).__name__}")
        *lines, rest = (getattr(self._begun, "text", "") + text).split("\n")
        for line in lines:
            log.error("%s", line)
        self._begun.text = rest
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]  # typeshed speaks of bytes too
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        rest = getattr(self._begun, "text", "")
        if rest:
            self._begun.text = ""
            log.error("%s", rest)


class FileWrapper:
    """`wsgi.file_wrapper`: the pieces of a file-like object, closed with the response."""

    def __init__(self, file: BinaryIO, block_size: int = 65536) -> None:
        self.file = file
        self.block_size = block_size

    def plain_file(self) -> BinaryIO | None:
        """The file itself, if what it reads are the bytes that its descriptor leads to.

        That it has a descriptor is not enough: a GzipFile has that of what it unpacks.
        """
        file = getattr(self.file, "file", None) if isinstance(self.file, _TemporaryFileWrapper) else self.file
        raw = file.raw if isinstance(file, io.BufferedReader | io.BufferedRandom) else file
        return file if isinstance(raw, io.FileIO) else None

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.file.read(self.block_size), b"")

    def close(self) -> None:
        close = getattr(self.file, "close", None)
        if close is not None:
            close()


class LazyInput(io.RawIOBase):
    """`wsgi.input` of a request that waits to be asked for its content (`Expect: 100-continue`).

    The first read asks. Reading blocks its thread until bytes come; content that is cut short raises
    ClientDisconnected instead of looking like its end. Wrapped in a BufferedReader for the full file API.
    """

    def __init__(self, exchange: Exchange, on_loop: Callable[[Callable[[], None]], object]) -> None:
        self._exchange = exchange
        self._on_loop = on_loop
        self._arrived = threading.Semaphore(0)
        self._data = b""
        self._taken = 0

    def readable(self) -> bool:
        return True

    # In the application's thread.

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # BufferedReader passes a memoryview
        if not self._data:
            self._on_loop(self._ask)
            self._arrived.acquire()
        body = self._exchange.request.body
        if not self._data and not (body.complete and self._taken == body.received):
            raise body.error or ClientDisconnected("the client left before the end of its request")
        size = min(len(buffer), len(self._data))
        buffer[:size] = self._data[:size]
        self._data = self._data[size:]
        return size

    # On the loop.

    def _ask(self) -> None:
        self._exchange.when_readable(self._take)

    def _take(self) -> None:
        self._data = self._exchange.request.body.take()
        self._taken += len(self._data)
        self._arrived.release()
