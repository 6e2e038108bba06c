"""The Dockerfile without an engine: its lines are executed in a directory that stands for the root of the image, then
what it would run is run, by a user without rights."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.deploy.options import DEPLOY, ROOT, instruction, instructions
from tests.system.ports import await_port, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.soak

PATIENCE_S = 300


class Image:
    """Directories of the image lie below `root`; paths in commands and variables are mapped there."""

    def __init__(self, root: Path, python: str) -> None:
        self.root = root
        self.environment = {"PATH": f"{root}/shims:/usr/bin:/bin"}
        self.directory = root
        shims = root / "shims"
        shims.mkdir()
        # What the base image calls python.
        (shims / "python").write_text(f'#!/bin/sh\nexec {python} "$@"\n')
        (shims / "python").chmod(0o755)

    def mapped(self, text: str) -> str:
        for place in ("/opt/container", "/src", "/wheels", "/app"):
            text = text.replace(place, f"{self.root}{place}")
        return text

    def build(self, dockerfile: Path) -> None:
        """Execute the lines; the second stage takes what the first has left where it is."""
        arguments: dict[str, str] = {}
        for name, value in instructions(dockerfile):
            if name == "ARG":
                key, _, default = value.partition("=")
                arguments[key] = default
            elif name == "WORKDIR":
                self.directory = Path(self.mapped(value))
                self.directory.mkdir(parents=True, exist_ok=True)
            elif name == "ENV":
                for word in shlex.split(value):
                    key, _, text = word.partition("=")
                    self.environment[key] = self.mapped(text).replace("$PATH", self.environment["PATH"])
            elif name == "COPY":
                self._copy(dockerfile.parent, value)
            elif name == "RUN":
                environment = os.environ | self.environment | arguments
                shell = ["sh", "-euc", self.mapped(value)]
                subprocess.run(shell, cwd=self.directory, env=environment, check=True, timeout=PATIENCE_S)

    def _copy(self, context: Path, value: str) -> None:
        if value.startswith("--from="):
            _, source, target = value.split()
            assert source == target, "venvs cannot be moved"
            assert Path(self.mapped(source)).is_dir()
            return
        *sources, target = value.split()
        for source in sources:
            place = Path(self.mapped(target)) if target.startswith("/") else self.directory / target
            if (context / source).is_dir():
                shutil.copytree(context / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(context / source, place)


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """Built by whoever runs the tests, for everybody to read."""
    root = Path(tempfile.mkdtemp(prefix="image-"))
    root.chmod(0o755)
    built = Image(root, _python())
    built.build(ROOT / "Dockerfile")
    built.build(DEPLOY / "app" / "Dockerfile")
    yield built
    shutil.rmtree(root)


def _python() -> str:
    """One that others may run, too: root's own may be out of their reach."""
    own = os.path.realpath(sys.executable)
    for each in (own, "/usr/local/bin/python3", "/usr/bin/python3"):
        trial = [each, "-c", "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"]
        try:
            if subprocess.run(trial, capture_output=True, check=False, **_user()).returncode == 0:  # type: ignore[call-overload]
                return each
        except OSError:
            continue
    pytest.fail("expected Python 3.11 or later that everybody can run")


def _user() -> dict[str, object]:
    """Whom the image names; without the right to become him, whoever we are."""
    if os.geteuid() != 0:
        return {}
    uid, _, gid = instruction(ROOT / "Dockerfile", "USER").partition(":")
    return {"user": int(uid), "group": int(gid), "extra_groups": []}


def _state(root: Path) -> set[Path]:
    return {each for each in root.rglob("*") if not each.is_socket()}


def test_the_image_serves_and_is_healthy(image: Image) -> None:
    """No home, no place to write, an id that no user has: and nothing is written."""
    entry = json.loads(instruction(ROOT / "Dockerfile", "ENTRYPOINT"))
    command = json.loads(instruction(DEPLOY / "app" / "Dockerfile", "CMD"))
    health = instruction(ROOT / "Dockerfile", "HEALTHCHECK").partition("CMD ")[2]
    port = free_port()
    environment = image.environment | {"PORT": str(port), "TMPDIR": "/nowhere", "HOME": "/nowhere"}
    program = shutil.which(entry[0], path=environment["PATH"])
    assert program is not None
    before = _state(image.root)

    def healthy() -> bool:
        done = subprocess.run(
            [shutil.which("python", path=environment["PATH"]) or "", *json.loads(health)[1:]],
            env=environment, capture_output=True, check=False, timeout=30, **_user(),
        )  # fmt: skip
        return done.returncode == 0

    assert not healthy()
    process = subprocess.Popen(
        [program, *entry[1:], "--sessions=memory", *command],
        cwd=image.root / "app",
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **_user(),
    )  # fmt: skip
    try:
        await_port(port, process)
        assert healthy()
    finally:
        process.terminate()
        said, complaints = process.communicate(timeout=30)
    assert process.returncode == 0, complaints
    assert b"GET /healthz" in said
    assert _state(image.root) == before


def test_the_image_has_what_sessions_and_encoders_need(image: Image) -> None:
    program = shutil.which("python", path=image.environment["PATH"])
    assert program == f"{image.root}/opt/container/bin/python"
    done = subprocess.run(
        [program, "-c", "import brotli, redis, container; print(container.__file__)"],
        env=image.environment, cwd="/", capture_output=True, text=True, check=True, **_user(),
    )  # fmt: skip
    assert done.stdout.startswith(f"{image.root}/opt/container/lib/")
