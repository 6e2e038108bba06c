"""One request in the words of each protocol, and what the bytes of its answer are."""

from collections.abc import Mapping
from typing import Final, Protocol

from container.client.responder import AnswerBytes, PlainBytes
from container.protocol import fastcgi
from container.protocol.scgi import encode_scgi, encode_scgi_part, encode_uwsgi, encode_uwsgi_part


class Dialect(Protocol):
    """How a responder is asked. `abort` says that nobody waits for the answer any more."""

    abort: bytes

    def reader(self) -> AnswerBytes:
        """What finds the answer to one request."""

    def whole(self, data: bytes) -> bytes:
        """The answer, when `data` is easily seen to be all of one."""

    def part(self, variables: Mapping[str, str]) -> bytes:
        """Some of the variables. Raises ValueError for what the protocol cannot say."""

    def begin(self, head: bytes, client: bytes, length: int) -> bytes:
        """All that comes before content of `length` bytes, from two parts of variables. Raises ValueError."""

    def ask(self, head: bytes, client: bytes) -> bytes:
        """A request without content. Raises ValueError."""

    def content(self, data: bytes) -> bytes:
        """A piece of the content; nothing for its end."""


_END: Final = fastcgi.END_OF_PARAMS + fastcgi.END_OF_CONTENT


class FastCGI:
    """Records; a connection may be asked again."""

    abort = fastcgi.ABORT
    reader = fastcgi.RecordReader
    whole = staticmethod(fastcgi.whole_answer)
    part = staticmethod(fastcgi.encode_variables)

    def begin(self, head: bytes, client: bytes, length: int) -> bytes:
        return b"".join((fastcgi.BEGIN, head, client, fastcgi.END_OF_PARAMS))

    def ask(self, head: bytes, client: bytes) -> bytes:
        return b"".join((fastcgi.BEGIN, head, client, _END))

    def content(self, data: bytes) -> bytes:
        return fastcgi.encode_stream(fastcgi.STDIN, data) if data else fastcgi.END_OF_CONTENT


class SCGI:
    """A netstring, content, and an answer up to the end of the stream."""

    abort = b""
    reader = PlainBytes
    part = staticmethod(encode_scgi_part)

    def whole(self, data: bytes) -> bytes:
        return b""

    def begin(self, head: bytes, client: bytes, length: int) -> bytes:
        return encode_scgi(head + client, length)

    def ask(self, head: bytes, client: bytes) -> bytes:
        return self.begin(head, client, 0)

    def content(self, data: bytes) -> bytes:
        return data


class UWSGI(SCGI):
    """A packet in place of the netstring."""

    part = staticmethod(encode_uwsgi_part)

    def begin(self, head: bytes, client: bytes, length: int) -> bytes:
        return encode_uwsgi(head + client)
