"""Features that have come with the flags of other servers, served by the real command."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.certificates import Authority, locked
from tests.system.conftest import PATIENCE_S

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.system.conftest import Running

    Start = Callable[..., Running]
    Finish = Callable[..., subprocess.CompletedProcess[str]]

HEADER = b"PROXY TCP4 192.0.2.1 198.51.100.2 4321 80\r\n"
APP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['REMOTE_ADDR']} {environ['PATH_INFO']}".encode()]
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    for name in ("css/site.css", "css/start.html", "img/dot.svg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_directories_are_served_at_their_routes(start: Start, here: Path) -> None:
    """CL-01, CF-07"""
    running = start(
        "app:application", "--port=0", "--static-path-route=/style", "--static-path-mount=css",
        "--static-path-route=/deep/img", "--static-path-mount=img", "--static-path-expires=1h",
        "--static-path-dir-to-file=start.html", "--static=/plain=img", cwd=here,
    )  # fmt: skip
    style = running.fetch("/style/site.css")
    assert (style.status, style.body) == (200, b"css/site.css")
    assert (style.headers["Cache-Control"], style.headers["Content-Type"][:8]) == ("max-age=3600", "text/css")
    assert running.fetch("/style/").body == b"css/start.html"
    assert running.fetch("/deep/img/dot.svg").body == b"img/dot.svg"
    assert running.fetch("/deep/img/").status == 404  # no such file, and no listing
    plain = running.fetch("/plain/dot.svg")
    assert (plain.body, plain.headers["Cache-Control"]) == (b"img/dot.svg", None)
    assert running.fetch("/other").body == b"127.0.0.1 /other"
    assert running.stop() == 0


def test_one_directory_needs_no_route(start: Start, here: Path) -> None:
    """CL-01, CL-10"""
    running = start("app:application", "--port=0", cwd=here, CONTAINER_STATIC_PATH_MOUNT="css")
    answer = running.fetch("/static/site.css")
    assert (answer.body, answer.headers["Cache-Control"]) == (b"css/site.css", "max-age=86400")
    assert running.fetch("/other").body == b"127.0.0.1 /other"
    assert running.stop() == 0


@pytest.fixture
def tls(here: Path) -> list[str]:
    """The options of a certificate for localhost whose key has the password `sesame`."""
    certificate, key = Authority(here).issue_apart("tls", "localhost")
    key.write_bytes(locked(key.read_bytes(), b"sesame"))
    (here / "pass.txt").write_text("sesame\n")
    (here / "other.txt").write_text("open\n")
    return [f"--ssl-certfile={certificate}", f"--ssl-keyfile={key}"]


@pytest.mark.parametrize(
    ("said", "variables"),
    [
        (["--ssl-keyfile-password=sesame"], {}),
        (["--ssl-keyfile-password-file=pass.txt"], {}),
        (["--ssl-keyfile-password-file=pass.txt", "--workers=2"], {}),
        ([], {"CONTAINER_SSL_KEYFILE_PASSWORD": "sesame"}),
    ],
)
def test_a_key_with_a_password_serves(
    start: Start, here: Path, tls: list[str], said: list[str], variables: dict[str, str]
) -> None:
    """EP-04, CL-10"""
    running = start("app:application", "--host=localhost", "--port=0", *tls, *said, cwd=here, **variables)
    context = ssl.create_default_context(cafile=here / "ca.pem")
    connection = http.client.HTTPSConnection(
        "localhost", urlsplit(running.url).port, timeout=PATIENCE_S, context=context
    )
    connection.request("GET", "/x")
    assert connection.getresponse().read().endswith(b" /x")
    connection.close()
    assert running.stop() == 0
    assert not any("sesame" in line for line in running.lines)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ([], "expected a password for the key in '{key}', got none"),
        (["--ssl-keyfile-password=open"], "the password does not open the key in '{key}'"),
        (["--ssl-keyfile-password-file=other.txt"], "the password does not open the key in '{key}'"),
        (
            ["--ssl-keyfile-password-file=none.txt"],
            "cannot read '{here}/none.txt': no such file or directory",
        ),
    ],
)
def test_a_wrong_password_is_one_line(
    finish: Finish, here: Path, tls: list[str], said: list[str], line: str
) -> None:
    """EP-04, CL-09"""
    for more in ([], ["--check-config"]):
        ended = finish("app:application", "--port=0", *tls, *said, *more, cwd=here)
        expected = line.format(key=here / "tls/privkey.pem", here=here)
        assert (ended.returncode, ended.stderr) == (1, f"container: cannot listen on TLS: {expected}\n")


@pytest.mark.parametrize(
    ("said", "header", "client"),
    [
        (["--proxy-allow-from=127.0.0.0/8"], HEADER, "192.0.2.1"),
        (["--proxy-allow-from=127.0.0.0/8"], b"", None),
        (["--proxy-allow-from=*"], HEADER, "192.0.2.1"),
        (["--proxy-allow-from=10.0.0.0/8,::1"], b"", "127.0.0.1"),
        (["--proxy-allow-from=10.0.0.0/8,::1"], HEADER, None),
        (["--proxy-allow-from=10.0.0.0/8,::1", "--workers=2"], b"", "127.0.0.1"),
    ],
)
def test_only_some_may_tell_the_client(
    start: Start, here: Path, said: list[str], header: bytes, client: str | None
) -> None:
    """EP-07: who may not is served as who comes without a proxy."""
    running = start("app:application", "--host=127.0.0.1", "--port=0", "--proxy-protocol", *said, cwd=here)
    with socket.create_connection(("127.0.0.1", urlsplit(running.url).port or 0), PATIENCE_S) as sock:
        sock.sendall(header + b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while more := sock.recv(4096):
                answer += more
    if client is None:
        assert b" 200 " not in answer
    else:
        assert answer.endswith(f"\r\n\r\n{client} /x".encode())
    assert running.stop() == 0


@pytest.mark.parametrize("more", [[], ["--workers=2"]])
def test_arguments_in_a_variable_serve(start: Start, here: Path, more: list[str]) -> None:
    """CL-10: workers, who read the file again, have them too."""
    (here / "site.toml").write_text('[headers]\nX-From = "file"\n')
    arguments = "-c site.toml --port=0 --mount '/a b=files:css' app:application"
    running = start(*more, cwd=here, CONTAINER_CMD_ARGS=arguments)
    answer = running.fetch("/a%20b/site.css")
    assert (answer.body, answer.headers["X-From"]) == (b"css/site.css", "file")
    assert running.fetch("/x").body == b"127.0.0.1 /x"
    assert running.stop() == 0
