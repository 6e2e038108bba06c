"""The output stage: what lies between the verbs of an exchange and the wire when an answer is changed on its way.

Hooks run first, in the order they were added, then a content coding is chosen. All of that happens at once
unless a hook has to wait, or much content is to be encoded: then everything that is said is held back until
that is done, by one task. How hooks run is in `hooks.py`, how codings are chosen in `tree/encoding.py`; framing is
the exchange's.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Final

from container.channel.content import forget
from container.channel.hooks import HookedHead
from container.message.encoding import Compressor, Encoder, EncodingChoice
from container.message.exchange import HeadHook
from container.message.fields import FieldBlock, LastingBlock, encode_fields
from container.message.headers import Headers
from container.message.response import Content

if TYPE_CHECKING:
    from container.channel.exchange import H1Exchange
    from container.channel.h1 import H1Channel

logger = logging.getLogger("container.channel")

# What is encoded on the loop at once: one or two milliseconds. More than that goes to a thread.
INLINE_MAX: Final = 64 * 1024
# The loop keeps only weak references to tasks.
_tasks: set[asyncio.Task[None]] = set()


class Output(HookedHead):
    """One answer on its way out.

    While `held`, what is said is kept, and nobody is told to go on writing. A failure before the head has
    left ends this exchange; another one takes its place for the error page, so whoever still writes to this
    one finds it over.
    """

    __slots__ = (
        "_announced", "_block", "_channel", "_choice", "_compressor", "_content", "_encoder", "_ended", "_exchange",
        "_is_whole", "_lasting", "_pieces", "_reason", "_taken", "held",
    )  # fmt: skip

    def __init__(
        self,
        exchange: "H1Exchange",
        channel: "H1Channel",
        status: int,
        block: FieldBlock,
        reason: str,
        hooks: list[HeadHook],
        choice: EncodingChoice | None,
    ) -> None:
        # What the base has is set here: one call less an answer.
        self._hooks = hooks
        self._following = iter(list(hooks))
        self._hook = None
        self._status = status
        self._headers = Headers(block.fields)
        self._exchange = exchange
        self._channel = channel
        self._block = block
        self._reason = reason
        self._choice = choice
        self._encoder: Encoder | None = None
        # Where what is encoded now may be found the next time.
        self._lasting = block if isinstance(block, LastingBlock) else None
        self._compressor: Compressor | None = None
        self._is_whole = False
        self._announced = -1  # content that is encoded, in bytes
        self._taken = 0
        self._pieces: deque[bytes] = deque()
        self._content: Content | None = None
        self._ended = False
        self.held = False

    # How it begins.

    def start(self) -> None:
        """Send the head, now unless a hook has to wait. Raises what a hook raises."""
        waiting = self.run_hooks()
        if waiting is None:
            self._choose()
            self._send_head()
        else:
            self._hold(waiting)

    def reply(self, body: bytes) -> None:
        """The same, of an answer that is complete."""
        waiting = self.run_hooks()
        self._is_whole = self._block.length == len(body)
        self._ended = True
        if body:
            self._pieces.append(body)
        if waiting is not None:
            self._hold(waiting)
            return
        self._choose()
        if self._compressor is not None and len(body) > INLINE_MAX:
            self._hold(None)
            return
        if self._compressor is not None and self._is_whole:
            try:
                self._keep_whole(_whole(self._compressor, body))
            except BaseException:
                self._exchange.encode_by(None)  # an error page can do without
                raise
        self._send_head()
        for data in self._pieces:
            self._send(data)
        if not self._exchange.ended:
            self._send_end()

    # What is said after.

    def write(self, data: bytes) -> bool:
        if not self.held and len(data) <= INLINE_MAX:
            return self._send(data)
        if data:
            # A copy of what its owner may still change; the error is the writer's.
            self._pieces.append(data if data.__class__ is bytes else bytes(memoryview(data)))
        if not self.held:
            self.held = True
            self._create_task(self._send_held())
        return False

    def stream(self, body: Content) -> None:
        self._content = body

    def end(self) -> None:
        self._ended = True
        if not self.held:
            self._send_end()

    @property
    def complete(self) -> bool:
        """All has been said."""
        return self._ended or self._content is not None

    def drop(self) -> None:
        """Nothing more of it will be sent."""
        self.held = False
        self._pieces.clear()
        content, self._content = self._content, None
        if content is not None:
            forget(content)

    # The head.

    def _choose(self) -> None:
        """The fields are final but for those of the coding."""
        request, known = self._exchange.request, self._block.length
        encoder = coded = None
        try:
            if self._choice is not None:
                encoder = self._choice.choose(request, self._status, self._headers, known)
            if encoder is not None:
                if self._is_whole and self._lasting is not None:
                    coded = self._lasting.coded(encoder)
                if coded is None and request.method != "HEAD":
                    self._encoder = encoder
                    self._compressor = encoder.make()
                    self._announced = known
        except BaseException:
            self._exchange.encode_by(None)  # an error page can do without
            raise
        self._block = encode_fields(self._headers.items())
        if encoder is not None:
            self._block.length = -1
        elif self._block.length < 0:
            self._block.length = known  # without being a field
        if coded is not None:
            self._replace_whole(coded)

    def _send_head(self) -> None:
        self._exchange.send_head(self._status, self._block, self._reason)
        if not self.held:
            self._exchange.go_on(self if self._compressor is not None else None)

    # Content.

    def _send(self, data: bytes) -> bool:
        """Send a piece, encoded so that the client can make use of it at once."""
        exchange = self._exchange
        data = self._count(data)
        if data and self._compressor is not None:
            try:
                data = _flushed(self._compressor, data)
            except Exception as error:  # noqa: BLE001  # encoders may be foreign code
                exchange.abort(error)
                return True
        return self._send_coded(data)

    def _send_coded(self, data: bytes) -> bool:
        is_flowing = self._exchange.send(self._channel, data)
        if self._taken > self._announced >= 0 and self._compressor is not None:
            self._send_end()
        return is_flowing

    def _count(self, data: bytes) -> bytes:
        """`data` as far as it fits into the announced length, which nobody else looks at when it is encoded."""
        if self._compressor is None or self._announced < 0:
            return data
        left = self._announced - self._taken
        self._taken += len(data)
        if len(data) > left:
            error = ValueError(f"expected {self._announced} bytes of content, got more: cut off")
            self._channel.group.host.failed(self._exchange, error)
            self._exchange.settle()
            self._pieces.clear()
        return data[:left] if len(data) > left else data

    def _send_end(self) -> None:
        exchange, channel = self._exchange, self._channel
        if self._compressor is not None:
            missing = self._announced - self._taken
            if missing > 0:
                exchange.send(channel, b"")  # the head, that the client sees that it is cut short
                exchange.abort(ValueError(f"expected {missing} more bytes of content: connection cut"))
                return
            try:
                exchange.send(channel, self._compressor.finish())
            except Exception as error:  # noqa: BLE001  # encoders may be foreign code
                exchange.abort(error)
                return
        exchange.send_end(channel)

    def _replace_whole(self, coded: bytes) -> None:
        """The whole content is encoded: nothing is left to do but to send it, with its length."""
        self._compressor = None
        self._pieces = deque([coded])
        self._block.length = len(coded)

    def _keep_whole(self, coded: bytes) -> None:
        """The same, of content that may come again."""
        if self._lasting is not None:
            self._lasting.keep(self._encoder, coded)
        self._replace_whole(coded)

    # What takes time.

    def _hold(self, waiting: Awaitable[None] | None) -> None:
        self.held = True
        self._exchange.hold(self)
        self._create_task(self._release(waiting, self._channel.group.host.timeouts.hooks))

    def _create_task(self, coroutine: Coroutine[None, None, None]) -> None:
        task = self._channel.group.loop.create_task(coroutine)
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    async def _release(self, waiting: Awaitable[None] | None, timeout_s: float) -> None:
        """Wait for what there is to wait for, then say what was held back. A client that leaves stops no hook."""
        exchange = self._exchange
        try:
            if waiting is not None:
                await self.await_hooks(waiting, timeout_s)
                if exchange.gone:
                    return
                self._choose()
            if self._compressor is not None and self._is_whole:
                self._keep_whole(await self._in_thread(_whole, b"".join(self._pieces)))
            if exchange.gone:
                return
            self._send_head()
        except asyncio.CancelledError:
            # Something it awaited was cancelled, or the loop is about to end.
            self._fail(RuntimeError("an answer was cancelled before its head"))
            raise
        except Exception as error:  # noqa: BLE001  # hooks and encoders may be the application's code
            self._fail(error)
        else:
            await self._send_held()

    async def _send_held(self) -> None:
        """Say what was held back, and what is said meanwhile."""
        exchange = self._exchange
        try:
            while self._pieces and not exchange.gone:
                data = self._pieces.popleft()
                if self._compressor is None or len(data) <= INLINE_MAX:
                    self._send(data)
                    continue
                coded = await self._in_thread(_flushed, self._count(data))
                if not exchange.gone:
                    self._send_coded(coded)
            if exchange.gone:
                return
            self.held = False
            exchange.go_on(self if self._compressor is not None else None)
            content, self._content = self._content, None
            if content is not None:
                exchange.stream(content)
            elif self._ended:
                self._send_end()
            elif not self._channel.paused:
                exchange.resumed()
        except Exception as error:  # noqa: BLE001  # encoders, and whoever waited to write, are foreign code
            exchange.abort(error)

    async def _in_thread(self, encode: Callable[[Compressor, bytes], bytes], data: bytes) -> bytes:
        """Encode off the loop when it is much. The default executor bounds how many do so at a time."""
        assert self._compressor is not None, "there is something to encode with"
        if len(data) <= INLINE_MAX:
            return encode(self._compressor, data)
        return await self._channel.group.loop.run_in_executor(None, encode, self._compressor, data)

    def _fail(self, error: Exception) -> None:
        """Nothing has left: an error page can take its place, without what failed."""
        exchange = self._exchange
        self.leave_out(exchange, error)
        if exchange.gone:
            logger.error("a hook of %s failed after the client had left", exchange.request, exc_info=error)
        else:
            exchange.replace(error)


def _flushed(compressor: Compressor, data: bytes) -> bytes:
    return compressor.compress(data) + compressor.flush()


def _whole(compressor: Compressor, data: bytes) -> bytes:
    return compressor.compress(data) + compressor.finish()
