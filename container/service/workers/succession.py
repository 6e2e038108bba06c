"""Who is started and who goes, decided from what the workers have said; no process is touched here.

A worker is *fresh* until it is *outdated*: another one shall take its place. It is told to end only when that one
serves; from then on it is *leaving*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from container.service.worker import RETIRING, SERVING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Intervals between tries to start a worker that does not come up, each twice the last.
RETRY_MIN_S: Final = 1.0
RETRY_MAX_S: Final = 60.0


class Member(Protocol):
    """A worker, as the arbiter knows it: `state` is what it has said last, the rest are the arbiter's notes."""

    age: int
    has_served: bool
    is_outdated: bool
    is_leaving: bool

    @property
    def state(self) -> int: ...


_M = TypeVar("_M", bound=Member)


class Succession(Generic[_M]):
    """The order in which workers follow each other. `members` is the arbiter's own table, by process id.

    `is_hasty`, for development: nobody is asked by workers that know an old version of the application, and a
    version that does not start is not tried again before a file changes.
    """

    def __init__(self, members: Mapping[int, _M], *, is_hasty: bool = False) -> None:
        self._members = members
        self._is_hasty = is_hasty
        # Has a worker served since the application was last changed, as far as we know?
        self._is_proven = False
        self._retry_s = RETRY_MIN_S
        self._not_before = 0.0

    def by_age(self) -> list[_M]:
        return sorted(self._members.values(), key=lambda member: member.age)

    def serving(self) -> list[_M]:
        return [each for each in self.by_age() if each.has_served and not each.is_leaving]

    def _fresh(self) -> list[_M]:
        return [each for each in self.by_age() if not (each.is_outdated or each.is_leaving)]

    def _outdated(self) -> list[_M]:
        return [each for each in self.by_age() if each.is_outdated and not each.is_leaving]

    # What happens.

    def look_around(self) -> None:
        """Note what the workers have said: that they serve, that they want to retire."""
        for member in self._members.values():
            state = member.state
            if state >= SERVING and not member.has_served:
                member.has_served = True
                self._is_proven = True
                self._retry_s = RETRY_MIN_S
                self._not_before = 0.0
            if state >= RETIRING:
                member.is_outdated = True

    def outdate(self) -> list[_M]:
        """The application has changed: all shall be replaced. Those returned are to go at once."""
        self._not_before = 0.0
        self._is_proven = False
        members = self.by_age()
        for member in members:
            member.is_outdated = True
        # Who has not served may have imported what was before, and nobody needs it.
        return [each for each in members if not each.is_leaving and (self._is_hasty or not each.has_served)]

    def fail(self, now: float) -> None:
        """A worker did not start: those that serve go on, and the next try is put off."""
        for member in self._outdated():
            if member.state < RETIRING:
                member.is_outdated = False
        self._is_proven = False
        if self._is_hasty:
            self._retry_s = RETRY_MAX_S
        self.put_off(now)

    def put_off(self, now: float) -> None:
        """No worker can be started now."""
        self._not_before = now + self._retry_s
        self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)

    # What follows.

    def lacks_one(self, wanted: int, now: float) -> bool:
        """Is another worker to be started? Until one serves there is only that one: what is wrong with the
        application is said once."""
        fresh = self._fresh()
        if not self._is_proven:
            wanted = min(wanted, sum(each.has_served for each in fresh) + 1)
        return len(fresh) < wanted and now >= self._not_before

    def dispensable(self, wanted: int) -> list[_M]:
        """Who can go, as `wanted` others serve, or because there are too many; the oldest first."""
        fresh, outdated = self._fresh(), self._outdated()
        serving = sum(each.has_served for each in fresh)
        replaced = outdated[: max(0, serving + len(outdated) - wanted)]
        fresh.sort(key=lambda member: (member.has_served, member.age))
        return replaced + fresh[: max(0, len(fresh) - wanted)]
