"""Running a WSGI application on the loop itself, for one that is known never to block.

Saves two changes of thread; nothing else is served while the application runs, and what it hands to
`write()` is not held back for a slow client.
"""

from collections.abc import Iterable, Iterator
from itertools import chain

from container.resources.wsgi.call import WSGICall


class InlineCall(WSGICall):
    """One run of an application on the loop."""

    __slots__ = ()

    def run(self) -> None:
        result: Iterable[bytes] = ()
        try:
            result = self.begin()
            if result.__class__ is list or result.__class__ is tuple:
                self._send_whole(result)
                self._answer()
                _close(result)
            else:
                self._send_pieces(result)
        except BaseException as error:  # noqa: BLE001  # the application's code, SystemExit included
            _close(result)
            self._fail(error)

    def _answer(self) -> None:
        if self.exchange.started:
            self.exchange.end()
        else:
            assert self.block is not None, "checked by _send_whole"
            self.exchange.reply(self.status, self.block, self.whole or b"", self.reason)

    def _send_pieces(self, result: Iterable[bytes]) -> None:
        """The head waits for the first piece; the exchange sends the rest as the client reads."""
        pieces = iter(result)
        first = next((data for data in pieces if data), b"")
        if self.block is None:
            raise RuntimeError("expected the application to call start_response before its first content")
        if not self.exchange.started:
            self.exchange.start(self.status, self.block, self.reason)
        self.exchange.stream(_Pieces(chain([first], pieces), result))

    def _send(self, data: bytes) -> None:
        if self.block is not None and not self.exchange.started:
            self.exchange.start(self.status, self.block, self.reason)
        self.exchange.write(data)


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
