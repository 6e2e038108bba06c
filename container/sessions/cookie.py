"""The cookies of sessions: what they are called, where they go, and what an id is worth where (RFC 6265bis)."""

import re
from hashlib import blake2b
from typing import Final
from urllib.parse import quote

from container.message.cookies import CookieScope, SameSite, delete_cookie, set_cookie
from container.message.request import Request

_NO_TOKEN: Final = re.compile(r"[^A-Za-z0-9_]+")
_COOKIES_MAX: Final = 256


class SessionCookie:
    """The cookie of one mount point and scheme."""

    __slots__ = ("_bound", "_max_age", "_scope", "name")

    def __init__(self, name: str, scope: CookieScope, max_age: int | None) -> None:
        self.name = name
        self._scope = scope
        self._max_age = max_age
        self._bound = f"{name} {scope['path']} "
        self.delete()  # ValueError for what cannot be

    def set(self, id: str) -> str:
        """The value of a Set-Cookie field."""
        return set_cookie(self.name, id, max_age=self._max_age, **self._scope)

    def delete(self) -> str:
        return delete_cookie(self.name, **self._scope)

    def digest(self, id: str) -> str:
        """What stands for an id in the store: bound to the cookie, so that it is worth nothing at another mount
        point or over another scheme."""
        return blake2b((self._bound + id).encode(), digest_size=20).hexdigest()


class SessionCookies:
    """The cookies of one scope; the arguments are those of `Sessions`."""

    def __init__(
        self,
        name: str,
        path: str | None,
        domain: str | None,
        max_age: int | None,
        samesite: SameSite,
        *,
        secure: bool | None,
    ) -> None:
        if path is not None and not path.startswith("/"):
            raise ValueError(f'expected a path such as "/shop", got {path!r}')
        self.name = name
        self.max_age = max_age
        self._path = path
        self._domain = domain
        self._samesite: SameSite = samesite
        self._secure = secure
        self._known: dict[tuple[bytes, bool], SessionCookie] = {}
        self._make(path or "/", secure=secure is not False)  # a slip is an error now

    def of(self, request: Request) -> SessionCookie:
        """The cookie for where `request` is in the tree now."""
        secure = request.is_secure if self._secure is None else self._secure
        mount = request.raw_path[: request.consumed] if self._path is None else b""
        return self._known.get((mount, secure)) or self._learn(request, mount, secure=secure)

    def _learn(self, request: Request, mount: bytes, *, secure: bool) -> SessionCookie:
        path = self._path
        if path is None:
            path = "/" + "/".join(quote(segment, safe="~") for segment in request.prepath)
        if len(self._known) >= _COOKIES_MAX:
            self._known.clear()
        cookie = self._known[mount, secure] = self._make(path, secure=secure)
        return cookie

    def _make(self, path: str, *, secure: bool) -> SessionCookie:
        """Below a mount point the name tells of it: a browser sends the cookies of all points above, too."""
        name = self.name
        if self._path is None and path != "/":
            name += _NO_TOKEN.sub("-", path.rstrip("/"))
        if secure and self._secure is not False and not name.startswith("__"):
            name = f"__{'Host' if path == '/' and self._domain is None else 'Secure'}-{name}"
        scope: CookieScope = {
            "path": path, "domain": self._domain, "secure": secure, "httponly": True, "samesite": self._samesite,
        }  # fmt: skip
        return SessionCookie(name, scope, self.max_age)
