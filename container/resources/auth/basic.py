"""The Basic scheme (RFC 7617): a name and a password with every request. Only over TLS or on one machine."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic

from container.message.authorization import parse_basic, spell_challenge
from container.message.request import Request
from container.resources.auth.guard import REFUSED, Guard, Refusal, Verdict
from container.resources.auth.passwords import Passwords, Verify
from container.resources.auth.slowdown import SlowDown
from container.tree.resource import Resource

REALM = "Restricted"


class Basic:
    """The scheme, for a Guard of several: names and passwords are those that `passwords` knows."""

    name = "Basic"

    def __init__(self, passwords: Passwords, *, realm: str = REALM) -> None:
        self._passwords = passwords
        self._challenge = (spell_challenge("Basic", {"realm": realm, "charset": "UTF-8"}),)

    def challenges(self, request: Request, refusal: Refusal) -> Sequence[str]:
        return self._challenge

    def check(self, request: Request, credentials: str) -> Verdict | Awaitable[Verdict]:
        user, password = parse_basic(f"Basic {credentials}")
        found = self._passwords.check(request, user, password)
        return _verdict(found) if found is None or isinstance(found, str) else _awaited(found)

    async def start(self) -> None:
        await self._passwords.start()

    async def stop(self) -> None:
        await self._passwords.stop()


class BasicAuth(Guard):
    """Lets those into `child`, and all below it, who send the right name and password.

    `users`, `htpasswd` or `verify`, and `remember`: see Passwords. `realm`: what browsers show when they ask.
    `anonymous`: see Guard. `slow_down`: makes guessing slow, one of its own without it, None for none.
    """

    def __init__(
        self,
        child: Resource,
        *,
        users: Mapping[str, str] | None = None,
        htpasswd: str | os.PathLike[str] | None = None,
        verify: Verify | None = None,
        realm: str = REALM,
        anonymous: bool = False,
        remember: float | None = None,
        slow_down: SlowDown | bool | None = True,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.htpasswd = None if htpasswd is None else os.fspath(htpasswd)
        self.made_with: dict[str, object] = {
            "users": users, "verify": verify, "realm": realm, "anonymous": anonymous, "remember": remember,
            "slow_down": slow_down, "clock": clock,
        }  # fmt: skip
        passwords = Passwords(
            users=users, htpasswd=htpasswd, verify=verify, remember=remember,
            slow_down=made(slow_down, clock), clock=clock,
        )  # fmt: skip
        super().__init__(child, [Basic(passwords, realm=realm)], anonymous=anonymous)


def made(slow_down: SlowDown | bool | None, clock: Callable[[], float]) -> SlowDown | None:
    """The one that was given, or one of its own."""
    if isinstance(slow_down, bool):
        return SlowDown(clock=clock) if slow_down else None
    return slow_down


def _verdict(name: str | None) -> Verdict:
    return REFUSED if name is None else name


async def _awaited(found: Awaitable[str | None]) -> Verdict:
    return _verdict(await found)
