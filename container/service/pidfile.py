"""The file that tells the process id: written once the sockets are open, removed at the end."""

from __future__ import annotations

import logging
import os
import re
import stat
from typing import Final

log = logging.getLogger("container.server")

_PID: Final = re.compile(rb"[0-9]{1,10}")


class PidfileProblem(Exception):
    """A pidfile of a living process, or one that cannot be written. The message is one line."""


class Pidfile:
    """One file, of this process, from `write` to `remove`.

    A file whose process has ended is replaced; so is one that names this very process, as the first process of
    a container finds after a crash. The directory stays open: it is found also after a chroot.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self._directory = -1
        self._name = os.path.basename(self.path)
        self._file = -1

    def check(self) -> None:
        """PidfileProblem for a place where there can be none, whoever runs now."""
        directory = os.path.dirname(self.path)
        if not os.path.isdir(directory):
            reason = "not a directory" if os.path.lexists(directory) else "no such file or directory"
            raise PidfileProblem(f"cannot write the pidfile {self.path!r}: {reason}")
        if os.path.lexists(self.path) and not os.path.isfile(self.path):
            raise PidfileProblem(f"expected a file as pidfile {self.path!r}, got something else")

    def write(self, uid: int | None = None, gid: int | None = None) -> None:
        """Write the id, in a file that belongs to whom the process will become."""
        try:
            self._directory = os.open(os.path.dirname(self.path), os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._file = self._create()
            except FileExistsError:
                self._remove_stale()
                self._file = self._create()
            if os.geteuid() == 0 and (uid is not None or gid is not None):
                os.fchown(self._file, -1 if uid is None else uid, -1 if gid is None else gid)
            os.write(self._file, f"{os.getpid()}\n".encode("ascii"))
        except OSError as error:
            self._close()
            reason = (error.strerror or str(error)).lower()
            raise PidfileProblem(f"cannot write the pidfile {self.path!r}: {reason}") from error
        except PidfileProblem:
            self._close()
            raise

    def remove(self) -> None:
        """Remove the file, unless another process has replaced it. Without the right to, leave it empty."""
        if self._file < 0:
            return
        try:
            found = os.stat(self._name, dir_fd=self._directory, follow_symlinks=False)
            if os.path.samestat(found, os.fstat(self._file)):
                os.unlink(self._name, dir_fd=self._directory)
        except FileNotFoundError:
            pass
        except OSError as error:  # a directory of root's, whose rights were given up
            os.ftruncate(self._file, 0)
            log.warning("pidfile %s was left behind, empty: %s", self.path, error.strerror)
        finally:
            self._close()

    def _create(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return os.open(self._name, flags, 0o644, dir_fd=self._directory)

    def _remove_stale(self) -> None:
        file = os.open(self._name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self._directory)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise PidfileProblem(f"expected a file as pidfile {self.path!r}, got something else")
            text = os.read(file, 64).strip()
        finally:
            os.close(file)
        if text and not _PID.fullmatch(text):
            got = text.decode("utf-8", "replace")
            raise PidfileProblem(f"expected a process id in the pidfile {self.path!r}, got {got!r}")
        if text and int(text) != os.getpid() and is_alive(int(text)):
            raise PidfileProblem(f"another server is running, pid {int(text)} in {self.path!r}")
        log.info("pidfile %s of a process that has ended is replaced", self.path)
        os.unlink(self._name, dir_fd=self._directory)

    def _close(self) -> None:
        for descriptor in (self._file, self._directory):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._directory = -1


def is_alive(pid: int) -> bool:
    """Is there a process of that id, whoever's it may be?"""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return pid > 0
