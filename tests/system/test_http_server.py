"""PY-03, PY-04: side by side with `python -m http.server`: what works there works here, and some of what does not."""

from __future__ import annotations

import html
import http.client
import http.server
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from tests.scripts import ScriptDirectory, script_directory
from tests.system.conftest import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.system.conftest import Running

    Start = Callable[..., Running]


class Seen:
    """What came of a request."""

    def __init__(self, url: str, path: str, method: str = "GET", **fields: str) -> None:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
        try:
            headers = {name.replace("_", "-"): value for name, value in fields.items()}
            connection.request(method, path, headers=headers, body=b"x" if method == "POST" else None)
            response = connection.getresponse()
            self.status = response.status
            self.headers = response.headers
            self.body = response.read()
        finally:
            connection.close()
        location = response.headers.get("Location")
        self.location = urljoin(path, location) if location is not None else None

    @property
    def media_type(self) -> str:
        return self.headers.get_content_type()


@contextmanager
def theirs(directory: Path, *options: str) -> Iterator[str]:
    """The URL of the standard library's server."""
    command = [
        sys.executable, "-u", "-W", "ignore", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(directory),
        *options, "0",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"\((http://[^)]+)\)", process.stdout.readline())
        assert found is not None
        yield found[1]
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE_S)


@pytest.fixture
def public(tmp_path: Path) -> Path:
    public = tmp_path / "public"
    (public / "sub" / "deep dir").mkdir(parents=True)
    (public / "listed").mkdir()
    for name, text in {
        "index.html": "<p>front", "a.txt": "text " * 500, "sub/index.html": "<p>sub", "sub/deep dir/ä.css": "a {}",
        "unknown.zz9": "?", "picture.png": "png", "archive.tar.gz": "gz", "listed/one.txt": "1", "listed/two&.txt": "2",
    }.items():  # fmt: skip
        (public / name).write_text(text)
    (public / "link.txt").symlink_to("a.txt")
    os.utime(public / "a.txt", (1_000_000_000, 1_000_000_000))
    return public


def test_files_as_the_standard_library_serves_them(start: Start, public: Path) -> None:
    """PY-03: the same content, types, redirects and refusals for the same directory, with the same options."""
    running = start("--path", public, "--port", 0)
    with theirs(public) as url:
        for path in (
            "/", "/index.html", "/a.txt", "/a.txt?q=1", "/sub/", "/sub/deep%20dir/%C3%A4.css", "/unknown.zz9",
            "/link.txt", "/picture.png",
        ):  # fmt: skip
            for method in ("GET", "HEAD"):
                ours, other = Seen(running.url, path, method), Seen(url, path, method)
                assert (ours.status, ours.body) == (other.status, other.body) == (200, other.body), path
                assert ours.media_type == other.media_type, path
                assert ours.headers["Content-Length"] == other.headers["Content-Length"], path
                assert ours.headers["Last-Modified"] == other.headers["Last-Modified"], path
        for path in ("/sub", "/sub?a=b", "/sub/deep%20dir", "/listed"):
            ours, other = Seen(running.url, path), Seen(url, path)
            assert (ours.status, ours.location) == (other.status, other.location), path
        for path in ("/none", "/a.txt/", "/sub/none"):
            assert Seen(running.url, path).status == Seen(url, path).status == 404, path
        for date, status in {
            "Sun, 09 Sep 2001 01:46:40 GMT": 304,
            "Sat, 08 Sep 2001 01:46:40 GMT": 200,
        }.items():
            ours = Seen(running.url, "/a.txt", If_Modified_Since=date)
            assert ours.status == Seen(url, "/a.txt", If_Modified_Since=date).status == status
        ours, other = Seen(running.url, "/listed/"), Seen(url, "/listed/")
        for page in (ours, other):
            links = re.findall(r'href="?([^"> ]+)', page.body.decode())
            found = {urljoin("/listed/", unquote(html.unescape(link))) for link in links}
            assert {"/listed/one.txt", "/listed/two&.txt"} <= found


def test_files_as_the_standard_library_does_not_serve_them(start: Start, public: Path) -> None:
    """PY-03: ranges, validators, codings, types of packed files, several requests on one connection."""
    (public / ".secret").write_text("secret")
    running = start("--path", public, "--port", 0, "--compress", "gzip")
    with theirs(public) as url:

        def both(path: str, **fields: str) -> tuple[Seen, Seen]:
            return Seen(running.url, path, **fields), Seen(url, path, **fields)

        ours, other = both("/a.txt", Range="bytes=0-3")
        assert (ours.status, ours.body, other.status) == (206, b"text", 200)
        ours, other = both("/a.txt")
        assert (ours.headers["ETag"] is not None, other.headers["ETag"]) == (True, None)
        ours, other = both("/a.txt", If_None_Match=ours.headers["ETag"])
        assert (ours.status, other.status) == (304, 200)
        ours, other = both("/a.txt", Accept_Encoding="gzip")
        assert (ours.headers["Content-Encoding"], other.headers["Content-Encoding"]) == ("gzip", None)
        assert len(ours.body) < len(other.body) / 10
        ours, other = both("/.secret")
        assert (ours.status, other.body) == (404, b"secret")
        assert (Seen(running.url, "/a.txt", "POST").status, Seen(url, "/a.txt", "POST").status) == (405, 501)
        connection = http.client.HTTPConnection(urlsplit(running.url).netloc, timeout=PATIENCE_S)
        try:
            for _ in range(2):
                connection.request("GET", "/listed/one.txt")
                assert connection.getresponse().read() == b"1"
                assert connection.sock is not None, "it stays open"
        finally:
            connection.close()


@pytest.fixture
def scripts() -> Iterator[ScriptDirectory]:
    with script_directory() as directory:
        yield directory


@pytest.mark.skipif(not hasattr(http.server, "CGIHTTPRequestHandler"), reason="removed in Python 3.15")
def test_scripts_as_the_standard_library_ran_them(start: Start, scripts: ScriptDirectory) -> None:
    """PY-04: `container --cgi DIR` for `python -m http.server --cgi`: where scripts are, what they are told, what it
    runs them as; and statuses, redirects and queries as they ought to be."""
    scripts.write("index.html", "front", 0o644)
    scripts.write("cgi-bin/plain.txt", "text", 0o644)
    scripts.python("cgi-bin/hello.py", 'print("Content-Type: text/html\\n\\nHello World")')
    scripts.python(
        "cgi-bin/sub dir/told.py",
        """
        import os, sys
        body = sys.stdin.read(int(os.environ.get("CONTENT_LENGTH") or 0))
        names = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "HTTP_ACCEPT", "HTTP_COOKIE",
                 "HTTP_USER_AGENT", "REMOTE_ADDR", "GATEWAY_INTERFACE")
        print("Content-Type: text/plain\\n")
        print([*(os.environ.get(name, "") for name in names), body, os.getuid()])
        """,
    )
    scripts.sh("cgi-bin/gone.sh", 'printf "Status: 410 Gone\\n\\n"')
    scripts.sh("cgi-bin/moved.sh", 'printf "Location: /index.html\\n\\n"')
    scripts.sh("htbin/old.sh", 'printf "Content-Type: text/plain\\n\\nold"')
    running = start("--cgi", scripts.path, "--port", 0)
    with theirs(scripts.path, "--cgi") as url:
        fields = {"Accept": "text/plain, */*", "Cookie": "a=b", "User_Agent": "a client"}
        for path in (
            "/cgi-bin/hello.py", "/cgi-bin/sub%20dir/told.py", "/cgi-bin/sub%20dir/told.py/more/path?a=b&c=d",
            "/cgi-bin/sub%20dir/told.py?k=aa%2F%2Fbb&//q//p//=//a//b//", "/cgi-bin/sub%20dir/told.py?a=b?c=d",
            "/htbin/old.sh", "/index.html",
        ):  # fmt: skip
            for method in ("GET", "POST"):
                if method == "GET" or path.startswith("/cgi-bin/sub"):
                    ours = Seen(running.url, path, method, **fields)
                    other = Seen(url, path, method, **fields)
                    assert (ours.status, other.status) == (200, 200), path
                    # There, names stay as they were asked for.
                    assert ours.body == other.body.replace(b"/sub%20dir/", b"/sub dir/"), path
                    assert ours.media_type == other.media_type, path
        assert Seen(running.url, "/cgi-bin/none.py").status == Seen(url, "/cgi-bin/none.py").status == 404
        assert Seen(running.url, "/cgi-bin/plain.txt").status == Seen(url, "/cgi-bin/plain.txt").status == 403
        assert (Seen(running.url, "/cgi-bin/").status, Seen(url, "/cgi-bin/").status) == (404, 403)
        assert (Seen(running.url, "/cgi-bin/gone.sh").status, Seen(url, "/cgi-bin/gone.sh").status) == (
            410,
            200,
        )
        assert Seen(running.url, "/cgi-bin/moved.sh").body == b"front"
        head = Seen(running.url, "/cgi-bin/hello.py", "HEAD")
        assert (head.status, head.body) == (200, b"")
