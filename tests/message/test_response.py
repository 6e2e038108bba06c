import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.message.errors import ExchangeStateError
from container.message.headers import Headers
from container.message.response import HTML, JSON, TEXT, Response


@pytest.mark.parametrize(
    ("response", "status", "content_type", "body"),
    [
        (Response(), 200, None, b""),
        (Response(""), 200, None, b""),
        (Response(b"x"), 200, HTML, b"x"),
        (Response("caf\xe9"), 200, HTML, b"caf\xc3\xa9"),
        (Response(b"x", 404), 404, HTML, b"x"),
        (Response(b"x", headers={"content-type": "image/png"}), 200, "image/png", b"x"),
        (Response(b"x", headers={"content-type": "a/b"}, content_type="image/png"), 200, "image/png", b"x"),
        (Response(content_type="image/png"), 200, "image/png", b""),
        (Response.html("<p>"), 200, HTML, b"<p>"),
        (Response.html("", 500), 500, HTML, b""),
        (Response.text("\u20ac", 201), 201, TEXT, b"\xe2\x82\xac"),
        (Response.json({"a": [1, None, "\u20ac"]}), 200, JSON, b'{"a":[1,null,"\xe2\x82\xac"]}'),
        (Response.json(None, 400, {"X": "y"}), 400, JSON, b"null"),
    ],
)
def test_what_a_response_says(response: Response, status: int, content_type: str | None, body: bytes) -> None:
    assert (response.status, response.body) == (status, body)
    assert response.headers.get("Content-Type") == content_type
    assert len(response.headers.get_all("Content-Type")) == (content_type is not None)


def test_streamed_content_has_a_type_too() -> None:
    pieces = iter([b"a", b"b"])
    response = Response(pieces)
    assert response.body is pieces
    assert response.headers["content-type"] == HTML


@pytest.mark.parametrize("headers", [{"X": "y"}, [("X", "y")], Headers({"X": "y"})])
def test_headers_may_come_in_any_shape(headers: dict[str, str]) -> None:
    assert Response(headers=headers).headers.items() == [("X", "y")]


def test_headers_given_to_a_response_are_not_changed() -> None:
    headers = {"X": "y"}
    Response(b"x", headers=headers).headers.set("X", "z")
    assert headers == {"X": "y"}


@pytest.mark.parametrize("status", [100, 199, 1000, "200", True])
def test_only_final_statuses_make_a_response(status: int) -> None:
    with pytest.raises(ValueError, match="final status"):
        Response(b"", status)


def test_a_sent_response_is_frozen_but_its_copy_is_not() -> None:
    response = Response(b"x", 201, {"X": "y"}, reason="Made")
    block = response.block()
    assert response.block() is block
    with pytest.raises(ExchangeStateError):
        response.headers.set("X", "z")
    copy = response.copy()
    copy.headers.set("X", "z")
    assert (copy.status, copy.reason, copy.body) == (201, "Made", b"x")
    assert b"X: z\r\n" in copy.block().lines
    assert b"X: y\r\n" in response.block().lines


def test_a_copy_is_of_the_same_class() -> None:
    class Page(Response):
        pass

    assert type(Page(b"x").copy()) is Page
    assert type(Page.text("x")) is Page


def test_json_of_what_json_cannot_say_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        Response.json({1, 2})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_say_where_to_go(status: int) -> None:
    response = Response.redirect("/a?b=c&d", status)
    assert (response.status, response.headers["location"]) == (status, "/a?b=c&d")
    assert response.headers["content-type"] == HTML
    assert isinstance(response.body, bytes)
    assert b'href="/a?b=c&amp;d"' in response.body


def test_a_redirect_is_found_unless_told_otherwise() -> None:
    assert Response.redirect("/").status == 302
    for status in (200, 300, 304, 305, 400):
        with pytest.raises(ValueError, match="redirect status"):
            Response.redirect("/", status)


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("", ""),
        ("../up?x#y", "../up?x#y"),
        ("https://user@[::1]:8/%41;p=(1)!*'~", "https://user@[::1]:8/%41;p=(1)!*'~"),
        ("/caf\xe9 \u20ac", "/caf%C3%A9%20%E2%82%AC"),
        ('/"><script>', "/%22%3E%3Cscript%3E"),
        ("/a\r\nSet-Cookie: x=1", "/a%0D%0ASet-Cookie:%20x=1"),
    ],
)
def test_redirect_targets_are_made_safe(url: str, location: str) -> None:
    assert Response.redirect(url).headers["location"] == location


@given(st.text(st.characters(codec="utf-8")))
def test_no_redirect_target_leaves_its_field_or_its_page(url: str) -> None:
    response = Response.redirect(url)
    assert len(response.block().lines.split(b"\r\n")) == 3
    assert isinstance(response.body, bytes)
    assert response.body.count(b"<") == 6
    assert response.body.count(b'"') == 2


def test_representation_tells_status_and_size() -> None:
    assert repr(Response(b"abc", 404)) == "<Response 404 3 bytes>"
    assert repr(Response([b"abc"])) == "<Response 200 streamed>"


def test_cookies_are_added_with_their_attributes() -> None:
    response = Response("x")
    response.set_cookie("a", "1", max_age=60, httponly=True, samesite="lax")
    response.delete_cookie("b", path="/shop")
    first, second = response.headers.get_all("Set-Cookie")
    assert first == "a=1; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"
    assert second.startswith("b=;")
    assert "Path=/shop" in second


def test_a_cookie_cannot_be_added_to_what_was_sent() -> None:
    response = Response("x")
    response.block()
    with pytest.raises(ExchangeStateError):
        response.set_cookie("a", "1")


def test_a_cookie_cannot_hold_another_field() -> None:
    with pytest.raises(ValueError, match="cookie"):
        Response("x").set_cookie("a", "1\r\nX-Injected: yes")
