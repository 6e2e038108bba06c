"""From a safe path to an open file: indexes, left-out extensions, overlays, links.

A file is opened first and asked afterwards, so what is served is what was looked at.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from typing import Final, Literal

from container.message.file_body import lies_inside, open_file

Links = Literal["follow", "inside", "refuse"]

# On the way to a file it is enough to pass through a directory: the right to list it is not needed.
_DIRECTORY: Final = (
    getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_PATH", os.O_RDONLY)
)
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)

# Names that lead nowhere, names that this file system cannot hold, sockets and dead devices.
MISSING: Final = frozenset({
    errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EILSEQ,
    errno.ENXIO, errno.ENODEV, errno.ESTALE,
})  # fmt: skip
FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM})
EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


class Found:
    """What a path leads to. `path` is where it lies, `below` the same without the root. Owns `fd`."""

    __slots__ = ("below", "fd", "path", "status")

    def __init__(self, fd: int, status: os.stat_result, root: bytes, below: bytes) -> None:
        self.fd = fd
        self.status = status
        self.path = root + below
        self.below = below

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.status.st_mode)

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    __del__ = close


class Finder:
    """Looks up paths below `roots`; what is not in the first may be in the next.

    `index`: names tried in order for a directory. `ignored`: extensions that a URL may leave out, tried in
    order when no file has its exact name; `*` stands for all others, in alphabetical order. `links`: see Files.
    """

    def __init__(
        self, roots: Sequence[bytes], index: Sequence[bytes], ignored: Sequence[bytes], links: Links
    ) -> None:
        self.roots = [root.rstrip(b"/") for root in roots]
        self._index = index
        self._ignored = ignored
        self._links = links

    def find(self, below: bytes) -> Found:
        """The file or directory of a safe path; that of one with a trailing slash is its index, or else the
        directory. Raises OSError: that of the first overlay which has more to say than "missing"."""
        failure: OSError | None = None
        directory: Found | None = None
        for root in self.roots:
            try:
                found = self._find_index(root, below) if below.endswith(b"/") else self._find(root, below)
            except OSError as error:
                if failure is None or failure.errno in MISSING:
                    failure = error
                continue
            if not found.is_directory:
                return found
            directory = directory or found
        if directory is not None:
            return directory
        assert failure is not None, "a finder has roots"
        raise failure

    def open(self, root: bytes, below: bytes) -> Found:
        """Exactly the file or directory at `below`. Raises OSError."""
        if self._links == "refuse" and below:
            fd = self._open_confined(root, below)
        else:
            fd = open_file(root + below or b"/")
        try:
            if self._links == "inside" and not lies_inside(fd, [root]):
                raise OSError(errno.ENOENT, "a link that leads out")
            status = os.fstat(fd)
        except BaseException:
            os.close(fd)
            raise
        return Found(fd, status, root, below)

    def _find(self, root: bytes, below: bytes) -> Found:
        try:
            return self.open(root, below)
        except OSError as error:
            if error.errno != errno.ENOENT or not self._ignored:
                raise
            for name in self._with_extension(root, below):
                try:
                    found = self.open(root, name)
                except OSError as second:
                    if second.errno not in MISSING:
                        raise
                    continue
                if found.is_file:
                    return found
            raise

    def _find_index(self, root: bytes, below: bytes) -> Found:
        for name in self._index:
            try:
                found = self._find(root, below + name)
            except OSError as error:
                if error.errno not in MISSING:
                    raise
                continue
            if found.is_file:
                return found
        try:
            found = self.open(root, below[:-1])
        except OSError as error:
            if below == b"/" and error.errno in FORBIDDEN:  # it may be entered though it may not be read
                raise FileNotFoundError(errno.ENOENT, "no index") from error
            raise
        if not found.is_directory:  # nothing lies below a file
            raise NotADirectoryError(errno.ENOTDIR, "a file with a slash")
        return found

    def _with_extension(self, root: bytes, below: bytes) -> Iterator[bytes]:
        for extension in self._ignored:
            if extension != b"*":
                yield below + extension
                continue
            folder, _, name = below.rpartition(b"/")
            try:
                siblings = sorted(os.listdir(root + folder + b"/"))
            except OSError:
                return
            yield from (folder + b"/" + each for each in siblings if each.startswith(name + b"."))

    def _open_confined(self, root: bytes, below: bytes) -> int:
        """Open segment by segment, so that no link is followed even while somebody changes the tree."""
        *parents, name = below[1:].split(b"/")
        here = os.open(root or b"/", _DIRECTORY)
        try:
            for parent in parents:
                inner = os.open(parent, _DIRECTORY | _NO_LINK, dir_fd=here)
                os.close(here)
                here = inner
            return open_file(name, dir_fd=here, flags=_NO_LINK)
        finally:
            os.close(here)
