"""Scripts for tests: a directory of them that an unprivileged user can reach, and what became of processes."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_S = 20.0


class ScriptDirectory:
    """Made outside of pytest's directories: those are root's own when root runs the tests."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, text: str, mode: int = 0o755) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.parent.chmod(0o755)
        file.write_text(textwrap.dedent(text).lstrip("\n"))
        file.chmod(mode)
        return file

    def sh(self, name: str, text: str) -> Path:
        return self.write(name, "#!/bin/sh\n" + textwrap.dedent(text).lstrip("\n"))

    def python(self, name: str, text: str) -> Path:
        return self.write(name, "#!/usr/bin/env python3\n" + textwrap.dedent(text).lstrip("\n"))

    def open_directory(self, name: str) -> Path:
        """One that scripts may write to."""
        directory = self.path / name
        directory.mkdir()
        directory.chmod(0o777)
        return directory


@contextlib.contextmanager
def script_directory() -> Iterator[ScriptDirectory]:
    path = Path(tempfile.mkdtemp(prefix="container-scripts-"))
    path.chmod(0o755)
    try:
        yield ScriptDirectory(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def warm_options() -> dict[str, str]:
    """For warm scripts where root's interpreter lies in a directory that is closed to others."""
    if os.geteuid() == 0 and not all(parent.stat().st_mode & 0o001 for parent in Path(os.__file__).parents):
        return {"user": "root"}
    return {}


def is_running(pid: int) -> bool:
    """Is there such a process, and is it no zombie?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def wait_until(condition: Callable[[], object], expected: str, patience_s: float = PATIENCE_S) -> None:
    """Look until it holds, for what only other processes change."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"expected {expected}"
        time.sleep(0.01)


def children_of(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def open_fds(pid: int | None = None) -> int:
    return len(os.listdir(f"/proc/{pid or 'self'}/fd"))
