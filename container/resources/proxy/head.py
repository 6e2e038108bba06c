"""The head that an upstream gets: made of the client's, or remembered. Hot path.

What follows from a head alone is kept with that head, as long as the parser keeps it (`Request.memo`); heads with
cookies are not kept, so making one costs little, too. What of it depends on the client is added each time.
"""

import re
from collections.abc import Callable
from typing import Final

from container.message.errors import HTTPError
from container.message.gateway import (
    ANEW,
    CLAIMS,
    HOP,
    Forwarding,
    RawField,
    changed_lines,
    check_hops,
    client_lines,
    connection_lines,
    end_to_end,
    forwarding_lines,
    lines,
    plain_lines,
    text,
    without_claims,
)
from container.message.headers import Headers
from container.message.request import Request
from container.resources.proxy.balance import Upstream

Change = Callable[[Request, Headers], None]

# A segment that is or hides `..`, or a `.`: what it means is for neither side to guess.
_DOTS: Final = re.compile(rb"(?:^|[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?=$|[/\\;]|%2f|%5c|%3b)", re.IGNORECASE)
_NO_URI: Final = re.compile(rb"[^\x21-\x7e]")
_PRIVATE: Final = frozenset({b"proxy-authorization"})
_REMEMBERED_MAX: Final = 1024


class HeadMaker:
    """For one proxy; the options are those of ReverseProxy. `change`: its hook, None when it changes nothing."""

    __slots__ = ("_change", "_clients", "_forwarding", "_host", "_said", "_trusts", "_via")

    def __init__(
        self, host: str, forwarding: Forwarding, *, trusts: bool, via: str | None, change: Change | None
    ) -> None:
        self._host = host
        self._forwarding: Forwarding = forwarding
        self._trusts = trusts
        self._via = b"" if via is None else f"Via: 1.1 {via}\r\n".encode("latin-1")
        self._change = change
        # What is said of the client's end, and of the way to here; cleared when full.
        self._clients: dict[str, bytes] = {}
        self._said: dict[tuple[bytes, bool, bytes, str], bytes] = {}

    def head(self, request: Request, upstream: Upstream, protocols: bytes) -> bytes:
        """Start-line and fields, without those of framing and without the empty line; `protocols` are asked for."""
        if self._change is not None:
            return self._changed(request, upstream, protocols, self._change)
        memo = request.memo
        if memo is None or request.is_masked:
            return self._made(request, upstream, protocols) + self._client(request)
        key = (self, upstream, request.consumed, request.connection.secure)
        known = memo.get(key)
        if isinstance(known, _Known) and known.is_of(request):
            octets = known.octets
        else:
            octets = self._made(request, upstream, protocols)
            memo[key] = _Known(request, octets)
        return octets + self._client(request)

    def _made(self, request: Request, upstream: Upstream, protocols: bytes) -> bytes:
        fields = None if self._trusts else plain_lines(request.raw_headers, _DROPPED)
        if fields is None:
            fields = lines(self._fields(request)) + connection_lines(request, protocols)
        return b"".join(
            (
                _start_line(request, upstream),
                b"Host: ",
                self._host_of(request, upstream).encode("latin-1"),
                b"\r\n",
                fields,
                self._via,
                self._way(request, upstream),
            )
        )

    def _changed(self, request: Request, upstream: Upstream, protocols: bytes, change: Change) -> bytes:
        """The same with fields as the hook leaves them. Raises what that raises, and ValueError."""
        headers = Headers([("Host", self._host_of(request, upstream)), *text(self._fields(request))])
        change(request, headers)
        return b"".join(
            (
                _start_line(request, upstream),
                changed_lines(headers),
                connection_lines(request, protocols),
                self._via,
                self._way(request, upstream),
                self._client(request),
            )
        )

    def _host_of(self, request: Request, upstream: Upstream) -> str:
        if self._host == "upstream":
            return upstream.address.authority
        return request.host if self._host == "preserve" else self._host

    def _fields(self, request: Request) -> list[RawField]:
        """The client's fields that go on, each looked at."""
        fields = end_to_end(request.raw_headers, more=ANEW | _PRIVATE)
        if not self._trusts:
            fields = without_claims(fields)
        elif self._forwarding != "none":
            added = {b"x-forwarded-for"} if self._forwarding in ("x", "both") else set()
            added |= {b"forwarded"} if self._forwarding in ("standard", "both") else set()
            fields = [field for field in fields if field[0] not in added]
        fields = [_one_hop_less(field) for field in fields]
        check_hops(fields)
        return fields

    def _way(self, request: Request, upstream: Upstream) -> bytes:
        base, mount = upstream.base, request.raw_path[: request.consumed]
        host = b"" if self._trusts else request.raw_header(b"host")
        if not host:  # then it follows from the connection, or other fields count
            return forwarding_lines(request, self._forwarding, base.encode("latin-1"), appended=self._trusts)
        key = host, request.connection.secure, mount, base
        said = self._said.get(key)
        if said is None:
            if len(self._said) >= _REMEMBERED_MAX:
                self._said.clear()
            said = forwarding_lines(request, self._forwarding, base.encode("latin-1"), appended=False)
            self._said[key] = said
        return said

    def _client(self, request: Request) -> bytes:
        if self._forwarding != "x" or self._trusts:
            return client_lines(request, self._forwarding, appended=self._trusts)
        host = request.connection.client_host
        said = self._clients.get(host)
        if said is None:
            if len(self._clients) >= _REMEMBERED_MAX:
                self._clients.clear()
            said = self._clients[host] = client_lines(request, "x", appended=False)
        return said


_DROPPED: Final = HOP | ANEW | CLAIMS | _PRIVATE


class _Known:
    """The head for an upstream, and what it was made of: whoever changes a request replaces that."""

    __slots__ = ("_fields", "_path", "_query", "octets")

    def __init__(self, request: Request, octets: bytes) -> None:
        self._path = request.raw_path
        self._query = request.raw_query
        self._fields = request.raw_headers
        self.octets = octets

    def is_of(self, request: Request) -> bool:
        return (
            self._fields is request.raw_headers
            and self._path is request.raw_path
            and self._query is request.raw_query
        )


def _start_line(request: Request, upstream: Upstream) -> bytes:
    return b"%b %b HTTP/1.1\r\n" % (request.method.encode(), _target(request, upstream.base))


def _target(request: Request, base: str) -> bytes:
    """The request target for an upstream: segments as they were sent, below its base. Raises HTTPError(400)."""
    rest = request.raw_path[request.consumed :]
    if request.raw_path == b"*":
        return b"*"
    if (b"." in rest or b"%2" in rest) and _DOTS.search(rest) is not None:
        raise HTTPError(400, "The path must not hold dot segments.")
    target = base.encode("latin-1") + rest or b"/"
    if target[0] != 47:
        target = b"/" + target
    if request.raw_query:
        target = b"%b?%b" % (target, request.raw_query)
    return _NO_URI.sub(lambda match: b"%%%02X" % match[0][0], target)


def _one_hop_less(field: RawField) -> RawField:
    """Max-Forwards counted down (RFC 9110 7.6.2); 0 ends here before."""
    name, value = field
    if name == b"max-forwards" and value.isdigit() and value != b"0":
        return name, b"%d" % (int(value) - 1)
    return field
