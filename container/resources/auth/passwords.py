"""Is this the password of that user? Where passwords are, when they are looked at, and what is remembered.

Slow hashes and blocking functions run in threads of their own; the answer of a hash is remembered for a while,
under a key of this process, so that a browser that sends its password with every request costs one hash.
"""

import os
from asyncio import Future, ensure_future, shield
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from hmac import digest
from inspect import isawaitable, iscoroutinefunction
from secrets import token_bytes
from time import monotonic
from typing import Final

from container.message.errors import HTTPError
from container.message.request import Request
from container.resources.auth.accounts import AccountFile
from container.resources.auth.hashes import check_hash, equal, kind_of, matches
from container.resources.auth.slowdown import SlowDown
from container.resources.pool import QueueFull, ThreadPool

# Gets user and password: True, or what the user is called here, lets in; False or None does not.
Verify = Callable[[str, str], "bool | str | Awaitable[bool | str | None] | None"]

REMEMBER_S: Final = 300.0
_REMEMBERED_MAX: Final = 4096
_WAITING_MAX: Final = 64
_THREADS: Final = 2
_LENGTH_MAX: Final = 1024


class Passwords:
    """Passwords of one of three sources: `users`, by name, plain or hashed as in an htpasswd file; `htpasswd`,
    such a file, which may change; `verify`, a function, plain (called in a thread) or async.

    A hash that matched is remembered for `remember` seconds, as long as it stays the stored one; what `verify`
    said only when `remember` is given. Names and passwords above 1024 characters are wrong. `slow_down` counts
    failures; None: nobody counts.
    """

    def __init__(
        self,
        *,
        users: Mapping[str, str] | None = None,
        htpasswd: str | os.PathLike[str] | None = None,
        verify: Verify | None = None,
        remember: float | None = None,
        slow_down: SlowDown | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        given = [
            name
            for name, it in (("users", users), ("htpasswd", htpasswd), ("verify", verify))
            if it is not None
        ]
        if len(given) != 1:
            raise ValueError(
                f"expected one of users, htpasswd and verify, got {' and '.join(given) or 'none'}"
            )
        if htpasswd is not None:
            self._file: AccountFile | None = AccountFile(htpasswd, _hashed, clock=clock)
        else:
            self._file = None
        self._users = {name: check_hash(it) if kind_of(it) else it for name, it in (users or {}).items()}
        self._verify = verify
        self._remember = (0.0 if verify else REMEMBER_S) if remember is None else remember
        self._slow_down = slow_down
        self._clock = clock
        self._pool = ThreadPool(_THREADS, queue_limit=_WAITING_MAX, name="auth")
        self._secret = token_bytes(32)
        # Who is behind credentials, and until when that is believed.
        self._known: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        self._pending: dict[bytes, Future[str | None]] = {}

    async def start(self) -> None:
        self._pool.start()

    async def stop(self) -> None:
        self._known.clear()
        await self._pool.stop()

    def check(self, request: Request, user: str, password: str) -> "str | Awaitable[str | None] | None":
        """What the user is called here, or None. Raises HTTPError: 429 to those who fail often, 503 when too many
        ask at a time."""
        if not user or len(user) > _LENGTH_MAX or len(password) > _LENGTH_MAX:
            return None
        if self._verify is not None:
            return self._ask(request, user, password, None)
        accounts = self._file.accounts() if self._file is not None else self._users
        stored = accounts.get(user)
        if stored is None:
            # As long as for a user there is: which names there are shall not be learnt from the time it takes.
            like = next(iter(accounts.values()), "")
            if kind_of(like):
                return self._ask(request, user, password, like, is_known=False)
            self._attempt(request, user)
            equal(password, like)
            return None
        if kind_of(stored):
            return self._ask(request, user, password, stored)
        self._attempt(request, user)
        if not equal(password, stored):
            return None
        return self._succeeded(request, user, user)

    def _ask(
        self, request: Request, user: str, password: str, stored: str | None, *, is_known: bool = True
    ) -> "str | Awaitable[str | None]":
        """What must not be done on the loop: but for those who were asked about lately, or are just now."""
        key = digest(self._secret, repr((user, password, stored, is_known)).encode(), "sha256")
        if key in self._known:
            name, until = self._known[key]
            if self._clock() < until:
                self._known.move_to_end(key)
                return name
            del self._known[key]
        pending = self._pending.get(key)
        if pending is None:
            self._attempt(request, user)
            pending = self._begin(key, self._answer(request, user, password, stored, is_known=is_known))
        return shield(pending)

    def _begin(self, key: bytes, answer: Awaitable[str | None]) -> "Future[str | None]":
        pending = self._pending[key] = ensure_future(answer)

        def done(future: "Future[str | None]") -> None:
            del self._pending[key]
            if future.cancelled() or future.exception() is not None or not (name := future.result()):
                return
            if self._remember > 0:
                self._known[key] = name, self._clock() + self._remember
                if len(self._known) > _REMEMBERED_MAX:
                    self._known.popitem(last=False)

        pending.add_done_callback(done)
        return pending

    async def _answer(
        self, request: Request, user: str, password: str, stored: str | None, *, is_known: bool
    ) -> str | None:
        verdict: bool | str | None
        try:
            if self._verify is None:
                verdict = await self._pool.call(matches, password, stored) and is_known
            elif iscoroutinefunction(self._verify):
                verdict = await self._verify(user, password)
            else:
                told = await self._pool.call(self._verify, user, password)
                verdict = await told if isawaitable(told) else told
        except BaseException as error:
            if self._slow_down is not None:
                self._slow_down.undecided(request, user)
            if isinstance(error, QueueFull):
                raise HTTPError(503, "Too many log in at a time.", headers={"Retry-After": "2"}) from error
            raise
        if not verdict:
            return None
        return self._succeeded(request, user, verdict if isinstance(verdict, str) else user)

    def _attempt(self, request: Request, user: str) -> None:
        if self._slow_down is not None:
            self._slow_down.attempt(request, user)

    def _succeeded(self, request: Request, user: str, name: str) -> str:
        if self._slow_down is not None:
            self._slow_down.succeeded(request, user)
        return name


def _hashed(fields: list[str]) -> tuple[str, str] | None:
    """An htpasswd line: further fields after the hash are passed over, as Apache does."""
    if len(fields) < 2 or not fields[0]:
        return None
    try:
        return fields[0], check_hash(fields[1].strip())
    except ValueError:
        return None
