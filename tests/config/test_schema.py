"""The schema for editors: what loads is valid, what is wrong is not."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from container.config.schema import make_schema
from tests.config.test_layers import SITES
from tests.config.test_three_spellings import TREES

if TYPE_CHECKING:
    from collections.abc import Iterator

VALIDATOR = jsonschema.Draft202012Validator(make_schema())
MOUNT = '[[mount]]\npath = "/x"\n'


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(make_schema())


@pytest.mark.parametrize("name", TREES)
def test_trees_are_valid(name: str) -> None:
    VALIDATOR.validate(tomllib.loads(TREES[name].file))


def test_several_sites_are_valid() -> None:
    VALIDATOR.validate(tomllib.loads(SITES))
    assert not VALIDATOR.is_valid(tomllib.loads("[[site]]\nworkers = 2"))


@pytest.mark.parametrize(
    "text",
    [
        "thread = 1", "queue_limit = 1", "threads = -1", "threads = 'x'", "threads = 1.5", "config = 'x'",
        "listing = 1", "keep-alive = '1y'", "keep-alive = -1", "limit-request-body = 'ten'", "log-level = 'loud'",
        "path = 1", "listen = [80]", "mount = 1", MOUNT, f"{MOUNT}wgsi = 'x'", f"{MOUNT}files = 1",
        f"{MOUNT}files = 'a'\nwsgi = 'b'", f"{MOUNT}files = 'a'\nthreads = 1", f"{MOUNT}wsgi = 'a'\nthreads = 'x'",
        f"{MOUNT}object = '<x>'", "[[mount]]\nfiles = 'public'", "[[mount]]\npath = 'x'\nfiles = 'public'",
        f"{MOUNT}files = 'a'\nlinks = 'no'", f"{MOUNT}files = 'a'\nconcurrency = 0",
        f"{MOUNT}files = 'a'\nlimit-request-body = '1X'",
    ],
)  # fmt: skip
def test_what_is_wrong_is_not(text: str) -> None:
    assert not VALIDATOR.is_valid(tomllib.loads(text))


def test_every_key_is_told_of() -> None:
    def descriptions(value: Any) -> Iterator[bool]:
        if isinstance(value, dict):
            for name, each in value.get("properties", {}).items():
                yield bool(each.get("description")) or name in value.get("required", ())
            for each in value.values():
                yield from descriptions(each)
        elif isinstance(value, list):
            for each in value:
                yield from descriptions(each)

    assert all(descriptions(make_schema()))
