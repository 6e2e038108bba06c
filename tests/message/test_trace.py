"""Ids and traces: what of clients' counts, and what takes the place of the rest (W3C Trace Context 3)."""

from __future__ import annotations

import re

import pytest

from container.message.body import EMPTY
from container.message.request import Request
from container.message.trace import Trace, trace_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
VALID = f"00-{TRACE}-{PARENT}-01"


def request(*fields: tuple[str, str]) -> Request:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in fields]
    return Request("GET", b"/", b"/", b"", "1.1", raw, EMPTY)


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (VALID, 1),
        (f"00-{TRACE}-{PARENT}-00", 0),
        (f"00-{TRACE}-{PARENT}-ff", 255),
        (f"01-{TRACE}-{PARENT}-01", 1),  # a later version
        (f"cc-{TRACE}-{PARENT}-01-what-ever.comes", 1),
    ],
)
def test_a_valid_trace_goes_on(value: str, flags: int) -> None:
    assert request(("traceparent", value)).trace == Trace(TRACE, PARENT, flags, False)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-01-more",  # version 00 has no more
        f"00-{TRACE}-{PARENT}-01-",
        f"ff-{TRACE}-{PARENT}-01",
        f"cc-{TRACE}-{PARENT}-01.more",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{PARENT}-01",
        f"00-{TRACE}0-{PARENT}-01",
        f" {VALID}",
        f"{VALID}, {VALID}",
        f"00-{TRACE[1:]}g-{PARENT}-01",
        f"cc-{TRACE}-{PARENT}-01-" + "x" * 600,
        f"00-{TRACE}-{PARENT}-\xb2\xb3",
    ],
)
def test_what_is_not_valid_to_the_letter_is_as_good_as_nothing(value: str) -> None:
    trace = request(("traceparent", value)).trace
    assert trace.is_new
    assert trace.trace_id != TRACE
    assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-01", trace.header())


def test_two_traces_are_none() -> None:
    assert request(("traceparent", VALID), ("traceparent", VALID)).trace.is_new


def test_what_a_new_trace_says_of_itself_is_valid() -> None:
    trace = trace_of([])
    again = trace_of([(b"traceparent", trace.header())])
    assert again == trace._replace(is_new=False)
    assert trace_of([]).trace_id != trace.trace_id


@pytest.mark.parametrize("id", ["a", "x" * 128, "0190d2c1-5c4a-7c5e-a1b2:1/2.3_4~5@6+7=="])
def test_a_harmless_id_counts(id: str) -> None:
    assert request(("x-request-id", id)).id == id


@pytest.mark.parametrize(
    "id",
    [
        "",
        "x" * 129,
        "a b",
        'a"b',
        "a\\b",
        "<b>",
        "a\nb",
        "a\x1b[31m",
        "\xe9",
        "${jndi:x}",
        "a,b",
        "a;b",
        "%0a",
    ],
)
def test_any_other_id_is_replaced(id: str) -> None:
    asked = request(("x-request-id", id))
    assert asked.id == asked.trace.trace_id
    assert re.fullmatch("[0-9a-f]{32}", asked.id)


def test_two_ids_are_none() -> None:
    assert re.fullmatch("[0-9a-f]{32}", request(("x-request-id", "a"), ("x-request-id", "a")).id)


def test_an_id_stays_the_same_however_the_request_is_changed() -> None:
    asked = request()
    id, trace = asked.id, asked.trace
    asked.reroute(b"/other")
    asked.redirect(b"/third?x")
    assert (asked.id, asked.trace) == (id, trace)


def test_without_an_id_of_its_own_a_request_is_called_by_its_trace() -> None:
    assert request(("traceparent", VALID)).id == TRACE
