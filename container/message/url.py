"""Where am I: absolute URLs and relative links from the resource that is rendering (RFC 3986 4.2).

Built from the Host authority the client used, so they are right behind port mappings, for IPv6 literals and
on UNIX sockets. What a trusted proxy says reaches them through `Request.set_host`.
"""

from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from container.message.request import Request


class URLs:
    """URLs as seen from one request; all of them are percent-encoded text."""

    __slots__ = ("_request",)

    def __init__(self, request: "Request") -> None:
        self._request = request

    @property
    def origin(self) -> str:
        """`scheme://host[:port]`, the port only when it is not the scheme's own."""
        request = self._request
        host = request.host
        own = ":443" if request.is_secure else ":80"
        return f"{request.scheme}://{host.removesuffix(own)}"

    @property
    def here(self) -> str:
        """The current resource: everything the traversal has consumed."""
        return self._absolute(self._here)

    @property
    def root(self) -> str:
        """The root remembered by `Request.remember_root`; the top of this server when none was."""
        return self._absolute(self._request.remembered_root or self._request.raw_path[: self._request.base])

    @property
    def parent(self) -> str:
        """The directory above the current resource."""
        above = self._here[: self._here.rfind(b"/")]
        return self._absolute(above[: above.rfind(b"/") + 1])

    def child(self, name: str) -> str:
        """A child of the current resource."""
        return self._absolute(self._here.removesuffix(b"/") + b"/" + _quoted(name))

    def sibling(self, name: str) -> str:
        """A resource beside the current one."""
        return self._absolute((self._here[: self._here.rfind(b"/") + 1] or b"/") + _quoted(name))

    def child_link(self, name: str) -> str:
        """A relative link to a child, right for the URL the client used."""
        rest = self._rest
        name = quote(name, safe="")
        if rest:
            return "../" * (rest - 1) + name or "./"
        last = _text(self._here[self._here.rfind(b"/") + 1 :])
        # "a:b/c" would be a URL of the scheme "a" (RFC 3986 4.2).
        return f"{'./' * (':' in last)}{last}/{name}" if last else name or "./"

    def sibling_link(self, name: str) -> str:
        """A relative link to a resource beside the current one."""
        return "../" * self._rest + quote(name, safe="") or "./"

    @property
    def _here(self) -> bytes:
        return self._request.raw_path[: self._request.consumed]

    @property
    def _rest(self) -> int:
        """How many segments follow the current resource in the client's URL."""
        return self._request.raw_path[self._request.consumed :].count(b"/")

    def _absolute(self, raw_path: bytes) -> str:
        return self.origin + (_text(raw_path) or "/")


def _quoted(name: str) -> bytes:
    return quote(name, safe="").encode("ascii")


def _text(raw_path: bytes) -> str:
    """A raw path as it may stand in a URL: what was percent-encoded stays so, the rest is made safe."""
    return quote(raw_path, safe="/%:@!$&'()*+,;=~-._")
