"""Files that lines are appended to, and how they are opened anew after something has renamed them.

Several processes may write to one file or pipe: whole lines leave in one call of the system, so they never mix.
"""

import io
import logging
import os
import select
import stat
from contextlib import suppress
from typing import Final
from weakref import WeakSet

log = logging.getLogger("container.server")

_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
# What is written to a pipe in one piece up to this size is not mixed with what others write.
PIPE_BUF: Final[int] = getattr(select, "PIPE_BUF", 512)


class LogFile(io.TextIOBase):
    """A file that lines are appended to, and that `reopen_logs` opens anew after it was renamed. OSError."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = os.path.abspath(path)  # found again wherever the process goes
        self._file = os.open(self._path, _FLAGS, 0o666)
        _files.add(self)

    def write(self, text: str) -> int:
        """At once: nothing is kept back."""
        if self.closed:
            raise ValueError("expected a file that is open, got one that was closed")
        data = text.encode("utf-8", "backslashreplace")
        while data:
            data = data[os.write(self._file, data) :]
        return len(text)

    def fileno(self) -> int:
        return self._file

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.close(self._file)

    def reopen(self) -> None:
        """The old file stays in use when there cannot be a new one: OSError."""
        if self.closed:
            return
        file = os.open(self._path, _FLAGS, 0o666)
        try:
            _give_as(file, self._file)
            os.dup2(
                file, self._file, inheritable=False
            )  # whoever writes in this moment hits one or the other
        finally:
            os.close(file)


class OutputPipe:
    """Standard output where it is a pipe: what is written in pieces that the system does not divide (PIPE_BUF)."""

    def __init__(self, file: int = 1) -> None:
        self._file = file

    def write(self, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        while data:
            end = len(data) if len(data) <= PIPE_BUF else data.rfind(b"\n", 0, PIPE_BUF) + 1
            piece = data[: end or PIPE_BUF]
            data = data[os.write(self._file, piece) :]

    def flush(self) -> None:
        pass

    @staticmethod
    def fits(file: int) -> bool:
        try:
            return stat.S_ISFIFO(os.fstat(file).st_mode)
        except OSError:
            return False


_files: WeakSet[LogFile] = WeakSet()


def give_logs(uid: int | None, gid: int | None) -> None:
    """Let the user that the process is about to become open its log files again, when it is root's to say so."""
    if os.name != "posix" or os.geteuid() != 0 or uid is None:
        return
    files = [file.fileno() for file in _files if not file.closed]
    for handler in _file_handlers():
        if (stream := handler.stream) is not None:
            with suppress(OSError, ValueError, AttributeError):  # it may be of any make
                files.append(stream.fileno())
    for file in files:
        if stat.S_ISREG(os.fstat(file).st_mode):
            os.fchown(file, uid, -1 if gid is None else gid)


def _give_as(file: int, old: int) -> None:
    """Whoever was given the old file shall be able to open the one in its place, too."""
    if os.name == "posix" and os.geteuid() == 0:
        was = os.fstat(old)
        os.fchown(file, was.st_uid, was.st_gid)


def reopen_logs() -> None:
    """Open all log files again by their names: what rotates logs has renamed them. On the loop."""
    for file in list(_files):
        try:
            file.reopen()
        except OSError as error:
            log.error("the log stays where it was: %s", error)
    for handler in _file_handlers():
        try:
            _reopen(handler)
        except OSError as error:
            log.error("a log of the application stays where it was: %s", error)


def _reopen(handler: logging.FileHandler) -> None:
    """Not by closing it: one that was to begin its file anew ("w") takes no records then."""
    handler.acquire()
    try:
        if handler.stream is not None:  # else the next record opens it
            stream = open(handler.baseFilename, "a", encoding=handler.encoding, errors=handler.errors)  # noqa: SIM115
            with suppress(OSError, ValueError, AttributeError):  # the stream there was may be of any make
                _give_as(stream.fileno(), handler.stream.fileno())
            if (old := handler.setStream(stream)) is not None:
                old.close()
    finally:
        handler.release()


def _file_handlers() -> list[logging.FileHandler]:
    """Those of the application and of a file for logging.config, also behind others that hold records back."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = [each for logger in loggers if isinstance(logger, logging.Logger) for each in logger.handlers]
    for each in handlers:  # it grows meanwhile
        behind = [getattr(each, "target", None), *getattr(getattr(each, "listener", None), "handlers", ())]
        handlers += [
            other for other in behind if isinstance(other, logging.Handler) and other not in handlers
        ]
    return [each for each in dict.fromkeys(handlers) if isinstance(each, logging.FileHandler)]
