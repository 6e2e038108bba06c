"""A Site as a FastCGI application: under web servers that ask nothing else of programs, shared hosting above all.

A service of an Application, on top of what runs a tree under ASGI servers. One request at a time on a connection; web
servers open as many as they need. Not here: records (protocol/fastcgi_server.py).
"""

import asyncio
import logging
import socket
from contextlib import suppress
from typing import Any, Final, cast
from urllib.parse import unquote

from container.channel.endpoints import Endpoint, listen_all, parse_endpoint
from container.protocol import fastcgi
from container.protocol.fastcgi import BadRecord, encode_record, encode_stream
from container.protocol.fastcgi_server import (
    CANNOT_MULTIPLEX,
    UNKNOWN_ROLE,
    Records,
    answer_management,
    decode_begin,
    decode_pairs,
    encode_end,
)
from container.service.application import Service
from container.service.hosted.asgi import HostedSite
from container.service.hosted.exchange import AnswerBroken
from container.service.hosted.incoming import Message
from container.service.server import as_site
from container.tree.resource import Resource

log = logging.getLogger("container.fastcgi")

_PARAMS_MAX: Final = 256 * 1024
_UNREAD_MAX: Final = 64 * 1024


class FastCGIServer(Service):
    """Serves a site to web servers by FastCGI: `application.add_service(FastCGIServer(site, "unix:/run/app.sock"))`.

    `addresses` as of `Application.serve`; `fd:0` is the socket that lighttpd and Apache's mod_fcgid start a program
    with. `grace`: seconds that requests have to end when it stops.
    """

    def __init__(self, site: Resource, *addresses: str | Endpoint, grace: float = 30.0) -> None:
        super().__init__("fastcgi")
        if not addresses:
            raise ValueError('expected an address such as "unix:/run/app.sock" or "fd:0", got none')
        self.hosted = HostedSite(as_site(site))
        self.connections: set[_Connection] = set()
        self.urls: list[str] = []
        self._endpoints = [parse_endpoint(each) if isinstance(each, str) else each for each in addresses]
        self._grace = grace
        self._sockets: list[tuple[Endpoint, socket.socket]] = []
        self._servers: list[asyncio.Server] = []

    def privileged_start(self) -> None:
        """Raises ListenError."""
        self._sockets = listen_all(self._endpoints)
        self.urls = [endpoint.describe(sock).replace("http:", "fastcgi:") for endpoint, sock in self._sockets]

    def withdraw(self) -> None:
        for endpoint, sock in self._sockets:
            endpoint.release(sock)
            sock.close()
        self._sockets.clear()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        await self.hosted.start()
        for _, sock in self._sockets:
            make = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
            self._servers.append(await make(lambda: _Connection(self), sock=cast(Any, sock)))
        log.info("serving FastCGI on %s", ", ".join(self.urls))

    async def stop(self) -> None:
        for endpoint, sock in self._sockets:
            endpoint.release(sock)
        self._sockets.clear()
        for server in self._servers:
            server.close()
        for connection in [*self.connections]:
            connection.finish()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._grace):
                await asyncio.gather(*(connection.lost.wait() for connection in self.connections))
        for connection in [*self.connections]:
            connection.transport.abort()
        await asyncio.sleep(0)  # transports close in the next turn
        await self.hosted.stop()


class _Connection(asyncio.Protocol):
    """One connection of a web server."""

    transport: asyncio.Transport

    def __init__(self, server: FastCGIServer) -> None:
        self.task: asyncio.Task[None] | None = None
        self._server = server
        self._records = Records()
        self._asked: _Asked | None = None
        self._id = 0
        self._keep = self._is_over = False
        self._params = b""
        self.lost = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._server.connections.discard(self)
        self.lost.set()
        self.writable.set()
        if self._asked is not None:
            self._asked.leave()

    def finish(self) -> None:
        """The server ends: close when all that was asked has been answered, and has left."""
        self._keep = False
        if self.task is None and not self._is_over:
            self.transport.close()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            for kind, request_id, content in self._records.feed(data):
                self._take(kind, request_id, content)
        except (BadRecord, ValueError) as error:
            log.warning("a web server was not understood: %s", error)
            self.transport.abort()

    def _take(self, kind: int, request_id: int, content: bytes) -> None:
        if not request_id:
            self.transport.write(answer_management(kind))
        elif kind == fastcgi.BEGIN_REQUEST:
            self._begin(request_id, content)
        elif request_id != self._id:
            pass  # of one that was refused, or answered already
        elif self._is_over:
            if kind == fastcgi.STDIN and not content:
                self.transport.close()
        elif kind == fastcgi.PARAMS and self._asked is None:
            self._params += content
            if len(self._params) > _PARAMS_MAX:
                raise BadRecord(f"expected at most {_PARAMS_MAX} bytes of variables")
            if not content:
                self._asked = _Asked(self, scope_of(decode_pairs(self._params)))
                self.task = asyncio.get_running_loop().create_task(self._answer(self._asked))
        elif kind == fastcgi.STDIN and self._asked is not None:
            self._asked.feed(content)
        elif kind == fastcgi.ABORT_REQUEST and self._asked is not None:
            self._asked.leave()

    def _begin(self, request_id: int, content: bytes) -> None:
        is_responder, keep = decode_begin(content)
        if self._id:
            self.transport.write(encode_end(request_id, CANNOT_MULTIPLEX))
        elif not is_responder:
            self.transport.write(encode_end(request_id, UNKNOWN_ROLE))
        else:
            self._id, self._keep, self._params = request_id, keep, b""

    async def _answer(self, asked: "_Asked") -> None:
        try:
            await self._server.hosted(asked.scope, asked.receive, asked.send)
        except AnswerBroken:
            self.transport.abort()  # the web server shall not take it for complete
            return
        except Exception:  # nothing of the tree's: that was answered
            log.exception("a request by FastCGI failed")
            self.transport.abort()
            return
        self._say(encode_record(fastcgi.STDOUT, b"", self._id) + encode_end(self._id))
        self._asked = self.task = None
        if not self._keep and asked.complete:
            self.transport.close()
            return
        if self._keep:
            self._id = 0
        else:  # a web server that still sends would break its answer off, were it cut
            self._is_over = True
        self.read_on()

    def read_on(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _say(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    async def say(self, data: bytes) -> None:
        """More of the answer. Raises OSError when the web server has gone."""
        if self.transport.is_closing():
            raise BrokenPipeError("the web server has left")
        self.transport.write(encode_stream(fastcgi.STDOUT, data, self._id))
        await self.writable.wait()


class _Asked:
    """One request in the words of ASGI: its scope, what receives its content, and what sends its answer."""

    def __init__(self, connection: _Connection, scope: Message) -> None:
        self.scope = scope
        self._connection = connection
        self._held = b""
        self.complete = self._told = self._left = False
        self._news = asyncio.Event()

    def feed(self, content: bytes) -> None:
        self._held += content
        self.complete = self.complete or not content
        if len(self._held) > _UNREAD_MAX:
            self._connection.transport.pause_reading()
        self._news.set()

    def leave(self) -> None:
        self._left = True
        self._news.set()

    async def receive(self) -> Message:
        while True:
            if self._left:
                return {"type": "http.disconnect"}
            if (self._held or self.complete) and not self._told:
                body, self._held = self._held, b""
                self._told = self.complete
                self._connection.read_on()
                return {"type": "http.request", "body": body, "more_body": not self.complete}
            self._news.clear()
            await self._news.wait()

    async def send(self, message: Message) -> None:
        if self._left:
            raise BrokenPipeError("the client has left")
        if message["type"] == "http.response.start":
            fields = [b"Status: %d" % message["status"], *map(b": ".join, message["headers"]), b"\r\n"]
            await self._connection.say(b"\r\n".join(fields))
        elif message["type"] == "http.response.body":
            await self._connection.say(message.get("body", b""))


def scope_of(variables: dict[str, str]) -> Message:
    """The scope of ASGI for the variables of a request by CGI (RFC 3875 4.1). Raises ValueError.

    The path is that of REQUEST_URI, as it was sent. SCRIPT_NAME is the mount point where the path is SCRIPT_NAME and
    PATH_INFO; others are the names of a file that the client has never heard of.
    """
    raw = variables.get("REQUEST_URI") or variables.get("SCRIPT_NAME", "") + variables.get("PATH_INFO", "")
    path, _, query = raw.partition("?")
    script, info = variables.get("SCRIPT_NAME", ""), variables.get("PATH_INFO", "")
    decoded = unquote(path, "latin-1")
    is_mounted = info.startswith("/") and decoded == script + info
    secure = variables.get("HTTPS", "").lower() in ("on", "1") or variables.get("REQUEST_SCHEME") == "https"
    fields = [
        (name.removeprefix("HTTP_").replace("_", "-").lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in variables.items()
        if (name.startswith("HTTP_") and name not in ("HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE"))
        or (name in ("CONTENT_LENGTH", "CONTENT_TYPE") and value)
    ]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": variables.get("SERVER_PROTOCOL", "HTTP/1.1").removeprefix("HTTP/"),
        "method": variables.get("REQUEST_METHOD", "GET"),
        "scheme": "https" if secure else "http",
        "path": _text(decoded),
        "raw_path": path.encode("latin-1"),
        "root_path": _text(script.rstrip("/")) if is_mounted else "",
        "query_string": query.encode("latin-1"),
        "headers": fields,
        "client": (variables.get("REMOTE_ADDR"), int(variables.get("REMOTE_PORT") or 0)),
        "server": (variables.get("SERVER_NAME"), int(variables.get("SERVER_PORT") or 80)),
        "extensions": {},
    }


def _text(latin: str) -> str:
    return latin.encode("latin-1").decode("utf-8", "replace")
