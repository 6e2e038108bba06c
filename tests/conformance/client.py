"""A client that sends what a test says, byte by byte, and reads strictly what comes back (RFC 9112).

Every wait has a bound; what a lenient client would repair is an AssertionError.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from dataclasses import dataclass, field
from typing import Final, Self

PATIENCE_S: Final = 10.0
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.1 ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)")
_ANY_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01]" + _STATUS_LINE.pattern.removeprefix(rb"HTTP/1\.1"))
_FIELD: Final = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ((?:[\x21-\x7e\x80-\xff][\t\x20-\x7e\x80-\xff]*)?)"
)
# Of SO_LINGER: to close is to reset.
RESET: Final = struct.pack("ii", 1, 0)
# How the end of the content is told (RFC 9112 6.3).
_LENGTH, _CHUNKED, _CLOSE = "length", "chunked", "close"


class NoAnswer(AssertionError):  # a test that fails, not an error of it
    """The server closed the connection before the head of a response was complete."""


@dataclass(frozen=True)
class Head:
    """The start of a response; the names of its fields are in lower case, `fields` are all of them."""

    status: int
    reason: str
    fields: list[tuple[str, str]]

    @property
    def headers(self) -> dict[str, str]:
        """The fields by name; of one that is repeated, the values as a list."""
        headers: dict[str, str] = {}
        for name, value in self.fields:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return headers


@dataclass(frozen=True)
class Response(Head):
    """A final response. `interim` are the 1xx heads before it, `complete` whether its content has its end."""

    body: bytes = b""
    complete: bool = True
    interim: list[Head] = field(default_factory=list)


class Client:
    """One connection to a port of this machine; `window_bytes` is what its kernel keeps unread.

    `any_version`: answers may be of HTTP/1.0 too, as some servers give them to clients of that version.
    """

    def __init__(self, port: int, *, window_bytes: int = 0, any_version: bool = False) -> None:
        self._status_line = _ANY_STATUS_LINE if any_version else _STATUS_LINE
        self._socket = socket.socket()
        if window_bytes:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window_bytes)
        self._socket.settimeout(PATIENCE_S)
        self._socket.connect(("127.0.0.1", port))
        self._data = b""
        self._framing = _LENGTH
        self._left = 0
        self._complete = True
        self.received = b""
        self.ended = False
        self.was_reset = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    # Out.

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._socket.sendall(piece)

    def send_as_taken(self, data: bytes) -> int:
        """Send as much as the server takes until it closes; how much that was."""
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < len(data):
                sent += self._socket.send(data[sent : sent + 65_536])
        return sent

    def half_close(self) -> None:
        """Send no more, but go on reading."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the connection off."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._socket.close()

    # In.

    def head(self, method: str = "GET") -> Head:
        """The next head, interim or final, of an answer to `method`. Raises NoAnswer."""
        line = self._line()
        match = self._status_line.fullmatch(line)
        assert match, f"expected a status line, got {line!r}"
        fields = []
        while line := self._line():
            field_match = _FIELD.fullmatch(line)
            assert field_match, f"expected a field line, got {line!r}"
            fields.append((field_match[1].decode().lower(), field_match[2].decode("latin-1")))
        head = Head(int(match[1]), match[2].decode("latin-1"), fields)
        self._begin(method, head)
        return head

    def piece(self) -> bytes:
        """More of the content: a chunk of it, or what has come; b"" at its end."""
        if self._complete:
            return b""
        if self._framing == _CHUNKED:
            return self._chunk()
        while not self._data and self._receive():
            pass
        piece = self._data[: self._left] if self._framing == _LENGTH else self._data
        self._data = self._data[len(piece) :]
        self._left -= len(piece)
        if self._framing == _LENGTH:
            self._complete = not self._left
        else:
            self._complete = self.ended and not self.was_reset
        return piece

    def response(self, method: str = "GET") -> Response:
        """The next final response, to a request with `method`. Raises NoAnswer."""
        interim = []
        while 100 <= (head := self.head(method)).status < 200:
            interim.append(head)
        pieces = list(iter(self.piece, b""))
        return Response(head.status, head.reason, head.fields, b"".join(pieces), self._complete, interim)

    @property
    def is_complete(self) -> bool:
        """Has the content that was being read come to its end?"""
        return self._complete

    def rest(self) -> bytes:
        """All that comes until the server closes."""
        while self._receive():
            pass
        data, self._data = self._data, b""
        return data

    def is_silent(self, seconds: float = 0.1) -> bool:
        """Does nothing come for a moment?"""
        self._socket.settimeout(seconds)
        try:
            return not self._data and not self._receive() and False
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(PATIENCE_S)

    # Inside.

    def _receive(self) -> bool:
        """Wait for more; False at the end of the connection."""
        if not self.ended:
            try:
                data = self._socket.recv(262_144)
            except ConnectionError:
                self.was_reset = True
                data = b""
            self._data += data
            self.received += data[
                : max(0, 1_000_000 - len(self.received))
            ]  # endless answers shall not fill memory
            self.ended = not data
        return not self.ended

    def _line(self) -> bytes:
        while b"\r\n" not in self._data:
            if not self._receive():
                raise NoAnswer(f"expected a line, got {self._data[:80]!r} and the end")
        line, self._data = self._data.split(b"\r\n", 1)
        return line

    def _begin(self, method: str, head: Head) -> None:
        lengths = [value for name, value in head.fields if name == "content-length"]
        codings = [value for name, value in head.fields if name == "transfer-encoding"]
        assert len(lengths) + len(codings) <= 1, f"expected one framing, got {lengths} and {codings}"
        assert codings in ([], ["chunked"]), f"expected chunked as the only coding, got {codings}"
        self._framing = _CHUNKED if codings else _LENGTH if lengths else _CLOSE
        self._left = int(lengths[0]) if lengths else 0
        if method == "HEAD" or head.status < 200 or head.status in (204, 304):
            self._framing, self._left = _LENGTH, 0
        self._complete = self._framing == _LENGTH and not self._left

    def _chunk(self) -> bytes:
        """The rest of a chunk, whole; b"" at the last one, or where the connection ends."""
        try:
            size = int(self._line(), 16)
            while len(self._data) < size + 2 and self._receive():
                pass
            piece, self._data = self._data[:size], self._data[size:]
            if len(piece) < size:
                return piece
            assert self._line() == b"", "expected CRLF after a chunk, and no trailers"
        except NoAnswer:
            return b""
        self._complete = not size
        return piece
