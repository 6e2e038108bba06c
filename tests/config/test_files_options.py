"""Directories named on the command line: what `--index` and `--no-listing` do, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from container.config.build import build
from container.config.mounts import parse_mounts
from container.config.problems import ConfigProblem
from container.config.settings import Settings, Source
from container.testing import Client
from container.tree.site import Site
from tests.config.said import assembled

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def public(tmp_path: Path) -> Path:
    (tmp_path / "public" / "sub").mkdir(parents=True)
    (tmp_path / "public" / "sub" / "home.htm").write_text("home")
    return tmp_path / "public"


def statuses(source: Source, settings: Settings, *targets: str) -> list[int]:
    site = build(source, settings).bindings[0].site
    assert isinstance(site, Site)
    with Client(site) as client:
        return [client.get(target).status for target in targets]


def test_a_root_that_is_a_directory_lists_what_has_no_index(public: Path) -> None:
    """ST-14: `--path` asks for listings, a mount does not."""
    assert statuses(Source(path=str(public)), Settings(), "/", "/sub/") == [200, 200]
    assert statuses(Source(path=str(public)), Settings(listing=False), "/", "/sub/") == [404, 404]
    assert statuses(Source(mounts=parse_mounts([f"/s=path:{public}"])), Settings(), "/s/", "/s/sub/") == [
        404,
        404,
    ]


def test_an_index_is_of_every_directory(public: Path) -> None:
    """ST-13"""
    settings = Settings(listing=False, index=("nope", "home.htm"))
    assert statuses(Source(path=str(public)), settings, "/sub/") == [200]
    assert statuses(Source(mounts=parse_mounts([f"/s=path:{public}"])), settings, "/s/sub/") == [200]
    with pytest.raises(ConfigProblem, match="expected a list of file names as index"):
        build(Source(path=str(public)), Settings(index=("a/b",)))


def test_a_root_may_be_a_single_file(public: Path) -> None:
    """ST-25"""
    assert statuses(Source(path=str(public / "sub" / "home.htm")), Settings(), "/", "/home.htm") == [200, 404]


@pytest.mark.parametrize("turned", [False, True])
def test_options_of_files_stand_before_or_behind(place: Path, turned: bool) -> None:
    """CL-04: extensions left out, the type of what has none, and what makes resources of files."""
    (place / "public/READ").write_text("me")
    (place / "public/x.up").write_text("loud")
    (place / "loud.py").write_text(
        "from pathlib import Path\nfrom container import Resource, Response\n"
        "class Loud(Resource):\n"
        "    def __init__(self, path, files):\n"
        "        self.path = path\n"
        "    def get(self, request):\n"
        "        return Response(Path(self.path).read_text().upper())\n"
    )
    options = ["--ignore-ext=txt", "--mime-type=text/x-note", "--processor=.up=loud:Loud", "-i", "a.txt"]
    _, application = assembled(*(["--path=public", *options] if turned else [*options, "--path", "public"]))
    (binding,) = application.bindings
    assert isinstance(binding.site, Site)
    with Client(binding.site) as client:
        assert client.get("/a").text == client.get("/").text == "text"
        assert client.get("/READ").headers["Content-Type"].startswith("text/x-note")
        assert client.get("/x.up").text == "LOUD"
        assert client.get("/x").status == 404
