"""One request in the words of each protocol: what is sent, and what the answer's bytes are."""

from collections.abc import Callable, Mapping
from typing import Protocol

from container.protocol import fastcgi
from container.protocol.fastcgi import BadRecord, RecordReader
from container.protocol.scgi import encode_scgi, encode_uwsgi

OUT, ERRORS, END = range(3)
Event = tuple[int, bytes]


class Refused(Exception):
    """The responder does not want the request now; the message is for the log."""


class Frame(Protocol):
    """The request of one connection."""

    reusable: bool  # the connection may carry another after this one's END

    def begin(self, variables: Mapping[str, str]) -> bytes:
        """All that comes before the content. Raises ValueError for what the protocol cannot say."""

    def content(self, data: bytes) -> bytes:
        """A piece of the content."""

    def finish(self) -> bytes:
        """The end of the content."""

    def abort(self) -> bytes:
        """Nobody waits for the answer any more."""

    def feed(self, data: bytes) -> list[Event]:
        """What the responder has said: OUT, ERRORS, END. Raises BadRecord, Refused."""


class FastCGIFrame:
    """Records with the id of this request; others, of one that was given up, are not listened to."""

    reusable = True

    def __init__(self, request_id: int = 1) -> None:
        self._id = request_id
        self._reader = RecordReader()

    def begin(self, variables: Mapping[str, str]) -> bytes:
        if any("\0" in value for value in variables.values()):
            raise ValueError("expected no NUL in the variables of a request")
        return fastcgi.encode_begin(self._id, variables, keep=True)

    def content(self, data: bytes) -> bytes:
        return fastcgi.encode_stream(fastcgi.STDIN, self._id, data)

    def finish(self) -> bytes:
        return fastcgi.encode_record(fastcgi.STDIN, self._id)

    def abort(self) -> bytes:
        return fastcgi.encode_record(fastcgi.ABORT_REQUEST, self._id)

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        for kind, request_id, content in self._reader.feed(data):
            if request_id != self._id:
                continue
            if kind == fastcgi.STDOUT:
                events.append((OUT, content))
            elif kind == fastcgi.STDERR:
                events.append((ERRORS, content))
            elif kind == fastcgi.END_REQUEST:
                _, status = fastcgi.parse_end(content)
                if status:
                    raise Refused(f"it {fastcgi.REFUSALS.get(status, f'refused with status {status}')}")
                events.append((END, b""))
                break
            else:
                raise BadRecord(f"expected STDOUT, STDERR or END_REQUEST, got a record of type {kind}")
        return events


class StreamFrame:
    """Variables, content, and an answer up to the end of the stream."""

    reusable = False

    def __init__(self, encode: Callable[[Mapping[str, str]], bytes]) -> None:
        self.begin = encode

    def content(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""

    def abort(self) -> bytes:
        return b""

    def feed(self, data: bytes) -> list[Event]:
        return [(OUT, data)]


def scgi_frame() -> StreamFrame:
    return StreamFrame(encode_scgi)


def uwsgi_frame() -> StreamFrame:
    return StreamFrame(encode_uwsgi)
