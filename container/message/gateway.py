"""The fields of a message that a gateway passes on: which stay behind, and which say where it came from.

Hop-by-hop fields end here (RFC 9110 7.6.1); framing is made anew for each side, so the two can never disagree
about where a message ends.
"""

import re
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias

from container.message.errors import HTTPError
from container.message.fields import Pair, encode_fields, list_tokens, may_trail
from container.message.headers import Headers
from container.message.request import Request

RawField: TypeAlias = tuple[bytes, bytes]
# How the client is told of: X-Forwarded-*, Forwarded (RFC 7239), both or not at all.
Forwarding: TypeAlias = Literal["x", "standard", "both", "none"]

# Of one connection, whatever the Connection field says.
HOP: Final = frozenset(
    b"connection keep-alive proxy-connection transfer-encoding te trailer upgrade http2-settings".split()
)
# Of requests, what is made anew besides.
ANEW: Final = frozenset({b"content-length", b"expect", b"host"})
# What only the one in front of the server may say. Also spelt with `_`, which CGI and WSGI cannot tell from `-`.
CLAIMS: Final = frozenset(
    b"forwarded x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-port x-forwarded-prefix "
    b"x-real-ip".split()
)
# Fields of a request that have to be looked at before they go on.
_CLOSER: Final = frozenset({b"via", b"max-forwards"})
_OF_THE_CONNECTION: Final = frozenset({b"keep-alive", b"close"})
_HOPS_MAX: Final = 16
_MADE_ANEW: Final = ("content-length", "expect")
_NOT_QUOTED: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# Protocols that would let a client speak past what this proxy checks.
_NO_TUNNEL: Final = frozenset({b"h2c", b"h2", b"http/2.0", b"tls/1.0"})


def end_to_end(fields: Iterable[RawField], *, more: frozenset[bytes] = frozenset()) -> list[RawField]:
    """The fields that go on, repeated ones included; without those that Connection names, and `more`."""
    fields = list(fields)
    dropped = HOP | more
    options = list_tokens([value for name, value in fields if name.lower() == b"connection"])
    if options:
        dropped = dropped.union(options) - {b"content-length"}  # without it the content would lose its end
        dropped |= more
    return [field for field in fields if field[0].lower() not in dropped]


def plain_lines(fields: Iterable[RawField], dropped: frozenset[bytes]) -> bytes | None:
    """The lines of a request's fields but for those `dropped`, as most of them go on; None when there is one that
    has to be looked at more closely. Hot path."""
    result = []
    for field in fields:
        name = field[0]
        if name in dropped:
            if name == b"te" or (name == b"connection" and field[1].lower() not in _OF_THE_CONNECTION):
                return None
        elif name in _CLOSER or b"_" in name:
            return None
        else:
            result.append(b"%b: %b\r\n" % field)
    return b"".join(result)


def end_to_end_trailers(trailers: Iterable[RawField]) -> list[RawField]:
    """The trailers of a request that go on: none that belongs before the content, none that claims where it came
    from: some servers make no difference between the two places."""
    fields = without_claims(end_to_end(trailers))
    return [field for field in fields if may_trail(field[0].decode("latin-1"))]


def check_hops(fields: list[RawField]) -> None:
    """Raises HTTPError(508) when a message has come through too many proxies."""
    if len(list_tokens([value for name, value in fields if name == b"via"])) >= _HOPS_MAX:
        raise HTTPError(508, "The request has gone through too many proxies: they may be asking each other.")


def text(fields: Iterable[RawField]) -> list[Pair]:
    """Fields as the public API has them."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]


def changed_lines(headers: Headers) -> bytes:
    """The lines of fields that a hook may have changed. Raises ValueError when they cannot go out."""
    if len(headers.get_all("host")) != 1:
        raise ValueError("expected change_request to leave one Host field")
    return encode_fields([field for field in headers.items() if field[0].lower() not in _MADE_ANEW]).lines


def without_claims(fields: list[RawField]) -> list[RawField]:
    """The fields without what the client says of its own way here."""
    return [field for field in fields if field[0].replace(b"_", b"-") not in CLAIMS]


def asked_protocols(request: Request) -> bytes:
    """The value of Upgrade when the request asks for another protocol that may be tunnelled, else nothing."""
    if request.memo is not None:  # no head that asks for that is remembered
        return b""
    if request.http_version != "1.1" or not request.body.complete or request.body.received:
        return b""
    wanted = [value for name, value in request.raw_headers if name == b"upgrade"]
    if not wanted:
        return b""
    options = list_tokens([value for name, value in request.raw_headers if name == b"connection"])
    protocols = list_tokens(wanted)
    if b"upgrade" not in options or _NO_TUNNEL.intersection(protocols):
        return b""
    return b", ".join(wanted)


def connection_lines(request: Request, protocols: bytes) -> bytes:
    """What the client asks of its connection and the gateway of its own: `protocols`, and trailers (RFC 9110 10.1.4),
    which some servers leave out for those who do not say that they take them."""
    te = [value for name, value in request.raw_headers if name == b"te"]
    takes_trailers = request.http_version == "1.1" and b"trailers" in list_tokens(te)
    options = [*([b"Upgrade"] if protocols else []), *([b"TE"] if takes_trailers else [])]
    if not options:
        return b""
    return b"".join(
        (
            b"Connection: %b\r\n" % b", ".join(options),
            b"Upgrade: %b\r\n" % protocols if protocols else b"",
            b"TE: trailers\r\n" if takes_trailers else b"",
        )
    )


def lines(fields: Iterable[RawField]) -> bytes:
    """Fields that came from a parser, as they go out."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])


def forwarding_lines(request: Request, forwarding: Forwarding, base: bytes = b"", *, appended: bool) -> bytes:
    """What follows from head and mount point: scheme, host and port as the client sees them, and the prefix that
    it sees and the upstream does not, below whose `base` the request is passed on."""
    if forwarding not in ("x", "both"):
        return b""
    host = request.host.encode("latin-1")
    there = {name for name, _ in request.raw_headers} if appended else set()
    said = [
        (b"X-Forwarded-Proto", request.scheme.encode()),
        (b"X-Forwarded-Host", host),
        (b"X-Forwarded-Port", b"%d" % request.port),
    ]
    prefix = _cut_off(request.raw_path[: request.consumed], base)
    if prefix:
        said.append((b"X-Forwarded-Prefix", prefix))
    return lines(field for field in said if field[0].lower() not in there)


def _cut_off(mount: bytes, base: bytes) -> bytes:
    """The beginning of `mount` that is not in `base`: what both end with has been put back."""
    ours, theirs = mount.split(b"/"), base.split(b"/")
    while ours[-1] and ours[-1] == theirs[-1]:
        ours.pop()
        theirs.pop()
    return b"/".join(ours)


def client_lines(request: Request, forwarding: Forwarding, *, appended: bool) -> bytes:
    """Who the client is: differs from connection to connection."""
    # A list that is added to gets whoever sent it; a new one whoever the client is known to be.
    client = request.connection.peer.client if appended else request.client
    host = client[0] if client is not None else ""
    result = b""
    if forwarding in ("x", "both") and (host or appended):
        chain = _values(request, b"x-forwarded-for") if appended else []
        result = b"X-Forwarded-For: %b\r\n" % b", ".join([*chain, *([host.encode()] if host else [])])
    if forwarding in ("standard", "both"):
        node = f'"[{host}]"' if ":" in host else host or "unknown"
        name = request.host
        quoted = name if _NOT_QUOTED.fullmatch(name) else f'"{name}"'
        element = f"for={node};host={quoted};proto={request.scheme}".encode("latin-1")
        chain = _values(request, b"forwarded") if appended else []
        result += b"Forwarded: %b\r\n" % b", ".join([*chain, element])
    return result


def _values(request: Request, name: bytes) -> list[bytes]:
    return [value for candidate, value in request.raw_headers if candidate == name]
