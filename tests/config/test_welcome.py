"""What a server says that was given nothing to serve, and to whom."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from container.config.survey import Finding, survey
from container.config.welcome import Welcome
from container.testing import Client

if TYPE_CHECKING:
    from pathlib import Path

HTML = {"Accept": "text/html", "Host": "localhost:8080"}
HERE = ("127.0.0.1", 50000)


def commands(directory: Path) -> list[str]:
    return [each.command for each in survey(str(directory))]


def write(directory: Path, **files: str) -> None:
    for name, text in files.items():
        path = directory / name.replace("__", "/").replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("source", "command", "what"),
    [
        ("app = Flask(__name__)", "container app:app", "Flask"),
        ("app: FastAPI = fastapi.FastAPI()", "container app:app", "FastAPI"),
        ("application = anything", "container app:application", "application"),
        ("def application(environ, start_response): ...", "container app:application", "WSGI application"),
        ("async def app(scope, receive, send): ...", "container app:app", "ASGI application"),
        ("def create_app(): ...", "container --factory app:create_app", "makes an application"),
    ],
)
def test_modules_that_bind_an_application(tmp_path: Path, source: str, command: str, what: str) -> None:
    """RT-16. Told by looks: nothing is imported."""
    (tmp_path / "app.py").write_text(source)
    assert survey(str(tmp_path)) == [Finding("app.py", what, command)]


@pytest.mark.parametrize("source", ["", "def (", "x = 1", "def main(): ...", "\0", "(" * 5000])
def test_modules_that_do_not(tmp_path: Path, source: str) -> None:
    (tmp_path / "app.py").write_text(source)
    assert survey(str(tmp_path)) == []


def test_a_project_of_django(tmp_path: Path) -> None:
    manage = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings.local")'
    write(tmp_path, manage_py=manage, mysite__wsgi_py="", mysite__asgi_py="")
    assert commands(tmp_path) == ["container mysite.wsgi:application", "container mysite.asgi:application"]


def test_packages_and_files(tmp_path: Path) -> None:
    write(tmp_path, shop__main_py="app = FastAPI()")
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "my site.tac").touch()
    for name in ("index.html", "public/index.php", "static/x.css", "dist/index.html", "cgi-bin/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert commands(tmp_path) == [
        "container -y 'my site.tac'",
        "container shop.main:app",
        "container --path .",
        "container --path public --scripts",
        "container --path dist",
        "container --cgi .",
    ]


def test_what_cannot_be_read_has_nothing_in_it(tmp_path: Path) -> None:
    assert survey(str(tmp_path / "nowhere")) == []


def test_those_on_this_machine_see_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "<app>.tac").touch()
    with Client(Welcome(str(tmp_path)), client=HERE) as client:
        page = client.get("/", headers=HTML)
        text = client.get("/", headers={"Host": "127.0.0.1"})
    assert page.status == 200
    assert "container -y &#x27;&lt;app&gt;.tac&#x27;" in page.text
    assert str(tmp_path) in page.text
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert "  container -y '<app>.tac'\n" in text.text


@pytest.mark.parametrize(
    ("client", "fields"),
    [
        (("192.0.2.1", 1), {}),
        (HERE, {"Host": "evil.example"}),
        (HERE, {"X-Forwarded-For": "127.0.0.1"}),
        (("", 0), {}),
    ],
)
def test_nobody_else_does(tmp_path: Path, client: tuple[str, int], fields: dict[str, str]) -> None:
    (tmp_path / "site.tac").touch()
    with Client(Welcome(str(tmp_path)), client=client) as visitor:
        answer = visitor.get("/", headers={**HTML, **fields})
    assert answer.status == 200
    assert str(tmp_path) not in answer.text
    assert "Found" not in answer.text
    assert "container --path public" in answer.text


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    """Its policy lets nothing in but its own style."""
    with Client(Welcome(str(tmp_path)), client=HERE) as client:
        answer = client.get("/", headers=HTML)
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"(src|href)=\"(?!data:)", answer.text)


def test_other_paths_are_not_found(tmp_path: Path) -> None:
    """RT-16: and not a listing."""
    with Client(Welcome(str(tmp_path)), client=HERE) as client:
        answer = client.get("/x/y", headers=HTML)
    assert answer.status == 404
    assert "container was started without anything to serve." in answer.text
