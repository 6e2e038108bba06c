"""The grammar of ranges, and several parts in one answer: ST-07 to ST-11."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.message.ranges import RANGES_MAX, multipart, parse_ranges

WHOLE = (0, 16)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # ST-07
        ("bytes=0-3", [(0, 4)]),
        ("bytes=15-99", [(15, 1)]),
        ("bytes=0-99999999999999999999999", [WHOLE]),
        ("BYTES=0-1", [(0, 2)]),
        (" bytes=0-1\t", [(0, 2)]),
        ("bytes= 0-1 , 4-5", [(0, 2), (4, 2)]),
        # ST-08
        ("bytes=4-", [(4, 12)]),
        ("bytes=-5", [(11, 5)]),
        ("bytes=-100", [WHOLE]),
        ("bytes=-16", [WHOLE]),
        ("bytes=-0", []),
        # ST-09
        ("bytes=4-5,0-1", [(4, 2), (0, 2)]),
        ("bytes=0-1,40-50", [(0, 2)]),
        ("bytes=40-50,60-70", []),
        ("bytes=0-1,0-1,0-1", [(0, 2)] * 3),
        ("bytes=1-2,, ,", [(1, 2)]),
        ("bytes=0-,0-", None),
        ("bytes=" + ",".join(["0-0"] * 16), [(0, 1)] * 16),
        ("bytes=" + ",".join(["0-0"] * 1000), None),
        # ST-10
        ("bytes=16-", []),
        ("bytes=67-108", []),
        # ST-11
        ("foo=1-2", None),
        ("bytes=5-4", None),
        ("bytes", None),
        ("bytes=", None),
        ("bytes=,", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=1 - 3", None),
        ("bytes=+1-3", None),
        ("bytes=1", None),
        ("bytes=0-1;2-3", None),
        ("bytes=0-1\n", None),
        ("bytes=" + "9" * 5000 + "-", None),
        ("", None),
    ],
)
def test_what_a_range_field_asks_for(value: str, expected: list[tuple[int, int]] | None) -> None:
    assert parse_ranges(value.encode(), 16) == expected


def test_nothing_has_no_parts() -> None:
    assert parse_ranges(b"bytes=0-", 0) == []
    assert parse_ranges(b"bytes=-0", 0) == []
    assert parse_ranges(b"bytes=-5", 0) is None


def test_too_many_parts_are_everything() -> None:
    many = ",".join(f"{n}-{n}" for n in range(RANGES_MAX))
    assert parse_ranges(f"bytes={many}".encode(), 10_000) == [(n, 1) for n in range(RANGES_MAX)]
    assert parse_ranges(f"bytes={many},900-900".encode(), 10_000) is None


@given(st.binary(max_size=60), st.integers(0, 100))
def test_no_field_breaks_it_or_leads_outside(text: bytes, size: int) -> None:
    for start, count in parse_ranges(b"bytes=" + text, size) or []:
        assert 0 <= start < start + count <= size


@given(
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120)), min_size=1, max_size=5), st.integers(0, 100)
)
def test_no_amplification(pairs: list[tuple[int, int]], size: int) -> None:
    field = ",".join(f"{first}-{last}" for first, last in pairs)
    found = parse_ranges(f"bytes={field}".encode(), size)
    assert found is None or sum(count for _, count in found) <= size


def test_parts_are_a_multipart_message_a_strict_reader_understands() -> None:
    """ST-09"""
    content = bytes(range(65, 91))
    parts, tail = multipart([(0, 2), (4, 3)], 26, "text/x", "BOUNDARY")
    body = b"".join(head + content[start : start + count] for head, start, count in parts) + tail
    message = email.message_from_bytes(
        b"Content-Type: multipart/byteranges; boundary=BOUNDARY\r\n\r\n" + body, policy=email.policy.HTTP
    )
    found = [
        (part["Content-Range"], part["Content-Type"], part.get_payload()) for part in message.iter_parts()
    ]
    assert found == [("bytes 0-1/26", "text/x", "AB"), ("bytes 4-6/26", "text/x", "EFG")]
    assert message.epilogue in ("", None)
