"""Who asks: the person who sits at this machine, or anybody. What shows the inside of a program asks here.

Two claims, one stronger than the other. `is_from_here` believes what a request looks like, which is enough to keep
other machines, other sites' pages and common proxies out; a proxy on this machine that says nothing of itself looks
like a person. `Pass` wants what only those know who can read the terminal.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from container.channel.endpoints import is_loopback_host
from container.message.authority import split_authority
from container.message.forwarded import KNOWN
from container.message.response import Response

if TYPE_CHECKING:
    from container.message.request import Request

# What proxies, tunnels and hosting services say of those they speak for, and what their fields begin with.
_FORWARDED: Final = KNOWN | {
    b"via",
    b"cdn-loop",
    b"client-ip",
    b"true-client-ip",
    b"front-end-https",
    b"x-client-ip",
    b"x-cluster-client-ip",
    b"x-host",
    b"x-real-ip",
    b"x-real-port",
    b"x-scheme",
    b"x-url-scheme",
}
_FORWARDED_PREFIXES: Final = (
    b"cf-",
    b"fastly-",
    b"fly-",
    b"tailscale-",
    b"x-amz",
    b"x-appengine-",
    b"x-arr-",
    b"x-azure-",
    b"x-envoy-",
    b"x-forwarded",
    b"x-nf-",
    b"x-original-",
    b"x-proxy",
    b"x-vercel-",
)
_QUERY: Final = b"__debugger__="


def is_from_here(request: Request) -> bool:
    """Was it sent by a program of this machine, on its own behalf, to a name of this machine? The name counts: one
    of somebody else's may lead here, and his page would read the answer (DNS rebinding). So does the version: proxies
    that add no field of their own, and put a name of this machine into Host, mostly speak HTTP/1.0 (nginx)."""
    connection = request.connection
    host, _ = split_authority(request.headers.get("host") or "")
    return (
        request.http_version != "1.0"
        and connection.peer is connection
        and is_loopback_host(connection.client_host)
        and is_loopback_host(host)
        and not any(map(_is_forwarded, (name for name, _ in request.raw_headers)))
    )


def _is_forwarded(name: bytes) -> bool:
    return name in _FORWARDED or name.startswith(_FORWARDED_PREFIXES)


class Pass:
    """Lets those in who know `token`: by a URL to open once, which leaves a cookie, or by that cookie.

    Cookies know no ports (RFC 6265 8.5), so its name has the port in it.
    """

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def is_shown(self, request: Request) -> bool:
        """Does a request from here bring the cookie?"""
        shown = request.cookies.get(_cookie_name(request), "")
        return hmac.compare_digest(shown.encode(), self._token) and is_from_here(request)

    def url(self, request: Request) -> str:
        """What the sender of a request from here has to open."""
        host = request.headers["host"]
        return f"{request.connection.scheme}://{host}/?{(_QUERY + self._token).decode()}"

    def admit(self, request: Request) -> Response | None:
        """The answer to who opens that URL; None for everybody else."""
        if not hmac.compare_digest(request.raw_query, _QUERY + self._token) or not is_from_here(request):
            return None
        answer = Response.redirect("/", 303)
        # Lax: who comes back from the page of another site, such as one to log in at, is still the same person.
        answer.set_cookie(_cookie_name(request), self._token.decode(), httponly=True, samesite="lax")
        answer.headers.set("Cache-Control", "no-store")
        answer.headers.set("Referrer-Policy", "no-referrer")
        return answer


def _cookie_name(request: Request) -> str:
    _, port = split_authority(request.headers.get("host") or "")
    return f"container-debug-{port or 80}"
