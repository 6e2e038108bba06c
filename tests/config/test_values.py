"""What texts and values of TOML mean, type by type, and what is said of those that mean nothing."""

from __future__ import annotations

import pytest

from container.config.compound import HeaderField
from container.config.metrics import MetricsAddress
from container.config.problems import ConfigProblem
from container.config.values import Count, Duration, Size, processors, spell_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("8190", 8190), ("16K", 16384), ("10M", 10 << 20), ("2g", 2 << 30), ("1MiB", 1 << 20), ("5kb", 5120)],
)
def test_sizes(text: str, size: int) -> None:
    assert Size().parse(text, "--x") == size


@pytest.mark.parametrize("size", [0, 1, 8190, 16384, 10 << 20, 2 << 30])
def test_a_size_is_spelt_as_it_is_read(size: int) -> None:
    assert Size().parse(spell_size(size), "--x") == size
    assert spell_size(None) == "off"


@pytest.mark.parametrize("text", ["", "-1", "1.5M", "10X", "M", "1 M", "9" * 16, "1MM"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ConfigProblem, match=r"expected a size such as 10M for --x, got '"):
        Size().parse(text, "--x")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30), ("0.5", 0.5), ("500ms", 0.5), ("5m", 300), ("1h", 3600), ("2d", 172800), ("7s", 7)],
)
def test_durations(text: str, seconds: float) -> None:
    assert Duration().parse(text, "--x") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "-1", "1w", "m", "1 s", "inf", "nan", "1e3"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ConfigProblem, match="expected a duration such as 30, 500ms or 5m for --x"):
        Duration().parse(text, "--x")


def test_off_and_zero_lift_a_limit() -> None:
    assert Duration(off=True).parse("off", "--x") is Duration(off=True).parse("0", "--x") is None
    assert Duration(off=True).parse("0s", "--x") is None
    assert Size(off=True).parse("off", "--x") is Size(off=True).parse("0", "--x") is None
    assert Size(off=True).parse("1K", "--x") == 1024


def test_a_header_is_split_at_its_first_colon() -> None:
    assert HeaderField().parse("X: a: b ", "--x") == ("X", "a: b")
    assert HeaderField().parse("X:", "--x") == ("X", "")


@pytest.mark.parametrize("text", ["Transfer-Encoding: chunked", "Content-Length: 3", "X: \u20ac", ": x", "X"])
def test_headers_nobody_may_add(text: str) -> None:
    with pytest.raises(ConfigProblem, match="expected"):
        HeaderField().parse(text, "--x")


def test_as_many_as_there_are_processors() -> None:
    assert Count(1, 1000).parse("auto", "--x") == Count(1, 1000).load("auto", "x") == processors() >= 1
    assert Count(1, 1000).parse("3", "--x") == 3
    with pytest.raises(ConfigProblem, match="expected a number from 1 to 1000 for --x, got 'car'"):
        Count(1, 1000).parse("car", "--x")


def test_metrics_are_on_off_or_somewhere() -> None:
    usual = MetricsAddress().parse("yes", "--x")
    assert MetricsAddress().load(True, "x") == usual == MetricsAddress().parse("127.0.0.1:9090", "--x")
    assert MetricsAddress().load(False, "x") is MetricsAddress().parse("off", "--x") is None
    assert MetricsAddress().spell(MetricsAddress().load("9100", "x")) == "127.0.0.1:9100"
    with pytest.raises(ConfigProblem, match="expected true, false or an address for x, got 9100"):
        MetricsAddress().load(9100, "x")
