"""Who is started and who goes (GW-01, LC-02, LC-04), as a game without processes."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from container.service.worker import BOOTING, RETIRING, SERVING
from container.service.workers.succession import RETRY_MAX_S, RETRY_MIN_S, Succession


@dataclass
class Member:
    age: int
    state: int = BOOTING
    has_served: bool = False
    is_outdated: bool = False
    is_leaving: bool = False


class Crew:
    """What an arbiter does with a succession, all at one moment."""

    def __init__(self, wanted: int = 2, *, is_hasty: bool = False) -> None:
        self.members: dict[int, Member] = {}
        self.succession = Succession(self.members, is_hasty=is_hasty)
        self.wanted = wanted
        self.born = 0

    def manage(self, now: float = 0.0) -> None:
        self.succession.look_around()
        while self.succession.lacks_one(self.wanted, now):
            self.born += 1
            self.members[self.born] = Member(self.born)
        for member in self.succession.dispensable(self.wanted):
            member.is_leaving = True

    def serve(self, *ages: int) -> None:
        """These say that they serve."""
        for age in ages:
            self.members[age].state = SERVING
        self.manage()

    def settle(self) -> None:
        """All are up."""
        self.manage()
        while booting := [age for age, each in self.members.items() if each.state == BOOTING]:
            self.serve(*booting)

    def outdate(self) -> None:
        for member in self.succession.outdate():
            member.is_leaving = True
        self.manage()

    def end(self, age: int) -> Member:
        return self.members.pop(age)

    @property
    def leaving(self) -> list[int]:
        return [age for age, each in self.members.items() if each.is_leaving]

    @property
    def staying(self) -> list[int]:
        return [age for age, each in self.members.items() if not each.is_leaving]


def test_the_first_worker_shows_whether_the_application_starts() -> None:
    crew = Crew(3)
    crew.manage()
    assert crew.staying == [1]
    crew.serve(1)
    assert crew.staying == [1, 2, 3]


def test_no_old_worker_goes_before_a_new_one_serves() -> None:
    crew = Crew(2)
    crew.settle()
    crew.outdate()
    assert (crew.staying, crew.leaving) == ([1, 2, 3], [])
    crew.serve(3)
    assert crew.leaving == [1]
    assert crew.staying == [2, 3, 4]
    crew.serve(4)
    assert crew.leaving == [1, 2]
    assert crew.staying == [3, 4]


def test_a_worker_that_retires_is_succeeded_first() -> None:
    crew = Crew(2)
    crew.settle()
    crew.members[1].state = RETIRING
    crew.manage()
    assert (crew.staying, crew.leaving) == ([1, 2, 3], [])
    crew.serve(3)
    assert (crew.staying, crew.leaving) == ([2, 3], [1])


def test_a_version_that_does_not_start_leaves_the_old_ones() -> None:
    """And is tried again at growing intervals, up to a limit."""
    crew = Crew(2)
    crew.settle()
    crew.outdate()
    now, expected = 0.0, RETRY_MIN_S
    for _ in range(10):
        crew.end(crew.born)
        crew.succession.fail(now)
        crew.members[1].is_outdated = True  # the service may be asked for the next version meanwhile
        crew.manage(now)
        crew.manage(now + expected - 0.01)
        assert crew.staying == [1, 2]
        now += expected
        crew.manage(now)
        assert len(crew.staying) == 3
        expected = min(2 * expected, RETRY_MAX_S)
    assert crew.leaving == []


def test_what_failed_before_is_forgotten_by_the_next_reload() -> None:
    crew = Crew(2)
    crew.settle()
    crew.outdate()
    crew.end(3)
    crew.succession.fail(0.0)
    crew.manage()
    assert crew.staying == [1, 2]
    crew.outdate()
    assert crew.staying == [1, 2, 4]


def test_workers_that_boot_go_at_once_at_a_reload() -> None:
    """They may have imported what was before."""
    crew = Crew(2)
    crew.settle()
    crew.outdate()
    crew.outdate()
    assert crew.leaving == [3]
    assert crew.staying == [1, 2, 4]


def test_in_haste_all_old_workers_go_at_once() -> None:
    """For development: no answer of an old version after a file was changed."""
    crew = Crew(2, is_hasty=True)
    crew.settle()
    crew.outdate()
    assert (crew.leaving, crew.staying) == ([1, 2], [3])


@pytest.mark.parametrize("serving", [True, False])
def test_of_too_many_those_go_that_do_not_serve(*, serving: bool) -> None:
    crew = Crew(2)
    crew.settle()
    crew.wanted = 3
    crew.manage()
    if serving:
        crew.serve(3)
    crew.wanted = 2
    crew.manage()
    assert crew.leaving == ([1] if serving else [3])


def test_a_killed_worker_is_replaced() -> None:
    crew = Crew(2)
    crew.settle()
    crew.end(1)
    crew.manage()
    assert crew.staying == [2, 3]
