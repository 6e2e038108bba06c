"""A real Django site: the one of apps/djangosite, prepared as its README says, asked by a real client."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urljoin, urlsplit

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.system.conftest import Running

    Start = Callable[..., Running]

SITE = Path(__file__).resolve().parents[2] / "apps" / "djangosite"
MB = 1 << 20
PATIENCE_S = 60.0
FLAT_BYTES = 20 * MB
NOISE = hashlib.shake_256(b"what a file may hold").digest(MB - 8)
BOUNDARY = "a-boundary-that-no-piece-contains"


def variables(folder: Path) -> dict[str, str]:
    """Where the site keeps what it writes, in the words of its settings."""
    return {
        "DJANGO_DB": str(folder / "db.sqlite3"),
        "DJANGO_MEDIA": str(folder / "media"),
        "DJANGO_STATIC": str(folder / "static"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def prepare(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, SITE / "manage.py", "prepare"],
        env=os.environ | variables(folder),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("django")
    assert "Ready" in prepare(folder)
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    """A prepared site of the test's own."""
    return shutil.copytree(prepared, tmp_path / "var")


@pytest.fixture
def site(start: Start, folder: Path) -> Running:
    return start("-y", "site.tac", "--port", "0", cwd=SITE, **variables(folder))


@pytest.fixture
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


def csrf_token(page: requests.Response) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert found, page.text
    return found[1]


def sign_in(client: requests.Session, url: str, password: str = "admin") -> requests.Response:
    page = client.get(urljoin(url, "admin/"), timeout=PATIENCE_S)
    assert page.url.endswith(f"/admin/login/?next={urlsplit(url).path}admin/")
    form = {"username": "admin", "password": password, "csrfmiddlewaretoken": csrf_token(page)}
    return client.post(page.url, data=form, timeout=PATIENCE_S)


def pieces(count: int) -> Iterator[bytes]:
    """So many MiB; no piece is like another, so none can be lost or come twice unnoticed."""
    for number in range(count):
        yield number.to_bytes(8) + NOISE


class Upload:
    """The multipart form of /upload/ with a file of so many MiB, which is never in memory as a whole.

    As an iterable alone requests sends it chunked; with a length it is announced and sent as it is.
    """

    def __init__(self, token: str, size_mb: int) -> None:
        self.size_mb = size_mb
        digest = hashlib.sha256()
        for piece in pieces(size_mb):
            digest.update(piece)
        self.digest = digest.hexdigest()
        fields = "".join(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in (
                ("csrfmiddlewaretoken", token),
                ("title", "A large file"),
                ("text", "of bytes"),
            )
        )
        self._head = (
            f"{fields}--{BOUNDARY}\r\n"
            'Content-Disposition: form-data; name="attachment"; filename="large.bin"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{BOUNDARY}--\r\n".encode()

    @property
    def length(self) -> int:
        return len(self._head) + self.size_mb * MB + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        yield from pieces(self.size_mb)
        yield self._tail


class Announced(Upload):
    def __len__(self) -> int:
        return self.length


class Memory:
    """How much the private memory of a process grows while the block runs, looked at fifty times a second."""

    def __init__(self, process: int) -> None:
        self._status = Path(f"/proc/{process}/status")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.highest = self.before = self._now()

    def _now(self) -> int:
        found = re.search(r"^RssAnon:\s+(\d+) kB$", self._status.read_text(), re.MULTILINE)
        assert found
        return int(found[1]) * 1024

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            self.highest = max(self.highest, self._now())

    @property
    def growth(self) -> int:
        return self.highest - self.before

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def digest_of(response: requests.Response) -> tuple[int, str]:
    """Size and SHA-256 of a streamed answer."""
    digest, size = hashlib.sha256(), 0
    with response:
        for piece in response.iter_content(MB):
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()


def test_preparing_twice_changes_nothing(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (folder / "static").rglob("*")}
    assert "Ready" in prepare(folder)
    assert {path: path.stat().st_mtime_ns for path in (folder / "static").rglob("*")} == before


def test_the_administrator_signs_in_and_out(site: Running, client: requests.Session) -> None:
    front = sign_in(client, site.url)
    assert front.history[0].status_code == 302
    assert front.url == urljoin(site.url, "admin/")
    assert "Site administration" in front.text
    assert "sessionid" in client.cookies
    notes = client.get(urljoin(site.url, "admin/notes/note/"), timeout=PATIENCE_S)
    assert "0 notes" in notes.text
    token = csrf_token(notes)
    out = client.post(
        urljoin(site.url, "admin/logout/"), data={"csrfmiddlewaretoken": token}, timeout=PATIENCE_S
    )
    assert "Logged out" in out.text
    assert "/admin/login/" in client.get(urljoin(site.url, "admin/"), timeout=PATIENCE_S).url


def test_a_wrong_password_opens_nothing(site: Running, client: requests.Session) -> None:
    refused = sign_in(client, site.url, password="guessed")
    assert "Please enter the correct username and password" in refused.text
    assert "sessionid" not in client.cookies


def test_a_form_without_its_token_is_refused(site: Running, client: requests.Session) -> None:
    refused = client.post(urljoin(site.url, "upload/"), data={"title": "forged"}, timeout=PATIENCE_S)
    assert refused.status_code == 403


def test_the_style_of_the_admin_comes_from_the_tree(
    site: Running, client: requests.Session, folder: Path
) -> None:
    page = client.get(urljoin(site.url, "admin/login/"), timeout=PATIENCE_S)
    links = re.findall(r'<link rel="stylesheet" href="([^"]+)"', page.text)
    assert "/static/admin/css/base.css" in links
    for link in links:
        style = client.get(urljoin(site.url, link), timeout=PATIENCE_S)
        assert (style.status_code, style.headers["Content-Type"]) == (200, "text/css; charset=utf-8")
        assert style.content == (folder / "static" / link.removeprefix("/static/")).read_bytes()
        same = {"If-None-Match": style.headers["ETag"]}
        again = client.get(urljoin(site.url, link), headers=same, timeout=PATIENCE_S)
        assert (again.status_code, again.content) == (304, b"")
    missing = client.get(urljoin(site.url, "static/missing.css"), timeout=PATIENCE_S)
    assert missing.status_code == 404
    assert "X-Frame-Options" not in missing.headers, "Django was asked"


@pytest.mark.parametrize("kind", [Announced, Upload], ids=["content-length", "chunked"])
def test_a_large_upload_arrives_whole_and_comes_back(
    site: Running, client: requests.Session, kind: type[Upload]
) -> None:
    page = client.get(urljoin(site.url, "upload/"), timeout=PATIENCE_S)
    upload = kind(csrf_token(page), 50)
    content_type = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    with Memory(site.process.pid) as memory:
        note = client.post(page.url, data=upload, headers=content_type, timeout=PATIENCE_S)
        framing = note.history[0].request.headers
        assert framing.get("Content-Length") == (str(upload.length) if kind is Announced else None)
        assert f'<span id="size">{50 * MB}</span>' in note.text
        assert f'<code id="sha256">{upload.digest}</code>' in note.text
        links = re.findall(r'<dd><a href="([^"]+)">[^<]*</a> \(<a href="([^"]+)">download</a>\)', note.text)[
            0
        ]
        assert links[0].startswith("/media/attachments/large")
        for link in links:
            back = client.get(urljoin(site.url, link), stream=True, timeout=PATIENCE_S)
            assert back.headers["Content-Length"] == str(50 * MB)
            assert digest_of(back) == (50 * MB, upload.digest)
    assert memory.growth < FLAT_BYTES
    assert client.get(urljoin(site.url, "health/"), timeout=PATIENCE_S).json() == {"status": "ok", "notes": 1}


def test_a_slow_reader_costs_no_memory_and_delays_nobody(site: Running, client: requests.Session) -> None:
    """It reads in bursts and lets the kernel's buffers fill up in between; others are answered meanwhile.

    The first rest is long enough to produce everything, were nobody to wait for the reader.
    """
    health = urljoin(site.url, "health/")
    assert client.get(health, timeout=PATIENCE_S).status_code == 200
    host, port = urlsplit(site.url).hostname, urlsplit(site.url).port
    assert host is not None
    assert port is not None
    digest, size, rests = hashlib.sha256(), 0, 0
    with Memory(site.process.pid) as memory, socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        sock.settimeout(PATIENCE_S)
        sock.connect((host, port))
        sock.sendall(b"GET /stream/200/ HTTP/1.1\r\nHost: %b:%d\r\n\r\n" % (host.encode(), port))
        with http.client.HTTPResponse(sock) as response:
            response.begin()
            assert response.getheader("Transfer-Encoding") == "chunked"
            while burst := response.read(4 * MB):
                digest.update(burst)
                size += len(burst)
                for _ in range(3 if rests else 300):  # a rest takes the time of these answers
                    assert client.get(health, timeout=PATIENCE_S).json()["status"] == "ok"
                rests += 1
    piece = bytes(range(256)) * 256
    assert (size, digest.digest()) == (200 * MB, hashlib.sha256(piece * (200 * MB // len(piece))).digest())
    assert rests >= 50
    assert memory.growth < FLAT_BYTES


def test_the_callable_alone_is_a_site_without_files(
    start: Start, client: requests.Session, folder: Path
) -> None:
    site = start("--wsgi", "notes.wsgi:application", "--port", "0", cwd=SITE, **variables(folder))
    page = client.get(site.url, timeout=PATIENCE_S)
    assert (page.status_code, "No notes yet" in page.text) == (200, True)
    assert "Site administration" in sign_in(client, site.url).text
    missing = client.get(urljoin(site.url, "static/admin/css/base.css"), timeout=PATIENCE_S)
    assert (missing.status_code, missing.headers["X-Frame-Options"]) == (404, "DENY")


def test_below_a_prefix_every_link_of_the_admin_stays_below_it(
    start: Start, client: requests.Session, folder: Path
) -> None:
    site = start(
        "--path", SITE.parent / "public",
        "--mount", "/shop/notes=wsgi:notes.wsgi:application",
        "--mount", f"/shop/notes/static=path:{folder / 'static'}",
        "--port", "0", cwd=SITE, **variables(folder),
    )  # fmt: skip
    front = urljoin(site.url, "shop/notes/")
    page = client.get(urljoin(front, "admin/"), timeout=PATIENCE_S)
    assert page.url == urljoin(front, "admin/login/?next=/shop/notes/admin/")
    links = re.findall(r'(?:href|src|action)="(/[^"]*)"', page.text)
    assert links
    assert all(link.startswith("/shop/notes/") for link in links), links
    style = next(link for link in links if link.endswith("base.css"))
    assert client.get(urljoin(site.url, style), timeout=PATIENCE_S).status_code == 200
