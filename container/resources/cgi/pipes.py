"""The pipes of a script beside its output: content on its way in, words of standard error on their way to the log.

Callbacks on the loop, as in `call.py`, where its output becomes the answer.
"""

import asyncio
import os
import tempfile
from collections.abc import Callable
from typing import BinaryIO, Final

from container.message.exchange import Exchange
from container.resources.cgi.words import Words

PIECE: Final = 64 * 1024
_CLOSED: Final = -1


class ContentPipe:
    """Passes on content while the client still sends (RFC 3875 4.2). Owns `fd`, the end to write to; `moved` is called
    when the script has taken some."""

    __slots__ = ("_exchange", "_fd", "_loop", "_moved", "_pending")

    def __init__(self, exchange: Exchange, fd: int, moved: Callable[[], None]) -> None:
        os.set_blocking(fd, False)
        self._exchange = exchange
        self._fd = fd
        self._moved = moved
        self._loop = asyncio.get_running_loop()
        self._pending = b""

    def feed(self) -> None:
        """Pass on what has come, as far as the script takes it; go on by itself with what comes later."""
        body = self._exchange.request.body
        while self._fd != _CLOSED:
            if not self._pending:
                self._pending = body.take(PIECE)
            if not self._pending:
                if body.complete:
                    self.close()
                elif body.error is None and not self._exchange.gone:
                    self._exchange.when_readable(self.feed)
                return  # with an error the exchange is about to end
            try:
                written = os.write(self._fd, self._pending)
            except BlockingIOError:
                self._loop.add_writer(self._fd, self._feed_on)
                return
            except OSError:  # it reads no more
                self.close()
                return
            self._pending = self._pending[written:]
            self._moved()

    def _feed_on(self) -> None:
        self._loop.remove_writer(self._fd)
        self.feed()

    def close(self) -> None:
        if self._fd != _CLOSED:
            self._loop.remove_writer(self._fd)
            os.close(self._fd)
            self._fd = _CLOSED
            self._pending = b""


class ErrorPipe:
    """Has `words` hear what comes. Owns `fd`, the end to read from. That of a short run is read at its end."""

    __slots__ = ("_fd", "_is_listening", "_loop", "_words")

    def __init__(self, fd: int, words: Words) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._words = words
        self._loop = asyncio.get_running_loop()
        self._is_listening = False

    def listen(self) -> None:
        """From now on read what comes as it comes."""
        if self._fd != _CLOSED and not self._is_listening:
            self._is_listening = True
            self._loop.add_reader(self._fd, self._read)

    def finish(self) -> None:
        """The script has ended: read what is left, but wait for no other process that holds the pipe open."""
        if self._fd != _CLOSED:
            self._read()
            self.close()

    def _read(self) -> None:
        try:
            data = os.read(self._fd, PIECE)
        except BlockingIOError:
            return
        if data:
            self._words.feed(data)
        else:
            self.close()

    def close(self) -> None:
        if self._fd != _CLOSED:
            if self._is_listening:
                self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = _CLOSED
            self._words.finish()


def as_file(content: BinaryIO) -> int:
    """A descriptor of complete content, at its beginning, for another process. Raises OSError."""
    try:
        return os.dup(content.fileno())
    except OSError:  # it is in memory
        data = content.read()
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("content")
    else:
        with tempfile.TemporaryFile(prefix="container-") as temporary:
            fd = os.dup(temporary.fileno())
    try:
        while data:
            data = data[os.write(fd, data) :]
        os.lseek(fd, 0, os.SEEK_SET)
    except OSError:
        os.close(fd)
        raise
    return fd
