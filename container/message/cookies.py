"""Cookies on the wire: the Cookie fields of a request, one Set-Cookie field of a response (RFC 6265bis 4, 5).

Plain functions on text. What a signed or server-side session makes of a cookie is not here; nor is the rest
of the header section (`headers`, `fields`). Field values are latin-1 text as everywhere; the text *inside*
a cookie is UTF-8, so what `set_cookie` was given comes back from `parse_cookies`.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Literal, TypedDict

from container.message.fields import TOKEN

SameSite = Literal["lax", "strict", "none"]

EPOCH = "Thu, 01 Jan 1970 00:00:00 GMT"

# RFC 6265bis 5.6: a user agent drops a cookie with a control character; ";" would begin an attribute.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f;]")
_SAME_SITE = {"lax": "Lax", "strict": "Strict", "none": "None"}


def parse_cookies(values: Iterable[str]) -> dict[str, str]:
    """Names and values of all cookies in `values`, the Cookie field lines of one request in order.

    Each line is split at ";", each piece at its first "=". Spaces and tabs before a name are dropped; all
    others are kept, a space after a value too. A piece without "=" or without a name is ignored and harms no
    other; an empty value is a value; of two cookies with one name the later wins. Quotes and percent signs
    are left as they are. A name or value that is not UTF-8 stays latin-1 text.
    """
    cookies = {}
    for line in values:
        for piece in line.split(";"):
            name, separator, value = piece.partition("=")
            name = name.lstrip(" \t")
            if separator and name:
                cookies[_text(name)] = _text(value)
    return cookies


class CookieScope(TypedDict, total=False):
    """What a cookie is known by, beside its name, and what browsers want to see again."""

    path: str | None
    domain: str | None
    secure: bool
    httponly: bool
    samesite: SameSite | None
    partitioned: bool


class CookieAttributes(CookieScope, total=False):
    """All attributes of a cookie, as keyword arguments of `set_cookie`."""

    expires: datetime | float | str | None
    max_age: int | None
    comment: str | None


def set_cookie(
    name: str,
    value: str,
    *,
    expires: datetime | float | str | None = None,
    max_age: int | None = None,
    domain: str | None = None,
    path: str | None = "/",
    secure: bool = False,
    httponly: bool = False,
    samesite: SameSite | None = None,
    partitioned: bool = False,
    comment: str | None = None,
) -> str:
    """The value of one Set-Cookie field, as latin-1 text.

    Nothing is quoted or replaced: a name that is no token, a control character or ";" anywhere, and
    attributes with which user agents would drop the cookie raise ValueError. `expires` is a datetime (a naive
    one is UTC), seconds since the epoch, or the finished date. User agents trim spaces around a value.
    """
    if TOKEN.fullmatch(name.encode("latin-1", "replace")) is None:
        raise ValueError(f"expected a token as cookie name, got {name!r}")
    _check_requirements(name, path, domain, secure=secure, samesite=samesite, partitioned=partitioned)
    texts = {
        "Expires": _date(expires),
        "Domain": domain,
        "Path": path,
        "Max-Age": None if max_age is None else f"{max_age:d}",
        "Comment": comment,
    }
    flags = {
        "Secure": secure,
        "HttpOnly": httponly,
        f"SameSite={_SAME_SITE.get(samesite or '')}": samesite is not None,
        "Partitioned": partitioned,
    }
    parts = [f"{name}={_wire(value, f'value of cookie {name!r}')}"]
    parts += [
        f"{key}={_wire(text, f'{key} of cookie {name!r}')}" for key, text in texts.items() if text is not None
    ]
    parts += [flag for flag, is_set in flags.items() if is_set]
    return "; ".join(parts)


def delete_cookie(
    name: str,
    *,
    path: str | None = "/",
    domain: str | None = None,
    secure: bool = False,
    httponly: bool = False,
    samesite: SameSite | None = None,
    partitioned: bool = False,
) -> str:
    """The Set-Cookie value that makes a user agent forget `name`.

    A cookie is known by name, domain, path and partition: pass what it was set with.
    """
    return set_cookie(
        name,
        "",
        expires=EPOCH,
        max_age=0,
        domain=domain,
        path=path,
        secure=secure,
        httponly=httponly,
        samesite=samesite,
        partitioned=partitioned,
    )


def _check_requirements(
    name: str,
    path: str | None,
    domain: str | None,
    *,
    secure: bool,
    samesite: SameSite | None,
    partitioned: bool,
) -> None:
    """Raise ValueError where user agents would silently drop the cookie (RFC 6265bis 4.1.3, 5.7)."""
    if samesite is not None and samesite not in _SAME_SITE:
        raise ValueError(f'expected "lax", "strict" or "none" as samesite, got {samesite!r}')
    # User agents compare the prefixes without regard to case.
    is_host = name.lower().startswith("__host-")
    needs_secure = {
        "samesite none": samesite == "none",
        "partitioned": partitioned,
        "prefix __Secure-": name.lower().startswith("__secure-"),
        "prefix __Host-": is_host,
    }
    for reason, needed in needs_secure.items():
        if needed and not secure:
            raise ValueError(f"expected secure=True for cookie {name!r} ({reason})")
    if is_host and (path != "/" or domain is not None):
        raise ValueError(f'expected path "/" and no domain for cookie {name!r}, got {path!r} and {domain!r}')
    if domain is not None and not domain.isascii():
        raise ValueError(f"expected an ASCII (punycode) domain for cookie {name!r}, got {domain!r}")


def _date(expires: datetime | float | str | None) -> str | None:
    if expires is None or isinstance(expires, str):
        return expires
    from werkzeug.http import http_date

    return http_date(expires)


def _wire(text: str, what: str) -> str:
    """`text` as UTF-8, written as latin-1; ValueError for what could leave its place."""
    unsafe = _UNSAFE.search(text)
    if unsafe is not None:
        raise ValueError(f'expected no control characters and no ";" in {what}, got {unsafe.group()!r}')
    if text.isascii():
        return text
    try:
        return text.encode().decode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"expected text without surrogates in {what}, got {text!r}") from None


def _text(wire: str) -> str:
    """Undo `_wire` where possible."""
    if wire.isascii():
        return wire
    try:
        return wire.encode("latin-1").decode()
    except UnicodeError:
        return wire
