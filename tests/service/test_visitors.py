"""Who asks, told by what a request looks like, and by what only those know who can read the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from container.message.response import Response
from container.service.visitors import Pass, is_from_here
from container.testing import Client
from container.tree.resource import Resource

if TYPE_CHECKING:
    from container.message.request import Request

HERE = ("127.0.0.1", 50000)
TOKEN = "a-token-of-the-test"


class Who(Resource):
    is_leaf = True

    def render(self, request: Request) -> Response:
        entry = Pass(TOKEN)
        admitted = entry.admit(request)
        return admitted or Response.text(f"{is_from_here(request)} {entry.is_shown(request)}")


def ask(fields: dict[str, str], client: tuple[str, int] = HERE, target: str = "/") -> str:
    with Client(Who(), client=client) as visitor:
        return visitor.get(target, headers={"Host": "127.0.0.1:8080", **fields}).text


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "app.localhost:8080", "127.0.0.1", "[::1]:8080"]
)
@pytest.mark.parametrize("client", [HERE, ("::1", 1), ("127.1.2.3", 1)])
def test_who_is_here(host: str, client: tuple[str, int]) -> None:
    assert ask({"Host": host}, client) == "True False"


@pytest.mark.parametrize(
    "name",
    [
        "Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Server",
        "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Ssl", "X-Real-IP", "X-Client-IP", "Client-IP",
        "X-Cluster-Client-IP", "True-Client-IP", "CF-Connecting-IP", "CF-Ray", "CDN-Loop", "Fly-Client-IP",
        "Fastly-Client-IP", "X-Envoy-External-Address", "X-Original-Host", "X-Original-Forwarded-For",
        "X-Azure-ClientIP", "X-AppEngine-User-IP", "X-Amzn-Trace-Id", "X-Vercel-Id", "Tailscale-User-Login",
        "X-Scheme", "Front-End-Https", "x-forwarded-proto",
    ],
)  # fmt: skip
def test_a_field_of_a_proxy_tells_that_somebody_else_asks(name: str) -> None:
    """One is enough, and whatever it says."""
    assert ask({name: "127.0.0.1", "Cookie": f"container-debug-8080={TOKEN}"}) == "False False"


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1"]
)
def test_a_name_that_is_none_of_this_machine(host: str) -> None:
    """DNS rebinding: the page of evil.example would read the answer."""
    assert ask({"Host": host, "Cookie": f"container-debug-80={TOKEN}"}) == "False False"


def test_another_machine() -> None:
    assert ask({}, ("192.0.2.1", 1)) == "False False"


def test_a_program_that_speaks_as_proxies_do() -> None:
    """nginx, by default: HTTP/1.0, and Host is the address it connects to."""
    with Client(Who(), client=HERE) as visitor:
        connection = visitor.connect()
        connection.send(b"GET / HTTP/1.0\r\nHost: 127.0.0.1:8080\r\nConnection: close\r\n\r\n")
        assert connection.receive().text == "False False"


@pytest.mark.parametrize(
    ("host", "cookie", "is_shown"),
    [
        ("localhost:8080", f"a=b; container-debug-8080={TOKEN}", True),
        ("localhost", f"container-debug-80={TOKEN}", True),
        ("localhost:8081", f"container-debug-8080={TOKEN}", False),
        ("localhost:8080", "container-debug-8080=a-token-of-the-tesT", False),
        ("localhost:8080", "container-debug-8080=ä", False),
        ("localhost:8080", "container-debug-8080=", False),
    ],
)
def test_who_brings_the_cookie(host: str, cookie: str, *, is_shown: bool) -> None:
    assert ask({"Host": host, "Cookie": cookie}) == f"True {is_shown}"


@pytest.mark.parametrize(
    ("target", "fields", "is_admitted"),
    [
        (f"/?__debugger__={TOKEN}", {}, True),
        (f"/?__debugger__={TOKEN}&x", {}, False),
        ("/?__debugger__=another", {}, False),
        ("/?__debugger__=%C3%A4", {}, False),
        ("/", {}, False),
        (f"/?__debugger__={TOKEN}", {"Host": "evil.example"}, False),
        (f"/?__debugger__={TOKEN}", {"Via": "1.1 front"}, False),
    ],
)
def test_who_is_let_in(target: str, fields: dict[str, str], *, is_admitted: bool) -> None:
    with Client(Who(), client=HERE) as visitor:
        answer = visitor.get(target, headers={"Host": "localhost:8080", **fields})
    assert (answer.status == 303) == is_admitted
    if is_admitted:
        assert answer.headers["location"] == "/"
        assert answer.headers["set-cookie"] == (
            f"container-debug-8080={TOKEN}; Path=/; HttpOnly; SameSite=Lax"
        )
        assert answer.headers["referrer-policy"] == "no-referrer"
