"""Content that lies in a file: a part of it, read where it lies (RFC 9110 8.6).

A FileBody is the body of a Response. An exchange may send it without reading it (`channel/sendfile.py`); for
everybody else it is an iterable of bytes. Which part of a file is wanted is decided in `selection.py`.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from os import PathLike
from typing import BinaryIO, Final

# Read at a time.
PIECE: Final = 128 * 1024
# A fifo without writer must not stop the loop, a terminal must not become ours.
_OPEN: Final = (
    os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0)
)


def open_file(path: str | bytes | PathLike[str], *, dir_fd: int | None = None, flags: int = 0) -> int:
    """A descriptor to read `path` with, which never blocks in being opened. Raises OSError."""
    return os.open(path, _OPEN | flags, dir_fd=dir_fd)


def lies_inside(fd: int, roots: Sequence[bytes]) -> bool:
    """Does the open file lie below one of the directories, wherever links may have led?"""
    try:
        where = os.readlink(b"/proc/self/fd/%d" % fd)
    except OSError:  # no Linux, or no /proc
        import fcntl

        where = fcntl.fcntl(fd, getattr(fcntl, "F_GETPATH", 50), bytes(1024)).partition(b"\0")[0]
    for root in roots:
        real = os.path.realpath(root or b"/")
        if where == real or where.startswith(real.rstrip(b"/") + b"/"):
            return True
    return False


class FileBody:
    """`count` bytes of a file from `offset` on. Owns the descriptor `fd`, until `close`.

    Never more and never less than `count`: a file that has grown is cut, one that has shrunk raises EOFError,
    so that the client does not take it for complete.
    """

    __slots__ = ("_fd", "count", "offset")

    def __init__(self, fd: int, offset: int, count: int) -> None:
        self._fd = fd
        self.offset = offset
        self.count = count

    @classmethod
    def of(
        cls,
        file: str | PathLike[str] | int | BinaryIO,
        *,
        offset: int | None = None,
        count: int | None = None,
    ) -> "FileBody":
        """A part of a regular file, given as its path, a descriptor or a file object, which stay the caller's.

        Without `offset` from the beginning, or from where a file object stands; without `count` to the end.
        Raises OSError when it cannot be opened, ValueError when it is no regular file or has no such part.
        """
        if isinstance(file, (str, PathLike)):
            fd = open_file(file)
        else:
            if offset is None and not isinstance(file, int):
                offset = file.tell()
            fd = os.dup(file if isinstance(file, int) else file.fileno())
        body = cls(fd, offset or 0, 0)
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"expected a regular file, got {file!r}")
        rest = status.st_size - body.offset
        body.count = max(0, rest) if count is None else count
        if not 0 <= body.count <= max(0, rest) or body.offset < 0:
            raise ValueError(f"expected a part of {status.st_size} bytes, got {count} from {offset}")
        return body

    def fileno(self) -> int:
        """The descriptor; -1 when it is closed. Its own position means nothing."""
        return self._fd

    def narrow(self, start: int, count: int) -> None:
        """Keep only `count` bytes from `start` on, counted from where it begins now."""
        assert 0 <= start <= start + count <= self.count, "narrow() to a part"
        self.offset += start
        self.count = count

    def read(self, start: int, size: int) -> bytes:
        """Up to `size` bytes from `start` on, at least one. Raises EOFError where the file has shrunk."""
        data = os.pread(self._fd, min(size, self.count - start), self.offset + start)
        if not data and start < self.count:
            raise EOFError(f"expected {self.count} bytes in a file, got {start}: it has shrunk")
        return data

    def pieces(self, start: int, count: int) -> Iterator[bytes]:
        """The `count` bytes from `start` on, in pieces."""
        end = start + count
        while start < end:
            data = self.read(start, min(PIECE, end - start))
            start += len(data)
            yield data

    def __iter__(self) -> Iterator[bytes]:
        return self.pieces(0, self.count)

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    # For the answers that never reach a channel: the client left, or a hook failed, before they were begun.
    __del__ = close


class PartsBody:
    """Parts of a file, or of bytes, each after a few bytes that introduce it. Owns the file."""

    __slots__ = ("_file", "_parts", "_tail", "count")

    def __init__(self, file: FileBody | bytes, parts: Sequence[tuple[bytes, int, int]], tail: bytes) -> None:
        """`parts`: introduction, start and count of each."""
        self._file = file
        self._parts = parts
        self._tail = tail
        self.count = sum(len(head) + count for head, _, count in parts) + len(tail)

    def __iter__(self) -> Iterator[bytes]:
        for head, start, count in self._parts:
            yield head
            if isinstance(self._file, bytes):
                yield self._file[start : start + count]
            else:
                yield from self._file.pieces(start, count)
        yield self._tail

    def close(self) -> None:
        if not isinstance(self._file, bytes):
            self._file.close()
