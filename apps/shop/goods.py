"""What the shop sells, and the basket in a visitor's session: what all three parts of the shop agree on.

A session holds one number for each good, under a name of its own: two parts of the shop that change different
goods at the same moment do not get in each other's way.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Good(NamedTuple):
    name: str
    title: str
    cents: int


class Line(NamedTuple):
    """One good in a basket."""

    good: Good
    count: int

    @property
    def cents(self) -> int:
        return self.good.cents * self.count


GOODS = {
    good.name: good
    for good in (Good("tea", "Green tea", 450), Good("cup", "Cup", 1200), Good("pot", "Tea pot", 3900))
}


def key_of(name: str) -> str:
    """Under which a session keeps how many of a good are in the basket."""
    return f"basket.{name}"


def lines_of(session: Mapping[str, Any]) -> list[Line]:
    return [
        Line(good, session[key_of(name)]) for name, good in GOODS.items() if session.get(key_of(name), 0) > 0
    ]


def count_of(session: Mapping[str, Any]) -> int:
    return sum(line.count for line in lines_of(session))


def price(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02} €"
