"""The gzip coding (RFC 1952): by zlib, or by zlib-ng where that is installed, in about half the time."""

import zlib
from typing import Final

from container.encoders.levels import check_level
from container.message.encoding import Compressor

try:
    from zlib_ng.zlib_ng import compressobj
except ImportError:
    from zlib import compressobj  # type: ignore[assignment]  # the same, but for a type name

# 15: the largest window; 16 more: in the frame of gzip, whose time stamp stays 0.
_GZIP: Final = 15 + 16


class Gzip:
    """gzip at `level`, 1 (fast) to 9 (small)."""

    name = "gzip"

    def __init__(self, *, level: int = 6) -> None:
        self.level = check_level("gzip", level, 1, 9)

    def make(self) -> Compressor:
        return _GzipCompressor(self.level)

    def __repr__(self) -> str:
        return f"Gzip(level={self.level})"


class _GzipCompressor:
    __slots__ = ("_stream", "compress")

    def __init__(self, level: int) -> None:
        self._stream = compressobj(level, zlib.DEFLATED, _GZIP)
        self.compress = self._stream.compress

    def flush(self) -> bytes:
        return self._stream.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._stream.flush()
