"""The Bearer scheme (RFC 6750): a token that whoever holds it may use. What tokens mean is the application's."""

import re
from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable, iscoroutinefunction
from time import monotonic
from typing import Final

from container.message.authorization import spell_challenge
from container.message.errors import HTTPError
from container.message.request import Request
from container.resources.auth.basic import REALM, made
from container.resources.auth.guard import Guard, Refusal, Verdict
from container.resources.auth.slowdown import SlowDown
from container.resources.pool import QueueFull, ThreadPool
from container.tree.resource import Resource

# Gets the token: whose it is; None when it is nobody's. May raise HTTPError(403) for a token that is not enough.
VerifyToken = Callable[[str], "str | Awaitable[str | None] | None"]

_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_INVALID: Final = Refusal((("error", "invalid_token"),))


class Bearer:
    """The scheme, for a Guard of several. A `verify` that is no coroutine function is called in a thread, unless
    `inline`: for functions that only compute."""

    name = "Bearer"

    def __init__(
        self,
        verify: VerifyToken,
        *,
        realm: str = REALM,
        inline: bool = False,
        slow_down: SlowDown | None = None,
    ) -> None:
        self._verify = verify
        self._realm = realm
        self._is_inline = inline or iscoroutinefunction(verify)
        self._slow_down = slow_down
        self._pool = ThreadPool(2, queue_limit=64, name="auth")
        spell_challenge(self.name, {"realm": realm})  # a realm that cannot be said is an error now

    def challenges(self, request: Request, refusal: Refusal) -> Sequence[str]:
        return (spell_challenge(self.name, {"realm": self._realm, **dict(refusal.remarks)}),)

    def check(self, request: Request, credentials: str) -> Verdict | Awaitable[Verdict]:
        if _TOKEN.fullmatch(credentials) is None:
            return _INVALID
        if self._slow_down is not None:
            self._slow_down.check(request, "")
        if not self._is_inline:
            return self._in_thread(request, credentials)
        found = self._verify(credentials)
        return self._awaited(request, found) if isawaitable(found) else self._verdict(request, found)

    async def _in_thread(self, request: Request, token: str) -> Verdict:
        try:
            found = await self._pool.call(self._verify, token)
        except QueueFull as error:
            raise HTTPError(503, "Too many log in at a time.", headers={"Retry-After": "2"}) from error
        return self._verdict(request, await found if isawaitable(found) else found)

    async def _awaited(self, request: Request, found: Awaitable[str | None]) -> Verdict:
        return self._verdict(request, await found)

    def _verdict(self, request: Request, user: str | None) -> Verdict:
        slow_down = self._slow_down
        if not user:
            # Only now: of many requests at a time, as browsers send them, none is a failure before.
            if slow_down is not None:
                slow_down.failed(request, "")
            return _INVALID
        if slow_down is not None:
            slow_down.forget(request, "")
        return user

    async def start(self) -> None:
        if not self._is_inline:
            self._pool.start()

    async def stop(self) -> None:
        if not self._is_inline:
            await self._pool.stop()


class BearerAuth(Guard):
    """Lets those into `child`, and all below it, whose token `verify` knows: it gives back the user's name.

    `slow_down`: one for all wrong tokens of a client, None for none; tokens should be long enough not to need it.
    `inline`: see Bearer; `anonymous`: see Guard.
    """

    def __init__(
        self,
        child: Resource,
        *,
        verify: VerifyToken,
        realm: str = REALM,
        anonymous: bool = False,
        inline: bool = False,
        slow_down: SlowDown | bool | None = True,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        scheme = Bearer(verify, realm=realm, inline=inline, slow_down=made(slow_down, clock))
        super().__init__(child, [scheme], anonymous=anonymous)
