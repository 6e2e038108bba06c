"""The brotli coding (RFC 7932), by the library of its authors: extra `brotli`."""

from container.encoders.levels import MissingLibrary, check_level
from container.message.encoding import Compressor

try:
    import brotli
except ImportError:
    brotli = None


class Brotli:
    """brotli at `level`, 0 (fast) to 11 (small, for what is compressed once). Raises MissingLibrary."""

    name = "br"

    def __init__(self, *, level: int = 4) -> None:
        if brotli is None:
            raise MissingLibrary("Brotli", "brotli", "brotli")
        self.level = check_level("brotli", level, 0, 11)

    def make(self) -> Compressor:
        return _BrotliCompressor(self.level)

    def __repr__(self) -> str:
        return f"Brotli(level={self.level})"


class _BrotliCompressor:
    __slots__ = ("compress", "finish", "flush")

    def __init__(self, level: int) -> None:
        stream = brotli.Compressor(quality=level)
        self.compress = stream.process
        self.flush = stream.flush
        self.finish = stream.finish
