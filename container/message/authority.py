"""Names of hosts: the authority of a request, and the names under which hosts are looked for (RFC 3986 3.2.2).

Which resource a name leads to is decided in `resources/vhost.py`; who may replace a name in `tree/forwarded.py`.
"""

import re
from collections.abc import Iterator
from typing import Final

# uri-host [ ":" port ] (RFC 9110 7.2, RFC 3986 3.2.2): reg-name, IPv4 or a bracketed literal, or nothing.
HOST: Final = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+(?:%25[0-9A-Za-z\-._~]+)?\]|\[v[0-9A-Fa-f]+\.[0-9A-Za-z\-._~!$&'()*+,;=:]+\]"
    rb"|(?:[0-9A-Za-z\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})*)(?::[0-9]{0,5})?"
)
PORT_MAX: Final = 65_535
_NAME: Final = re.compile(r"[0-9a-z_](?:[0-9a-z\-_]*[0-9a-z_])?(?:\.[0-9a-z_](?:[0-9a-z\-_]*[0-9a-z_])?)*")
_NAME_MAX: Final = 253


def split_authority(authority: str) -> tuple[str, int | None]:
    """Name without brackets, and port or None, of `name[:port]`."""
    if authority.startswith("["):
        name, _, rest = authority[1:].partition("]")
        port = rest[1:]
    else:
        name, _, port = authority.partition(":")
    return name, int(port) if port.isdecimal() else None


def parse_authority(text: str) -> tuple[str, int | None]:
    """Like `split_authority`, of what has to be a name or an address. Raises ValueError when it is not."""
    name, port = split_authority(text)
    is_whole = text.isascii() and HOST.fullmatch(text.encode("ascii")) is not None and not text.endswith(":")
    if not is_whole or (port is not None and not 1 <= port <= PORT_MAX):
        raise ValueError(f'expected a host as "name" or "name:port", got {text!r}')
    normal_name(f"[{name}]" if text.startswith("[") else name)
    return name, port


def normal_name(name: str) -> str:
    """The one spelling of a host's name: lower case, no trailing dot, IDNA as it is sent, IPv6 without brackets.

    Raises ValueError for what is no name.
    """
    lower = name.lower().removesuffix(".")
    if lower.startswith("[") != lower.endswith("]"):
        raise ValueError(f"expected the name of a host, got {name!r}")
    if lower.startswith("[") or ":" in lower:
        from ipaddress import IPv6Address  # late: most hosts have names

        try:
            return IPv6Address(lower.removeprefix("[").removesuffix("]")).compressed
        except ValueError as error:
            raise ValueError(f"expected an IPv6 address, got {name!r}") from error
    if not lower.isascii():
        try:
            lower = lower.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise ValueError(f"expected the name of a host, got {name!r}") from error
    if len(lower) > _NAME_MAX or _NAME.fullmatch(lower) is None:
        raise ValueError(f"expected the name of a host, got {name!r}")
    return lower


class HostPattern:
    """One host to look for: `"a.example"`, `"*.a.example"` for all names below, `"a.example:8443"`, `"[::1]"`.

    `name` is normal and without the `*`; a `port` of None means any.
    """

    __slots__ = ("is_wild", "name", "port")

    def __init__(self, text: str) -> None:
        """Raises ValueError for what is no host."""
        if text.count(":") > 1 and not text.startswith("["):
            host, port = text, ""  # an IPv6 address as it is
        elif text.startswith("["):
            host, bracket, port = text.partition("]")
            host, port = host + bracket, port.removeprefix(":")
        else:
            host, _, port = text.partition(":")
        self.is_wild = host.startswith("*.")
        self.name = normal_name(host.removeprefix("*."))
        if port and not (port.isascii() and port.isdecimal() and 1 <= int(port) <= PORT_MAX):
            raise ValueError(f"expected a port from 1 to {PORT_MAX} in {text!r}, got {port!r}")
        self.port = int(port) if port else None

    @property
    def key(self) -> str:
        """Where it stands in a table that `lookups` is for."""
        name = f"*.{self.name}" if self.is_wild else self.name
        return name if self.port is None else f"{name} {self.port}"

    @property
    def spelling(self) -> str:
        """As the constructor takes it, in normal form."""
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"{'*.' if self.is_wild else ''}{name}{'' if self.port is None else f':{self.port}'}"


def lookups(name: str, port: int) -> Iterator[str]:
    """The keys that a host of this normal name may stand under, the nearest first: with its port before
    without, the name before wildcards, longer before shorter ones."""
    yield f"{name} {port}"
    yield name
    rest = name
    while ":" not in rest and "." in rest:
        rest = rest[rest.index(".") + 1 :]
        yield f"*.{rest} {port}"
        yield f"*.{rest}"
