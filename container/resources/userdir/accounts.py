"""The accounts of this machine that may have a place on the web. Blocks as long as the name service does."""

import pwd
import re
from collections import OrderedDict
from collections.abc import Callable, Collection
from time import monotonic
from typing import Final, NamedTuple

# What useradd and its kind accept; no dot at the beginning, so no name is ever "..".
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_FRESH_S: Final = 30.0
_REMEMBERED_MAX: Final = 1024


class Account(NamedTuple):
    """One user of this machine. `real_name`: as GECOS has it, or the login name."""

    name: str
    uid: int
    home: str
    real_name: str


class Accounts:
    """The users with a uid from `min_uid` on, among `allow` if that is given, none of `deny`; for half a minute
    what was found is not looked up again."""

    def __init__(
        self,
        min_uid: int,
        allow: Collection[str] | None,
        deny: Collection[str],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        for names in (allow, deny):
            if isinstance(names, str):
                raise TypeError(
                    f"expected several names, got one text: {names!r} (did you mean [{names!r}]?)"
                )
        self._min_uid = min_uid
        self._allow = None if allow is None else frozenset(allow)
        self._deny = frozenset(deny)
        self._clock = clock
        self._known: OrderedDict[str, tuple[Account | None, float]] = OrderedDict()

    def find(self, name: str) -> Account | None:
        """The account of that name; None for those there are not, or that are not for the web."""
        if _NAME.fullmatch(name) is None:
            return None
        now = self._clock()
        known = self._known.get(name)
        if known is None or now >= known[1]:
            self._known.pop(name, None)
            known = self._known[name] = self._look(name), now + _FRESH_S
            if len(self._known) > _REMEMBERED_MAX:
                self._known.popitem(last=False)
        return known[0]

    def all(self) -> list[Account]:
        """All of them, by name."""
        found = [account for entry in pwd.getpwall() if (account := self._account(entry)) is not None]
        return sorted({account.name: account for account in found}.values())

    def _look(self, name: str) -> Account | None:
        try:
            return self._account(pwd.getpwnam(name))
        except KeyError:
            return None

    def _account(self, entry: pwd.struct_passwd) -> Account | None:
        name = entry.pw_name
        is_for_the_web = (
            entry.pw_uid >= self._min_uid
            and name not in self._deny
            and (self._allow is None or name in self._allow)
            and entry.pw_dir.startswith("/")
            and entry.pw_dir.strip("/")
        )
        if not is_for_the_web or _NAME.fullmatch(name) is None:
            return None
        real_name = entry.pw_gecos.partition(",")[0].strip()
        return Account(name, entry.pw_uid, entry.pw_dir, real_name or name)
