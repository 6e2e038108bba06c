"""A front controller in PHP, as WordPress and every framework of PHP has one: `try the file, else index.php`."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from container.message.response import Response
from container.resources.cgi import CGIProcessor
from container.resources.responder import FastCGIProcessor
from container.resources.static import Files
from container.testing import Client
from container.tree.resource import Resource
from tests.leaf import Leaf
from tests.scripts import ScriptDirectory, script_directory
from tests.system.fpm import php_fpm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The router of a framework in small: where it is, by the rules that Symfony and others go by; what was asked for.
INDEX = """<?php
$secret = 'source';
$base = rtrim(dirname($_SERVER['SCRIPT_NAME']), '/');
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
$route = substr($path, strlen($base));
if (str_starts_with($route, '/index.php')) $route = substr($route, strlen('/index.php')) ?: '/';
header('Content-Type: text/plain');
if ($route === '/upload') { echo $_FILES['f']['name'], ' ', md5_file($_FILES['f']['tmp_name']); exit; }
if ($route === '/old') { header('Location: ' . $base . '/new/', true, 301); exit; }
if ($route === '/none') { http_response_code(404); echo 'no such page'; exit; }
echo implode('|', [$_SERVER['REQUEST_METHOD'], $base, $route, $_SERVER['SCRIPT_NAME'], $_SERVER['PATH_INFO'] ?? '-',
                   $_SERVER['PHP_SELF'], $_GET['q'] ?? '-', basename($_SERVER['SCRIPT_FILENAME']),
                   basename($_SERVER['DOCUMENT_ROOT'])]);
"""


@pytest.fixture
def public() -> Iterator[ScriptDirectory]:
    with script_directory() as scripts:
        directory = ScriptDirectory(scripts.path / "public")
        directory.write("index.php", INDEX, 0o644)
        directory.write("login.php", "<?php echo 'login ', $_SERVER['SCRIPT_NAME'];", 0o644)
        directory.write("style.css", "a {}", 0o644)
        directory.write("admin/index.php", "<?php echo 'admin ', $_SERVER['SCRIPT_NAME'];", 0o644)
        directory.write("media/photo.txt", "a photo", 0o644)
        yield directory


@pytest.fixture(params=["php-cgi", "php-fpm"])
def php(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """What runs the scripts."""
    if request.param == "php-cgi":
        if shutil.which("php-cgi") is None:
            pytest.skip("php-cgi is not installed")
        yield CGIProcessor(interpreters={".php": "php-cgi"})
        return
    with php_fpm(tmp_path, "pm.max_children = 2") as address:
        yield FastCGIProcessor(address, connections=2)


@pytest.fixture(params=["", "/shop"])
def mount(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(public: ScriptDirectory, php: Any, mount: str) -> Iterator[Client]:
    files = Files(public.path, index=["index.php"], processors={".php": php}, fallback="index.php")
    root: Resource = files
    if mount:
        root = Resource()
        root.mount(mount.removeprefix("/"), files)
        root.mount("else", Leaf(lambda request: Response.text("else")))
    with Client(root) as client:
        yield client


def test_a_front_controller(client: Client, mount: str) -> None:
    """CG-02, CG-03, CG-17: pretty URLs, scripts and files beside it, forms, redirects, errors; no source."""

    def seen(route: str, query: str = "-", info: str = "-", method: str = "GET") -> str:
        self = f"{mount}/index.php" + (info if info != "-" else "")
        name = f"{mount}/index.php"
        return "|".join([method, mount, route, name, info, self, query, "index.php", "public"])

    assert client.get(f"{mount}/").text == seen("/")
    for route in ("/2026/hello-world", "/a/b/", "/feed.xml", "/media/", "/none.php", "/caf%C3%A9", "/a%2Fb"):
        assert client.get(mount + route).text == seen(route)
    assert client.get(f"{mount}/search?q=1&q=-s").text == seen("/search", "-s")
    assert client.post(f"{mount}/comment", form={"a": "b"}).text == seen("/comment", method="POST")
    assert client.get(f"{mount}/index.php/a/b").text == seen("/a/b", info="/a/b")
    assert client.get(f"{mount}/login.php").text == f"login {mount}/login.php"
    assert client.get(f"{mount}/admin/").text == f"admin {mount}/admin/index.php"
    assert client.get(f"{mount}/style.css").headers["Content-Type"] == "text/css; charset=utf-8"
    assert client.get(f"{mount}/media/photo.txt").text == "a photo"
    moved = client.get(f"{mount}/old")
    assert (moved.status, moved.headers["Location"]) == (301, f"{mount}/new/")
    missing = client.get(f"{mount}/none")
    assert (missing.status, missing.text) == (404, "no such page")
    if mount:
        assert client.get("/else").text == "else"
        assert client.get("/elsewhere").status == 404


def test_an_upload_to_a_pretty_url(client: Client, mount: str) -> None:
    """CG-05"""
    content = b"x" * 1_500_000
    answer = client.post(f"{mount}/upload", files={"f": ("a.bin", content, "application/octet-stream")})
    assert answer.text == f"a.bin {hashlib.md5(content).hexdigest()}"


def test_its_source_is_never_shown(client: Client, mount: str) -> None:
    for path in (
        "/index.php", "/index.PHP", "/index.php/", "/index%2Ephp", "/index.php%20", "/index.php.", "/index.php%00",
        "/x/../index.php", "//index.php", "/index.php::$DATA", "/index.phps", "/index.php~",
    ):  # fmt: skip
        for fields in ({}, {"Range": "bytes=0-"}, {"Accept-Encoding": "gzip"}):
            answer = client.get(mount + path, headers=fields)
            assert b"secret" not in answer.body, path
