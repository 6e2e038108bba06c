"""Directories of scripts for the tests of what runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.scripts import ScriptDirectory, script_directory

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def scripts() -> Iterator[ScriptDirectory]:
    with script_directory() as directory:
        yield directory
