"""Asking another server who may come in: what nginx calls auth_request and Traefik forwardAuth.

The other server decides by what the client has sent, cookies above all. It says who the client is by fields of
its answer, and its refusals, such as the way to a login page, are the client's to see.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import Final

from container.client.address import parse_url
from container.client.errors import UpstreamError
from container.client.pool import ClientTimeouts, Pool
from container.client.question import Reply, ask
from container.message.errors import HTTPError
from container.message.fields import TOKEN, Pair, list_tokens
from container.message.gateway import (
    ANEW,
    RawField,
    check_hops,
    client_lines,
    end_to_end,
    lines,
    text,
    without_claims,
)
from container.message.headers import Headers
from container.message.request import Request
from container.message.response import Response
from container.tree.resource import Resource
from container.tree.wrapper import Wrapper

log = logging.getLogger("container.auth")

# What the two servers of that name are used to say of the user.
USER: Final = "Remote-User"
FIELDS: Final = ("Remote-Groups", "Remote-Name", "Remote-Email")
# Answers that are the client's to see; all others but 2xx are failures.
_RELAYED: Final = frozenset({301, 302, 303, 307, 308, 401, 403, 429})
_CONTENT_MAX: Final = 1 << 20
# Of the client's own question: about content that is not sent, and conditions of the answer to it.
_NOT_ASKED: Final = frozenset(
    b"content-type content-encoding range if-match if-none-match if-modified-since if-unmodified-since if-range "
    b"max-forwards via".split()
)
# What is said of the client's question, and by nobody else.
_CLAIMS: Final = frozenset(
    b"x-forwarded-method x-forwarded-uri x-original-method x-original-uri x-original-url".split()
)
_PAGES: Final = {
    502: "The server that knows who may come in could not be reached or did not answer as expected.",
    503: "The server that knows who may come in is busy. Please try again in a moment.",
    504: "The server that knows who may come in did not answer in time.",
}


class ForwardAuth(Wrapper):
    """Lets those into `child`, and all below it, of whom the server at `url` says so.

    `url`: `http://127.0.0.1:9091/verify`, `https://...`, `unix:/path:/verify`, perhaps with a query. Each request is
    preceded by a GET to it with the fields of the client and without its content; what was asked for is in
    X-Forwarded-Method, -Proto, -Host, -Port, -Uri and -For, and in X-Original-Method, -URI and -URL.

    2xx lets in. `user` is the field of that answer that names the user, who then is `request.user`; it and `fields`
    take the place of what the client has sent under these names, and cookies that it sets go to the client. 401,
    403, 429 and redirects are the client's answer. Everything else, silence above all, is 502, 503 or 504: nobody
    is let in. `sends`: only these fields of the client are shown to the server. `timeout`: seconds for all of it.
    """

    def __init__(
        self,
        child: Resource,
        url: str,
        *,
        user: str = USER,
        fields: Iterable[str] = FIELDS,
        sends: Iterable[str] | None = None,
        timeout: float = 10.0,
        max_connections: int = 64,
        tls: object | None = None,
    ) -> None:
        import ssl

        super().__init__(child)
        if not timeout > 0:
            raise ValueError(f"expected a timeout above 0, got {timeout!r}")
        if tls is not None and not isinstance(tls, ssl.SSLContext):
            raise TypeError(f"expected an ssl.SSLContext, got {tls!r}")
        place, mark, query = url.partition("?")
        address, base = parse_url(place, tls)
        if any(not "!" <= letter <= "~" or letter == "#" for letter in query):
            raise ValueError(f"expected a percent-encoded query, got {url!r}")
        path = base + "/" if place.endswith("/") or not base else base
        self.url = url
        fields, sends = _several(fields), None if sends is None else _several(sends)
        self.made_with: dict[str, object] = {
            "user": user, "fields": fields, "sends": sends, "timeout": timeout,
            "max_connections": max_connections, "tls": tls,
        }  # fmt: skip
        self._start = f"GET {path}{mark}{query} HTTP/1.1\r\nHost: {address.authority}\r\n".encode("latin-1")
        self._user = _names([user])[0]
        self._told = frozenset({self._user, *_names(fields)})
        self._sends = None if sends is None else frozenset(_names(sends))
        self._timeout = timeout
        limits = ClientTimeouts(connect=min(5.0, timeout), queue=timeout, answer=timeout, read=timeout)
        self._pool = Pool(address, limits, max_connections=max_connections)

    async def enter(self, request: Request) -> Resource:
        octets = self._question(request)
        try:
            async with asyncio.timeout(self._timeout):
                reply = await ask(self._pool, octets, content_max=_CONTENT_MAX)
        except TimeoutError as error:
            log.warning("%s: no answer of %s within %g s", request, self.url, self._timeout)
            raise HTTPError(504, _PAGES[504]) from error
        except UpstreamError as error:
            log.warning("%s: %s: %s", request, self.url, error)
            raise _declined(error.status) from error
        status = reply.head.status
        if 200 <= status < 300:
            self._let_in(request, reply)
            return self.inner
        if status in _RELAYED:
            return _Relayed(reply)
        log.warning("%s: expected a verdict of %s, got status %d", request, self.url, status)
        raise _declined(503 if status == 503 else 502)

    def _question(self, request: Request) -> bytes:
        """Raises HTTPError(508) when the server asks whether it may be asked."""
        fields = end_to_end(request.raw_headers, more=ANEW | _NOT_ASKED)
        fields = [field for field in without_claims(fields) if field[0].replace(b"_", b"-") not in _CLAIMS]
        if self._sends is not None:
            fields = [field for field in fields if field[0] in self._sends]
        via = [(b"Via", value) for name, value in request.raw_headers if name == b"via"]
        check_hops([(b"via", value) for _, value in via])
        target = request.raw_path + (b"?" + request.raw_query if request.raw_query else b"")
        method, scheme, host = (
            request.method.encode(),
            request.scheme.encode(),
            request.host.encode("latin-1"),
        )
        said: list[RawField] = [
            *via,
            (b"Via", b"1.1 container"),
            (b"X-Forwarded-Method", method),
            (b"X-Forwarded-Proto", scheme),
            (b"X-Forwarded-Host", host),
            (b"X-Forwarded-Port", b"%d" % request.port),
            (b"X-Forwarded-Uri", target),
            (b"X-Original-Method", method),
            (b"X-Original-URI", target),
            (b"X-Original-URL", b"%b://%b%b" % (scheme, host, target)),
        ]
        return b"".join(
            [self._start, lines(fields), lines(said), client_lines(request, "x", appended=False), b"\r\n"]
        )

    def _let_in(self, request: Request, reply: Reply) -> None:
        told = [(name.lower(), value) for name, value in reply.head.fields if name.lower() in self._told]
        names = [value for name, value in told if name == self._user and value]
        if len(names) > 1:
            log.warning("%s: expected one user, got %d from %s", request, len(names), self.url)
            raise _declined(502)
        own = [field for field in request.raw_headers if field[0].replace(b"_", b"-") not in self._told]
        request.set_fields((*[self._kept(field) for field in own], *told))
        if names:
            request.set_user(_text(names[0]), "Forward")
        cookies = [value.decode("latin-1") for value in reply.head.values(b"set-cookie")]
        if cookies:
            request.exchange.before_head(lambda status, headers: _add_cookies(headers, cookies))

    def _kept(self, field: RawField) -> RawField:
        """The client's own field. It cannot have a proxy behind this one leave out what was told of it."""
        if field[0] != b"connection":
            return field
        return b"connection", b", ".join(each for each in list_tokens([field[1]]) if each not in self._told)

    async def stop(self) -> None:
        await self._pool.close()


class _Relayed(Resource):
    """Answers one request as the other server did."""

    is_leaf = True

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def render(self, request: Request) -> Response:
        head, content = self._reply
        fields: list[Pair] = text(end_to_end(head.fields, more=frozenset({b"content-length"})))
        headers = Headers(fields)
        if content:
            headers.setdefault("Content-Type", "text/plain; charset=utf-8")
        headers.setdefault("Cache-Control", "no-store")  # it holds for this client, and for now
        return Response(content, head.status, headers)


def _add_cookies(headers: Headers, cookies: Sequence[str]) -> None:
    for cookie in cookies:
        headers.add("Set-Cookie", cookie)


def _declined(status: int) -> HTTPError:
    return HTTPError(status, _PAGES[status], headers={"Retry-After": "5"} if status == 503 else None)


def _several(names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise TypeError(f"expected several names of fields, got one text: {names!r}")
    return tuple(names)


def _names(names: Iterable[str]) -> list[bytes]:
    """Names of fields in lower case. Raises ValueError for what is none."""
    found = [name.lower().encode("latin-1", "replace") for name in names]
    for name in found:
        if TOKEN.fullmatch(name) is None or name == b"host":
            raise ValueError(
                f"expected the name of a field such as Remote-User, got {name.decode('latin-1')!r}"
            )
    return found


def _text(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("latin-1")
