"""Directories of scripts for the tests of what runs them, and of files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.resources.static_wire import BLOCK, PAST
from tests.scripts import ScriptDirectory, script_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def scripts() -> Iterator[ScriptDirectory]:
    with script_directory() as directory:
        yield directory


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """A directory to serve, beside a file that must stay private."""
    (tmp_path / "secret.txt").write_text("secret")
    root = tmp_path / "public"
    (root / "docs" / "deep").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "f.txt").write_text("hello\n")
    (root / "zero.txt").write_bytes(b"")
    (root / "index.html").write_text("<p>home")
    (root / "docs" / "index.html").write_text("<p>docs")
    (root / "docs" / "deep" / "page.html").write_text("<p>deep")
    (root / "Grüße 1.txt").write_text("gruß")
    (root / ".env").write_text("secret")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("secret")
    (root / ".well-known").mkdir()
    (root / ".well-known" / "security.txt").write_text("contact")
    os.utime(root / "f.txt", (PAST, PAST))
    return root


@pytest.fixture
def big(public: Path) -> Path:
    path = public / "big.bin"
    path.write_bytes(os.urandom(5 * BLOCK + 17))
    return path
