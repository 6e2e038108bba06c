"""Addresses in answers, from the upstream's point of view to the client's (Location, Set-Cookie).

An upstream that knows nothing of the mount point sends redirects and cookie paths of its own tree; one that
does (from X-Forwarded-Prefix) sends them right already, and those stay as they are.
"""

import re
from typing import Final
from urllib.parse import urlsplit

from container.client.address import Address

_ATTRIBUTE: Final = re.compile(r";\s*(path|domain)\s*=\s*([^;]*)", re.IGNORECASE)


class Rewriting:
    """From paths below `base` at `address` to paths below a mount point."""

    __slots__ = ("_authority", "_base", "_host")

    def __init__(self, address: Address, base: str) -> None:
        self._authority = f"{address.scheme}://{address.authority}".lower()
        self._host = address.host.lower()
        self._base = base

    def location(self, url: str, mount: str) -> str:
        """A Location or Content-Location; those that lead elsewhere stay as they are."""
        if url.startswith("/") and not url.startswith("//"):
            return self._path(url, mount)
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return url
        if not parts.scheme or not parts.hostname or "@" in parts.netloc:
            return url
        default = 443 if parts.scheme == "https" else 80
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        authority = f"{parts.scheme}://{host}" + ("" if port in (None, default) else f":{port}")
        if authority.lower() != self._authority:
            return url
        start = url.find("/", len(parts.scheme) + 3)
        rest = url[start:] if start >= 0 else "/" + url[len(parts.scheme) + 3 + len(parts.netloc) :]
        return "/" + rest.lstrip("/") if rest.startswith("//") else self._path(rest, mount)

    def cookie(self, value: str, mount: str) -> str:
        """A Set-Cookie: its Path, and a Domain that only the upstream has."""

        def changed(match: re.Match[str]) -> str:
            name, text = match[1].lower(), match[2].strip()
            if name == "domain":
                return "" if text.lower().lstrip(".") == self._host else match[0]
            return f"; {match[1]}={self._path(text, mount)}" if text.startswith("/") else match[0]

        return _ATTRIBUTE.sub(changed, value)

    def _path(self, path: str, mount: str) -> str:
        base = self._base
        if path == "/" and base:
            return path
        if base and _lies_below(path, base):
            return mount + path[len(base) :] or "/"
        if base and mount and _lies_below(path, mount + base):  # the base below what X-Forwarded-Prefix says
            return mount + path[len(mount) + len(base) :]
        if base or (mount and _lies_below(path, mount)):
            return path
        return mount + path


def _lies_below(path: str, base: str) -> bool:
    return path.startswith(base) and (len(path) == len(base) or path[len(base)] in "/?#")
