"""A php-fpm of a test's own."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


def _program() -> str:
    directories = [*os.environ.get("PATH", "").split(":"), "/usr/sbin", "/usr/local/sbin"]
    for directory in map(Path, directories):
        found = sorted(directory.glob("php-fpm*")) if directory.is_dir() else []
        if found and shutil.which(found[0]):
            return str(found[0])
    pytest.skip("php-fpm is not installed")


@contextlib.contextmanager
def php_fpm(here: Path, *settings: str, own_ini: bool = False) -> Iterator[str]:
    """One that listens at the socket `here`/s, whose address is the value, and runs as the user of the tests.

    `settings`: lines for its pool. `own_ini`: with the extensions of the installation.
    """
    lines = [
        "[global]",
        f"error_log = {here}/log",
        "daemonize = no",
        "[www]",
        f"listen = {here}/s",
        "pm = static",
    ]
    if os.getuid() == 0:
        lines.append(f"user = {getpass.getuser()}")
    (here / "conf").write_text("\n".join([*lines, *settings, ""]))
    command = [_program(), "-F", "-O", "-y", str(here / "conf")]
    if not own_ini:
        command.append("-n")
    if os.getuid() == 0:
        command.append("-R")
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if "ready to handle connections" in line:
                break
        else:
            pytest.fail(f"php-fpm did not start: {(here / 'log').read_text()}")
        yield f"unix:{here}/s"
    finally:
        process.terminate()
        process.wait(20)
        process.stderr.close()
