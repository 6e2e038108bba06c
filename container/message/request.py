"""What came: one request as a value (RFC 9110, RFC 9112 3), whatever protocol carried it.

Text policy: names are str; whatever is called `raw_*` is bytes as received. Text of fields is latin-1,
text of paths and queries UTF-8 with U+FFFD for what is not. Hot path: nothing is decoded that nobody asked
for. Answering is the exchange's work; finding the resource is `tree/traverse.py`'s, which moves `consumed`.
"""

from collections.abc import AsyncIterator, Generator, Iterator, Mapping, Sequence
from types import coroutine
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from container.message.authority import split_authority
from container.message.body import Body
from container.message.connection import Connection
from container.message.headers import Headers

if TYPE_CHECKING:
    from container.message.exchange import Exchange
    from container.message.form_data import FormData, Params
    from container.message.form_limits import FormLimits
    from container.message.notes import Notes
    from container.message.session import Session
    from container.message.trace import Trace
    from container.message.url import URLs

_PIECE: Final = 64 * 1024


class Request:
    """One request.

    `method` as sent, case-sensitive. `target` is the request target as sent, `raw_path` and `raw_query` its
    parts (`raw_path` is `*` or an authority for those forms). `http_version` is "1.0" or "1.1".
    `raw_headers` are `(lower-case name, value)` in order. `consumed` is how many bytes of `raw_path` the
    traversal has used up: what comes before is `script_name`, the rest `path_info`. The first `base` bytes of
    it lead to this server, not into its tree: whatever stands in front has cut them off.

    `is_masked` once `set_host` has replaced what the client and the connection say.

    `memo`, when the very same head has come before, is shared by all requests that had it: a place for what
    follows from a head alone and is dear to work out. Keys are the objects that put something there. Paths,
    queries and fields are replaced as wholes, never changed in place.
    """

    __slots__ = (
        "_lazy", "attached_session", "base", "began", "body", "connection", "consumed", "exchange", "http_version",
        "is_masked", "memo", "method", "notes", "own_log", "raw_headers", "raw_path", "raw_query", "raw_target", "site",
        "user", "variables",
    )  # fmt: skip

    exchange: "Exchange"
    connection: Connection
    site: object
    began: float  # when it was dispatched, by perf_counter(), where requests are counted
    own_log: object  # said on the way down the tree, where a place has a log of its own

    def __init__(
        self,
        method: str,
        raw_target: bytes,
        raw_path: bytes,
        raw_query: bytes,
        http_version: str,
        raw_headers: Sequence[tuple[bytes, bytes]],
        body: Body,
        memo: dict[object, object] | None = None,
    ) -> None:
        self.method = method
        self.raw_target = raw_target
        self.raw_path = raw_path
        self.raw_query = raw_query
        self.http_version = http_version
        self.raw_headers = raw_headers
        self.body = body
        self.memo = memo
        self.is_masked = False
        # Taken where the log or the loggers of the site ask for them.
        self.notes: Notes | None = None
        # Who the client is, and how that was found out: ("mary", "Basic"). A guard says so by `set_user`.
        self.user: tuple[str, str] | None = None
        # Further ones for programs that have an environ, said on the way down the tree.
        self.variables: Mapping[str, str] | None = None
        # Set by Sessions on the way down the tree; whoever hands it on opens it (Session.open).
        self.attached_session: Session | None = None
        self.consumed = self.base = 0
        self._lazy: dict[str, Any] | None = None

    # Fields.

    def raw_header(self, name: bytes) -> bytes | None:
        """The last value of `name` (lower-case)."""
        value = None
        for candidate, found in self.raw_headers:
            if candidate == name:
                value = found
        return value

    @property
    def headers(self) -> Headers:
        """All fields, read-only."""
        lazy = self._cache()
        if "headers" not in lazy:
            text = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.raw_headers]
            lazy["headers"] = Headers(text, frozen=True)
        headers: Headers = lazy["headers"]
        return headers

    @property
    def cookies(self) -> dict[str, str]:
        """Cookies by name (RFC 6265 5.4); malformed pairs are left out."""
        lazy = self._cache()
        if "cookies" not in lazy:
            from container.message.cookies import parse_cookies

            lazy["cookies"] = parse_cookies(self.headers.get_all("cookie"))
        cookies: dict[str, str] = lazy["cookies"]
        return cookies

    @property
    def authorization(self) -> tuple[str, str]:
        """User and password of Basic authentication (RFC 7617); empty strings without it."""
        from container.message.authorization import parse_basic

        return parse_basic(self.headers.get("authorization"))

    # The target.

    @property
    def path(self) -> str:
        """The whole path, percent-decoded. Use the segments to tell `/` from `%2F`."""
        return decode_segment(self.raw_path)

    @property
    def query_string(self) -> str:
        """What follows the first `?`, as sent."""
        return self.raw_query.decode("latin-1")

    @property
    def args(self) -> "Params":
        """The query's arguments: repeated keys kept, `&` the only separator, `?s` means `s=""`."""
        lazy = self._cache()
        if "args" not in lazy:
            from container.message.forms import parse_query

            lazy["args"] = parse_query(self.raw_query)
        args: Params = lazy["args"]
        return args

    @property
    def script_name(self) -> str:
        """The path up to here, percent-decoded: where the current resource is mounted."""
        return decode_segment(self.raw_path[: self.consumed])

    @property
    def path_info(self) -> str:
        """The rest of the path, percent-decoded, with its leading slash."""
        return decode_segment(self.raw_path[self.consumed :])

    @property
    def prepath(self) -> tuple[str, ...]:
        """Decoded segments up to here."""
        return tuple(_segments(self.raw_path[: self.consumed]))

    @property
    def postpath(self) -> tuple[str, ...]:
        """Decoded segments still to be looked up; a trailing slash gives a last empty one."""
        return tuple(_segments(self.raw_path[self.consumed :]))

    # The two ends.

    @property
    def host(self) -> str:
        """The authority the client asked for, `name` or `name:port`; the local address when it sent none."""
        value = self.raw_header(b"host")
        if value:
            return value.decode("latin-1")
        server = self.connection.server
        if server is None:
            return "localhost"
        name = f"[{server[0]}]" if ":" in server[0] else server[0]
        return f"{name}:{server[1]}"

    @property
    def hostname(self) -> str:
        """`host` without port and without the brackets of an IPv6 literal."""
        return split_authority(self.host)[0]

    @property
    def port(self) -> int:
        """The port of `host`; the scheme's own when it names none."""
        return split_authority(self.host)[1] or (443 if self.is_secure else 80)

    @property
    def is_secure(self) -> bool:
        return self.connection.secure

    @property
    def scheme(self) -> str:
        return "https" if self.is_secure else "http"

    @property
    def client(self) -> tuple[str, int] | None:
        """The client's address and port, as the connection or a trusted proxy tells it; None on a UNIX socket."""
        return self.connection.client

    @property
    def id(self) -> str:
        """What this request is called, in logs and for whoever asks: what its X-Request-ID says when that is
        harmless, else its trace id."""
        lazy = self._cache()
        if "id" not in lazy:
            from container.message.trace import id_of

            lazy["id"] = id_of(self.raw_headers) or self.trace.trace_id
        id: str = lazy["id"]
        return id

    @property
    def trace(self) -> "Trace":
        """The trace it belongs to (W3C Trace Context): that of its `traceparent` when it is valid, else a new one."""
        lazy = self._cache()
        if "trace" not in lazy:
            from container.message.trace import trace_of

            lazy["trace"] = trace_of(self.raw_headers)
        trace: Trace = lazy["trace"]
        return trace

    def replace_fields(self, fields: Sequence[tuple[bytes, bytes]]) -> None:
        """Have it that other fields were sent; names are lower-case."""
        self.raw_headers = fields
        for name in ("headers", "cookies", "id", "trace"):
            self._forget(name)

    def set_user(self, user: str, scheme: str) -> None:
        """Say who the client is: REMOTE_USER and AUTH_TYPE of what runs below (RFC 3875 4.1.1, 4.1.11)."""
        self.user = user, scheme

    def set_host(self, host: str, port: int | None = None, *, secure: bool | None = None) -> None:
        """Say what the outside world calls this server: a port is shown unless it is the scheme's own.

        The Host field is replaced, and so is the server's end of the connection, for this request only.
        """
        self.is_masked = True
        self.connection = connection = self.connection.told()
        if secure is not None:
            connection.secure = secure
        default = 443 if connection.secure else 80
        host = host.removeprefix("[").removesuffix("]")
        connection.server = host, port or default
        name = f"[{host}]" if ":" in host else host
        value = (name if port in (None, default) else f"{name}:{port}").encode("latin-1")
        self.raw_headers = ((b"host", value), *[field for field in self.raw_headers if field[0] != b"host"])
        self._forget("headers")

    def set_client(self, client: tuple[str, int] | None) -> None:
        """Say who the client of the proxy is that has sent this request; 0 for a port that is not known."""
        self.connection = self.connection.told()
        self.connection.set_client(client)

    def set_fields(self, fields: Sequence[tuple[bytes, bytes]]) -> None:
        """Put `fields`, with lower-case names, in the place of all that came, for this request only."""
        self.raw_headers = fields
        self.memo = None
        self._forget("headers")
        self._forget("cookies")

    def set_prefix(self, prefix: bytes) -> None:
        """Say what a proxy has cut off the front of the path, `/a/b`: it is in all paths and URLs from now on."""
        self.raw_path = prefix + self.raw_path
        self.raw_target = prefix + self.raw_target
        self.base += len(prefix)
        self.consumed += len(prefix)

    def rewrite(self, rest: bytes, query: bytes | None = None) -> None:
        """Ask for another path below the current resource: `rest`, empty or with its leading slash, takes the
        place of what is to be looked up, and `query` that of the query. The target stays as it was sent."""
        if not rest and self.consumed == self.base:
            rest = b"/"  # what clients ask for when they ask for nothing
        self.raw_path = self.raw_path[: self.consumed] + rest
        if query is not None:
            self.raw_query = query
            self._forget("args")

    def reroute(self, path: bytes) -> int:
        """Become the request for another path of this server, with the same query, as if that had been sent.

        The traversal begins anew after `Exchange.restart`. Returns how often this has happened.
        """
        self.raw_path = self.raw_path[: self.base] + path
        self.raw_target = self.raw_path + b"?" + self.raw_query if self.raw_query else self.raw_path
        self.consumed = self.base
        self.attached_session = self.user = None
        return self._begin_anew("form")

    @property
    def urls(self) -> "URLs":
        """Absolute URLs and relative links from here."""
        from container.message.url import URLs

        return URLs(self)

    def remember_root(self) -> None:
        """Remember the directory of the current resource as the root that `urls.root` speaks of."""
        here = self.raw_path[: self.consumed]
        self._cache()["root"] = here[: here.rfind(b"/")]

    @property
    def remembered_root(self) -> bytes | None:
        """The raw path that `remember_root` kept."""
        root: bytes | None = (self._lazy or {}).get("root")
        return root

    @property
    def session(self) -> "Session":
        """The session of this browser, a mapping (docs/sessions.md). RuntimeError when none are kept here."""
        session = self.attached_session
        if session is None:
            raise RuntimeError(
                "expected Sessions(...) around this resource to have a session in its requests"
            )
        session.open(self.exchange)
        session.is_used = True
        return session

    # Content. `read`, `json` and `form` keep it: they may be called again, and others find it unread.

    async def read(self) -> bytes:
        """The whole content in memory.

        Raises ClientDisconnected when it does not come, ProtocolError when it is malformed.
        """
        await self._complete()
        return self.body.file().read()

    async def stream(self) -> AsyncIterator[bytes]:
        """The content as it arrives, once. Raises like `read`."""
        body = self.body
        if body.is_kept:
            await self._complete()
            async for piece in _pieces(body):
                yield piece
            return
        while True:
            if body.held:
                yield body.take()
            elif body.complete:
                return
            elif body.error is not None:
                raise body.error
            else:
                await self.exchange.receive()

    async def _complete(self) -> None:
        """Wait for the end of the content, keeping all of it."""
        if self.body.error is not None:
            raise self.body.error
        if not self.body.complete:
            await self.exchange.complete()

    async def json(self) -> object:
        """The content as JSON. Raises HTTPError(400) when it is not."""
        import json

        from container.message.errors import HTTPError

        try:
            value: object = json.loads(await self.read())
        except (ValueError, RecursionError) as error:
            raise HTTPError(400, "expected JSON content") from error
        return value

    async def form(self, limits: "FormLimits | None" = None) -> "FormData":
        """The form in the content, urlencoded or multipart; its files live as long as the exchange.

        Raises FormError: 415, 400 or 413, and like `read`.
        """
        lazy = self._cache()
        if "form" not in lazy:
            from container.message.form_limits import FormLimits
            from container.message.forms import FormParser

            parser = FormParser(self.headers.get("content-type") or "", limits=limits or FormLimits())
            await self._complete()
            try:
                async for piece in _pieces(self.body):
                    parser.feed(piece)
                lazy["form"] = parser.finish()
            except BaseException:
                parser.close()
                raise
        form: FormData = lazy["form"]
        return form

    def redirect(self, target: bytes) -> int:
        """Become a request without content for another path of this server (RFC 3875 6.2.2).

        Who asked, and with which fields, stays. Returns how often this has happened.
        """
        if self.method != "HEAD":
            self.method = "GET"
        path, _, self.raw_query = target.partition(b"#")[0].partition(b"?")
        prefix = self.raw_path[: self.base]
        # Those who know of the prefix have it in their links.
        self.raw_path = path if path.startswith(prefix + b"/") else prefix + path
        dropped = (b"content-length", b"content-type", b"content-encoding", b"transfer-encoding", b"expect")
        self.raw_headers = tuple(field for field in self.raw_headers if field[0] not in dropped)
        self.release()
        self.body = Body(0, complete=True)
        self.consumed = self.base
        self.memo = None
        return self._begin_anew("root")

    def _begin_anew(self, *kept: str) -> int:
        """Forget what was found out, but for `kept`; how often this has happened."""
        lazy = self._cache()
        self._lazy = {name: lazy[name] for name in (*kept, "id", "trace") if name in lazy}
        count: int = lazy.get("redirects", 0) + 1
        self._lazy["redirects"] = count
        return count

    def release(self) -> None:
        """The exchange is over: give back what the content and the form of the request hold."""
        self.body.discard()
        form: FormData | None = (self._lazy or {}).get("form")
        if form is not None:
            form.close()

    def _cache(self) -> dict[str, Any]:
        if self._lazy is None:
            self._lazy = {}
        return self._lazy

    def _forget(self, name: str) -> None:
        """Something was replaced that `name` was made of."""
        if self._lazy is not None:
            self._lazy.pop(name, None)

    def __repr__(self) -> str:
        target = self.raw_target.decode("ascii", "backslashreplace")  # logs show it to terminals
        return f"<{type(self).__name__} {self.method} {target} HTTP/{self.http_version}>"


async def _pieces(body: Body) -> AsyncIterator[bytes]:
    """Content that is kept in pieces, with a turn of the loop after each: the client may leave in any of them. Raises
    ClientDisconnected."""
    file = body.file()
    while piece := file.read(_PIECE):
        yield piece
        await _turn()
        body.check_there()


@coroutine
def _turn() -> Generator[None, None, None]:
    """Let others run."""
    yield


def decode_segment(raw: bytes) -> str:
    """Percent-decoded UTF-8 text of a path or a segment of one."""
    if b"%" in raw:
        raw = unquote_to_bytes(raw)
    return raw.decode("utf-8", "replace")


def _segments(raw: bytes) -> Iterator[str]:
    if raw:
        yield from map(decode_segment, raw.removeprefix(b"/").split(b"/"))
