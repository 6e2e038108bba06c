"""Which upstream is asked: shares, load, rests (PX-01). No sockets; the clock is the test's."""

from __future__ import annotations

from collections import Counter

import pytest

from container.client.errors import UpstreamError
from container.resources.proxy.balance import Balancer, Health, Upstream

BAD = UpstreamError(502, "refused")


def upstreams(*weights: int) -> list[Upstream]:
    return [
        Upstream(f"http://127.0.0.1:{9000 + index}", weight=weight) for index, weight in enumerate(weights)
    ]


def test_shares_follow_the_weights_smoothly() -> None:
    each = upstreams(5, 1, 1)
    balancer = Balancer(each)
    order = [each.index(balancer.choose([], 0.0)) for _ in range(70)]  # type: ignore[arg-type]
    assert Counter(order) == {0: 50, 1: 10, 2: 10}
    assert order[:7] == [0, 0, 1, 0, 2, 0, 0]


def test_the_least_loaded_for_its_weight_is_asked() -> None:
    one, two = upstreams(1, 2)
    balancer = Balancer([one, two], "least-connections")
    one.active, two.active = 1, 2
    assert balancer.choose([], 0.0) is two
    two.active = 5
    assert balancer.choose([], 0.0) is one


def test_those_that_were_tried_are_not_asked_again() -> None:
    one, two = upstreams(1, 1)
    balancer = Balancer([one, two])
    assert balancer.choose([one], 0.0) is two
    assert balancer.choose([one, two], 0.0) is None


def test_a_rest_ends_and_the_share_comes_back_little_by_little() -> None:
    one, two = each = upstreams(1, 1)
    balancer = Balancer(each, max_fails=1, cool_down=10, slow_start=100)
    balancer.failed(one, BAD, 0.0)
    assert {balancer.choose([], 5.0) for _ in range(9)} == {two}
    assert one in {balancer.choose([], 11.0) for _ in range(9)}
    balancer.succeeded(one, 11.0)
    early = Counter(balancer.choose([], 12.0) for _ in range(110))
    late = Counter(balancer.choose([], 200.0) for _ in range(100))
    assert 9 <= early[one] <= 11
    assert late[one] == 50


def test_a_success_between_failures_starts_the_count_anew() -> None:
    one, two = each = upstreams(1, 1)
    balancer = Balancer(each, max_fails=2)
    balancer.failed(one, BAD, 0.0)
    balancer.succeeded(one, 0.0)
    balancer.failed(one, BAD, 0.0)
    assert {balancer.choose([], 0.0) for _ in range(4)} == {one, two}


def test_a_full_queue_is_no_failure() -> None:
    one, two = each = upstreams(1, 1)
    balancer = Balancer(each, max_fails=1)
    balancer.failed(one, UpstreamError(503, "full", blames=False), 0.0)
    assert {balancer.choose([], 0.0) for _ in range(4)} == {one, two}


def test_one_alone_is_always_asked_unless_it_is_known_to_be_down() -> None:
    (one,) = each = upstreams(1)
    balancer = Balancer(each, max_fails=1)
    balancer.failed(one, BAD, 0.0)
    assert balancer.choose([], 0.0) is one
    one.is_down = True
    assert balancer.choose([], 0.0) is None


def test_when_all_rest_the_one_that_has_rested_longest_is_asked() -> None:
    one, two = each = upstreams(1, 1)
    balancer = Balancer(each, max_fails=1)
    balancer.failed(one, BAD, 0.0)
    balancer.failed(two, BAD, 1.0)
    assert balancer.choose([], 2.0) is one
    one.is_down = two.is_down = True
    assert balancer.choose([], 2.0) is None


def test_bad_options_are_errors() -> None:
    with pytest.raises(ValueError, match="round-robin"):
        Balancer([], "random")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_fails"):
        Balancer([], max_fails=0)
    with pytest.raises(ValueError, match="path"):
        Health("health")
    with pytest.raises(ValueError, match="interval"):
        Health(interval=0)
    with pytest.raises(ValueError, match="connection"):
        Upstream("http://a", max_connections=0)
    with pytest.raises(TypeError, match="SSLContext"):
        Upstream("https://a", tls=True)
