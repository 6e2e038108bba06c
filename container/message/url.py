"""Where am I: absolute URLs and relative links from the resource that is rendering (RFC 3986 4.2).

Built from the Host authority the client used, so they are right behind port mappings, for IPv6 literals and
on UNIX sockets. What a trusted proxy says reaches them through `Request.set_host`.
"""

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_plus, urljoin

if TYPE_CHECKING:
    from container.message.request import Request

_QUERY = "/%:@!$&'()*+,;=~-._?"
_FRAGMENT = "/:@!$&'()*+,;=~-._?"


class URL(str):
    """A URL as percent-encoded text that is never changed: each method gives another one.

    Names and values are plain text and encoded here. What is not spoken of stays as it was spelt.
    """

    __slots__ = ()

    def click(self, href: str) -> "URL":
        """Where a link on that page leads (RFC 3986 5)."""
        return URL(urljoin(self, href))

    def child(self, *names: str) -> "URL":
        """Below this path, without query and fragment."""
        path = self._parts()[0].removesuffix("/")
        return URL("/".join([path, *(quote(name, safe="") for name in names)]))

    def sibling(self, name: str) -> "URL":
        """Beside this path, without query and fragment."""
        return URL(f"{self._parts()[0].rpartition('/')[0]}/{quote(name, safe='')}")

    def add_arg(self, name: str, value: str = "") -> "URL":
        """With one more argument at the end of the query."""
        pairs = [*self._pairs(), f"{_argument(name)}={_argument(value)}"]
        return self._with_query(pairs)

    def with_arg(self, name: str, value: str = "") -> "URL":
        """With this as the only argument of that name, where the first one was."""
        pairs = self._pairs()
        at = next((index for index, pair in enumerate(pairs) if _is_of(pair, name)), len(pairs))
        rest = [pair for pair in pairs[at + 1 :] if not _is_of(pair, name)]
        return self._with_query([*pairs[:at], f"{_argument(name)}={_argument(value)}", *rest])

    def without_arg(self, name: str) -> "URL":
        """Without the arguments of that name."""
        return self._with_query([pair for pair in self._pairs() if not _is_of(pair, name)])

    def without_args(self) -> "URL":
        """Without a query."""
        return self._with_query([])

    def with_fragment(self, text: str = "") -> "URL":
        """With what stands behind `#`, or without it."""
        before = self.partition("#")[0]
        return URL(f"{before}#{quote(text, safe=_FRAGMENT)}" if text else before)

    def secure(self, port: int | None = None) -> "URL":
        """The same by https: at `port`, or at that of https. For absolute URLs."""
        scheme, mark, rest = self.partition("://")
        if not mark or "/" in scheme:
            raise ValueError(f"expected an absolute URL, got {str(self)!r}")
        end = next((index for index, letter in enumerate(rest) if letter in "/?#"), len(rest))
        host, colon, digits = rest[:end].rpartition(":")
        host = host if colon and digits.isdigit() else rest[:end]
        return URL(f"https://{host}{f':{port}' if port not in (None, 443) else ''}{rest[end:]}")

    def _parts(self) -> tuple[str, str, str]:
        """Path and what is before it, query, and fragment with its mark."""
        rest, mark, fragment = self.partition("#")
        path, _, query = rest.partition("?")
        return path, query, mark + fragment

    def _pairs(self) -> list[str]:
        return [pair for pair in self._parts()[1].split("&") if pair]

    def _with_query(self, pairs: list[str]) -> "URL":
        path, _, fragment = self._parts()
        return URL(f"{path}{'?' if pairs else ''}{'&'.join(pairs)}{fragment}")


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
    def here(self) -> URL:
        """The current resource: everything the traversal has consumed."""
        return self._absolute(self._here)

    @property
    def asked(self) -> URL:
        """All that the client asked for, the query included."""
        request = self._request
        query = f"?{_text(request.raw_query, _QUERY)}" if request.raw_query else ""
        return URL(self._absolute(request.raw_path) + query)

    @property
    def root(self) -> URL:
        """The root remembered by `Request.remember_root`; the top of this server when none was."""
        return self._absolute(self._request.remembered_root or self._request.raw_path[: self._request.base])

    @property
    def parent(self) -> URL:
        """The directory above the current resource."""
        above = self._here[: self._here.rfind(b"/")]
        return self._absolute(above[: above.rfind(b"/") + 1])

    def child(self, name: str) -> URL:
        """A child of the current resource."""
        return self._absolute(self._here.removesuffix(b"/") + b"/" + _quoted(name))

    def sibling(self, name: str) -> URL:
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

    def _absolute(self, raw_path: bytes) -> URL:
        return URL(self.origin + (_text(raw_path) or "/"))


def _quoted(name: str) -> bytes:
    return quote(name, safe="").encode("ascii")


def _text(raw: bytes, safe: str = "/%:@!$&'()*+,;=~-._") -> str:
    """A raw path as it may stand in a URL: what was percent-encoded stays so, the rest is made safe."""
    return quote(raw, safe=safe)


def _argument(text: str) -> str:
    return quote(text, safe="-._~")


def _is_of(pair: str, name: str) -> bool:
    return unquote_plus(pair.partition("=")[0]) == name
