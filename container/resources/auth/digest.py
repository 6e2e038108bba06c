"""The Digest scheme (RFC 7616) with qop=auth: the password does not travel. For what cannot do better over TLS.

A nonce is what the server says of it: when it was made and for whom, signed. How often one was used is remembered;
those that had to be forgotten are stale, so nothing can be replayed.
"""

import hashlib
import os
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hmac import compare_digest, digest
from secrets import token_bytes
from time import time
from typing import Final
from urllib.parse import unquote_to_bytes

from container.message.authorization import parse_parameters, spell_challenge
from container.message.request import Request
from container.resources.auth.accounts import AccountFile
from container.resources.auth.basic import REALM, made
from container.resources.auth.guard import REFUSED, Guard, Refusal, Verdict
from container.resources.auth.slowdown import SlowDown, client_of
from container.tree.resource import Resource

_HASHES: Final = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}
_LENGTHS: Final = {64: "SHA-256", 32: "MD5"}
_STALE: Final = Refusal((("stale", "true"),))
_COUNT: Final = re.compile(r"[0-9a-fA-F]{8}")
_HEX: Final = re.compile(r"[0-9a-f]+")
_WINDOW: Final = 64
_NONCES_MAX: Final = 10_000
_STAMP: Final = 8
_RANDOM: Final = 8
_SIGNATURE: Final = 16


class Nonces:
    """Makes nonces and tells whether one may be used, and this often. `secret` signs them."""

    def __init__(
        self, lifetime: float, secret: bytes, clock: Callable[[], float], size: int = _NONCES_MAX
    ) -> None:
        self._lifetime = lifetime
        self._secret = secret
        self._clock = clock
        self._size = size
        # The highest count of each nonce, and which of the 64 up to it were seen; the first used first.
        self._seen: OrderedDict[str, tuple[int, int]] = OrderedDict()
        # Nonces made up to then are known or stale.
        self._horizon = 0

    def make(self, client: str) -> str:
        stamp = int(self._clock() * 1000).to_bytes(_STAMP, "big") + token_bytes(_RANDOM)
        return urlsafe_b64encode(stamp + self._sign(stamp, client)).decode().rstrip("=")

    def use(self, nonce: str, count: int, client: str) -> bool:
        """True once for every count of a nonce that is ours, `client`'s and not too old."""
        made_at = self._made_at(nonce, client)
        if made_at is None or not 0 <= self._clock() - made_at / 1000 <= self._lifetime:
            return False
        if nonce not in self._seen and made_at <= self._horizon:
            return False
        highest, seen = self._seen.get(nonce, (0, 0))
        if count > highest:
            seen = (seen << min(count - highest, _WINDOW) | 1) & ((1 << _WINDOW) - 1)
            highest = count
        else:
            bit = 1 << highest - count
            if count < 1 or highest - count >= _WINDOW or seen & bit:
                return False
            seen |= bit
        self._seen[nonce] = highest, seen
        if len(self._seen) > self._size:
            gone, _ = self._seen.popitem(last=False)
            self._horizon = max(self._horizon, _stamp_of(gone))
        return True

    def _made_at(self, nonce: str, client: str) -> int | None:
        try:
            raw = urlsafe_b64decode(nonce + "=" * (-len(nonce) % 4))
        except ValueError:
            return None
        signed, signature = raw[: _STAMP + _RANDOM], raw[_STAMP + _RANDOM :]
        if not compare_digest(signature, self._sign(signed, client)):
            return None
        # Two spellings of one nonce would be two nonces.
        if urlsafe_b64encode(raw).decode().rstrip("=") != nonce:
            return None
        return int.from_bytes(signed[:_STAMP], "big")

    def _sign(self, signed: bytes, client: str) -> bytes:
        return digest(self._secret, signed + client.encode(), "sha256")[:_SIGNATURE]


def _stamp_of(nonce: str) -> int:
    return int.from_bytes(urlsafe_b64decode(nonce + "=" * (-len(nonce) % 4))[:_STAMP], "big")


class Digest:
    """The scheme, for a Guard of several; see DigestAuth."""

    name = "Digest"

    def __init__(
        self,
        *,
        users: Mapping[str, str] | None = None,
        htdigest: str | os.PathLike[str] | None = None,
        realm: str = REALM,
        md5: bool = False,
        nonce_lifetime: float = 300.0,
        secret: bytes | None = None,
        slow_down: SlowDown | None = None,
        clock: Callable[[], float] = time,
    ) -> None:
        if (users is None) == (htdigest is None):
            raise ValueError("expected one of users and htdigest")
        self._realm = realm
        self._algorithms = ["SHA-256", *(["MD5"] if md5 else [])]
        self._file = AccountFile(htdigest, self._entry, clock=clock) if htdigest is not None else None
        self._hashed = {
            f"{algorithm} {user}": _hash(algorithm, f"{user}:{realm}:{password}")
            for user, password in (users or {}).items()
            for algorithm in self._algorithms
        }
        self._nonces = Nonces(nonce_lifetime, secret or token_bytes(32), clock)
        self._slow_down = slow_down
        spell_challenge(self.name, {"realm": realm})  # a realm that cannot be said is an error now

    def challenges(self, request: Request, refusal: Refusal) -> Sequence[str]:
        nonce = self._nonces.make(client_of(request))
        said = {"realm": self._realm, "qop": "auth", "nonce": nonce}
        return [
            spell_challenge(
                self.name, said, {"algorithm": algorithm, "charset": "UTF-8", **dict(refusal.remarks)}
            )
            for algorithm in self._algorithms
        ]

    def check(self, request: Request, credentials: str) -> Verdict | Awaitable[Verdict]:
        told = parse_parameters(credentials)
        if told is None:
            return REFUSED
        user = _user_of(told)
        algorithm = told.get("algorithm", "MD5")
        fits = (
            user
            and algorithm in self._algorithms
            and told.get("realm") == self._realm
            and told.get("qop") == "auth"
            and _COUNT.fullmatch(told.get("nc", ""))
            and told.keys() >= {"nonce", "uri", "response", "cnonce"}
            and _is_target(told["uri"], request)
        )
        if not fits:
            return REFUSED
        if self._slow_down is not None:
            self._slow_down.attempt(request, user)
        accounts = self._file.accounts() if self._file is not None else self._hashed
        known = accounts.get(f"{algorithm} {user}", "")
        asked = _hash(algorithm, f"{request.method}:{told['uri']}")
        proof = ":".join([known, told["nonce"], told["nc"], told["cnonce"], "auth", asked])
        is_right = compare_digest(_hash(algorithm, proof).encode(), told["response"].lower().encode())
        if not (is_right and known):
            return REFUSED
        if self._slow_down is not None:
            self._slow_down.succeeded(request, user)
        if not self._nonces.use(told["nonce"], int(told["nc"], 16), client_of(request)):
            return _STALE
        return user

    def _entry(self, fields: list[str]) -> tuple[str, str] | None:
        """A line of htdigest, `user:realm:hash`; which hash its length tells. Those of other realms are not ours."""
        if len(fields) != 3 or not fields[0] or not _HEX.fullmatch(fields[2]):
            return None
        algorithm = _LENGTHS.get(len(fields[2]))
        if algorithm is None or fields[1] != self._realm:
            return None
        return f"{algorithm} {fields[0]}", fields[2]

    async def start(self) -> None:
        """Nothing runs."""

    async def stop(self) -> None:
        """Nothing runs."""


class DigestAuth(Guard):
    """Lets those into `child`, and all below it, who prove that they know the password (RFC 7616, SHA-256).

    `users`: plain passwords by name; or `htdigest`: a file of lines `user:realm:hash`, hashes of SHA-256, or of
    MD5 as Apache's tool makes them. `md5`: offer that too, for clients that know nothing else. `nonce_lifetime`:
    seconds until a client has to ask for a new nonce, which it does without asking its user. `secret` signs
    nonces, a random one without it: processes that serve the same clients need the same; what was used is known in
    each of them for itself. `anonymous`: see Guard; `slow_down`: as in BasicAuth. `clock`: seconds since the epoch.
    """

    def __init__(
        self,
        child: Resource,
        *,
        users: Mapping[str, str] | None = None,
        htdigest: str | os.PathLike[str] | None = None,
        realm: str = REALM,
        md5: bool = False,
        nonce_lifetime: float = 300.0,
        secret: bytes | None = None,
        anonymous: bool = False,
        slow_down: SlowDown | bool | None = True,
        clock: Callable[[], float] = time,
    ) -> None:
        scheme = Digest(
            users=users, htdigest=htdigest, realm=realm, md5=md5, nonce_lifetime=nonce_lifetime,
            secret=secret, slow_down=made(slow_down, clock), clock=clock,
        )  # fmt: skip
        super().__init__(child, [scheme], anonymous=anonymous)


def _hash(algorithm: str, text: str) -> str:
    return _HASHES[algorithm](text.encode(), usedforsecurity=algorithm != "MD5").hexdigest()


def _user_of(told: Mapping[str, str]) -> str:
    """The name, plain or in the extended notation (RFC 8187); "" for none, or for its hash, which we never offer."""
    if told.get("userhash", "false").lower() != "false":
        return ""
    if "username*" not in told:
        return told.get("username", "")
    charset, _, rest = told["username*"].partition("'")
    if "username" in told or charset.lower() != "utf-8" or "'" not in rest:
        return ""
    try:
        return unquote_to_bytes(rest.partition("'")[2]).decode()
    except UnicodeDecodeError:
        return ""


def _is_target(uri: str, request: Request) -> bool:
    """Are the credentials for this request, and for no other (RFC 7616 3.4)?"""
    raw = uri.encode("utf-8", "replace")
    path = request.raw_path + b"?" + request.raw_query if request.raw_query else request.raw_path
    return raw in (request.raw_target, path)
