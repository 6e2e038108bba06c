"""Names of hosts, as they are compared and as they are looked for: VH-01."""

import pytest

from container.message.authority import HostPattern, lookups, normal_name, parse_authority


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("A.Example", "a.example"),
        ("a.example.", "a.example"),
        ("B\u00dcCHER.example", "xn--bcher-kva.example"),
        ("under_score.x-y", "under_score.x-y"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
    ],
)
def test_a_name_has_one_spelling(name: str, normal: str) -> None:
    assert normal_name(name) == normal


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a..b",
        "-a",
        "a-",
        "a b",
        "a/b",
        "[::1",
        "::1]",
        "[::g]",
        "*",
        "a" * 254,
        "\u00fc" * 64,
        "a%41",
    ],
)
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        normal_name(name)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("a.example", "a.example"),
        ("A.example.:81", "a.example 81"),
        ("*.a.example", "*.a.example"),
        ("*.a.example:81", "*.a.example 81"),
        ("::1", "::1"),
        ("[::1]:81", "::1 81"),
    ],
)
def test_a_pattern_has_a_key(text: str, key: str) -> None:
    assert HostPattern(text).key == key


def test_the_nearest_is_looked_for_first() -> None:
    assert list(lookups("a.b.c", 81)) == ["a.b.c 81", "a.b.c", "*.b.c 81", "*.b.c", "*.c 81", "*.c"]
    assert list(lookups("::1", 80)) == ["::1 80", "::1"]


@pytest.mark.parametrize(
    "text", ["", ":80", "a:", "a:0", "a:x", "a:99999", "a b", "user@a", "a/b", "[::1]x", "\u00fc"]
)
def test_what_is_no_authority(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_authority(text)


def test_an_authority_comes_apart() -> None:
    assert parse_authority("A.example:81") == ("A.example", 81)
    assert parse_authority("[::1]") == ("::1", None)
