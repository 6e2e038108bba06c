from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from container.message.authority import split_authority
from container.message.body import EMPTY, Body, SpoolQuota
from container.message.connection import Connection
from container.message.errors import ClientDisconnected, ExchangeStateError, HTTPError
from container.message.form_limits import FormError, FormLimits
from container.message.request import Request, decode_segment

T = TypeVar("T")


def made(target: bytes = b"/", *fields: tuple[bytes, bytes], body: Body = EMPTY) -> Request:
    path, _, query = target.partition(b"?")
    request = Request("GET", target, path, query, "1.1", list(fields), body)
    request.connection = Connection(("10.0.0.9", 50000), ("10.0.0.1", 8080))
    return request


def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine comes to that never has to wait, though it may give others their turn."""
    try:
        for _ in range(1000):
            assert coroutine.send(None) is None, "it waits"
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it does not end")


class Sender:
    """The part of an exchange that content comes from: a piece for every `receive`."""

    def __init__(self, body: Body, *pieces: bytes | Exception) -> None:
        self.body = body
        self.pieces = list(pieces)

    async def receive(self) -> None:
        if not self.pieces:
            self.body.finish([])
            return
        piece = self.pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        self.body.feed(piece)

    async def complete(self) -> None:
        while not self.body.complete:
            await self.receive()


def sending(*pieces: bytes | Exception, content_type: bytes = b"text/plain") -> Request:
    request = made(b"/", (b"content-type", content_type), body=Body())
    request.exchange = Sender(request.body, *pieces)  # type: ignore[assignment]  # enough of an exchange
    return request


def test_the_parts_of_a_target() -> None:
    request = made(b"/a%20b/caf%C3%A9?q=%20+&x")
    assert (request.method, request.http_version) == ("GET", "1.1")
    assert (request.raw_target, request.raw_path) == (b"/a%20b/caf%C3%A9?q=%20+&x", b"/a%20b/caf%C3%A9")
    assert (request.path, request.query_string) == ("/a b/café", "q=%20+&x")
    assert repr(request) == "<Request GET /a%20b/caf%C3%A9?q=%20+&x HTTP/1.1>"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", []),
        (b"q=1&q=2&r=&x=?y", [("q", "1"), ("q", "2"), ("r", ""), ("x", "?y")]),
        (b"s;t=4&u=%41+b", [("s;t", "4"), ("u", "A b")]),
        (b"s", [("s", "")]),
        (b"a=%C3%A9&b=%ff", [("a", "é"), ("b", "\ufffd")]),
    ],
)
def test_arguments_of_the_query(query: bytes, expected: list[tuple[str, str]]) -> None:
    request = made(b"/?" + query)
    assert request.args.items() == expected
    assert request.args is request.args


FIELDS = [(b"host", b"h"), (b"x-a", b"1"), (b"x-a", b"caf\xe9"), (b"cookie", b"a=1; b"), (b"cookie", b"a=2")]


def test_fields_as_bytes_and_as_text() -> None:
    request = made(b"/", *FIELDS)
    assert request.raw_header(b"x-a") == b"caf\xe9"
    assert request.raw_header(b"missing") is None
    assert request.headers.get_all("X-A") == ["1", "caf\xe9"]
    assert request.headers["x-a"] == "caf\xe9"
    assert request.headers is request.headers
    with pytest.raises(ExchangeStateError):
        request.headers.set("X", "y")


def test_cookies_of_all_lines() -> None:
    request = made(b"/", *FIELDS)
    assert request.cookies == {"a": "2"}
    assert request.cookies is request.cookies
    assert made().cookies == {}


def test_cookies_are_those_of_the_fields_that_took_the_place_of_what_came() -> None:
    request = made(b"/", (b"cookie", b"a=1"))
    assert request.cookies == {"a": "1"}
    request.set_fields([(b"cookie", b"a=2")])
    assert (request.cookies, request.headers.get("cookie")) == ({"a": "2"}, "a=2")


def test_authorization_of_the_basic_scheme() -> None:
    assert made(b"/", (b"authorization", b"Basic dTpwOnE=")).authorization == ("u", "p:q")
    assert made(b"/", (b"authorization", b"Bearer x")).authorization == ("", "")
    assert made().authorization == ("", "")


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        (b"/", [""]),
        (b"//", ["", ""]),
        (b"/a", ["a"]),
        (b"/a/", ["a", ""]),
        (b"/a%2Fb/c", ["a/b", "c"]),
        (b"/a/../b", ["a", "..", "b"]),
        (b"/%C3%A9", ["é"]),
        (b"/x/y%2Fz/", ["x", "y/z", ""]),
        (b"/%ff", ["\ufffd"]),
        (b"", []),
    ],
)
def test_segments_are_split_before_they_are_decoded(path: bytes, segments: list[str]) -> None:
    request = made(path)
    assert (request.prepath, request.postpath) == ((), tuple(segments))
    request.consumed = len(path)
    assert (request.prepath, request.postpath) == (tuple(segments), ())


def test_segments_move_while_the_path_is_walked() -> None:
    request = made(b"/a%20b/c/d%2Fe/?q")
    request.consumed = len(b"/a%20b/c")
    assert (request.prepath, request.postpath) == (("a b", "c"), ("d/e", ""))
    assert (request.script_name, request.path_info) == ("/a b/c", "/d/e/")


@pytest.mark.parametrize(
    ("authority", "name", "port"),
    [
        ("x", "x", None),
        ("x:81", "x", 81),
        ("x:", "x", None),
        ("[::1]", "::1", None),
        ("[::1]:81", "::1", 81),
        ("[::1]:", "::1", None),
        ("", "", None),
        (":81", "", 81),
        ("x:y", "x", None),
        ("x:\xb2", "x", None),
    ],
)
def test_authorities_come_apart(authority: str, name: str, port: int | None) -> None:
    assert split_authority(authority) == (name, port)
    request = made(b"/", (b"host", authority.encode("latin-1")))
    if authority:
        assert (request.host, request.hostname, request.port) == (authority, name, port or 80)


def test_without_a_host_field_the_local_address_must_do() -> None:
    request = made()
    assert (request.host, request.hostname, request.port) == ("10.0.0.1:8080", "10.0.0.1", 8080)
    request.connection = Connection(None, ("::1", 81))
    assert (request.host, request.hostname, request.port) == ("[::1]:81", "::1", 81)
    request.connection = Connection(path="/run/app.sock")
    assert (request.host, request.hostname, request.port, request.client) == (
        "localhost",
        "localhost",
        80,
        None,
    )


def test_the_client_is_the_peer_whatever_fields_say() -> None:
    assert made(b"/", (b"x-forwarded-for", b"1.2.3.4")).client == ("10.0.0.9", 50000)


def test_security_is_the_connections() -> None:
    request = made(b"/", (b"host", b"h"))
    assert (request.is_secure, request.scheme, request.port) == (False, "http", 80)
    request.connection = Connection(secure=True)
    assert (request.is_secure, request.scheme, request.port) == (True, "https", 443)
    assert request.connection.scheme == "https"


@pytest.mark.parametrize(
    ("host", "port", "secure", "expected"),
    [
        ("x", None, None, ("x", "x", 80, False)),
        ("x", 80, None, ("x", "x", 80, False)),
        ("x", 81, None, ("x:81", "x", 81, False)),
        ("x", 443, True, ("x", "x", 443, True)),
        ("x", 80, True, ("x:80", "x", 80, True)),
        ("x", 443, False, ("x:443", "x", 443, False)),
        ("::1", None, True, ("[::1]", "::1", 443, True)),
        ("[::1]", 8080, False, ("[::1]:8080", "::1", 8080, False)),
    ],
)
def test_the_outside_may_know_this_server_by_another_name(
    host: str, port: int | None, secure: bool | None, expected: tuple[str, str, int, bool]
) -> None:
    request = made(b"/", (b"host", b"inner:9"))
    assert not request.is_masked
    request.set_host(host, port, secure=secure)
    assert (request.host, request.hostname, request.port, request.is_secure) == expected
    assert request.is_masked


def test_one_lazy_value_does_not_mask_the_host() -> None:
    request = made(b"/", (b"host", b"h"))
    assert request.args.items() == []
    assert (request.host, request.is_secure, request.is_masked) == ("h", False, False)


def test_content_is_read_whole_and_stays_readable() -> None:
    request = sending(b"ab", b"", b"cd")
    assert finished(request.read()) == b"abcd"
    assert finished(request.read()) == b"abcd"
    assert finished(made().read()) == b""


def test_content_is_streamed_as_it_comes() -> None:
    async def pieces(request: Request) -> list[bytes]:
        return [piece async for piece in request.stream()]

    assert finished(pieces(sending(b"ab", b"cd"))) == [b"ab", b"cd"]
    assert finished(pieces(made())) == []


def test_content_that_does_not_come_is_an_error() -> None:
    with pytest.raises(ClientDisconnected):
        finished(sending(b"ab", ClientDisconnected("gone")).read())


@pytest.mark.parametrize(
    ("content", "value"), [(b"null", None), (b'{"a": [1]}', {"a": [1]}), ('"é"'.encode(), "é"), (b" 1 ", 1)]
)
def test_json_content(content: bytes, value: object) -> None:
    request = sending(content)
    assert finished(request.json()) == value
    assert finished(request.json()) == value


@pytest.mark.parametrize("content", [b"", b"{", b"'a'", b"\xff", b"[" * 100_000, b"1 2"])
def test_content_that_is_no_json_is_a_bad_request(content: bytes) -> None:
    with pytest.raises(HTTPError, match="JSON") as caught:
        finished(sending(content).json())
    assert caught.value.status == 400


def test_form_content() -> None:
    request = sending(b"a=1&b", b"=%C3%A9&a=2", content_type=b"application/x-www-form-urlencoded")
    form = finished(request.form())
    assert form.items() == [("a", "1"), ("b", "é"), ("a", "2")]
    assert finished(request.form()) is form


@pytest.mark.parametrize("memory", [0, 1 << 20])
def test_a_client_may_leave_while_its_form_is_parsed(memory: int) -> None:
    """The content is gone then, and the files of the form have nobody left who would close them."""
    head = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    request = sending(content_type=b"multipart/form-data; boundary=x")
    request.body.spool(memory, SpoolQuota(1 << 20))
    request.body.feed(head + b"a" * 200_000 + b"\r\n--x--\r\n")
    request.body.finish([])
    parsing = request.form()
    parsing.send(None)
    request.release()
    with pytest.raises(ClientDisconnected):
        finished(parsing)


def test_content_that_is_no_form_is_refused() -> None:
    with pytest.raises(FormError) as caught:
        finished(sending(b"a=1").form())
    assert caught.value.status == 415


def test_forms_have_limits() -> None:
    request = sending(b"a=1&b=2", content_type=b"application/x-www-form-urlencoded")
    with pytest.raises(FormError) as caught:
        finished(request.form(FormLimits(max_fields=1)))
    assert caught.value.status == 413


@pytest.mark.parametrize(
    ("raw", "text"), [(b"", ""), (b"a+b", "a+b"), (b"%2f%2F", "//"), (b"%", "%"), (b"%zz", "%zz")]
)
def test_segments_are_decoded_once(raw: bytes, text: str) -> None:
    assert decode_segment(raw) == text
    assert decode_segment(b"%25" + raw) == "%" + text
