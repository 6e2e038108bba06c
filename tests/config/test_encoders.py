"""Encoders by name (EN-02, EN-06): of this package, of plug-ins, and the mistakes one can make."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

import pytest

from container import Resource, Site
from container.config.build import build
from container.config.encoders import parse_encoders
from container.config.importer import ImportProblem
from container.config.problems import ConfigProblem
from container.config.settings import Settings, Source
from container.encoders import brotli

if TYPE_CHECKING:
    from pathlib import Path


class Plugin:
    name = "rev"

    def make(self) -> None: ...


def test_encoders_keep_the_order_in_which_they_are_named() -> None:
    made = parse_encoders("zstd, BR:5,gzip:1,deflate")
    assert [repr(each) for each in made] == [
        "Zstd(level=3)", "Brotli(level=5)", "Gzip(level=1)", "Deflate(level=6)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gzp", r"expected br, deflate, gzip, .*zstd as encoder, got 'gzp' .did you mean .gzip"),
        ("", "got ''"), ("gzip,", "got ''"), ("gzip,gzip:9", "expected 'gzip' once"), ("gzip:", "expected a level"),
        ("gzip:high", "expected a level"), ("gzip:10", "expected a level from 1 to 9"),
    ],
)  # fmt: skip
def test_a_slip_is_told(text: str, message: str) -> None:
    with pytest.raises(ConfigProblem, match=message):
        parse_encoders(text)


def test_a_library_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brotli, "brotli", None)
    with pytest.raises(ImportProblem, match=r'pip install "container-server\[brotli\]"'):
        parse_encoders("br")


def test_a_plugin_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """EN-06."""
    point = EntryPoint("rev", f"{__name__}:Plugin", "container.encoders")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point])
    monkeypatch.setitem(
        __import__("sys").modules, __name__, __import__("types").SimpleNamespace(Plugin=Plugin)
    )
    assert parse_encoders("rev")[0].name == "rev"
    with pytest.raises(ImportProblem, match="expected the encoder 'rev'"):
        parse_encoders("rev:3")


def test_the_setting_holds_for_every_site(tmp_path: Path) -> None:
    application = build(Source(path=str(tmp_path)), Settings(encoders=parse_encoders("gzip")))
    (binding,) = application.bindings
    assert isinstance(binding.site, Site)
    assert binding.site.encoding is not None
    assert list(binding.site.encoding.encoders) == ["gzip"]
    assert Site(Resource()).encoding is None
