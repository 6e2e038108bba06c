"""One run of a WSGI application (PEP 3333): from its environ to `close()`.

Hot path. An application that returns a list, or one piece that its Content-Length announces, crosses from
the thread to the loop once; anything else streams, and its thread waits while the client does not read.
Each method says which thread calls it.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from io import BytesIO
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias

from container.message.body import EMPTY
from container.message.errors import ClientDisconnected
from container.message.exchange import Exchange
from container.message.fields import CLOSE, FieldBlock, Pair, encode_fields
from container.message.file_body import FileBody
from container.message.notes import Notes, current
from container.message.request import Request
from container.message.response import Response
from container.message.selection import answer_file
from container.message.status import reason as standard_reason
from container.resources.deadlines import Deadline
from container.resources.wsgi.environ import Environ, make_environ
from container.resources.wsgi.streams import FileWrapper
from container.sessions.apps import ThreadSession

if TYPE_CHECKING:
    from container.resources.wsgi.resource import WSGIResource

ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]
StartResponse: TypeAlias = Callable[..., Callable[[bytes], object]]
WSGIApplication: TypeAlias = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

# What a thread may have handed over that the client has not taken, in bytes.
WINDOW: Final = 128 * 1024
_STATUSES_MAX: Final = 256
_statuses: dict[str, tuple[int, str]] = {}
# Header lists that an application sends again and again, checked and encoded.
_blocks: dict[tuple[Pair, ...], FieldBlock] = {}
_BLOCKS_MAX: Final = 256
_BLOCK_SIZE: Final = 1024


class WSGICall:
    """The application is run by `run` in a thread; what it says is carried to the exchange by `delivered`.

    `status`, `reason` and `block` are what start_response was told; `whole` is the content of an answer that
    is complete, `file` the file it consists of; `error` what the application raised; `abandoned`: it took too
    long, and nobody waits for more.
    """

    __slots__ = (
        "_blocked", "_changed", "_finished", "_input", "_outstanding", "_pieces", "_streaming", "_waiting",
        "abandoned", "block", "deadline", "error", "exchange", "file", "reason", "replaced", "resource", "status",
        "whole",
    )  # fmt: skip

    def __init__(self, resource: "WSGIResource", exchange: Exchange) -> None:
        self.resource = resource
        self.exchange = exchange
        self.abandoned = False
        self.replaced = False
        self.deadline: Deadline | None = None
        self.whole: bytes | None = None
        self.file: FileBody | None = None
        self.error: BaseException | None = None
        self.block: FieldBlock | None = None
        self._streaming = False
        self._input: BinaryIO | None = None

    # In the application's thread.

    def run(self) -> None:
        if self.deadline is not None and not self.deadline.begin():
            return
        if not self.exchange.gone:  # it may have waited for long
            try:
                result = self.begin()
                if result.__class__ is list or result.__class__ is tuple:  # these have nothing to close
                    self._send_whole(result)
                else:
                    self._send_pieces(result)
            except BaseException as error:  # noqa: BLE001  # the application's code, SystemExit included
                self.error = error
            if self._streaming:
                self._finished = True
            if self._input is not None:
                self._input.close()
            if self.exchange.request.notes is not None:
                current.set(None)
        if self.deadline is not None:
            self.replaced = self.deadline.finish()
        self.resource.pool.deliver(self)

    def begin(self) -> Iterable[bytes]:
        """Call the application."""
        resource = self.resource
        request = self.exchange.request
        environ = make_environ(request, resource.base, resource)
        if request.notes is not None:
            self._note(request, request.notes, environ)
        body = request.body
        if body is EMPTY:
            environ["wsgi.input"] = BytesIO()
        else:
            environ["wsgi.input"] = self._input = resource.input_for(self)
            if self.exchange.gone:  # and its content with it
                raise ClientDisconnected.told(has_left=self.exchange.disconnected)
            if body.length is None and body.complete:
                # The chunked coding has been undone: its content has a length now (RFC 9112 7.1.3).
                environ["CONTENT_LENGTH"] = str(body.received)
        environ["container.client_disconnected"] = self.client_disconnected
        if request.attached_session is not None:
            loop = None if resource.inline else resource.pool.loop
            environ["container.session"] = ThreadSession(request.attached_session, loop)
        return resource.app(environ, self.start_response)

    def _note(self, request: Request, notes: Notes, environ: Environ) -> None:
        """It has come to the application: note when, and let its loggers know."""
        notes.taken = perf_counter()
        current.set(request)
        if notes.passes_id:
            environ["container.request_id"] = request.id

    def _send_whole(self, result: Sequence[bytes]) -> None:
        data = result[0] if len(result) == 1 else b"".join(result)
        if data.__class__ is not bytes:
            raise TypeError(f"expected bytes from the application, got {type(data).__name__}")
        if self._streaming:
            self._send(data)
        elif self.block is None:
            raise RuntimeError("expected the application to call start_response before its first content")
        else:
            self.whole = data

    def _send_pieces(self, result: Iterable[bytes]) -> None:
        """An iterable of unknown length: send each piece as it comes, unless the first is all there is."""
        try:
            if result.__class__ is FileWrapper and self._take_file(result):
                return
            for data in result:
                if not data:
                    continue
                if data.__class__ is not bytes:
                    raise TypeError(f"expected bytes from the application, got {type(data).__name__}")
                if self.block is None:
                    raise RuntimeError(
                        "expected the application to call start_response before its first content"
                    )
                if not self._streaming and self.whole is None and self.block.length == len(data):
                    self.whole = data
                    self.resource.pool.deliver(self)
                else:
                    self._send(data)
            if self.block is None:
                raise RuntimeError(
                    "expected the application to call start_response, got an empty answer without it"
                )
            if self.whole is None and not self._streaming:
                self.whole = b""
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()

    def _take_file(self, wrapper: FileWrapper) -> bool:
        """Keep the file of `wsgi.file_wrapper` to send it without reading it, if that can be done."""
        file = wrapper.plain_file()
        if file is None or self.block is None or self._streaming or self.block.length == 0:
            return False
        count = self.block.length if self.block.length >= 0 else None
        try:
            self.file = FileBody.of(file, count=count)
        except (OSError, ValueError):  # closed, no regular file, or shorter than announced
            return False
        return True

    def start_response(
        self, status: str, headers: Sequence[Pair], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        if exc_info is not None:
            try:
                if self._streaming or self.whole is not None:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.block is not None:
            raise AssertionError("expected start_response once, or again with exc_info (PEP 3333)")
        self.status, self.reason = _statuses.get(status) or _parse_status(status)
        try:
            block = _blocks.get(tuple(headers)) if headers.__class__ is list else None
        except TypeError:  # something in it is unhashable, so it is no pair of text
            block = None
        self.block = block or _encode_headers(headers)
        return self.write

    def write(self, data: bytes) -> None:
        """The imperative way to send content (PEP 3333)."""
        if data.__class__ is not bytes:
            raise TypeError(f"expected bytes for write(), got {type(data).__name__}")
        self._send(data)

    def client_disconnected(self) -> bool:
        """For applications that want to know whether anybody still waits for their answer."""
        return self.exchange.disconnected

    def _send(self, data: bytes) -> None:
        """Hand a piece over; wait while the client takes no more. Raises ClientDisconnected when it is gone."""
        if self.whole is not None:
            raise ValueError("expected no content beyond the announced Content-Length: cut off")
        if not self._streaming:
            self._changed = threading.Condition()
            self._pieces: deque[bytes] = deque()
            self._outstanding = 0
            self._waiting = False
            self._blocked = False
            self._finished = False
            self._streaming = True
        if self.exchange.gone or self.abandoned:
            raise ClientDisconnected.told(has_left=self.exchange.disconnected)
        with self._changed:
            self._pieces.append(data)
            self._outstanding += len(data)
        self.resource.pool.deliver(self)
        if self._outstanding > WINDOW:
            with self._changed:
                self._waiting = True
                while self._outstanding > WINDOW and not self.exchange.gone and not self.abandoned:
                    self._changed.wait()
                self._waiting = False

    # On the loop.

    def delivered(self) -> None:
        exchange = self.exchange
        if self._streaming:
            if not self._blocked:
                self._pump()
        else:
            if self.file is not None:
                self._send_file(self.file)
            elif self.whole is not None and not exchange.started:
                try:
                    exchange.reply(self.status, self.block, self.whole, self.reason)  # type: ignore[arg-type]  # set with whole
                except Exception as error:  # noqa: BLE001  # a hook of the tree raised
                    self.resource.fail(exchange, error)
            if self.error is not None:
                self._fail(self.error)
        if self.deadline is not None and (exchange.ended or self.deadline.done):
            self.resource.deadlines.forget(self)

    def _send_file(self, body: FileBody) -> None:
        exchange = self.exchange
        self.file = None
        assert self.block is not None, "checked by _take_file"
        if exchange.started:  # it came too late
            body.close()
            return
        try:
            exchange.respond(self._file_answer(body, self.block))
        except Exception as error:  # noqa: BLE001  # a hook of the tree raised, or there are no such ranges
            self.resource.fail(exchange, error)

    def _file_answer(self, body: FileBody, block: FieldBlock) -> Response:
        fields = list(block.fields)
        if self.reason or block.kinds & CLOSE:  # as unusual as it was said
            return Response(body, self.status, fields, reason=self.reason)
        with closing(body):
            return answer_file(
                self.exchange.request,
                body.fileno(),
                fields,
                status=self.status,
                offset=body.offset,
                count=body.count,
                validate=False,
            )

    def _pump(self) -> None:
        """Write what the thread has handed over, as far as the client takes it."""
        exchange = self.exchange
        if not exchange.started and not exchange.gone:
            assert self.block is not None, "write() came from start_response"
            try:
                exchange.start(self.status, self.block, self.reason)
            except Exception as error:  # noqa: BLE001  # a hook of the tree raised
                self.resource.fail(exchange, error)
        pieces = self._pieces
        # What is appended meanwhile is delivered by itself: an endless answer must not keep the loop here.
        for _ in range(len(pieces)):
            if exchange.gone:
                break
            data = pieces.popleft()
            flowing = exchange.write(data)
            with self._changed:
                self._outstanding -= len(data)
                if self._waiting and flowing:
                    self._changed.notify()
            if not flowing:
                self._blocked = True
                exchange.when_writable(self._unblock)
                return
        self.release()
        if self._finished and (exchange.gone or not pieces):
            if self.error is not None:
                self._fail(self.error)
            elif not exchange.gone:
                exchange.end()

    def _unblock(self) -> None:
        """The client takes more again, or has left."""
        self._blocked = False
        self._pump()

    def give_up(self) -> None:
        """Nobody will wait for it any longer."""
        self.abandoned = True
        self.release()

    def release(self) -> None:
        """Let a waiting thread look again."""
        if self._streaming and self._waiting:
            with self._changed:
                self._changed.notify()

    def _fail(self, error: BaseException) -> None:
        exchange = self.exchange
        self.error = None  # said once, though there may be more to deliver
        if isinstance(error, ClientDisconnected) and exchange.gone:
            return
        if exchange.gone:
            self.resource.log_late(exchange, error)
        else:
            self.resource.fail(exchange, error)


def _parse_status(status: str) -> tuple[int, str]:
    """Code and phrase of a WSGI status such as `"200 OK"`. The error goes to the application."""
    if not isinstance(status, str):
        raise TypeError(f"expected text as status, got {type(status).__name__}")
    digits, space, reason = status.partition(" ")
    if not (len(digits) == 3 and digits.isascii() and digits.isdigit() and int(digits) >= 200):
        raise ValueError(f'expected a status such as "200 OK", got {status!r}')
    if not space or not all(" " <= character <= "\xff" and character != "\x7f" for character in reason):
        raise ValueError(f'expected a status such as "200 OK", with a phrase, got {status!r}')
    if len(_statuses) >= _STATUSES_MAX:
        _statuses.clear()
    # The standard phrase goes without saying.
    parsed = _statuses[status] = int(digits), "" if reason == standard_reason(int(digits)) else reason
    return parsed


def _encode_headers(headers: Sequence[Pair]) -> FieldBlock:
    """The block of a list of pairs of text (PEP 3333). The error goes to the application."""
    if headers.__class__ is not list:
        raise TypeError(f"expected a list of headers, got {type(headers).__name__}")
    for pair in headers:
        if (
            pair.__class__ is not tuple
            or len(pair) != 2
            or pair[0].__class__ is not str
            or pair[1].__class__ is not str
        ):
            raise TypeError(f"expected (name, value) tuples of text as headers, got {pair!r}")
    # A copy: the application may go on changing its list (PEP 3333 lets it be reused).
    fields = tuple(headers)
    block = encode_fields(fields)
    if len(block.lines) <= _BLOCK_SIZE and b"set-cookie" not in block.lines.lower():
        if len(_blocks) >= _BLOCKS_MAX:
            _blocks.clear()
        _blocks[fields] = block
    return block
