"""Where another server is: `http://host:port`, `https://host`, `unix:/path`; `host:port` without a scheme."""

import re
import ssl
from typing import Final
from urllib.parse import urlsplit

_AUTHORITY: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z\-._~]+)(?::[0-9]{1,5})?")
_PORTS: Final = {"http": 80, "https": 443}
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9\-._~!$&'()*+,;=:@%]*)*")


class Address:
    """One server. `authority` is what a Host field says of it; `path` is that of a UNIX socket, None elsewhere.

    `scheme` is empty for one that speaks no HTTP. `tls`: how to speak TLS with it; None for plain text. Equal
    addresses may share connections.
    """

    __slots__ = ("authority", "host", "path", "port", "scheme", "tls")

    def __init__(
        self, scheme: str, host: str, port: int, *, path: str | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.scheme = scheme
        self.host = host
        self.port = port
        self.path = path
        self.tls = tls
        name = f"[{host}]" if ":" in host else host
        self.authority = name if port == _PORTS.get(scheme) else f"{name}:{port}"

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"{self.scheme}://{self.authority}" if self.scheme else self.authority


def parse_url(url: str, tls: ssl.SSLContext | None = None) -> tuple[Address, str]:
    """An address and the path behind it, without a trailing slash.

    `unix:/run/app.sock` may be followed by `:/path`. `tls` takes the place of the system's trust for https.
    Raises ValueError.
    """
    if url.startswith("unix:"):
        path, _, base = url[5:].partition(":")
        if not path.startswith("/") or (base and not base.startswith("/")):
            raise ValueError(f'expected a UNIX socket as "unix:/path" or "unix:/path:/base", got {url!r}')
        return Address("http", "localhost", 80, path=path), _base(base, url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(
            f"expected a host and perhaps a port from 1 to 65535 after http://, got {url!r}"
        ) from error
    if parts.scheme not in ("http", "https"):
        hint = f' (did you mean "http://{url}"?)' if "://" not in url and _AUTHORITY.match(url) else ""
        raise ValueError(f'expected "http://host:port", "https://host" or "unix:/path", got {url!r}{hint}')
    if not _AUTHORITY.fullmatch(parts.netloc) or not parts.hostname:
        raise ValueError(f"expected a host and perhaps a port after {parts.scheme}://, got {url!r}")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise ValueError(f"expected no query and no fragment, got {url!r}")
    port = _PORTS[parts.scheme] if port is None else port
    if not 0 < port < 65536:
        raise ValueError(f"expected a port from 1 to 65535, got {url!r}")
    if parts.scheme == "https" and tls is None:
        tls = ssl.create_default_context()
        tls.set_alpn_protocols(["http/1.1"])
    address = Address(parts.scheme, parts.hostname, port, tls=tls if parts.scheme == "https" else None)
    return address, _base(parts.path, url)


def parse_address(text: str) -> Address:
    """`unix:/path`, `host:port` or `tcp:host:port`; an IPv6 address stands in brackets. Raises ValueError."""
    if text.startswith("unix:") and len(text) > len("unix:"):
        return Address("", "localhost", 0, path=text.removeprefix("unix:"))
    host, _, port = text.removeprefix("tcp:").rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if host and port.isdecimal() and 0 < int(port) <= 65_535 and (bracketed or ":" not in host):
        return Address("", host.strip("[]"), int(port))
    raise ValueError(f'expected an address such as "unix:/run/app.sock" or "127.0.0.1:9000", got {text!r}')


def _base(path: str, url: str) -> str:
    if _PATH.fullmatch(path) is None or any(part in (".", "..") for part in path.split("/")):
        raise ValueError(f"expected a percent-encoded path without dot segments, got {url!r}")
    return path.rstrip("/")
