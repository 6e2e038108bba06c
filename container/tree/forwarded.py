"""Whose word counts of where a request came from: the one place where proxies are believed.

Hot path, for trees behind a proxy. How the word is spelt is `message/forwarded.py`'s.
"""

from collections.abc import Iterable
from typing import Final

from container.message.errors import HTTPError
from container.message.forwarded import KNOWN, NOTHING, Told, read
from container.message.networks import Networks
from container.message.request import Request
from container.tree.resource import Resource
from container.tree.wrapper import Wrapper


class Forwarded(Wrapper):
    """Believes what trusted proxies say of the client, the host, the scheme and the prefix of a request.

    `trusted`: addresses and networks of the proxies in front, `"*"` for everybody; with `unix` also whoever
    comes by a UNIX socket. `fields`: which fields the nearest proxy sets or removes, by name; those it would
    pass on from a client must not be among them. All that is found out goes into the request, so everything
    below sees it: `request.client`, `urls`, environ, scope, access log. What others say is left alone and
    not looked at. 400 for what a trusted proxy says when it cannot be understood.
    """

    def __init__(
        self,
        inner: Resource,
        trusted: Iterable[str] = (),
        *,
        unix: bool = True,
        fields: Iterable[str] | None = None,
    ) -> None:
        super().__init__(inner)
        self.fields = KNOWN if fields is None else _names(fields)
        self.made_with: dict[str, object] = {"unix": unix, "fields": self.fields}
        self.trusted = Networks(trusted)
        if unix:
            self.trusted.unix = True

    def enter(self, request: Request) -> Resource:
        connection = request.connection
        # Once somebody trusted has spoken, nobody below speaks again.
        if connection.peer is connection and self.trusted.include(connection):
            told = self._told(request)
            if told is not NOTHING:
                believe(request, told)
        return self.inner

    def _told(self, request: Request) -> Told:
        fields, memo = request.raw_headers, request.memo
        known = memo.get(self) if memo is not None else None
        if known.__class__ is _Known and known.fields is fields:
            return known.told
        try:
            told = read(fields, self.trusted, self.fields)
        except ValueError as error:
            raise HTTPError(400, str(error)) from error
        if memo is not None:
            memo[self] = _Known(fields, told)
        return told


class _Known:
    """What the fields of a head came to."""

    __slots__ = ("fields", "told")

    def __init__(self, fields: object, told: Told) -> None:
        self.fields = fields
        self.told = told


def believe(request: Request, told: Told) -> None:
    """Make it so."""
    request.connection = connection = request.connection.told()
    if told.client is not None:
        connection.set_client(told.client)
    if told.host is not None or told.port is not None:
        request.set_host(told.host or request.hostname, told.port, secure=told.secure)
    elif told.secure is not None:
        connection.secure = told.secure
        request.is_masked = True
    if told.prefix:
        request.set_prefix(told.prefix)


_SHORT: Final = {"for", "proto", "host", "port", "prefix"}


def _names(fields: Iterable[str]) -> frozenset[bytes]:
    names = {f"x-forwarded-{each.lower()}" if each.lower() in _SHORT else each.lower() for each in fields}
    unknown = sorted(name for name in names if name.encode() not in KNOWN)
    if unknown:
        known = ", ".join(sorted(name.decode() for name in KNOWN))
        raise ValueError(f"expected some of {known}, got {unknown[0]!r}")
    return frozenset(name.encode() for name in names)
