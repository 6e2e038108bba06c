"""Whether a process leaves the next connection to others that have fewer."""

from __future__ import annotations

import pytest

from container.channel.balance import PLACES, SILENCE, Balance, shared_figures


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("own", "others", "expected"),
    [
        (0, [], False),
        (100, [], False),
        (1, [0], False),
        (2, [0], True),
        (5, [5, 9], False),
        (6, [5, 9], False),
        (7, [5, 9], True),
        (100, [96], False),
        (120, [100, 101], True),
        (0, [7], False),
    ],
)
def test_who_is_clearly_ahead_waits(own: int, others: list[int], *, expected: bool) -> None:
    figures, clock = shared_figures(), Clock()
    for place, count in enumerate(others, 1):
        Balance(figures, place, clock).tell(count)
    balance = Balance(figures, 0, clock)
    balance.tell(own)
    assert balance.is_ahead(own) is expected


@pytest.mark.parametrize(
    ("own", "others", "expected"), [(9, [], False), (5, [5, 9], False), (6, [5, 9], True)]
)
def test_who_has_waited_goes_on_with_no_more_than_the_others(
    own: int, others: list[int], *, expected: bool
) -> None:
    figures, clock = shared_figures(), Clock()
    for place, count in enumerate(others, 1):
        Balance(figures, place, clock).tell(count)
    assert Balance(figures, 0, clock).has_more(own) is expected


def test_nobody_waits_for_those_that_are_silent_or_have_left() -> None:
    figures, clock = shared_figures(), Clock()
    mine, silent, leaving = (Balance(figures, place, clock) for place in range(3))
    silent.tell(0)
    leaving.tell(0)
    assert mine.is_ahead(9)
    leaving.leave()
    assert mine.is_ahead(9)
    clock.now += (SILENCE + 1) / 10
    assert not mine.is_ahead(9)
    silent.tell(1)
    clock.now += 0.1
    assert mine.is_ahead(9)


def test_a_place_is_used_again_by_the_next_generation() -> None:
    figures, clock = shared_figures(), Clock()
    old, new = Balance(figures, 1, clock), Balance(figures, 1 + PLACES, clock)
    old.tell(50)
    new.tell(0)
    assert not new.is_ahead(50)
