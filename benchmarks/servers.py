"""The servers of the comparison: how each is started, what it needs, and the venv the peers live in.

A new one is one entry of `SERVERS`. All get one process, the same application, keep-alive, no access log
unless the name says so, and as many threads for the application as the run asks for, where they have such
threads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEFAULT_VENV = HERE / ".venv"

_INSTALL_TIMEOUT_S = 600
_BJOERN = "import bjoern, apps; bjoern.run(apps.wsgi, '127.0.0.1', {port})"
_VERSIONS = """
import importlib.metadata, json
print(json.dumps({d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions()}))
"""
_OUR_VERSION = "import container, container.cli.main; print(container.__version__)"

_SETTINGS = ("GUNICORN_", "UVICORN_", "GRANIAN_", "CONTAINER_", "WEB_CONCURRENCY", "PYTHON")

Arguments = Callable[[int, int], Sequence[str]]
"""From port and thread count to the command line after the interpreter."""


@dataclass(frozen=True)
class Contender:
    """One server. `needs` names its distributions; none: it is ours, under this interpreter."""

    name: str
    arguments: Arguments
    needs: tuple[str, ...] = ()


def _container(access_log: str) -> Arguments:
    return lambda port, threads: [
        *("-m", "container", "--wsgi=apps.wsgi", "--listen", f"tcp:{port}:interface=127.0.0.1"),
        *("--threads", str(threads), access_log),
    ]


def _bjoern(port: int, threads: int) -> Sequence[str]:
    return ["-c", _BJOERN.format(port=port)]


def _granian_wsgi(port: int, threads: int) -> Sequence[str]:
    return [
        *(*_GRANIAN, "--interface", "wsgi", "--blocking-threads", str(threads)),
        *("--port", str(port), "apps:wsgi"),
    ]


def _granian_asgi(port: int, threads: int) -> Sequence[str]:
    return [*_GRANIAN, "--interface", "asgi", "--loop", "uvloop", "--port", str(port), "apps:asgi"]


def _uvicorn(port: int, threads: int) -> Sequence[str]:
    return [
        *("-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--no-access-log"),
        *("--log-level", "warning", "--host", "127.0.0.1", "--port", str(port), "apps:asgi"),
    ]


def _gunicorn(port: int, threads: int) -> Sequence[str]:
    return [
        *("-m", "gunicorn", "--worker-class", "gthread", "--workers", "1", "--threads", str(threads)),
        *("--keep-alive", "75", "--no-control-socket", "--bind", f"127.0.0.1:{port}", "apps:wsgi"),
    ]


def _waitress(port: int, threads: int) -> Sequence[str]:
    return ["-m", "waitress", f"--listen=127.0.0.1:{port}", f"--threads={threads}", "apps:wsgi"]


def _twisted(port: int, threads: int) -> Sequence[str]:
    # the size of the pool (10) has no option
    return [
        *("-m", "twisted", "--log-level", "critical", "web", "--logfile", os.devnull),
        *("--wsgi", "apps.wsgi", "--listen", f"tcp:{port}:interface=127.0.0.1"),
    ]


_GRANIAN = (
    *("-m", "granian", "--host", "127.0.0.1", "--workers", "1"),
    *("--http", "1", "--no-ws", "--log-level", "warning"),
)

SERVERS: tuple[Contender, ...] = (
    Contender("container", _container("--no-access-log")),
    Contender("container-log", _container("--access-log")),
    Contender("bjoern", _bjoern, ("bjoern",)),
    Contender("granian-wsgi", _granian_wsgi, ("granian",)),
    Contender("granian-asgi", _granian_asgi, ("granian", "uvloop")),
    Contender("uvicorn", _uvicorn, ("uvicorn", "uvloop", "httptools")),
    Contender("gunicorn-gthread", _gunicorn, ("gunicorn",)),
    Contender("waitress", _waitress, ("waitress",)),
    Contender("twisted", _twisted, ("Twisted",)),
)


@dataclass(frozen=True)
class Runnable:
    """A contender that is installed: its interpreter and a line about its version."""

    contender: Contender
    python: str
    version: str

    @property
    def name(self) -> str:
        return self.contender.name

    def command(self, port: int, threads: int) -> list[str]:
        """The whole command line, to be run from this folder."""
        return [self.python, *self.contender.arguments(port, threads)]


def environment(runnable: Runnable) -> dict[str, str]:
    """The environment of a server: without settings for it; ours has this repository on its path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    path = [str(HERE)] if runnable.contender.needs else [str(HERE), str(HERE.parent)]
    return kept | {"PYTHONPATH": os.pathsep.join(path)}


def find_runnable(contenders: Sequence[Contender], venv: Path | None) -> tuple[list[Runnable], list[str]]:
    """Those that can be run here, and a note for each that cannot. `venv` None: make and fill our own."""
    needed = sorted({name for contender in contenders for name in contender.needs})
    notes: list[str] = []
    if venv is None:
        venv = DEFAULT_VENV
        notes += _fill(venv, needed)
    peers_python = str(venv / "bin" / "python")
    installed = _installed(peers_python) if needed else {}
    runnable: list[Runnable] = []
    for contender in contenders:
        python = peers_python if contender.needs else sys.executable
        version = _version_of(contender, installed) if contender.needs else _our_version()
        if version:
            runnable.append(Runnable(contender, python, version))
        else:
            lacking = ", ".join(name for name in contender.needs if name.lower() not in installed)
            notes.append(f"{contender.name} is left out: {lacking or 'container'} cannot be imported")
    return runnable, notes


def _fill(venv: Path, distributions: Sequence[str]) -> list[str]:
    """Make the venv and install what it lacks, one at a time so that one failure stops no other."""
    if not distributions:
        return []
    if not (venv / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, timeout=_INSTALL_TIMEOUT_S)
    python = str(venv / "bin" / "python")
    present = _installed(python)
    notes = []
    for name in distributions:
        if name.lower() in present:
            continue
        print(f"installing {name} into {venv} …", file=sys.stderr)
        done = subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_INSTALL_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            reason = (done.stdout.strip().splitlines() or ["no output"])[-1]
            notes.append(f"{name} could not be installed: {reason}")
    return notes


def _installed(python: str) -> dict[str, str]:
    """Distribution name in small letters to version, for an interpreter."""
    done = subprocess.run([python, "-c", _VERSIONS], capture_output=True, text=True, check=True, timeout=60)
    versions: dict[str, str] = json.loads(done.stdout)
    return versions


def _version_of(contender: Contender, installed: dict[str, str]) -> str:
    """`uvicorn 0.54.0, uvloop 0.23.0`, or nothing if one is lacking."""
    if any(name.lower() not in installed for name in contender.needs):
        return ""
    return ", ".join(f"{name} {installed[name.lower()]}" for name in contender.needs)


def _our_version() -> str:
    """`container 1.2`, or nothing if this interpreter cannot import its command line."""
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", _OUR_VERSION],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return "" if done.returncode else f"container {done.stdout.strip()}"
