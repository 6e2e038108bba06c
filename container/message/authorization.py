"""The Authorization field of the Basic scheme (RFC 7617).

Parsing only: who may come in, and the challenge to those who may not, belong to a resource.
"""

import re
from base64 import b64decode

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


def parse_basic(value: str | None) -> tuple[str, str]:
    """User and password of an Authorization field value; ("", "") if absent, malformed or another scheme.

    The password begins after the first colon and may hold others. Text is UTF-8, or latin-1 where it is not
    valid UTF-8. Control characters are malformed (RFC 7617 2).
    """
    scheme, _, token = (value or "").strip(" \t").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        raw = b64decode(token.strip(" "), validate=True)
    except ValueError:
        return "", ""
    if b":" not in raw or _CONTROL.search(raw):
        return "", ""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    user, _, password = text.partition(":")
    return user, password
