import pytest

from container.message.errors import ExchangeStateError
from container.message.headers import Headers

PAIRS = [("Host", "a"), ("X-A", "1"), ("x-a", "2"), ("Accept", "*/*")]


@pytest.mark.parametrize(
    ("source", "items"),
    [
        (None, []),
        ({}, []),
        ([], []),
        ({"A": "1", "B": "2"}, [("A", "1"), ("B", "2")]),
        ([("A", "1"), ("a", "2")], [("A", "1"), ("a", "2")]),
        (iter([("A", "1")]), [("A", "1")]),
        (Headers([("A", "1"), ("a", "2")]), [("A", "1"), ("a", "2")]),
    ],
)
def test_headers_are_made_of_pairs(source: object, items: list[tuple[str, str]]) -> None:
    headers = Headers(source)  # type: ignore[arg-type]  # a table of everything it takes
    assert headers.items() == items
    assert len(headers) == len(items)


def test_source_is_copied() -> None:
    source = [("A", "1")]
    headers = Headers(source)
    headers.add("B", "2")
    assert source == [("A", "1")]
    headers.items().clear()
    assert len(headers) == 2


def test_names_are_looked_up_without_regard_to_case() -> None:
    headers = Headers(PAIRS)
    for name in ("x-a", "X-A", "X-a"):
        assert headers[name] == headers.get(name) == "2"
        assert headers.get_all(name) == ["1", "2"]
        assert name in headers
    assert headers.get("missing") is None
    assert headers.get("missing", "default") == "default"
    assert headers.get_all("missing") == []
    assert "missing" not in headers
    assert 1 not in headers
    with pytest.raises(KeyError, match="missing"):
        headers["missing"]


def test_iteration_gives_each_name_once() -> None:
    assert list(Headers(PAIRS)) == ["host", "x-a", "accept"]


def test_set_replaces_and_add_appends() -> None:
    headers = Headers(PAIRS)
    headers.set("X-a", "3")
    assert headers.items() == [("Host", "a"), ("Accept", "*/*"), ("X-a", "3")]
    headers.add("x-A", "4")
    assert headers.get_all("x-a") == ["3", "4"]
    headers["x-a"] = "5"
    assert headers.get_all("x-a") == ["5"]


def test_setdefault_leaves_what_is_there() -> None:
    headers = Headers(PAIRS)
    headers.setdefault("host", "b")
    headers.setdefault("New", "n")
    assert (headers["Host"], headers["new"]) == ("a", "n")


def test_remove_takes_every_value_and_need_not_find_any() -> None:
    headers = Headers(PAIRS)
    headers.remove("X-A")
    headers.remove("missing")
    del headers["host"]
    assert headers.items() == [("Accept", "*/*")]


@pytest.mark.parametrize(
    ("before", "name", "after"),
    [
        ([], "Cookie", ["Cookie"]),
        (["Accept"], "Cookie", ["Accept, Cookie"]),
        (["Accept", "Origin"], "Cookie", ["Accept, Origin, Cookie"]),
        (["Accept, cookie"], "Cookie", ["Accept, cookie"]),
        (["Accept", " COOKIE "], "Cookie", ["Accept", " COOKIE "]),
        (["*"], "Cookie", ["*"]),
        (["X-Cookie"], "Cookie", ["X-Cookie, Cookie"]),
    ],
)
def test_vary_lists_each_name_once(before: list[str], name: str, after: list[str]) -> None:
    headers = Headers([("Vary", value) for value in before])
    headers.vary(name)
    assert headers.get_all("vary") == after


def test_sent_headers_cannot_change() -> None:
    headers = Headers(PAIRS)
    block = headers.freeze()
    assert block.lines == b"Host: a\r\nX-A: 1\r\nx-a: 2\r\nAccept: */*\r\n"
    assert headers.freeze() is block
    for change in (headers.set, headers.add, headers.setdefault):
        with pytest.raises(ExchangeStateError, match="copy"):
            change("A", "1")
    for removal in (headers.remove, headers.vary):
        with pytest.raises(ExchangeStateError, match="copy"):
            removal("A")
    headers.setdefault("Host", "b")
    assert headers.items() == PAIRS


def test_a_copy_of_sent_headers_can_change() -> None:
    headers = Headers(PAIRS)
    headers.freeze()
    copy = headers.copy()
    assert copy == headers
    copy.add("New", "n")
    assert copy != headers
    assert b"New: n\r\n" in copy.freeze().lines


def test_headers_of_a_request_are_read_only() -> None:
    headers = Headers(PAIRS, frozen=True)
    with pytest.raises(ExchangeStateError):
        headers.set("A", "1")
    assert headers.freeze().lines


def test_an_illegal_field_can_still_be_corrected() -> None:
    headers = Headers({"X": "a\r\nb"})
    with pytest.raises(ValueError, match="control"):
        headers.freeze()
    headers.set("X", "ab")
    assert headers.freeze().lines == b"X: ab\r\n"


def test_headers_are_compared_by_content_and_not_hashable() -> None:
    assert Headers(PAIRS) == Headers(PAIRS)
    assert Headers(PAIRS) != Headers()
    assert Headers() != []
    with pytest.raises(TypeError):
        hash(Headers())


def test_representation_shows_the_fields() -> None:
    assert repr(Headers({"A": "1"})) == "Headers([('A', '1')])"
