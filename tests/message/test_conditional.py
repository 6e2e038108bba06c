"""RQ-10: Preconditions: which of them count, in which order, and what they call for (RFC 9110 13)."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.message.body import EMPTY
from container.message.conditional import evaluate, not_modified
from container.message.headers import Headers
from container.message.request import Request

CHANGED = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT
EQUAL = "Sun, 06 Nov 1994 08:49:37 GMT"
EARLIER = "Sun, 06 Nov 1994 08:49:36 GMT"
LATER = "Mon, 07 Nov 1994 08:49:37 GMT"

Fields = list[tuple[str, str]]


def asked(method: str, fields: Fields) -> Request:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in fields]
    return Request(method, b"/", b"/", b"", "1.1", raw, EMPTY)


def judged(
    fields: Fields, method: str = "GET", *, etag: str | None = '"v1"', last_modified: int | None = CHANGED
) -> int | None:
    return evaluate(asked(method, fields), etag=etag, last_modified=last_modified)


@pytest.mark.parametrize(
    ("value", "etag", "known"),
    [
        ('"v1"', '"v1"', True),
        ('"v0"', '"v1"', False),
        ('"v1", "v0"', '"v1"', True),
        ('"v0","v1"', '"v1"', True),
        (', "v0" ,, "v1",', '"v1"', True),
        ('W/"v1"', '"v1"', True),
        ('"v1"', 'W/"v1"', True),
        ('W/"v1"', 'W/"v1"', True),
        ('w/"v1"', '"v1"', False),
        ('"a,b"', '"a,b"', True),
        ('"a", "b"', '", "', False),
        ('"\xe9"', '"\xe9"', True),
        ('""', '""', True),
        ("*", '"v1"', True),
        (" * ", None, True),
        ('*, "v1"', '"v1"', False),
        ('"v1"', None, False),
        ("v1", '"v1"', False),
        ('"v1', '"v1"', False),
        ('"v1" garbage', '"v1"', False),
        ("", '"v1"', False),
    ],
)
@pytest.mark.parametrize(("method", "status"), [("GET", 304), ("HEAD", 304), ("POST", 412), ("PUT", 412)])
def test_if_none_match_compares_weakly(
    value: str, etag: str | None, known: bool, method: str, status: int
) -> None:
    assert judged([("If-None-Match", value)], method, etag=etag) == (status if known else None)


@pytest.mark.parametrize(
    ("value", "etag", "holds"),
    [
        ('"v1"', '"v1"', True),
        ('"v0", "v1"', '"v1"', True),
        ('"v0"', '"v1"', False),
        ('W/"v1"', '"v1"', False),
        ('"v1"', 'W/"v1"', False),
        ('W/"v1"', 'W/"v1"', False),
        ("*", '"v1"', True),
        ("*", None, True),
        ('"v1"', None, False),
        ("v1", '"v1"', False),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_if_match_compares_strongly(value: str, etag: str | None, holds: bool, method: str) -> None:
    assert judged([("If-Match", value)], method, etag=etag) == (None if holds else 412)


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
def test_a_list_may_span_several_fields(name: str) -> None:
    expected = None if name == "If-Match" else 304
    assert judged([(name, '"v0"'), ("Host", "h"), (name, '"v1"')]) == expected


@pytest.mark.parametrize(
    ("value", "known"),
    [
        (EQUAL, True),
        (LATER, True),
        (EARLIER, False),
        ("Sunday, 06-Nov-94 08:49:37 GMT", True),
        ("Sunday, 06-Nov-94 08:49:36 GMT", False),
        ("Sun Nov  6 08:49:37 1994", True),
        ("Sun Nov  6 08:49:36 1994", False),
        ("06 Nov 1994 08:49:37 GMT", True),
        (EQUAL + "; length=1234", True),
        ("Thursday, 06-Nov-25 08:49:37 GMT", True),
        ("Fri, 31 Dec 1969 23:59:59 GMT", False),
        ("Sun, 06 Nov 1994 25:49:37 GMT", False),
        ("Sun, 99 Nov 1994 08:49:37 GMT", False),
        (f"{LATER}, {LATER}", False),
        ("784111777", False),
        ("tomorrow", False),
        ("Sun, 06 Nov 1994 08:49:37 GM\xdc", False),
        ("", False),
    ],
)
def test_if_modified_since_knows_three_formats_and_ignores_the_rest(value: str, known: bool) -> None:
    assert judged([("If-Modified-Since", value)]) == (304 if known else None)
    assert judged([("If-Modified-Since", value)], "HEAD") == (304 if known else None)
    assert judged([("If-Modified-Since", value)], "POST") is None


def test_several_dates_are_no_date() -> None:
    assert judged([("If-Modified-Since", LATER), ("If-Modified-Since", LATER)]) is None


@pytest.mark.parametrize(
    ("value", "expected"), [(EQUAL, None), (LATER, None), (EARLIER, 412), ("garbage", None)]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_if_unmodified_since_protects_against_a_change(value: str, expected: int | None, method: str) -> None:
    assert judged([("If-Unmodified-Since", value)], method) == expected


@pytest.mark.parametrize("name", ["If-Modified-Since", "If-Unmodified-Since"])
@pytest.mark.parametrize("value", [EARLIER, LATER])
def test_dates_say_nothing_about_a_resource_without_one(name: str, value: str) -> None:
    assert judged([(name, value)], last_modified=None) is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        # If-None-Match overrides If-Modified-Since, If-Match overrides If-Unmodified-Since.
        ([("If-None-Match", '"v0"'), ("If-Modified-Since", LATER)], None),
        ([("If-None-Match", '"v1"'), ("If-Modified-Since", EARLIER)], 304),
        ([("If-None-Match", "garbage"), ("If-Modified-Since", LATER)], None),
        ([("If-Match", '"v1"'), ("If-Unmodified-Since", EARLIER)], None),
        ([("If-Match", '"v0"'), ("If-Unmodified-Since", LATER)], 412),
        # A failed If-Match or If-Unmodified-Since comes first.
        ([("If-None-Match", '"v1"'), ("If-Match", '"v0"')], 412),
        ([("If-Modified-Since", LATER), ("If-Match", '"v0"')], 412),
        ([("If-None-Match", '"v1"'), ("If-Unmodified-Since", EARLIER)], 412),
        # One that holds leaves the word to the others.
        ([("If-None-Match", '"v1"'), ("If-Match", '"v1"')], 304),
        ([("If-Modified-Since", LATER), ("If-Unmodified-Since", LATER)], 304),
        ([("If-None-Match", '"v0"'), ("If-Match", '"v1"')], None),
    ],
)
def test_preconditions_are_evaluated_in_the_order_of_the_standard(
    fields: Fields, expected: int | None
) -> None:
    assert judged(fields) == expected
    assert judged(fields[::-1]) == expected


@pytest.mark.parametrize("fields", [[], [("Host", "h"), ("If-Range", '"v0"'), ("Range", "bytes=0-1")]])
def test_a_request_without_preconditions_is_answered_as_it_is(fields: Fields) -> None:
    assert judged(fields) is None


_anything = st.binary(max_size=60) | st.text('W/*"v1, GMT:-+069aSunNov', max_size=60).map(str.encode)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"]),
            _anything,
        )
    )
)
def test_no_field_value_raises(fields: list[tuple[bytes, bytes]]) -> None:
    request = Request("GET", b"/", b"/", b"", "1.1", fields, EMPTY)
    assert evaluate(request, etag='"v1"', last_modified=CHANGED) in (None, 304, 412)


def test_a_304_keeps_the_validators_and_drops_what_describes_content() -> None:
    whole = Headers(
        [
            ("Content-Type", "text/plain"),
            ("Content-Length", "5"),
            ("Content-Encoding", "gzip"),
            ("ETag", '"v1"'),
            ("Last-Modified", EQUAL),
            ("Vary", "Accept-Encoding"),
            ("Cache-Control", "max-age=60"),
        ]
    )
    answer = not_modified(whole)
    assert answer.status == 304
    assert answer.body == b""
    assert [name for name, _ in answer.headers.items()] == ["ETag", "Last-Modified", "Vary", "Cache-Control"]
    assert len(whole) == 7


def test_werkzeug_is_not_needed_for_a_date() -> None:
    before = set(sys.modules)
    assert judged([("If-Modified-Since", EQUAL)]) == 304
    assert not [name for name in set(sys.modules) - before if name.startswith("werkzeug")]
