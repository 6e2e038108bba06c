"""Files: which names lead to a file, which are hidden, and what the system refuses."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from container.resources.static import Files
from container.resources.static.finder import Links
from tests.resources.static_wire import (
    LINKS,
    ask,
    statuses,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# Names.


@pytest.mark.parametrize(
    "target",
    [
        "/nope",
        "/nope/",
        "/nope/nope",
        "/../secret.txt",
        "/..",
        "/../",
        "/%2e%2e/secret.txt",
        "/%2E%2E/secret.txt",
        "/.%2e/secret.txt",
        "/..%2fsecret.txt",
        "/..%5csecret.txt",
        "/%2e%2e%2fsecret.txt",
        "/%252e%252e/secret.txt",
        "/%c0%ae%c0%ae/secret.txt",
        "/docs/../f.txt",
        "/docs/../../secret.txt",
        "/docs/%2e%2e/%2e%2e/secret.txt",
        "/./f.txt",
        "/docs/.",
        "/docs/./",
        "/%2e",
        "/docs%2findex.html",
        "/docs%2f",
        "/docs%2F..%2F..%2Fsecret.txt",
        "/%2fetc%2fpasswd",
        "//f.txt",
        "//",
        "/docs//",
        "/docs//index.html",
        "//etc/passwd",
        "/f.txt/",
        "/f.txt/x",
        "/f.txt//",
        "/f.txt%00",
        "/%00",
        "/f.txt%00.html",
        "/%ff",
        "/%ed%a0%80",
        "/f.txt%20",
        "/%",
        "/%zz",
        "/" + "a" * 300,
        "/" + "a/" * 3000,
        "/docs/" + "%61" * 300 + "/x",
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/.git",
        "/.git/",
        "/docs/.hidden",
        "/.well-known",
        "/.well-known/../f.txt",
        "/.well-knownx",
    ],
)
def test_odd_names_are_not_found(public: Path, target: str) -> None:
    """ST-17"""
    expected = 301 if target == "/.well-known" else 404
    answer = ask(Files(public), target)
    assert answer.status == expected
    assert b"secret" not in answer.body
    assert ask(Files(public, links="refuse"), target).status == expected


@pytest.mark.parametrize(
    "target",
    ["/Gr%C3%BC%C3%9Fe%201.txt", "/%47r%c3%bc%C3%9Fe%201.txt"],
)
def test_names_are_utf8(public: Path, target: str) -> None:
    assert ask(Files(public), target).body == "gruß".encode()


def test_names_may_hold_what_is_special_elsewhere(public: Path) -> None:
    for name in ("a%2fb", "a\\b", "a;b", "a?b", "a#b", "...", "a:b"):
        (public / name).write_text(name)
    files = Files(public, dotfiles=True)
    for name in ("a%252fb", "a%5cb", "a;b", "a%3fb", "a%23b", "...", "a:b"):
        assert ask(files, f"/{name}").status == 200, name


def test_well_known_is_no_dotfile(public: Path) -> None:
    assert ask(Files(public), "/.well-known/security.txt").body == b"contact"


def test_dotfiles_can_be_served_and_dot_segments_never(public: Path) -> None:
    files = Files(public, dotfiles=True)
    assert statuses(files, ["/.env", "/.git/config", "/../secret.txt", "/./f.txt", "/docs/..", "/..."]) == {
        "/.env": 200,
        "/.git/config": 200,
        "/../secret.txt": 404,
        "/./f.txt": 404,
        "/docs/..": 404,
        "/...": 404,
    }


_PARTS = [
    "/", "//", "..", ".", "%2e", "%2E%2e", "%2f", "%5c", "\\", "%00", "%ff", "%c0%ae", "%25", "%", "f.txt",
    "docs", "secret.txt", "index.html", "a", "%C3%A9", ";", ":", "~", "?", "*",
]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    parts=st.lists(st.sampled_from(_PARTS), max_size=8), dotfiles=st.booleans(), links=st.sampled_from(LINKS)
)
def test_no_target_leads_out_or_breaks(parts: list[str], dotfiles: bool, links: Links) -> None:
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        (base / "secret.txt").write_text("TOP")
        (base / "public" / "docs").mkdir(parents=True)
        (base / "public" / "f.txt").write_text("open")
        (base / "public" / "docs" / "index.html").write_text("open")
        files = Files(base / "public", dotfiles=dotfiles, links=links)
        answer = ask(files, "/" + "".join(parts))
    assert answer.status in (200, 301, 404)
    assert answer.status != 200 or answer.body == b"open"


# Links and special files.


@pytest.fixture
def linked(public: Path, tmp_path: Path) -> Path:
    (public / "inside").symlink_to("f.txt")
    (public / "outside").symlink_to(tmp_path / "secret.txt")
    (public / "broken").symlink_to("nowhere")
    (public / "loop").symlink_to("loop")
    (public / "up").symlink_to("..")
    (public / "docs" / "main.html").symlink_to("index.html")
    return public


def test_links_are_followed(linked: Path) -> None:
    """ST-18"""
    found = statuses(Files(linked), ["/inside", "/outside", "/broken", "/loop", "/up", "/up/secret.txt"])
    assert list(found.values()) == [200, 200, 404, 404, 301, 200]


def test_no_link_is_followed_when_told_so(linked: Path) -> None:
    files = Files(linked, links="refuse", index=("main.html", "index.html"))
    links = ["/inside", "/outside", "/broken", "/loop", "/up", "/up/", "/up/secret.txt", "/docs/main.html"]
    assert set(statuses(files, links).values()) == {404}
    assert ask(files, "/docs/").body == b"<p>docs"
    assert ask(files, "/docs/deep/page.html").body == b"<p>deep"
    assert ask(files, "/docs").status == 301


def test_the_root_may_be_a_link_even_then(public: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(public)
    assert ask(Files(tmp_path / "link", links="refuse"), "/f.txt").status == 200


@pytest.mark.parametrize("links", ["follow", "inside", "refuse"])
def test_special_files_are_not_found_and_never_block(public: Path, links: Links) -> None:
    os.mkfifo(public / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(public)  # the path of a socket is short
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
        (public / "device").symlink_to("/dev/zero")
        found = statuses(Files(public, links=links), ["/fifo", "/socket", "/device", "/fifo/"])
    assert set(found.values()) == {404}


# What the operating system refuses.


@pytest.fixture
def guarded() -> Iterator[Path]:
    """A tree that even root's tests meet as a user whom permissions bind."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "dir").mkdir()
        (root / "dir" / "index.html").write_text("x")
        (root / "closed.txt").write_text("x")
        (root / "passage").mkdir()
        (root / "passage" / "index.html").write_text("x")
        root.chmod(0o755)
        (root / "dir").chmod(0)
        (root / "closed.txt").chmod(0)
        (root / "passage").chmod(0o311)
        user = os.geteuid()
        if user == 0:
            os.chown(root / "passage", 65534, 65534)
            os.seteuid(65534)
        try:
            yield root
        finally:
            os.seteuid(user)
            (root / "dir").chmod(0o700)
            (root / "passage").chmod(0o700)


@pytest.mark.parametrize("links", ["follow", "inside", "refuse"])
@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/closed.txt", 403),
        ("/dir/", 403),
        ("/dir/index.html", 403),
        ("/dir", 301),
        ("/passage", 301),
        ("/passage/", 200),
        ("/passage/nope", 404),
    ],
)
def test_what_may_not_be_read_is_forbidden(guarded: Path, target: str, expected: int, links: Links) -> None:
    """ST-16: as a user whom permissions bind."""
    files = Files(guarded, links=links)
    for method in ("GET", "HEAD"):
        assert ask(files, target, method).status == expected


@pytest.mark.parametrize(
    ("code", "expected"), [(errno.EMFILE, 503), (errno.ESTALE, 404), (errno.EPERM, 403), (errno.EIO, 500)]
)
def test_errors_of_the_system_have_their_status(
    public: Path, monkeypatch: pytest.MonkeyPatch, code: int, expected: int, caplog: pytest.LogCaptureFixture
) -> None:
    real = os.open

    def refuse(path: object, flags: int, *args: int, **kwargs: int) -> int:
        if b"f.txt" in os.fsencode(str(path)):
            raise OSError(code, os.strerror(code))
        return real(path, flags, *args, **kwargs)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(os, "open", refuse)
    answer = ask(Files(public), "/f.txt")
    assert answer.status == expected
    assert answer.headers.get("Retry-After") == ("1" if expected == 503 else None)
    assert bool(caplog.records) == (expected == 500)
