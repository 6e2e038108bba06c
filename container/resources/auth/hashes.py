"""Hashes of passwords as htpasswd files hold them. The library is libpass, the kept-up successor of passlib.

It is the one that knows them all: bcrypt and Argon2, each by the binding of its own library, and the older
ones of Apache and crypt. Nothing of this is hand-written here.
"""

from functools import cache
from hashlib import sha256
from hmac import compare_digest
from importlib import import_module
from typing import Any, Final

# What a hash begins with, and what libpass calls its kind. Those of crypt(3) without "$", and plain text, are
# not among them: eight significant characters, or none at all, protect nobody.
_KINDS: Final = {
    "$2y$": "bcrypt", "$2b$": "bcrypt", "$2a$": "bcrypt", "$argon2": "argon2", "$5$": "sha256_crypt",
    "$6$": "sha512_crypt", "$apr1$": "apr_md5_crypt", "{SHA}": "ldap_sha1",
}  # fmt: skip
_NEEDS: Final = {"bcrypt": "bcrypt", "argon2": "argon2"}


def kind_of(text: str) -> str:
    """What libpass calls this kind of hash; "" when it looks like none of those we know."""
    return next((kind for start, kind in _KINDS.items() if text.startswith(start)), "")


def check_hash(text: str) -> str:
    """The hash itself, when it is one that can be verified. ValueError otherwise; RuntimeError without libpass."""
    kind = kind_of(text)
    if not kind or not _library(kind).identify(text):
        raise ValueError(f"expected a hash of a password that begins with {', '.join(_KINDS)}")
    return text


def matches(password: str, stored: str) -> bool:
    """Is `password` what `stored` is the hash of? Takes as long as the hash wants: not for the loop."""
    try:
        return bool(_library(kind_of(stored)).verify(password, stored))
    except (ValueError, TypeError):  # too long for bcrypt, or NUL in it: nobody has such a password
        return False


def equal(text: str, other: str) -> bool:
    """Are two secrets equal? The time it takes tells neither where they differ nor how long they are."""
    return compare_digest(sha256(text.encode()).digest(), sha256(other.encode()).digest())


@cache
def _library(kind: str) -> Any:
    try:
        for module in filter(None, [_NEEDS.get(kind)]):
            import_module(module)
        return getattr(import_module("passlib.hash"), kind)
    except ImportError as error:
        raise RuntimeError(
            f"expected libpass, bcrypt and argon2-cffi for hashed passwords, {error.name} is missing: "
            'pip install "container-server[auth]"'
        ) from error
