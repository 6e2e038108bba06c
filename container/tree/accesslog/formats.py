"""The formats that have a name: combined, common and vhost, as programs that read logs know them from Apache.

Hot path: what follows from the head of a request alone is kept in its memo. How text of clients is written so that
it can neither break a line nor forge one is here too. Formats of one's own are `custom.py`'s.
"""

from time import gmtime, strftime
from typing import ClassVar, Final

from container.message.request import Request
from container.tree.accesslog.entry import Entry

# What would break a line or a quoted part of it, or play with the terminal that shows it.
_ESCAPES: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 256))} | {
    ord('"'): '\\"',
    ord("\\"): "\\\\",
}


class _Told:
    """The parts of a line that follow from the head of the request, and its end for the last answer to it."""

    __slots__ = ("bytes_sent", "end", "line", "status", "target", "user", "visitor")

    def __init__(self, request: Request) -> None:
        referer = agent = user = "-"
        for name, value in request.raw_headers:
            if name == b"user-agent":
                agent = quoted(value)
            elif name == b"referer":
                referer = quoted(value)
            elif name == b"authorization":
                user = name_of_user(request.authorization[0])
        self.target = request.raw_target
        self.user = user
        self.line = f'"{request_line(request)}"'
        self.visitor = f' "{referer}" "{agent}"'
        self.status = self.bytes_sent = -1
        self.end = ""

    def answered(self, status: int, bytes_sent: int) -> None:
        self.status = status
        self.bytes_sent = bytes_sent
        self.end = f"{self.line} {status} {bytes_sent or '-'}{self.visitor}"


class _ToldBriefly(_Told):
    """Without what a browser says of itself."""

    __slots__ = ()

    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.visitor = ""


class CombinedFormatter:
    """`client - user [time] "request line" status bytes "referer" "user agent"`, times in UTC."""

    needs_notes = False
    _told: ClassVar[type[_Told]] = _Told

    def __init__(self) -> None:
        self._second = self._next = 0
        self._stamp = ""

    def __call__(self, entry: Entry) -> str:
        return self.line(*entry)

    def line(self, request: Request, status: int, bytes_sent: int, finished: float) -> str:
        """The line of one exchange."""
        memo = request.memo
        told = memo.get(self) if memo is not None else None
        if not isinstance(told, _Told) or told.target is not request.raw_target:
            told = self._told(request)
            if memo is not None:
                memo[self] = told
        if told.bytes_sent != bytes_sent or told.status != status:
            told.answered(status, bytes_sent)
        if not self._second <= finished < self._next:
            self._second = int(finished)
            self._next = self._second + 1
            self._stamp = strftime(" [%d/%b/%Y:%H:%M:%S +0000] ", gmtime(finished))
        user = told.user if request.user is None else name_of_user(request.user[0])
        return f"{request.connection.client_host or '-'} - {user}{self._stamp}{told.end}"


class CommonFormatter(CombinedFormatter):
    """The combined line without its last two parts: NCSA's common format."""

    _told = _ToldBriefly


class VirtualHostFormatter(CombinedFormatter):
    """The combined line behind the host that was asked for: one log for many hosts, as Apache's vhost_combined."""

    def line(self, request: Request, status: int, bytes_sent: int, finished: float) -> str:
        host = quoted_word(request.raw_header(b"host") or b"-")
        return f"{host} {super().line(request, status, bytes_sent, finished)}"


def request_line(request: Request) -> str:
    """Method, target and version; a dash for a request that could not be read, which has no method."""
    if request.method == "-":
        return "-"
    return f"{request.method} {quoted(request.raw_target)} HTTP/{request.http_version}"


def user_of(request: Request) -> str:
    """Who has been found to be the client, or says so by Basic authentication."""
    return name_of_user(request.authorization[0] if request.user is None else request.user[0])


def name_of_user(user: str) -> str:
    """The user's field: a space in it would begin the next one."""
    return quoted_word(user.encode("utf-8", "replace")) or "-"


def quoted(raw: bytes) -> str:
    """Text that may stand between quotes: anything unusual is written as `\\xNN`."""
    text = raw.decode("latin-1")
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return text.translate(_ESCAPES)


def quoted_word(raw: bytes) -> str:
    """The same, where a space would begin the next part of a line."""
    return quoted(raw).replace(" ", "\\x20")
