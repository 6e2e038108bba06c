"""Running a WSGI application on the loop itself, for one that is known never to block.

Saves two changes of thread; nothing else is served while the application runs, and what it hands to
`write()` is not held back for a slow client.
"""

from collections.abc import Iterable, Iterator
from itertools import chain

from container.message.notes import current
from container.resources.wsgi.call import WSGICall
from container.resources.wsgi.streams import FileWrapper


class InlineCall(WSGICall):
    """One run of an application on the loop."""

    __slots__ = ()

    def run(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001  # the application's code, SystemExit included
            self._fail(error)
        if self.exchange.request.notes is not None:
            current.set(None)

    def _run(self) -> None:
        result = self.begin()
        pieces: _Pieces | None = None
        try:
            if result.__class__ is list or result.__class__ is tuple:
                self._send_whole(result)
                self._answer()
            elif result.__class__ is FileWrapper and self._take_file(result):
                self._answer()
            else:
                pieces = self._first_of(result)
        finally:
            if pieces is None:
                _close(result)
        if pieces is not None:
            self.exchange.stream(pieces)

    def _answer(self) -> None:
        if self.file is not None:
            self._send_file(self.file)
        elif self._streaming:
            self.exchange.end()
        else:
            assert self.block is not None, "checked by _send_whole"
            self.exchange.reply(self.status, self.block, self.whole or b"", self.reason)

    def _first_of(self, result: Iterable[bytes]) -> "_Pieces":
        """The head waits for the first piece; the exchange sends it and the rest as the client reads."""
        pieces = iter(result)
        first = next((data for data in pieces if data), b"")
        if self.block is None:
            raise RuntimeError("expected the application to call start_response before its first content")
        self._start()
        return _Pieces(chain([first], pieces), result)

    def _send(self, data: bytes) -> None:
        self._start()
        self.exchange.write(data)

    def _start(self) -> None:
        if not self._streaming:
            assert self.block is not None, "write() came from start_response"
            self.exchange.start(self.status, self.block, self.reason)
            self._streaming = True


class _Pieces:
    """The rest of an answer, which closes the application's own iterable."""

    def __init__(self, pieces: Iterator[bytes], result: Iterable[bytes]) -> None:
        self._pieces = pieces
        self._result = result

    def __iter__(self) -> Iterator[bytes]:
        for data in self._pieces:
            if data.__class__ is not bytes:
                raise TypeError(f"expected bytes from the application, got {type(data).__name__}")
            if data:
                yield data

    def close(self) -> None:
        _close(self._result)


def _close(result: Iterable[bytes]) -> None:
    close = getattr(result, "close", None)
    if close is not None:
        close()
