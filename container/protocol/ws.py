"""WebSocket: the opening handshake and the frames after it, bytes in, messages out (RFC 6455, RFC 7692).

Hot path. Frames, masks and the closing handshake are those of the sans-IO core of `websockets`; what is
added here are the bounds, the check of text, that a message is complete, and a shortcut for short messages
that come alone in a frame, as nearly all do: it takes a tenth of the time. No I/O, no clock.
"""

import re
import zlib
from codecs import getincrementaldecoder
from typing import Any, Final, cast

from websockets.exceptions import InvalidHeader, NegotiationError
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import BINARY, CLOSE, CONT, TEXT, Frame
from websockets.frames import apply_mask as unmask  # type: ignore[attr-defined]  # the fastest there is
from websockets.headers import build_extension, parse_extension
from websockets.protocol import OPEN, SERVER, Protocol
from websockets.typing import LoggerLike
from websockets.utils import accept_key

from container.message.errors import HTTPError
from container.message.fields import TOKEN
from container.message.request import Request
from container.message.websocket import ABNORMAL, WebSocketOptions, wants_websocket

VERSION: Final = b"13"
REASON_MAX: Final = 123
# The name may be matched in any case, base64 of 16 bytes ends in one of four letters (RFC 4648 4).
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")
_SENDABLE: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
# What an answer may not be given by an application: the handshake settles these.
SETTLED: Final = frozenset(
    {"sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-protocol", "sec-websocket-version"}
)
# Compression that takes 24 KiB beside a window of 12 bits; it is given up when idle.
_MEMORY_LEVEL: Final = 4
# The shortcut: first bytes of a whole message without reserved bits, lengths that need no second thought, and
# what a server sends before a message of such a length (RFC 6455 5.2).
_WHOLE_TEXT: Final = 0x81
_WHOLE_BINARY: Final = 0x82
_MASKED: Final = 0x80
_SHORT_MAX: Final = 125
_TEXT_HEADS: Final = [bytes((_WHOLE_TEXT, size)) for size in range(_SHORT_MAX + 1)]
_BINARY_HEADS: Final = [bytes((_WHOLE_BINARY, size)) for size in range(_SHORT_MAX + 1)]
_Utf8Decoder: Final = getincrementaldecoder("utf-8")


# The opening handshake (RFC 6455 4.2).


class Handshake:
    """What a client that wants a WebSocket has said."""

    __slots__ = ("_key", "offers", "subprotocols")

    def __init__(self, key: str, subprotocols: list[str], offers: list[str]) -> None:
        self._key = key
        self.subprotocols = subprotocols
        self.offers = offers

    def fields(self, subprotocol: str | None, extensions: str | None) -> bytes:
        """The lines of a 101 that agree: no Date, no Server, no empty line."""
        lines = (
            f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept_key(self._key)}\r\n"
        )
        if subprotocol is not None:
            lines += f"Sec-WebSocket-Protocol: {subprotocol}\r\n"
        if extensions is not None:
            lines += f"Sec-WebSocket-Extensions: {extensions}\r\n"
        return lines.encode("ascii")

    def negotiate(self, options: WebSocketOptions) -> "tuple[str | None, Deflate | None]":
        """The Sec-WebSocket-Extensions of the answer, and the extension. Raises HTTPError(400)."""
        if not options.deflate or not self.offers:
            return None, None
        try:
            offered = [each for offer in self.offers for each in parse_extension(offer)]
        except InvalidHeader as error:
            raise HTTPError(400, "malformed Sec-WebSocket-Extensions") from error
        factory = ServerPerMessageDeflateFactory(
            server_max_window_bits=options.window_bits, client_max_window_bits=options.window_bits
        )
        for name, parameters in offered:
            if name != factory.name:
                continue
            try:
                agreed, extension = factory.process_request_params(parameters, ())
            except NegotiationError:
                continue
            return build_extension([(name, agreed)]), Deflate(extension, options.deflate_from)
        return None, None


def read_handshake(request: Request) -> Handshake:
    """What the client of `request` wants. Raises HTTPError: 426 without an upgrade or with a version we do
    not speak, 400 for what breaks the standard."""
    if not wants_websocket(request):
        raise HTTPError(426, "this resource speaks WebSocket only")
    if request.method != "GET" or request.http_version != "1.1" or request.body.length != 0:
        raise HTTPError(
            400, "expected an opening handshake of WebSocket as a GET of HTTP/1.1 without content"
        )
    versions = _values(request, b"sec-websocket-version")
    if versions != [VERSION]:
        raise HTTPError(426, "expected version 13 of WebSocket", headers={"Sec-WebSocket-Version": "13"})
    keys = _values(request, b"sec-websocket-key")
    if len(keys) != 1 or _KEY.fullmatch(keys[0]) is None:
        raise HTTPError(400, "expected one Sec-WebSocket-Key of 16 bytes in base64")
    return Handshake(
        keys[0].decode("ascii"),
        _subprotocols(_values(request, b"sec-websocket-protocol")),
        [value.decode("latin-1") for value in _values(request, b"sec-websocket-extensions")],
    )


def _subprotocols(values: list[bytes]) -> list[str]:
    names = [name.strip(b" \t") for value in values for name in value.split(b",")]
    if not all(map(TOKEN.fullmatch, names)) or len(set(names)) != len(names):
        raise HTTPError(400, "expected distinct tokens as Sec-WebSocket-Protocol")
    return [name.decode("ascii") for name in names]


def _values(request: Request, name: bytes) -> list[bytes]:
    return [value for candidate, value in request.raw_headers if candidate == name]


# Messages.


class Deflate(PerMessageDeflate):
    """permessage-deflate that leaves short messages as they are, and can be idle without a compressor.

    A compressor that begins anew refers to nothing that came before, so the peer need not know.
    """

    def __init__(self, agreed: PerMessageDeflate, smallest: int) -> None:
        super().__init__(
            agreed.remote_no_context_takeover,
            True,  # or a compressor is made at once
            agreed.remote_max_window_bits,
            agreed.local_max_window_bits,
            {"memLevel": _MEMORY_LEVEL},
        )
        self.local_no_context_takeover = agreed.local_no_context_takeover
        self.encoder: Any = None
        self._smallest = smallest

    def encode(self, frame: Frame) -> Frame:
        if len(frame.data) < self._smallest:
            return frame
        if self.encoder is None and not self.local_no_context_takeover:
            self.encoder = zlib.compressobj(wbits=-self.local_max_window_bits, **self.compress_settings)
        encoded = super().encode(frame)
        if self.local_no_context_takeover:
            self.encoder = None
        return encoded


class _Silence:
    """A logger for a library that logs every connection."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  # its name in the standard library
        return False

    def debug(self, *_: object, **__: object) -> None: ...

    info = error = debug


_SILENCE: Final = cast(LoggerLike, _Silence())


class Frames(Protocol):
    """The server's side of an open WebSocket: `receive_data` and take `messages`; `text` and `binary` are messages to
    write while it is open, all else is in `data_to_send`.

    `messages` are complete: str checked to be UTF-8, or bytes; `held` adds up their lengths, whoever has
    taken them sets it back. After a Close frame in either direction no more are added. Breaches end in a
    Close frame of ours: 1002, 1007 (text), 1009 (size).
    """

    def __init__(self, options: WebSocketOptions, deflate: Deflate | None = None) -> None:
        super().__init__(
            SERVER, state=OPEN, max_size=(options.max_message, options.max_frame), logger=_SILENCE
        )
        if deflate is not None:
            self.extensions = [deflate]
        self.messages: list[str | bytes] = []  # few: a deque takes half a KiB even when it is empty
        self.held = 0
        # Is the parser between two frames?
        self._between = True
        self._short_in = min(_SHORT_MAX, options.max_message, options.max_frame)
        self._short_out = min(_SHORT_MAX, options.deflate_from - 1) if deflate is not None else _SHORT_MAX
        # Of a message in fragments: its content so far, and what checks it when it is text.
        self._fragments: bytearray | None = None
        self._checker: Any = None

    def receive_data(self, data: bytes | bytearray) -> None:
        if not (self._between and self.close_sent is None and self._is_short(data)):
            self._between = False
            super().receive_data(data)
            return
        content = unmask(data[6:], data[2:6])
        if data[0] == _WHOLE_BINARY:
            self.messages.append(content)
        else:
            try:
                self.messages.append(content.decode())
            except UnicodeDecodeError:
                super().receive_data(data)  # it knows how to fail
                return
        self.held += len(content)

    def _is_short(self, data: bytes | bytearray) -> bool:
        """Is `data` one whole message that is short, not compressed, and masked?"""
        size = len(data) - 6
        return (
            0 <= size <= self._short_in
            and data[1] == _MASKED | size
            and (data[0] == _WHOLE_TEXT or data[0] == _WHOLE_BINARY)
            and self.current_size is None
            and not self.eof_sent
        )

    def text(self, content: bytes) -> bytes:
        """The frame of a text message."""
        if len(content) <= self._short_out:
            return _TEXT_HEADS[len(content)] + content
        return Frame(TEXT, content).serialize(mask=False, extensions=self.extensions)

    def binary(self, content: bytes | bytearray | memoryview) -> bytes:
        """The frame of a binary message."""
        if len(content) <= self._short_out and isinstance(content, bytes):
            return _BINARY_HEADS[len(content)] + content
        return Frame(BINARY, content).serialize(mask=False, extensions=self.extensions)

    def recv_frame(self, frame: Frame) -> None:
        """Called by the parser for every frame; what it raises becomes a Close frame."""
        self._between = not self.reader.buffer
        opcode = frame.opcode
        if frame.fin and self.current_size is None and (opcode is TEXT or opcode is BINARY):
            self._add(str(frame.data, "utf-8") if opcode is TEXT else bytes(frame.data))
            frame.data = b""  # the parser keeps its last frame
            return
        if opcode is CLOSE:
            self.current_size = None  # it may come between fragments (RFC 6455 5.4)
        super().recv_frame(frame)
        self.events.clear()
        if opcode is TEXT or opcode is BINARY:
            self._fragments = bytearray(frame.data)
            self._checker = _Utf8Decoder() if opcode is TEXT else None
            self._check(frame)
            frame.data = b""
        elif opcode is CONT:
            fragments = self._fragments
            assert fragments is not None, "the parser lets no continuation begin a message"
            fragments += frame.data
            self._check(frame)
            frame.data = b""
            if frame.fin:
                self._fragments = None
                self._add(bytes(fragments) if self._checker is None else fragments.decode())

    def _check(self, frame: Frame) -> None:
        """Fail on bad text with the fragment that spoils it."""
        if self._checker is not None:
            self._checker.decode(frame.data, frame.fin)

    def _add(self, message: str | bytes) -> None:
        if self.close_sent is None:
            self.messages.append(message)
            self.held += len(message)

    @property
    def outcome(self) -> tuple[int, str]:
        """Code and reason the WebSocket has ended with, see WebSocketDisconnected."""
        closed = self.close_rcvd
        if closed is None and self.eof_sent and not isinstance(self.parser_exc, EOFError):
            closed = self.close_sent  # it was we who gave up
        return (int(closed.code), closed.reason) if closed is not None else (ABNORMAL, "")

    def rest(self) -> None:
        """Nothing was sent for a while: give back what can be made again."""
        for extension in self.extensions:
            if isinstance(extension, Deflate):
                extension.encoder = None


def check_close(code: int, reason: str) -> None:
    """Raises ValueError when a Close frame cannot say this."""
    if code not in _SENDABLE and not (isinstance(code, int) and 3000 <= code <= 4999):
        raise ValueError(
            f"expected a close code from 1000 to 1003, 1007 to 1014 or 3000 to 4999, got {code!r}"
        )
    size = len(reason.encode())
    if size > REASON_MAX:
        raise ValueError(f"expected a reason of at most {REASON_MAX} bytes, got {size}")
