"""Credentials and challenges: the Authorization and WWW-Authenticate fields (RFC 9110 11, RFC 7617, RFC 7616).

Parsing and spelling only: who may come in belongs to a resource.
"""

import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Final

_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER: Final = re.compile(
    rf'[ \t]*(?P<name>{_TOKEN})[ \t]*=[ \t]*(?:(?P<token>{_TOKEN})|"(?P<quoted>(?:[^"\\]|\\.)*)")[ \t]*(?P<end>,|$)'
)
_ESCAPED: Final = re.compile(r"\\(.)")
_UNSAFE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PARAMETERS_MAX: Final = 32


def parse_basic(value: str | None) -> tuple[str, str]:
    """User and password of an Authorization field value; ("", "") if absent, malformed or another scheme.

    The password begins after the first colon and may hold others. Text is UTF-8, or latin-1 where it is not
    valid UTF-8. Control characters are malformed (RFC 7617 2); padding that is missing is not.
    """
    scheme, token = split_credentials(value or "")
    if scheme != "basic":
        return "", ""
    try:
        raw = b64decode(token + "=" * (-len(token) % 4), validate=True)
    except ValueError:
        return "", ""
    if b":" not in raw or _CONTROL.search(raw):
        return "", ""
    user, _, password = _text(raw).partition(":")
    return user, password


def split_credentials(value: str) -> tuple[str, str]:
    """The scheme in lower case, and what follows it without spaces around (RFC 9110 11.4)."""
    scheme, _, rest = value.strip(" \t").partition(" ")
    return scheme.lower(), rest.strip(" \t")


def parse_parameters(text: str) -> dict[str, str] | None:
    """Parameters by lower-case name, `a=b, c="d"` (RFC 9110 11.2), their text UTF-8; None when malformed.

    A name that comes twice is malformed.
    """
    found: dict[str, str] = {}
    at, end = 0, ","
    while end == ",":
        match = _PARAMETER.match(text, at)
        if match is None or len(found) >= _PARAMETERS_MAX:
            return None
        name, token, quoted, end = match["name"].lower(), match["token"], match["quoted"], match["end"]
        if name in found:
            return None
        value = token if token is not None else _ESCAPED.sub(r"\1", quoted)
        found[name] = value if value.isascii() else _text(value.encode("latin-1", "replace"))
        at = match.end()
    return found


def spell_challenge(scheme: str, quoted: Mapping[str, str], plain: Mapping[str, str] | None = None) -> str:
    """The value of one WWW-Authenticate field; text in `quoted` is escaped and is UTF-8 on the wire.

    Raises ValueError for control characters.
    """
    parts = [f"{name}={quote(value)}" for name, value in quoted.items()]
    parts += [f"{name}={value}" for name, value in (plain or {}).items()]
    return f"{scheme} {', '.join(parts)}" if parts else scheme


def quote(text: str) -> str:
    """A quoted-string (RFC 9110 5.6.4). Raises ValueError for control characters."""
    unsafe = _UNSAFE.search(text)
    if unsafe is not None:
        raise ValueError(f"expected text without control characters, got {unsafe.group()!r} in {text!r}")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped.encode().decode("latin-1")}"'


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
