"""What proxies say of the requests they hand on: Forwarded (RFC 7239) and the X-Forwarded-* fields.

Here: the grammar, and whose word counts. Lists are read from right to left, because what stands further left
came from further away: an element counts when all to the right of it name proxies that are trusted.
Not here: whether the peer is trusted at all, and what is done with its word (`tree/forwarded.py`).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from container.message.authority import PORT_MAX, parse_authority
from container.message.networks import Networks

Fields = Sequence[tuple[bytes, bytes]]

FORWARDED: Final = b"forwarded"
X_FORWARDED: Final = (
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-host",
    b"x-forwarded-port",
    b"x-forwarded-prefix",
)
KNOWN: Final = frozenset({FORWARDED, *X_FORWARDED})
_SECURE: Final = {"http": False, "https": True, "ws": False, "wss": True}
# Segments with something in them: `//` would be another host where a browser sees it.
_PREFIX: Final = re.compile(r"(?:/(?!\.{1,2}(?:/|$))(?:[0-9A-Za-z\-._~!$&'()*+;=:@]|%[0-9A-Fa-f]{2})+)*/?")
_PAIR: Final = re.compile(r"""([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s",;]*))""")
_BETWEEN: Final = re.compile(r"[ \t]*([,;])[ \t,;]*")
_ESCAPED: Final = re.compile(r"\\(.)")


class Told(NamedTuple):
    """What trusted proxies say: None, or an empty prefix, where they say nothing."""

    client: tuple[str, int] | None = None
    secure: bool | None = None
    host: str | None = None
    port: int | None = None
    prefix: bytes = b""


NOTHING: Final = Told()


def read(fields: Fields, trusted: Networks, names: Iterable[bytes] = KNOWN) -> Told:
    """What the fields `names` of a request tell that came from a trusted peer.

    Raises ValueError for what is malformed where it would count, and for both kinds of fields in one request:
    a proxy that sets one kind passes the client's other kind on.
    """
    lists: dict[bytes, list[str]] = {}
    for name, value in fields:
        if name in KNOWN and name in names:
            lists.setdefault(name, []).append(value.decode("latin-1"))
    if not lists:
        return NOTHING
    if FORWARDED not in lists:
        return _read_x(lists, trusted)
    if len(lists) > 1:
        raise ValueError("expected Forwarded or X-Forwarded-* fields, got both")
    return _read_forwarded(lists[FORWARDED], trusted)


def _read_x(lists: dict[bytes, list[str]], trusted: Networks) -> Told:
    items = {
        name: [item for value in values for each in value.split(",") if (item := each.strip())]
        for name, values in lists.items()
    }
    client, hops = _walk(items.get(X_FORWARDED[0], []), trusted)

    def said(name: bytes) -> str | None:
        """By the trusted proxy that is nearest to the client; one that replaces leaves a single element."""
        every = items.get(name)
        return every[-min(max(hops, 1), len(every))] if every else None

    proto, host, port = map(said, X_FORWARDED[1:4])
    prefixes = items.get(X_FORWARDED[4], [])[-max(hops, 1) :]
    name, shown = parse_authority(host) if host is not None else (None, None)
    return Told(
        client,
        _parse_proto(proto),
        name,
        _parse_port(port) or shown,
        b"".join(map(parse_prefix, prefixes)),
    )


def _walk(nodes: Sequence[str], trusted: Networks) -> tuple[tuple[str, int] | None, int]:
    """The client, and how many elements a trusted proxy has written."""
    client, hops = None, 0
    for node in reversed(nodes):
        hops += 1
        address = parse_node(node)
        if address is None:  # unknown, or kept secret: the one before is as far as anybody knows
            break
        client = address
        if address[0] not in trusted:
            break
    return client, hops


def _read_forwarded(values: Sequence[str], trusted: Networks) -> Told:
    elements = [element for value in values for element in _elements(value)]
    client, hops = _walk([element.get("for", "unknown") for element in elements], trusted)
    told: dict[str, str] = {}
    for element in reversed(elements[len(elements) - hops :]):
        told |= element
    name, port = parse_authority(told["host"]) if "host" in told else (None, None)
    return Told(client, _parse_proto(told.get("proto")), name, port)


def _elements(value: str) -> Iterator[dict[str, str]]:
    """The elements of a Forwarded field, names in lower case. ValueError for what is malformed (RFC 7239 4)."""
    element: dict[str, str] = {}
    at, end = 0, len(value)
    while at < end:
        pair = _PAIR.match(value, at)
        if pair is None or pair[1].lower() in element:
            raise ValueError("malformed Forwarded field")
        quoted = pair[2]
        element[pair[1].lower()] = _ESCAPED.sub(r"\1", quoted) if quoted is not None else pair[3]
        at = pair.end()
        between = _BETWEEN.match(value, at)
        if between is None:
            if at < end:
                raise ValueError("malformed Forwarded field")
            break
        at = between.end()
        if "," in between[0]:
            yield element
            element = {}
    if element:
        yield element


def parse_node(text: str) -> tuple[str, int] | None:
    """Address and port, 0 when it names none, of `1.2.3.4`, `1.2.3.4:5`, `::1` or `[::1]:5`; None of what is no
    address, such as `unknown` and `_hidden`."""
    from ipaddress import ip_address  # late: most requests come as they are

    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, ""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if "%" in host:
        return None
    address = getattr(address, "ipv4_mapped", None) or address
    is_port = port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= PORT_MAX
    return str(address), int(port) if is_port else 0


def parse_prefix(text: str) -> bytes:
    """`/a/b` without a slash at its end. Raises ValueError for what cannot stand before a path."""
    if not text.startswith("/") or _PREFIX.fullmatch(text) is None:
        raise ValueError(f'expected X-Forwarded-Prefix as "/path", got {text!r}')
    return text.removesuffix("/").encode("ascii")


def _parse_proto(text: str | None) -> bool | None:
    if text is None:
        return None
    secure = _SECURE.get(text.lower())
    if secure is None:
        raise ValueError(f"expected http or https as forwarded scheme, got {text!r}")
    return secure


def _parse_port(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= PORT_MAX):
        raise ValueError(f"expected a port as X-Forwarded-Port, got {text!r}")
    return int(text)
