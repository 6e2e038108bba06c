"""Paths of people who want out: whatever they try is 400, 403 or 404, and nothing private is ever shown.

ST-17, ST-18: encodings of dots, slashes and NUL, odd Unicode, long names, special files, loops of links.
"""

from __future__ import annotations

import itertools
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest

from container.resources.asis import AsIs
from container.resources.static import Files
from container.testing import Client
from tests.leaf import request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from container.resources.static.finder import Links
    from container.tree.resource import Resource

SECRET = b"TOP SECRET"

UPS = [
    "..", "%2e%2e", "%2E%2e", ".%2e", "%2e.", "%252e%252e", "%c0%ae%c0%ae", "%e0%80%ae%e0%80%ae",
    "%f0%80%80%ae%f0%80%80%ae", "..%00", "..;", "...", "....", "..%20", "..%09", "%u002e%u002e", "..%c0%af",
    "\u2024\u2024", "\uff0e\uff0e", "%ef%bc%8e%ef%bc%8e", "..%e2%88%95", "..%ef%bc%8f",
]  # fmt: skip
SLASHES = ["/", "%2f", "%2F", "%5c", "\\", "%252f", "%c0%af", "//", "/./", "%e2%88%95"]
ODD = [
    "/%00", "/f.txt%00", "/f.txt%00.html", "/%00/f.txt", "/%ff", "/%80", "/%c3", "/%ed%a0%80", "/%f4%90%80%80",
    "/f.txt/", "/f.txt/.", "/f.txt/..", "/f.txt/x", "/f.txt%2f", "/f.txt.", "/f.txt..", "/f.txt%20", "/f.txt%0a",
    "/f.txt%0d%0aX:1", "/f.txt::$DATA", "/f.txt%3a%3a$DATA", "/F.TXT", "/f~1.txt", "/f.tx%74/", "//f.txt",
    "/sub//", "//", "///", "/./f.txt", "/%2e/f.txt", "/sub/./g.txt", "/sub/../f.txt", "/.", "/..", "/./", "/../",
    "/.env", "/%2eenv", "/.git/config", "/sub/.hidden", "/sub/%2ehidden", "/.well-known/../.env",
    "/.well-known/.env", "/fifo", "/socket", "/device", "/random", "/tty", "/loop", "/loop/x", "/loop2", "/broken",
    "/deep", "/fifo/", "/socket/x", "/device/", "/caf%65%cc%81.txt", "/cafe%cc%81.txt", "/" + "a" * 256,
    "/" + "a" * 4096, "/" + "a/" * 2000, "/" + "%2e" * 1000, "/" + "é" * 128, "/con", "/nul", "/aux.txt",
    "/*", "/?", "/%3f", "/~root", "/~/", "/$HOME", "/`id`", "/|id", "/f.txt;x=1", "/C:/", "/C:%5cwindows", "/file:///etc/passwd",
    "/etc/passwd", "/proc/self/environ", "/dev/zero", "/\x7f", "/%7f/../x", "/sub/%2e%2e%2ff.txt", "/sub%2fg.txt",
    "/sub%5cg.txt", "/sub\\g.txt", "/%73ub/%2e%2e/f.txt", "/%", "/%2", "/%zz", "/f.txt%", "/%E2%80%AEtxt.f",
    "/%e2%80%8b", "/f%E2%80%8B.txt", "/%EF%BB%BFf.txt",
]  # fmt: skip


def hostile() -> Iterator[str]:
    for up, slash in itertools.product(UPS, SLASHES):
        yield f"/{up}{slash}secret.txt"
    for up in UPS:
        yield f"/sub/{up}/{up}/secret.txt"
        yield f"/{'/'.join([up] * 12)}/etc/passwd"
        yield f"/sub/{up}"
    yield from ODD


TARGETS = list(dict.fromkeys(hostile()))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    base = tmp_path_factory.mktemp("hostile")
    (base / "secret.txt").write_bytes(SECRET)
    root = base / "public"
    (root / "sub").mkdir(parents=True)
    (root / ".git").mkdir()
    for name in (".env", ".git/config", "sub/.hidden"):
        (root / name).write_bytes(SECRET)
    (root / "f.txt").write_text("open")
    (root / "sub" / "g.txt").write_text("open")
    (root / "café.txt").write_text("open")  # composed; the decomposed form is another name
    os.mkfifo(root / "fifo")
    (root / "device").symlink_to("/dev/zero")
    (root / "random").symlink_to("/dev/random")
    (root / "tty").symlink_to("/dev/tty")
    (root / "loop").symlink_to("loop")
    (root / "loop2").symlink_to("loop3")
    (root / "loop3").symlink_to("loop2")
    (root / "broken").symlink_to("nowhere")
    (root / "deep").symlink_to("deep0")
    for number in range(60):  # more than any system follows
        (root / f"deep{number}").symlink_to(f"deep{number + 1}")
    (root / "deep60").write_text("open")
    listener = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(root)  # the path of a socket is short
    try:
        listener.bind("socket")
    finally:
        os.chdir(here)
    yield root
    listener.close()


def test_there_are_many() -> None:
    assert len(TARGETS) >= 200


@pytest.mark.parametrize("links", ["follow", "inside", "refuse"])
def test_no_hostile_path_leads_anywhere(root: Path, links: Links) -> None:
    """ST-17, ST-18"""
    files = Files(root, links=links, ignore_ext=("*",), index=("index.html", "g.txt"))
    found: dict[str, int] = {}
    before, _, after = request("TARGET", "Connection: close").partition(b"TARGET")
    with Client(files) as client:
        for target in TARGETS:
            raw = b"".join((before, target.encode(), after))
            connection = client.connect()
            connection.send(raw)
            answer = connection.receive()
            connection.leave()
            assert SECRET not in answer.body
            assert b"root:" not in answer.body
            found[target] = answer.status
    assert {target: status for target, status in found.items() if status not in (400, 403, 404)} == {}


@pytest.mark.parametrize("links", ["follow", "inside", "refuse"])
def test_what_is_meant_to_be_seen_is_seen(root: Path, links: Links) -> None:
    with Client(Files(root, links=links)) as client:
        for target in ("/f.txt", "/sub/g.txt", "/%66.txt", "/caf%C3%A9.txt", "/sub/%67.txt?/../x"):
            assert client.get(target).text == "open"


def test_nobody_reads_a_script_that_comes_while_it_is_looked_for(tmp_path: Path) -> None:
    """ST-19: a deployment takes files away and puts others in their place, between two looks, too."""

    class Deployed(Files):
        def get(self, request: Any) -> Any:
            (tmp_path / "run.php").write_bytes(SECRET)
            return super().get(request)

    def make(path: str, files: Files) -> Resource:
        return AsIs(path)

    with Client(Deployed(tmp_path, processors={".php": make})) as client:
        answer = client.get("/run.php")
        assert (answer.status, SECRET in answer.body) == (503, False)
