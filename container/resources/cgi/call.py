"""One run of a script: its beginning, the answer it makes, and its end (RFC 3875 6).

All of it runs on the loop, in callbacks of descriptors: no task waits for a script. What a script says leaves
as it comes; when the client does not read, its pipe is not read either. Its other pipes are `pipes.py`'s.
"""

import asyncio
import errno
import os
from typing import TYPE_CHECKING, Final

from container.message.errors import HTTPError
from container.message.exchange import Exchange
from container.message.fields import FieldBlock
from container.message.headers import Headers
from container.protocol.answer import AnswerHead, AnswerReader, BadAnswer
from container.resources.cgi.pipes import PIECE, ContentPipe, ErrorPipe, as_file
from container.resources.cgi.script import Script
from container.resources.cgi.spawner import LOST, Spawner
from container.resources.cgi.words import Words, describe_end, explain
from container.tree.site import Site

if TYPE_CHECKING:
    from container.resources.cgi.gateway import Gateway

# How much of the beginning of an answer waits for its end, until the next look at it.
_HELD_MAX: Final = 16 * 1024
# How often what is left of the output is read when the process has ended: more than a pipe holds.
_LAST_PIECES: Final = 4
_REDIRECTS_MAX: Final = 10
_RETRY: Final = {"Retry-After": "1"}
_FORBIDDEN: Final = (errno.EACCES, errno.EPERM)
_EXHAUSTED: Final = (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, LOST)


class CGICall:
    """A script that answers one exchange. Made when the request comes, launched when there is room.

    `touched`: when something last moved; `began`: when it was launched; 0.0 before that. `answered`: the
    exchange needs no more of this script, which may go on for itself.
    """

    __slots__ = (
        "_block", "_ended", "_errors", "_head", "_held", "_holds", "_input", "_loop", "_number", "_output", "_paused",
        "_reader", "_reading", "_spawner", "_told", "_watched",
        "answered", "began", "exchange", "gateway", "script", "touched", "words",
    )  # fmt: skip

    _block: FieldBlock  # the encoded fields of its head, once that is there
    _spawner: Spawner  # since its launch

    def __init__(self, gateway: "Gateway", script: Script, exchange: Exchange) -> None:
        self.gateway = gateway
        self.script = script
        self.exchange = exchange
        self.answered = False
        self.began = 0.0
        self._loop = asyncio.get_running_loop()
        self.touched = self._loop.time()
        self.words = Words(script)
        self._head: AnswerHead | None = None
        is_gateway = not script.speaks_http
        self._reader = AnswerReader(
            exchange.request.method,
            gateway.head_limit,
            gateway=is_gateway,
            known=gateway.heads if is_gateway else None,
        )
        self._input: ContentPipe | None = None
        self._errors: ErrorPipe | None = None
        self._output = -1
        self._reading = self._paused = self._watched = False
        self._number = 0
        self._ended: int | None = None  # the exit code
        self._told = False  # to end
        # The beginning of the answer, as long as it waits for more.
        self._holds = False
        self._held = b""

    # Its beginning.

    def launch(self) -> None:
        """Start the process. Raises HTTPError or OSError; then nothing of it is left."""
        script, gateway = self.script, self.gateway
        request = self.exchange.request
        count, texts = script.told(request, gateway)
        fds: list[int] = []
        try:
            self._open(fds)
            self._spawner = gateway.next_spawner()
            self._number = self._spawner.spawn(self, count, texts, fds, warm=script.is_warm)
        except (OSError, ValueError) as error:
            self._close_all()
            for fd in fds:
                os.close(fd)
            if isinstance(error, OSError) and error.errno in _EXHAUSTED:
                raise HTTPError(503, headers=_RETRY) from error
            raise
        self.began = self.touched = self._loop.time()
        if self._input is not None:
            self._input.feed()

    def _open(self, fds: list[int]) -> None:
        """Make the ends that the process gets into `fds`, and ours beside them."""
        body = self.exchange.request.body
        if not body.complete:
            theirs, ours = os.pipe()
            fds.append(theirs)
            self._input = ContentPipe(self.exchange, ours, self._touch)
        elif body.received:
            fds.append(as_file(body.file()))
        self._output, theirs = os.pipe()
        fds.append(theirs)
        os.set_blocking(self._output, False)
        ours, theirs = os.pipe()
        fds.append(theirs)
        self._errors = ErrorPipe(ours, self.words)

    def _touch(self) -> None:
        self.touched = self._loop.time()

    # Its output. That of a quick script is read at its end, all at once: to be told of each word is dear.

    def look(self, *, patient: bool) -> bool:
        """It has not been quick: see what it has said, and send what was seen the last time. Without patience go
        on reading, though it says nothing. Whether another look is wanted after a while."""
        if self._holds:
            self._release()
        elif self._output >= 0 and not self._reading:
            self._read()
            if not patient:
                self._keep_reading()
        return self._output >= 0 and (self._holds or not self._reading) and not self._paused

    def _keep_reading(self) -> None:
        """Hear what it says as it comes."""
        if self._output >= 0 and not self._reading and not self._paused:
            self._reading = True
            self._loop.add_reader(self._output, self._read)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._output)

    def _read(self) -> bool:
        """Take what has come; whether there was anything, be it the end."""
        try:
            data = os.read(self._output, PIECE)
        except BlockingIOError:
            return False
        self.touched = self._loop.time()
        try:
            if not data:
                self._output_ended()
            else:
                self._take(data)
        except BadAnswer as error:
            self.words.complain(f"sent no CGI answer: {error}")
            self.refuse(HTTPError(502, "The script did not answer as expected."))
        except Exception as error:  # noqa: BLE001  # a hook of the tree raised
            self.refuse(error)
        return True

    def _take(self, data: bytes) -> None:
        reader = self._reader
        content = reader.feed(data)
        if self._head is not None:
            if content:
                self._more(content)
            return
        for interim in reader.take_interim():
            self.exchange.inform(interim.status, Headers(interim.fields))
        if reader.head is not None:
            self._begin(reader.head, content)

    def _begin(self, head: AnswerHead, content: bytes) -> None:
        self._head = head
        if head.local:
            self._redirect(head.local)
            return
        try:
            self._block = head.block()
        except ValueError as error:
            raise BadAnswer(str(error)) from error
        self._held, self._holds = content, True
        if self._reading:
            self.gateway.look_later(self)

    def _release(self) -> None:
        """The script takes its time: send what it has said so far."""
        if self._holds:
            self._holds = False
            head, held, self._held = self._head, self._held, b""
            assert head is not None, "it began to wait with its head"
            try:
                self.exchange.start(head.status, self._block, head.reason)
                self._write(held)  # nothing held: the client may want to know the head already
                self._keep_reading()
            except Exception as error:  # noqa: BLE001  # a hook of the tree raised
                self.refuse(error)

    def _more(self, data: bytes) -> None:
        if not self._holds:
            self._write(data)
            return
        self._held += data
        if len(self._held) >= _HELD_MAX:
            self._release()

    def _write(self, data: bytes) -> None:
        flows = self.exchange.write(data)
        if self.exchange.gone and not self.answered:
            self.give_up()
        elif not flows and not self.answered:
            self._stop_reading()
            self._paused = True
            self.exchange.when_writable(self._resume)

    def _resume(self) -> None:
        if self._output >= 0:
            self._paused = False
            self.touched = self._loop.time()
            self._keep_reading()

    def _output_ended(self) -> None:
        self._close_output()
        head = self._head
        if head is not None:
            self._reader.finish()
            self.answered = True
            self._close_input()
            if not self._holds:
                self.exchange.end()
            else:  # it was quick: one write, of known length
                self._holds = False
                self.exchange.reply(head.status, self._block, self._held, head.reason)
        elif self._ended is not None:
            self._no_head()

    def _no_head(self) -> None:
        """It has ended, or at least its output has, before the end of a head."""
        assert self._ended is not None
        said = self._reader.held[:200]
        self.words.complain(f"{describe_end(self._ended)} before the end of its head, after {said!r}")
        self.refuse(HTTPError(500, "The script ended before it had answered."))

    def _redirect(self, target: bytes) -> None:
        """Let the tree answer for another path (RFC 3875 6.2.2); the script's own content is not wanted."""
        self.answered = True
        self._close_output()
        self._close_input()
        exchange = self.exchange
        if exchange.request.redirect(target) > _REDIRECTS_MAX:
            self.words.complain(f"redirected in circles, at last to {target.decode('latin-1')!r}")
            fail(exchange, HTTPError(500, "The scripts of this server redirect in circles."))
        else:
            exchange.restart()

    # Its end.

    def exited(self, code: int) -> None:
        """The process has ended; others of its group may still hold its output open."""
        self._ended = code
        self._close_input()  # nobody reads what is still to come
        if self._errors is not None:
            self._errors.finish()
        for _ in range(_LAST_PIECES):
            if self._output < 0 or self._paused or not self._read():
                break
        if self._head is None and self._output < 0 and not self.answered:
            self._no_head()
        elif code and not self._told:
            self.words.complain(describe_end(code))
        if not self.answered:  # others may go on for it; the gateway looks after it no more
            self._release()
            self._keep_reading()
            self.watch()
        self.gateway.released(self)

    def failed(self, number: int) -> None:
        """The process could not be started."""
        self._ended = self._number = 0
        if not self.answered:
            if number == LOST:
                if self.exchange.started:
                    self._cut_off()
                else:
                    self.refuse(HTTPError(503, headers=_RETRY))
            elif number in _FORBIDDEN:
                self.words.complain(f"cannot be run by {self.gateway.identity_name}: {os.strerror(number)}")
                self.refuse(HTTPError(403))
            elif number in _EXHAUSTED:
                self.words.complain(f"cannot be run now: {os.strerror(number)}")
                self.refuse(HTTPError(503, headers=_RETRY))
            else:
                self.words.complain(f"cannot be run: {explain(number)}")
                self.refuse(HTTPError(500, "The script cannot be run."))
        self._close_all()
        self.gateway.released(self)

    def listen_to_errors(self) -> None:
        """It runs for a while: read its standard error as it comes."""
        if self._errors is not None:
            self._errors.listen()

    def watch(self) -> None:
        """It takes its time: notice when the client leaves. That of a quick script is not asked for: it gets its
        answer by the shortest way."""
        if not self._watched:
            self._watched = True
            self.exchange.on_close(self.closed)

    def closed(self, error: Exception | None) -> None:
        """The exchange is over, or the client will send no more: then it may still be reading for a while."""
        if self.answered:
            return
        if error is None or self.exchange.gone:
            self.give_up()
        else:
            self._loop.call_later(self.gateway.leave_grace, self._left)

    def _left(self) -> None:
        if not self.answered:
            self._cut_off()

    def refuse(self, error: Exception) -> None:
        """Answer with an error page in place of the script, which is ended."""
        self.answered = True
        self._end_process()
        if not self.exchange.gone:
            fail(self.exchange, error)

    def give_up(self) -> None:
        """Nobody wants the answer any more."""
        self.answered = True
        self._end_process()
        self.gateway.withdraw(self)

    def _cut_off(self) -> None:
        """The client shall not take what it has got for the whole answer."""
        self.give_up()
        self.exchange.abort()

    def expire(self, what: str) -> None:
        """It took too long."""
        self.words.complain(what)
        if self.answered:
            self._end_process()
        elif self.exchange.started:
            self._cut_off()
        else:
            self.refuse(HTTPError(504, "The script took too long to answer."))

    @property
    def is_waiting_for_client(self) -> bool:
        return self._paused

    def _end_process(self) -> None:
        self._holds = False
        self._close_output()
        self._close_input()
        if self._number:  # even when it has ended: it may have left others behind
            self._told = True
            self._spawner.end(self._number)

    # Its descriptors.

    def _close_input(self) -> None:
        if self._input is not None:
            self._input.close()
            self._input = None  # it knows of the call, and the two would keep each other alive

    def _close_output(self) -> None:
        if self._output >= 0:
            self._stop_reading()
            os.close(self._output)
            self._output = -1

    def _close_all(self) -> None:
        self._close_input()
        self._close_output()
        if self._errors is not None:
            self._errors.close()


def fail(exchange: Exchange, error: Exception) -> None:
    """Let the site of a request answer for an error."""
    site = exchange.request.site
    assert isinstance(site, Site), "a dispatched request has a site"
    site.fail(exchange, error)
