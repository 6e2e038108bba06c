"""The zstd coding (RFC 8878), by Python's own library from 3.14 on, else by its backport: extra `zstd`."""

import sys

from container.encoders.levels import MissingLibrary, check_level
from container.message.encoding import Compressor

try:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
except ImportError:
    zstd = None  # type: ignore[assignment]  # so that the module can tell what is missing


class Zstd:
    """zstd at `level`, 1 (fast) to 19 (small): above, the window outgrows what browsers take (RFC 9659).

    Raises MissingLibrary.
    """

    name = "zstd"

    def __init__(self, *, level: int = 3) -> None:
        if zstd is None:
            raise MissingLibrary("Zstd", "backports.zstd", "zstd")
        self.level = check_level("zstd", level, 1, 19)

    def make(self) -> Compressor:
        return _ZstdCompressor(self.level)

    def __repr__(self) -> str:
        return f"Zstd(level={self.level})"


class _ZstdCompressor:
    __slots__ = ("_stream", "compress")

    def __init__(self, level: int) -> None:
        self._stream = zstd.ZstdCompressor(level)
        self.compress = self._stream.compress

    def flush(self) -> bytes:
        return self._stream.flush(zstd.ZstdCompressor.FLUSH_BLOCK)

    def finish(self) -> bytes:
        return self._stream.flush()
