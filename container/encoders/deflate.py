"""The deflate coding (RFC 1950, 1951; RFC 9110 8.4.1.2): for clients that know nothing better."""

import zlib

from container.encoders.levels import check_level
from container.message.encoding import Compressor


class Deflate:
    """deflate, in the zlib format the standard means, at `level`, 1 (fast) to 9 (small)."""

    name = "deflate"

    def __init__(self, *, level: int = 6) -> None:
        self.level = check_level("deflate", level, 1, 9)

    def make(self) -> Compressor:
        return _DeflateCompressor(self.level)

    def __repr__(self) -> str:
        return f"Deflate(level={self.level})"


class _DeflateCompressor:
    __slots__ = ("_stream", "compress")

    def __init__(self, level: int) -> None:
        self._stream = zlib.compressobj(level)
        self.compress = self._stream.compress

    def flush(self) -> bytes:
        return self._stream.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._stream.flush()
