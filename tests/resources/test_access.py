"""Who may come in, how often, and how many at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from container.resources.access import Allow, ConcurrencyLimit, Deny, RateLimit, client_network
from container.testing import Client
from container.tree.forwarded import Forwarded
from container.tree.resource import Resource
from tests.leaf import Held, Leaf, request

if TYPE_CHECKING:
    from container.message.request import Request

OK = Leaf(lambda request: "ok")


@pytest.mark.parametrize(
    ("ends", "allowed"),
    [
        ({"client": ("10.1.2.3", 1)}, True),
        ({"client": ("11.1.2.3", 1)}, False),
        ({"client": ("::1", 1)}, True),
        ({"server": "/run/app.sock"}, False),
    ],
)
def test_networks_are_let_in_or_kept_out(ends: dict[str, Any], allowed: bool) -> None:
    networks = ["10.0.0.0/8", "::1"]
    with Client(Allow(OK, networks), **ends) as client:
        assert client.get("/").status == (200 if allowed else 403)
    with Client(Deny(OK, networks), **ends) as client:
        assert client.get("/").status == (403 if allowed else 200)


def test_it_is_the_client_behind_trusted_proxies_that_counts() -> None:
    """RQ-16."""
    with Client(Forwarded(Allow(OK, ["192.0.2.0/24"]), ["127.0.0.1"])) as client:
        assert client.get("/").status == 403
        assert client.get("/", headers={"X-Forwarded-For": "192.0.2.1"}).status == 200
        assert client.get("/", headers={"X-Forwarded-For": "192.0.2.1, 6.6.6.6"}).status == 403


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_requests_beyond_the_rate_are_told_when_to_come_back() -> None:
    time = Time()
    with Client(RateLimit(OK, 5, per=60, clock=time)) as client:
        assert [client.get("/").status for _ in range(6)] == [200] * 5 + [429]
        answer = client.get("/")
        assert (answer.status, answer.headers.get("Retry-After")) == (429, "12")
        time.now += 11.5
        assert client.get("/").headers.get("Retry-After") == "1"
        time.now += 0.5
        assert [client.get("/").status for _ in range(2)] == [200, 429]
        time.now += 60
        assert [client.get("/").status for _ in range(6)] == [200] * 5 + [429]


def test_a_burst_can_be_smaller_than_the_rate() -> None:
    time = Time()
    with Client(RateLimit(OK, 10, burst=1, clock=time)) as client:
        for _ in range(20):
            assert [client.get("/").status for _ in range(2)] == [200, 429]
            time.now += 0.1


def test_every_key_has_a_limit_of_its_own() -> None:
    def key(request: Request) -> str | None:
        return request.headers.get("x-key")

    with Client(RateLimit(OK, 1, key=key, clock=Time())) as client:
        found = [client.get("/", headers={"X-Key": each}).status for each in "abab"]
        assert found == [200, 200, 429, 429]
        assert [client.get("/").status for _ in range(3)] == [200] * 3


def test_what_is_remembered_is_bounded() -> None:
    limit = RateLimit(OK, 1, key=lambda request: request.path, keys_max=10, clock=Time())
    with Client(limit) as client:
        assert {client.get(f"/{number}").status for number in range(100)} == {200}
        assert len(limit._due) == 10
        assert client.get("/99").status == 429


@pytest.mark.parametrize(
    ("client", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:0:1::1", "20010db800000001"),
        ("2001:db8:0:1:ffff::2", "20010db800000001"),
    ],
)
def test_a_customer_with_ipv6_is_one_client(client: str, key: str) -> None:
    with Client(Leaf(lambda request: client_network(request) or "-"), client=(client, 1)) as browser:
        assert browser.get("/").text == key
    with Client(Leaf(lambda request: client_network(request) or "-"), server="/run/x") as browser:
        assert browser.get("/").text == "-"


@pytest.mark.parametrize(
    "options", [{"rate": 0}, {"rate": 1, "per": 0}, {"rate": 1, "burst": 0}, {"rate": -1}]
)
def test_a_rate_has_to_be_one(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected a rate"):
        RateLimit(OK, **options)


def test_only_so_many_at_a_time() -> None:
    held = Held()
    root = Resource()
    root.mount("few", ConcurrencyLimit(held, 2, retry_after=5))
    root.mount("many", OK)
    with Client(root) as client:
        first, second = client.connect(), client.connect()
        first.send(request("/few"))
        second.send(request("/few"))
        answer = client.get("/few")
        assert (answer.status, answer.headers.get("Retry-After")) == (503, "5")
        assert client.get("/many").status == 200
        # One is answered, the other is cut off.
        from container.message.response import Response

        held.exchanges[0].respond(Response("done"))
        client.settle()
        third = client.connect()
        third.send(request("/few"))
        assert client.get("/few").status == 503
        second.transport.reset()
        client.settle()
        fourth = client.connect()
        fourth.send(request("/few"))
        assert len(held.exchanges) == 4
        for each in (first, third, fourth):
            each.leave()
    with pytest.raises(ValueError, match="expected a limit"):
        ConcurrencyLimit(OK, 0)


def test_a_client_that_closes_its_side_makes_no_room() -> None:
    """Or whoever does that with every request would have any number of them at a time."""
    from container.message.response import Response

    held = Held()
    limit = ConcurrencyLimit(held, 1)
    with Client(limit) as client:
        first = client.connect()
        first.send(request("/"))
        first.leave()
        client.settle()
        assert client.get("/").status == 503
        held.exchanges[0].respond(Response("done"))
        client.wait_until(lambda: not limit.active)
