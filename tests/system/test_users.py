"""`--personal`, `--htpasswd` and `--forward-auth` of the real command."""

from __future__ import annotations

import os
import pwd
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from container.config.users import personal_endpoint
from tests.system.conftest import COMMAND, Running, environment

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_personal_server_is_for_its_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """DI-04, CL-06: in the home directory, whatever HOME says, mode 600, for the user and root."""
    entry = pwd.struct_passwd(("mary", "x", os.getuid(), 1, "", str(tmp_path), "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: entry)
    endpoint = personal_endpoint()
    (sock,) = endpoint.listen()
    path = tmp_path / ".container-web-service"
    assert path.stat().st_mode & 0o777 == 0o600
    assert endpoint.peers == {0, os.getuid()}
    with pytest.raises(OSError, match="address already in use"):
        endpoint.listen()
    sock.close()  # as after kill -9: the file stays, and the next server takes its place
    assert path.exists()
    (sock,) = endpoint.listen()
    endpoint.release(sock)
    sock.close()
    assert not path.exists()


@pytest.mark.parametrize(("peers", "is_let_in"), [(str(os.getuid()), True), (str(os.getuid() + 1), False)])
def test_the_system_is_asked_who_connects(
    start: Callable[..., Running], tmp_path: Path, peers: str, is_let_in: bool
) -> None:
    """DI-04: whatever the mode of the socket says."""
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "a.txt").write_text("a")
    start("--path", "public", "--personal", "--listen", f"unix:s.sock:mode=666:peers={peers}")
    command = ["curl", "-sS", "--max-time", "20", "--unix-socket", tmp_path / "s.sock", "http://a/a.txt"]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert (answer.returncode == 0, answer.stdout) == (is_let_in, "a" if is_let_in else "")


def test_users_have_places_on_the_command_line(start: Callable[..., Running]) -> None:
    """DI-02, CL-01: a root of its own; nobody is listed."""
    running = start("--user-dirs", "--port", "0")
    assert [running.fetch(path).status for path in ("/", "/root/", "/~nobody-here/")] == [404] * 3


def test_a_root_is_given_once() -> None:
    """CL-01"""
    command = [*COMMAND, "--user-dirs", "--path", "."]
    refused = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert (refused.returncode, "expected one root, got --path and --user-dirs" in refused.stderr) == (
        2,
        True,
    )


def test_passwords_from_the_command_line(start: Callable[..., Running], tmp_path: Path) -> None:
    """AU-02: every site is behind it; a file that cannot be read is one line."""
    subprocess.run(["htpasswd", "-cbB", tmp_path / "ht", "mary", "secret"], check=True, capture_output=True)
    (tmp_path / "a.txt").write_text("a")
    running = start("--path", ".", "--htpasswd", "ht", "--port", "0")
    assert running.fetch("/a.txt").status == 401
    field = {"Authorization": "Basic " + b64encode(b"mary:secret").decode()}
    assert running.fetch("/a.txt", headers=field).body == b"a"
    command = [*COMMAND, "--path", ".", "--htpasswd", "none"]
    refused = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert (
        "expected a file of accounts that can be read, got 'none': no such file or directory"
        in refused.stderr
    )


def test_another_server_is_asked_from_the_command_line(start: Callable[..., Running], tmp_path: Path) -> None:
    """AU-04: every site is behind it; what is no URL is one line."""
    (tmp_path / "verify").mkdir()
    (tmp_path / "verify" / "yes").write_text("")
    (tmp_path / "a.txt").write_text("a")
    verdict = start("--path", "verify", "--port", "0").url.rstrip("/")
    assert (
        start("--path", ".", "--forward-auth", f"{verdict}/yes", "--port", "0").fetch("/a.txt").body == b"a"
    )
    assert (
        start("--path", ".", "--forward-auth", f"{verdict}/no", "--port", "0").fetch("/a.txt").status == 502
    )
    command = [*COMMAND, "--path", ".", "--forward-auth", "127.0.0.1:80"]
    refused = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert 'did you mean "http://127.0.0.1:80"?' in refused.stderr
