"""A client that sends what a test says, byte by byte, and reads strictly what comes back (RFC 9112).

Every wait has a bound; what a lenient client would repair is an AssertionError.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from dataclasses import dataclass, field
from typing import Self

TIMEOUT_S = 10.0
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ([\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?|)")


@dataclass(frozen=True)
class Answer:
    """A final response; `interim` are the statuses that came before it, `complete` whether it has its end."""

    status: int
    reason: str
    fields: list[tuple[str, str]]
    body: bytes
    complete: bool = True
    interim: list[int] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """The values of a field, in order."""
        return [value for each, value in self.fields if each.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """The value of a field that comes once."""
        values = self.all(name)
        assert len(values) < 2, f"expected one {name}, got {values}"
        return values[0] if values else None


class Peer:
    """One connection to a server on this machine."""

    def __init__(self, port: int, *, receive_buffer: int = 0) -> None:
        self._socket = socket.socket()
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(TIMEOUT_S)
        self._socket.connect(("127.0.0.1", port))
        self._data = b""
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
        """Send as much as the server takes before it closes; how much that was."""
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < len(data):
                sent += self._socket.send(data[sent : sent + 65536])
        return sent

    def end(self) -> None:
        """Send no more, but go on reading."""
        self._socket.shutdown(socket.SHUT_WR)

    def leave(self) -> None:
        """Close, as a client does that is no longer interested."""
        self._socket.close()

    def break_off(self) -> None:
        """Close by a reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    # In.

    def answer(self, method: str = "GET") -> Answer:
        """The next final response, to a request with `method`."""
        interim = []
        while True:
            status, reason, fields = self._head()
            if status >= 200 or status == 101:
                break
            interim.append(status)
        body, complete = self._content(method, status, fields)
        return Answer(status, reason, fields, body, complete, interim)

    def answers(self, count: int) -> list[Answer]:
        return [self.answer() for _ in range(count)]

    def everything(self) -> bytes:
        """All that comes until the server closes."""
        while self._receive():
            pass
        data, self._data = self._data, b""
        return data

    def some(self, until: bytes = b"") -> bytes:
        """What comes, at least up to `until`; it is not used up."""
        while not (until in self._data if until else self._data):
            assert self._receive(), f"expected {until!r}, got {self._data!r} and the end"
        return self._data

    def is_silent(self, seconds: float = 0.1) -> bool:
        """Does nothing come for a while? A short wait: what would come is on this machine."""
        self._socket.settimeout(seconds)
        try:
            return not self._data and not self._receive() and False
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(TIMEOUT_S)

    def is_closed(self) -> bool:
        """Has the server closed, with nothing more to read? Waits for it."""
        return not self._data and not self._receive()

    # Inside.

    def _receive(self) -> bool:
        if not self.ended:
            try:
                data = self._socket.recv(262_144)
            except ConnectionError:
                self.was_reset = True
                data = b""
            self._data += data
            self.ended = not data
        return not self.ended

    def _line(self) -> bytes:
        while b"\r\n" not in self._data:
            assert self._receive(), f"expected a line, got {self._data[:80]!r} and the end"
        line, self._data = self._data.split(b"\r\n", 1)
        return line

    def _head(self) -> tuple[int, str, list[tuple[str, str]]]:
        line = self._line()
        match = _STATUS_LINE.fullmatch(line)
        assert match, f"expected a status line, got {line!r}"
        fields = []
        while line := self._line():
            field_match = _FIELD.fullmatch(line)
            assert field_match, f"expected a field line, got {line!r}"
            fields.append((field_match[1].decode(), field_match[2].decode("latin-1")))
        return int(match[1]), match[2].decode("latin-1"), fields

    def _content(self, method: str, status: int, fields: list[tuple[str, str]]) -> tuple[bytes, bool]:
        """The content and whether it is complete (RFC 9112 6.3)."""
        lengths = [value for name, value in fields if name.lower() == "content-length"]
        codings = [value for name, value in fields if name.lower() == "transfer-encoding"]
        assert len(lengths) + len(codings) <= 1, f"expected one framing, got {lengths} and {codings}"
        if method == "HEAD" or status in (204, 304):
            assert not codings, f"expected no coding without content, got {codings}"
            return b"", True
        if lengths:
            return self._exactly(int(lengths[0]))
        if codings:
            assert codings == ["chunked"]
            return self._chunks()
        body = self.everything()
        return body, not self.was_reset

    def _exactly(self, size: int) -> tuple[bytes, bool]:
        while len(self._data) < size and self._receive():
            pass
        body, self._data = self._data[:size], self._data[size:]
        return body, len(body) == size

    def _chunks(self) -> tuple[bytes, bool]:
        body = b""
        try:
            while size := int(self._line(), 16):
                piece, complete = self._exactly(size)
                body += piece
                if not complete:
                    return body, False
                assert self._line() == b"", "expected CRLF after a chunk"
            assert self._line() == b"", "expected no trailers"
        except AssertionError:
            if not self.ended:
                raise
            return body, False
        return body, True
