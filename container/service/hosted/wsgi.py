"""A Site as a WSGI application (PEP 3333): its loop runs in a thread, and a2wsgi carries each request there and back.

What a2wsgi gets wrong is seen to in front of it: paths and queries that are no UTF-8, content without a length, content
that ends early, a client that leaves while it is answered, a process that forks after the import.
"""

import asyncio
import atexit
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias, cast
from urllib.parse import quote, unquote_to_bytes

from container.message.errors import ClientDisconnected, ProtocolError
from container.message.response import Response
from container.message.status import reason
from container.service.hosted.asgi import WSGI_HOST, HostedSite
from container.service.hosted.exchange import AnswerBroken
from container.service.hosted.incoming import Receive
from container.service.hosted.outbox import Send
from container.service.server import SITE_STOP_S, as_site
from container.tree.resource import Resource
from container.tree.site import Site

if TYPE_CHECKING:
    from a2wsgi import ASGIMiddleware

log = logging.getLogger("container.hosted")

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., object]

_CALL: Final = "container.hosted"
_PIECE: Final = 64 * 1024
_SAFE: Final = "/:@!$&'()*+,;=~-._"


def as_wsgi(site: Resource) -> "HostedWSGISite":
    """A Site, or any resource as the root of one, as an application for WSGI servers. Needs `a2wsgi`: RuntimeError."""
    try:
        import a2wsgi  # noqa: F401  # an error now, not with the first request
    except ImportError as error:
        raise RuntimeError(
            'expected a2wsgi to be installed: pip install "container-server[wsgi-host]"'
        ) from error
    return HostedWSGISite(as_site(site))


class HostedWSGISite:
    """What a WSGI server calls, from any of its threads. The loop and the resources begin with the first request
    of a process, so the host may fork before it; they end with the process, or with `close`."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._app = HostedSite(site)
        self._lock = threading.Lock()
        self._pid = 0
        self._bridge: ASGIMiddleware | None = None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        bridge = self._bridge if self._pid == os.getpid() else None
        if bridge is None:
            bridge = self._begin()
        try:
            inner = self._understood(environ)
        except ProtocolError as error:
            return _refuse(self.site.refuse(error), start_response)
        return _Answer(bridge, inner, start_response)

    # The loop.

    def _begin(self) -> "ASGIMiddleware":
        """Make the loop of this process and start the site on it. Raises what its resources raise."""
        from a2wsgi import ASGIMiddleware

        with self._lock:
            if self._bridge is not None and self._pid == os.getpid():
                return self._bridge
            loop = asyncio.new_event_loop()
            threading.Thread(target=_run, args=(loop,), name="container-loop", daemon=True).start()
            app = HostedSite(self.site)
            try:
                asyncio.run_coroutine_threadsafe(app.start(), loop).result()
            except BaseException:
                loop.call_soon_threadsafe(loop.stop)
                raise
            self._app = app
            self._bridge = ASGIMiddleware(cast(Any, self._serve), loop=loop)
            self._pid = os.getpid()
            # Earlier than atexit: resources may want threads to stop, and those end before it.
            register: Callable[..., object] = getattr(threading, "_register_atexit", atexit.register)
            register(self.close)
            return self._bridge

    def close(self) -> None:
        """Stop the resources and end the loop of this process."""
        with self._lock:
            bridge, self._bridge = self._bridge, None
            if bridge is None or self._pid != os.getpid():
                return
            try:
                asyncio.run_coroutine_threadsafe(self._app.stop(), bridge.loop).result(SITE_STOP_S)
            except Exception:  # resources are the application's code
                log.exception("the site did not stop")
            bridge.loop.call_soon_threadsafe(bridge.loop.stop)

    async def _serve(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """In the loop: what a2wsgi calls."""
        call: _Call = scope["wsgi_environ"][_CALL]
        call.task = asyncio.current_task()
        await self._app(scope | call.scope, receive, send)

    # The environ.

    def _understood(self, environ: Environ) -> Environ:
        """The environ for a2wsgi, without what it stumbles over. Raises ProtocolError."""
        script, path = (environ.get(key, "").encode("latin-1") for key in ("SCRIPT_NAME", "PATH_INFO"))
        root = script.decode("utf-8", "replace").rstrip("/")
        scope = {
            "path": root + path.decode("utf-8", "replace"),
            "raw_path": _raw_path(environ, script.rstrip(b"/"), path),
            "root_path": root,
            "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
            "extensions": {WSGI_HOST: {}},
        }
        inner = {name: value for name, value in environ.items() if value != "" or name == "REMOTE_ADDR"}
        port = str(environ.get("SERVER_PORT", ""))
        inner |= {
            "SCRIPT_NAME": "",
            "PATH_INFO": "/",
            "QUERY_STRING": "",
            "SERVER_PORT": port if port.isdecimal() else "80",
            "SERVER_NAME": environ.get("SERVER_NAME") or "localhost",
            _CALL: _Call(scope),
        }
        if not str(inner.get("REMOTE_PORT", "0")).isdecimal():
            del inner["REMOTE_PORT"]
        self._understand_content(environ, inner)
        return inner

    def _understand_content(self, environ: Environ, inner: Environ) -> None:
        length = environ.get("CONTENT_LENGTH") or ""
        if length and not (length.isascii() and length.isdecimal() and len(length) <= 19):
            raise ProtocolError(400, "expected digits as Content-Length")
        limit = self.site.limits.body
        if limit is not None and int(length or 0) > limit:
            raise ProtocolError(413, f"expected at most {limit} bytes of content")
        if not length and environ.get("HTTP_TRANSFER_ENCODING"):
            if not environ.get("wsgi.input_terminated"):
                raise ProtocolError(
                    411, "expected a Content-Length: this server cannot tell where content ends"
                )
            file, size = self._spooled(environ["wsgi.input"])
            inner["wsgi.input"] = inner[_CALL].file = file
            inner["CONTENT_LENGTH"] = str(size)
            del inner["HTTP_TRANSFER_ENCODING"]
        elif int(length or 0):
            inner["wsgi.input"] = _Input(environ["wsgi.input"])

    def _spooled(self, stream: BinaryIO) -> tuple[BinaryIO, int]:
        """All of the content, which ends by itself, and its length."""
        limits = self.site.limits
        file = tempfile.SpooledTemporaryFile(limits.spool_memory, prefix="container-")  # noqa: SIM115  # closed with the answer
        try:
            while data := stream.read(_PIECE):
                file.write(data)
                if limits.body is not None and file.tell() > limits.body:
                    raise ProtocolError(413, f"expected at most {limits.body} bytes of content")
        except BaseException:
            file.close()
            raise
        size = file.tell()
        file.seek(0)
        return cast(BinaryIO, file), size


class _Call:
    """One request on its way: what a2wsgi is not told, the task that answers, the file its content was put into."""

    def __init__(self, scope: dict[str, Any]) -> None:
        self.scope = scope
        self.task: asyncio.Task[Any] | None = None
        self.file: BinaryIO | None = None


class _Input:
    """`wsgi.input` of a host, for which an early end is an error: a2wsgi would ask again for ever."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if size and not data:
            raise ClientDisconnected("the content ended early")
        return data


class _Answer:
    """The pieces of an answer; `close` tells the tree that nobody reads any more."""

    def __init__(self, bridge: "ASGIMiddleware", environ: Environ, start_response: StartResponse) -> None:
        self._loop = bridge.loop
        self._call: _Call = environ[_CALL]
        self._start_response = start_response
        self._pieces = iter(bridge(cast(Any, environ), cast(Any, self._start)))
        self._started = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while True:
            try:
                piece = next(self._pieces)
            except StopIteration:
                self._check()
                raise
            except ClientDisconnected:
                self.close()
                if self._started:
                    raise
                # Nobody will read it, but a host wants an answer.
                self._start("400 Bad Request", [("Content-Length", "0")])
                raise StopIteration from None
            if piece:
                return piece

    def _check(self) -> None:
        """The pieces end, for a2wsgi also when the tree has just given an answer up: raise AnswerBroken then."""
        task = self._call.task
        if task is not None and task.done() and not task.cancelled():
            error = task.exception()
            if isinstance(error, AnswerBroken):
                raise error

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> object:
        self._started = True
        code = int(status[:3])
        return self._start_response(f"{code} {reason(code)}", headers, *([exc_info] if exc_info else []))

    def close(self) -> None:
        cast(Any, self._pieces).close()
        task = self._call.task
        if task is not None and not task.done():
            self._loop.call_soon_threadsafe(task.cancel)
        if self._call.file is not None:
            self._call.file.close()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


def _raw_path(environ: Environ, script: bytes, path: bytes) -> bytes:
    """The path as sent, where the host tells; else encoded anew."""
    target = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or "").encode("latin-1", "replace")
    raw = target.partition(b"?")[0]
    if raw.startswith(b"/") and unquote_to_bytes(raw) == script + path:
        return raw
    front = quote(script, safe=_SAFE).encode("ascii")
    if raw.startswith(b"/") and unquote_to_bytes(raw) == path:
        return front + raw
    return front + quote(path, safe=_SAFE).encode("ascii")


def _refuse(response: Response, start_response: StartResponse) -> list[bytes]:
    body = response.body
    assert isinstance(body, bytes), "refusals are whole"
    headers = [*response.headers.items(), ("Content-Length", str(len(body)))]
    start_response(f"{response.status} {reason(response.status)}", headers)
    return [body]
