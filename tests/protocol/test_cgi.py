"""CGI/1.1: variables of requests (RFC 3875 4). Answers are test_answer.py's."""

from __future__ import annotations

from typing import Any

import pytest

from container.message.body import EMPTY, Body
from container.message.connection import Connection
from container.message.errors import HTTPError
from container.message.request import Request
from container.protocol.cgi import encode_variables, make_variables, query_arguments, script_url


def request(
    path: bytes = b"/env.cgi",
    query: bytes = b"",
    *fields: tuple[bytes, bytes],
    body: Body = EMPTY,
    **ends: Any,
) -> Request:
    target = path + (b"?" + query if query else b"")
    made = Request("GET", target, path, query, "1.1", [(b"host", b"a.example:8080"), *fields], body)
    made.connection = Connection(**({"client": ("10.0.0.1", 1234), "server": ("10.0.0.2", 8080)} | ends))
    return made


def variables(made: Request, name: bytes = b"/env.cgi", info: bytes = b"", **more: Any) -> dict[str, str]:
    return make_variables(made, {"PATH": "/bin"}, name, info, **more)


def test_variables_are_complete_and_nothing_else() -> None:
    """CG-02, CG-15"""
    assert variables(request(b"/env.cgi/x", b"q=1"), info=b"/x", root=b"/srv/") == {
        "PATH": "/bin",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "container",
        "REQUEST_METHOD": "GET",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_URI": "/env.cgi/x?q=1",
        "QUERY_STRING": "q=1",
        "SCRIPT_NAME": "/env.cgi",
        "PATH_INFO": "/x",
        "PATH_TRANSLATED": "/srv/x",
        "HTTP_HOST": "a.example:8080",
        "REMOTE_ADDR": "10.0.0.1",
        "REMOTE_HOST": "10.0.0.1",
        "REMOTE_PORT": "1234",
        "SERVER_NAME": "a.example",
        "SERVER_PORT": "8080",
        "REQUEST_SCHEME": "http",
    }


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (
            {"client": None, "server": None},
            {"REMOTE_ADDR": "", "SERVER_NAME": "a.example"},
        ),
        ({"secure": True}, {"HTTPS": "on", "REQUEST_SCHEME": "https", "SERVER_PORT": "8080"}),
        ({"client": ("::1", 5)}, {"REMOTE_ADDR": "::1", "REMOTE_PORT": "5"}),
    ],
)
def test_every_kind_of_listener_has_variables(ends: dict[str, Any], expected: dict[str, str]) -> None:
    """CG-02, CG-21"""
    made = variables(request(**ends))
    assert {name: made.get(name) for name in expected} == expected
    assert ("REMOTE_PORT" in made) == (ends.get("client", True) is not None)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/a/x.cgi", b"/a/x.cgi"),
        (b"/a/x", b"/a/x"),
        (b"/a/", b"/a/an%20index%25.cgi"),
        (b"/", b"/an%20index%25.cgi"),
    ],
)
def test_a_script_among_files_has_its_own_name(path: bytes, expected: bytes) -> None:
    """CG-02: SCRIPT_NAME leads to the script, also where only its directory was asked for."""
    assert script_url(path, b"/srv/www/an index%.cgi") == expected


def test_an_ipv6_host_is_a_server_name_without_brackets() -> None:
    """CG-02"""
    made = request()
    made.raw_headers = [(b"host", b"[::1]:81")]
    assert (variables(made)["SERVER_NAME"], variables(made)["SERVER_PORT"]) == ("::1", "81")


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (b"", (None, None)),
        (b"/", ("/", "/srv/")),
        (b"/extra/path", ("/extra/path", "/srv/extra/path")),
        (b"/a%2Fb%20c", ("/a/b c", "/srv/a/b c")),
        (b"/%252F", ("/%2F", "/srv/%2F")),
        (b"/../etc", ("/../etc", None)),
        (b"/%2e%2e%2fetc", ("/../etc", None)),
        (b"/%C3%A4", ("/\xc3\xa4", "/srv/\xc3\xa4")),
    ],
)
def test_path_info_is_decoded_once_and_never_translated_out_of_the_root(
    info: bytes, expected: tuple[str | None, str | None]
) -> None:
    """CG-03"""
    made = variables(request(b"/env.cgi" + info), info=info, root=b"/srv")
    assert (made.get("PATH_INFO"), made.get("PATH_TRANSLATED")) == expected


def test_fields_that_could_pass_for_something_else_are_left_out() -> None:
    """CG-16"""
    fields = [
        (b"proxy", b"evil"), (b"x_foo", b"1"), (b"authorization", b"Basic x"), (b"proxy-authorization", b"y"),
        (b"x-bar", b"1"), (b"x-bar", b"2"), (b"cookie", b"a=1"), (b"cookie", b"b=2"),
        (b"transfer-encoding", b"chunked"),
    ]  # fmt: skip
    made = variables(request(b"/env.cgi", b"", *fields))
    named = {name: value for name, value in made.items() if name.startswith("HTTP_") and name != "HTTP_HOST"}
    assert named == {"HTTP_X_BAR": "1,2", "HTTP_COOKIE": "a=1; b=2"}
    assert "PROXY" not in made


def test_what_the_server_says_is_not_replaced_by_what_a_client_says() -> None:
    """CG-02"""
    made = request(b"/env.cgi", b"", (b"x-role", b"admin"), (b"x-team", b"red"))
    made.variables = {"HTTP_X_TEAM": "blue"}
    told = make_variables(made, {"HTTP_X_ROLE": "guest"}, b"/env.cgi", b"")
    assert (told["HTTP_X_ROLE"], told["HTTP_X_TEAM"]) == ("guest", "blue")


def test_credentials_are_passed_on_when_asked_for() -> None:
    """CG-16"""
    made = variables(request(b"/", b"", (b"authorization", b"Basic x")), authorization=True)
    assert made["HTTP_AUTHORIZATION"] == "Basic x"


def test_who_was_authenticated_is_told() -> None:
    """CG-02, AU-04"""
    made = request()
    made.set_user("mary", "Basic")
    assert (variables(made)["REMOTE_USER"], variables(made)["AUTH_TYPE"]) == ("mary", "Basic")


@pytest.mark.parametrize(
    ("fields", "length", "sent", "expected"),
    [
        ((), 0, b"", None),
        (((b"content-length", b"0"),), 0, b"", "0"),
        (((b"content-length", b"5"),), 5, b"12345", "5"),
        (((b"transfer-encoding", b"chunked"),), None, b"123", "3"),
        (((b"transfer-encoding", b"chunked"),), None, b"", "0"),
    ],
)
def test_content_length_is_true(
    fields: tuple[tuple[bytes, bytes], ...], length: int | None, sent: bytes, expected: str | None
) -> None:
    """CG-02, CG-05: also of chunked content, which has been put together; none without content."""
    body = Body(length)
    if sent:
        body.feed(sent)
    body.finish([])
    assert variables(request(b"/", b"", *fields, body=body)).get("CONTENT_LENGTH") == expected


def test_a_nul_cannot_add_a_variable() -> None:
    made = variables(request(b"/env.cgi/a%00LD_PRELOAD=x"), info=b"/a%00LD_PRELOAD=x")
    with pytest.raises(HTTPError) as caught:
        encode_variables(made)
    assert caught.value.status == 400
    assert encode_variables({"A": "1", "B": "\xe4"}) == b"A\x001\0B\0\xe4"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", []),
        (b"a+b%20c", [b"a", b"b c"]),
        (b"a=b", []),
        (b"-s", []),
        (b"a+%2ds", []),
        (b"a+%00", []),
        (b"a+%3D", [b"a", b"="]),
    ],
)
def test_a_query_never_becomes_an_option(query: bytes, expected: list[bytes]) -> None:
    """CG-04"""
    assert query_arguments(query) == expected
