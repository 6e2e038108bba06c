"""A real php-fpm behind FastCGIResource: scripts, uploads, long answers, errors, a worker that dies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from container.resources.responder import FastCGIProcessor, FastCGIResource
from container.resources.static import Files
from container.testing import Client
from tests.system.fpm import php_fpm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCRIPTS = {
    "index.php": '<?php header("X-Powered-By: test"); echo $_SERVER["REQUEST_METHOD"], "|",'
    ' $_SERVER["SCRIPT_NAME"], "|",'
    ' $_SERVER["PATH_INFO"] ?? "", "|", $_GET["q"] ?? "", "|", $_SERVER["PHP_AUTH_USER"] ?? "", "|",'
    ' $_COOKIE["c"] ?? "", "|", __FILE__;',
    "form.php": '<?php echo $_POST["name"], "|", $_FILES["file"]["name"], "|", $_FILES["file"]["size"];',
    "raw.php": '<?php echo strlen(file_get_contents("php://input")), "|", $_SERVER["CONTENT_TYPE"];',
    "long.php": '<?php header("Content-Type: text/plain"); for ($i = 0; $i < 4000; $i++) echo str_repeat("x", 1000);',
    "gone.php": '<?php header("Location: /elsewhere"); http_response_code(410); echo "gone";',
    "complain.php": '<?php error_log("a complaint"); echo "ok";',
    "die.php": "<?php posix_kill(posix_getpid(), 9);",
    "session.php": '<?php session_start(); echo $_SESSION["n"] = ($_SESSION["n"] ?? 0) + 1;',
}


@pytest.fixture(scope="module")
def fpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A php-fpm of our own: its directory holds the socket `s` and the scripts."""
    here = tmp_path_factory.mktemp("fpm")
    for name, text in SCRIPTS.items():
        (here / name).write_text(text)
    with php_fpm(
        here,
        "pm.max_children = 2",
        "catch_workers_output = no",
        f"php_admin_value[session.save_path] = {here}",
        "php_admin_value[upload_max_filesize] = 8M",
        "php_admin_value[post_max_size] = 8M",
    ):
        yield here


@pytest.fixture
def client(fpm: Path) -> Iterator[Client]:
    address = f"unix:{fpm}/s"
    root = Files(fpm, processors={".php": FastCGIProcessor(address, connections=2)})
    root.mount("front", FastCGIResource(address, script=fpm / "index.php"))
    root.mount("none", FastCGIResource(address, script=fpm / "none.php"))
    with Client(root) as client:
        yield client


def test_what_a_script_sees(client: Client, fpm: Path) -> None:
    headers = {"Authorization": "Basic bWFyeTpzZWNyZXQ=", "Cookie": "c=d"}
    for path, name in (("/index.php/a/b", "/index.php"), ("/front/a/b", "/front")):
        answer = client.get(f"{path}?q=1", headers=headers)
        assert answer.status == 200
        assert answer.text == f"GET|{name}|/a/b|1|mary|d|{fpm}/index.php"
        assert answer.headers["X-Powered-By"] == "test"
        assert answer.headers["Content-Type"].lower().startswith("text/html")


def test_forms_uploads_and_raw_content(client: Client) -> None:
    files = {"file": ("a.bin", b"x" * 2_000_000, "application/octet-stream")}
    assert client.post("/form.php", form={"name": "Ada"}, files=files).text == "Ada|a.bin|2000000"
    headers = {"Content-Type": "text/csv"}
    assert client.post("/raw.php", body=b"y" * 3_000_000, headers=headers).text == "3000000|text/csv"
    assert client.post("/raw.php", body=iter([b"ab", b"c"]), headers=headers).text == "3|text/csv"


def test_long_answers_status_and_head(client: Client) -> None:
    assert len(client.get("/long.php").body) == 4_000_000
    assert client.head("/long.php").body == b""
    gone = client.get("/gone.php")
    assert (gone.status, gone.headers["Location"], gone.text) == (410, "/elsewhere", "gone")
    missing = client.get("/none")
    assert (missing.status, "File not found" in missing.text) == (404, True)


def test_many_requests_over_few_connections(client: Client) -> None:
    connections = [client.connect() for _ in range(8)]
    for connection in connections:
        for _ in range(10):
            connection.send(b"GET /index.php?q=%d HTTP/1.1\r\nHost: a\r\n\r\n" % id(connection))
    for connection in connections:
        for _ in range(10):
            assert f"|{id(connection)}|" in connection.receive().text


def test_a_client_that_leaves_and_a_worker_that_dies_cost_nobody_else(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(4):
        with client.stream("GET", "/long.php") as stream:
            next(stream)
    assert client.get("/die.php").status in (200, 502)
    assert client.get("/index.php").status == 200
    assert client.get("/complain.php").text == "ok"
    client.wait_until(lambda: "a complaint" in caplog.text)


def test_sessions(client: Client) -> None:
    first = client.get("/session.php")
    cookie = re.match(r"[^;]+", first.headers["Set-Cookie"])
    assert cookie is not None
    assert first.text == "1"
    assert client.get("/session.php", headers={"Cookie": cookie[0]}).text == "2"
