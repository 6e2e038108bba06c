"""`systemd:index=N` and `systemd:name=X`: sockets of a systemd .socket unit (sd_listen_fds(3)).

Not here: reading LISTEN_FDS from the environment, which is `service/activation.py`'s; it calls `provide`.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

from container.channel.endpoints.base import ListenError, describe_socket
from container.channel.endpoints.grammar import Arguments, nearest, register
from container.channel.endpoints.inherited import DOMAINS, adopt

FIRST_DESCRIPTOR = 3
_provided: tuple[str, ...] = ()


def provide(names: tuple[str, ...]) -> None:
    """Tell how many sockets were passed, by their names, which need not differ."""
    global _provided
    _provided = names


@dataclass(frozen=True, slots=True)
class SystemdEndpoint:
    """The sockets that were passed under a name, or the one of an index; `domain` is what it has to be."""

    index: int | None = None
    name: str | None = None
    domain: str | None = None

    def listen(self) -> list[socket.socket]:
        address = "systemd:" + (f"index={self.index}" if self.name is None else f"name={self.name}")
        if not _provided:
            raise ListenError(address, "no sockets were passed (started without a .socket unit?)")
        if self.name is not None:
            chosen = [index for index, name in enumerate(_provided) if name == self.name]
            if not chosen:
                known = ", ".join(dict.fromkeys(_provided))
                raise ListenError(address, f"expected one of the names {known}")
        elif self.index is not None and self.index < len(_provided):
            chosen = [self.index]
        else:
            raise ListenError(address, f"expected an index below {len(_provided)}")
        return [adopt(address, FIRST_DESCRIPTOR + index, self.domain) for index in chosen]

    def describe(self, sock: socket.socket) -> str:
        return describe_socket(sock)

    def release(self, sock: socket.socket) -> None:
        """The socket file is systemd's."""


def _parse(arguments: Arguments) -> SystemdEndpoint:
    fields = arguments.fields
    # The short spellings: systemd:0, systemd:web.
    if fields and fields[0][0] is None and fields[0][1]:
        value = fields[0][1]
        fields = (("index" if value.isdigit() else "name", value), *fields[1:])
    bound: dict[str, str] = {}
    for key, value in fields:
        if key is None or key not in ("index", "name", "domain") or key in bound:
            hint = nearest(key or value, ("index", "name", "domain"))
            raise arguments.error("domain, and index or name, once each", key or value, hint)
        bound[key] = value
    if ("index" in bound) == ("name" in bound) or bound.get("name") == "":
        raise arguments.error("exactly one of index=N and name=X", arguments.rest)
    domain = bound.get("domain")
    if domain is not None and domain not in DOMAINS:
        raise arguments.error(f"domain to be one of {', '.join(DOMAINS)}", domain)
    index = arguments.number("index", bound["index"], 0, 65535) if "index" in bound else None
    return SystemdEndpoint(index, bound.get("name"), domain)


register("systemd", _parse)
