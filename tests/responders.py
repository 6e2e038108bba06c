"""Responders for tests: programs on a socket that read what a server sends by FastCGI, and say what a test wants."""

from __future__ import annotations

import socketserver
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from container.protocol import fastcgi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """A peer that leaves is none."""


@contextmanager
def peer(serve: Callable[[Any], None]) -> Iterator[str]:
    """Where `serve(connection)` is called for every connection, in a thread."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            serve(self)

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def pairs(data: bytes) -> dict[str, str]:
    """FastCGI's names and values."""
    found, at = {}, 0

    def length() -> int:
        nonlocal at
        size = data[at]
        if size < 128:
            at += 1
            return size
        at += 4
        return int(struct.unpack(">I", data[at - 4 : at])[0]) & 0x7FFF_FFFF

    while at < len(data):
        name, value = length(), length()
        found[data[at : at + name].decode("latin-1")] = data[at + name : at + name + value].decode("latin-1")
        at += name + value
    return found


class Records:
    """Cuts a stream into records: their types, request ids and contents."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        self._held += data
        while len(self._held) >= 8:
            version, kind, request_id, size, padding = struct.unpack_from(">BBHHBx", self._held)
            assert version == 1
            if len(self._held) < 8 + size + padding:
                return
            content, self._held = self._held[8 : 8 + size], self._held[8 + size + padding :]
            yield kind, request_id, content


class Asked:
    """One request as a FastCGI responder has read it."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.id = 0
        self.params = self.stdin = b""
        reader = Records()
        kinds = []
        while True:
            data = connection.request.recv(65_536)
            if not data:
                raise ConnectionError
            for kind, self.id, content in reader.feed(data):
                kinds.append(kind)
                if kind == fastcgi.PARAMS:
                    self.params += content
                elif kind == fastcgi.STDIN:
                    self.stdin += content
                    if not content:
                        assert kinds[0] == fastcgi.BEGIN_REQUEST
                        return

    @property
    def variables(self) -> dict[str, str]:
        return pairs(self.params)

    def say(self, data: bytes, kind: int = fastcgi.STDOUT, *, request_id: int | None = None) -> None:
        self.connection.request.sendall(
            fastcgi.encode_stream(kind, data, self.id if request_id is None else request_id)
        )

    def end(self, status: int = 0) -> None:
        self.say(struct.pack(">IB3x", 0, status), fastcgi.END_REQUEST)


def responder(answer: Callable[[Asked], Any]) -> Callable[[Any], None]:
    """Serves request after request of a connection with `answer`, which may end it by raising."""

    def serve(connection: Any) -> None:
        while True:
            answer(Asked(connection))

    return serve


class AskedPlainly:
    """One request as a program of SCGI or of uWSGI's protocol has read it; its answer ends with the connection."""

    def __init__(self, connection: Any, read: Callable[[Any], dict[str, str]]) -> None:
        self.connection = connection
        self.variables = read(connection.rfile)
        self.stdin = connection.rfile.read(int(self.variables.get("CONTENT_LENGTH") or 0))

    def say(self, data: bytes) -> None:
        self.connection.wfile.write(data)

    def end(self) -> None:
        """It will be closed."""


def read_scgi(file: Any) -> dict[str, str]:
    """The variables of a request by SCGI."""
    size = b""
    while (byte := file.read(1)) != b":":
        size += byte
    block = file.read(int(size))
    assert file.read(1) == b","
    parts = block[:-1].decode("latin-1").split("\0")
    assert parts[0] == "CONTENT_LENGTH"
    return dict(zip(parts[::2], parts[1::2], strict=True))


def read_uwsgi(file: Any) -> dict[str, str]:
    """Those of one by uWSGI's protocol."""
    modifier, size, _ = struct.unpack("<BHB", file.read(4))
    assert modifier == 0
    block, texts, at = file.read(size), [], 0
    while at < size:
        length = struct.unpack_from("<H", block, at)[0]
        texts.append(block[at + 2 : at + 2 + length].decode("latin-1"))
        at += 2 + length
    return dict(zip(texts[::2], texts[1::2], strict=True))


def program(
    answer: Callable[[AskedPlainly], Any], read: Callable[[Any], dict[str, str]]
) -> Callable[[Any], None]:
    """Serves the one request of a connection with `answer`."""
    return lambda connection: answer(AskedPlainly(connection, read))
