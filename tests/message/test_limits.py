"""Bounds that would be none are refused where they are set."""

from __future__ import annotations

from typing import Any

import pytest

from container.message.limits import Limits, Timeouts


@pytest.mark.parametrize(
    ("bounds", "options"),
    [
        (Limits, {"body": -1}), (Limits, {"fields": "9"}), (Limits, {"fields": None}), (Limits, {"spool_quota": True}),
        (Timeouts, {"keep_alive": "5"}), (Timeouts, {"head": float("nan")}), (Timeouts, {"write": None}),
    ],
)  # fmt: skip
def test_a_bound_is_a_number(bounds: Any, options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="of at least 0 as"):
        bounds(**options)


def test_content_may_be_unbounded() -> None:
    assert Limits(body=None).body is None
    assert Timeouts(keep_alive=0).keep_alive == 0
