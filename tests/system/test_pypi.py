"""A real package index, pypiserver, in the tree of apps/blog.tac: pip installs from it.

pypiserver is only ever imported by the command: a library it brings along warns when it is.
"""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.conftest import Running

    Start = Callable[..., Running]

APPS = Path(__file__).resolve().parents[2] / "apps"
PATIENCE_S = 60.0
WHEEL = "tinypkg-1.0-py3-none-any.whl"


def build_wheel(folder: Path) -> Path:
    """The least that pip takes for a package (the binary distribution format), made without any tool."""
    metadata = "tinypkg-1.0.dist-info"
    files = {
        "tinypkg.py": b'"""Came through the tree."""\n\nANSWER = 42\n',
        f"{metadata}/METADATA": b"Metadata-Version: 2.1\nName: tinypkg\nVersion: 1.0\n",
        f"{metadata}/WHEEL": b"Wheel-Version: 1.0\nGenerator: me\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},{recorded(content)},{len(content)}\n" for name, content in files.items())
    path = folder / WHEEL
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
        wheel.writestr(f"{metadata}/RECORD", f"{record}{metadata}/RECORD,,\n")
    return path


def recorded(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
    return f"sha256={digest.rstrip(b'=').decode()}"


def python(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """A Python that knows of no index and no setting but what it is told."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))}
    unproxied = {name: value for name, value in clean.items() if not name.lower().endswith("_proxy")}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=unproxied
        | {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1", "PIP_RETRIES": "0"}
        | variables,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def pip_install(index: str, target: Path, package: str) -> subprocess.CompletedProcess[str]:
    return python(
        "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--disable-pip-version-check",
        "--index-url", index, "--target", target, package,
    )  # fmt: skip


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    (tmp_path / "packages").mkdir()
    return build_wheel(tmp_path / "packages")


@pytest.fixture
def site(start: Start, wheel: Path) -> Running:
    return start("-y", "blog.tac", "--port", "0", cwd=APPS, PYPI_PACKAGES=str(wheel.parent))


def test_pip_installs_from_the_index_in_the_tree(site: Running, tmp_path: Path) -> None:
    done = pip_install(urljoin(site.url, "/pypi/simple/"), tmp_path / "installed", "tinypkg")
    assert done.returncode == 0, done.stderr
    assert "Successfully installed tinypkg-1.0" in done.stdout
    asked = python("-c", "import tinypkg; print(tinypkg.ANSWER)", PYTHONPATH=str(tmp_path / "installed"))
    assert asked.stdout == "42\n"


def test_a_package_that_is_not_there_is_looked_for_nowhere_else(site: Running, tmp_path: Path) -> None:
    answer = site.fetch("/pypi/simple/absent/")
    assert (answer.status, answer.headers["Location"]) == (404, None)
    done = pip_install(urljoin(site.url, "/pypi/simple/"), tmp_path / "installed", "absent")
    assert done.returncode == 1
    assert "No matching distribution found for absent" in done.stderr


def test_the_links_of_the_index_lead_to_the_file_below_the_mount(site: Running, wheel: Path) -> None:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    page = site.fetch("/pypi/simple/tinypkg/").body.decode()
    assert f'href="/pypi/packages/{WHEEL}#sha256={digest}"' in page
    assert site.fetch(f"/pypi/packages/{WHEEL}").body == wheel.read_bytes()
    part = site.fetch(f"/pypi/packages/{WHEEL}", headers={"Range": "bytes=0-3"})
    assert (part.status, part.body) == (206, b"PK\x03\x04")


def test_without_a_password_file_nobody_uploads(site: Running, wheel: Path) -> None:
    answer = site.fetch("/pypi/", method="POST", headers={"Content-Length": "0"})
    assert answer.status in {400, 401, 403}
    assert [path.name for path in wheel.parent.iterdir()] == [WHEEL]
