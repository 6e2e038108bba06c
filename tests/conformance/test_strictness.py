"""What is malformed or ambiguous is refused, and nothing behind it is executed (RFC 9112 2 to 7, 11.2).

Each probe is followed by a request that would be executed if the probe ended elsewhere than it does for us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conformance.client import Client
    from tests.conformance.conftest import Served

# `%T` is the target of a leaf that answers, `%E` of one that echoes its content.
_GET = "GET %T HTTP/1.1\r\nHost: h\r\n"
_POST = "POST %E HTTP/1.1\r\nHost: h\r\n"
_CHUNKED = _POST + "Transfer-Encoding: chunked\r\n\r\n"
_HOSTLESS = "GET %T HTTP/1.1\r\n"

REQUEST_LINES = {
    "two spaces": "GET  %T HTTP/1.1",
    "space before the method": " GET %T HTTP/1.1",
    "space at the end": "GET %T HTTP/1.1 ",
    "tabs": "GET\t%T\tHTTP/1.1",
    "no version": "GET %T",
    "no target": "GET HTTP/1.1",
    "no method": " %T HTTP/1.1",
    "a space in the target": "GET %T a HTTP/1.1",
    "a NUL in the target": "GET %T\0 HTTP/1.1",
    "a CR in the target": "GET %T\r HTTP/1.1",
    "a fragment": "GET %T#part HTTP/1.1",
    "no slash": "GET hello HTTP/1.1",
    "a broken authority": "GET http://a b/ HTTP/1.1",
    "a user in the authority": "GET http://user@h%T HTTP/1.1",
    "a lower-case version": "GET %T http/1.1",
    "another protocol": "GET %T HTTPS/1.1",
    "a long version": "GET %T HTTP/1.10",
    "a version of one digit": "GET %T HTTP/1",
    "a colon in the method": "GE:T %T HTTP/1.1",
    "a method beyond ASCII": "G\xc9T %T HTTP/1.1",
    "words": "hello",
}
FIELD_LINES = {
    "space before the colon": "X-A : 1",
    "tab before the colon": "X-A\t: 1",
    "obs-fold by a space": "X-A: 1\r\n 2",
    "obs-fold by a tab": "X-A: 1\r\n\t2",
    "a folded framing": "Transfer-Encoding:\r\n chunked",
    "an empty name": ": 1",
    "no colon": "X-A",
    "a space in the name": "X A: 1",
    "a bracket in the name": "X(A): 1",
    "a name beyond ASCII": "X-\xc9: 1",
    "a NUL in the name": "X\0A: 1",
    "a NUL in the value": "X-A: 1\0",
    "a CR in the value": "X-A: 1\rX-B: 2",
    "a LF in the value": "X-A: 1\nX-B: 2",
    "a control in the value": "X-A: 1\x01",
}
HOSTS = {
    "no Host": "",
    "two Hosts": "Host: h\r\nHost: i\r\n",
    "the same Host twice": "Host: h\r\nHost: h\r\n",
    "a space in it": "Host: a b\r\n",
    "a slash in it": "Host: a/b\r\n",
    "a user in it": "Host: user@a\r\n",
    "a list": "Host: a, b\r\n",
    "a port that is no number": "Host: a:http\r\n",
    "half a bracket": "Host: [::1\r\n",
}
FRAMINGS = {
    "both": "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "both, the other way round": "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "two lengths": "Content-Length: 5\r\nContent-Length: 6",
    "the same length twice": "Content-Length: 5\r\nContent-Length: 5",
    "a list of lengths": "Content-Length: 5, 5",
    "a plus": "Content-Length: +5",
    "a minus": "Content-Length: -5",
    "hexadecimal": "Content-Length: 0x5",
    "a fraction": "Content-Length: 5.0",
    "an underscore": "Content-Length: 0_5",
    "digits beyond ASCII": "Content-Length: \xb2",
    "no length": "Content-Length:",
    "a space between": "Content-Length: 5 5",
    "a huge length": "Content-Length: 99999999999999999999999",
    "xchunked": "Transfer-Encoding: xchunked",
    "chunked twice": "Transfer-Encoding: chunked, chunked",
    "chunked on two lines": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "another coding first": "Transfer-Encoding: gzip, chunked",
    "another coding last": "Transfer-Encoding: chunked, gzip",
    "identity": "Transfer-Encoding: identity",
    "no coding": "Transfer-Encoding:",
    "a quoted coding": 'Transfer-Encoding: "chunked"',
    "a control before it": "Transfer-Encoding: \x0bchunked",
    "a parameter": "Transfer-Encoding: chunked;a=b",
}
CHUNKS = {
    "LF in an extension": "5;\nhello\r\n",
    "LF in the value of an extension": "5;a=b\nc\r\nhello\r\n",
    "CR in an extension": "5;a\rb\r\nhello\r\n",
    "an extension without a name": "5;\r\nhello\r\n",
    "LF after the size": "5\nhello\r\n",
    "0x": "0x5\r\nhello\r\n",
    "a plus": "+5\r\nhello\r\n",
    "a minus": "-5\r\nhello\r\n",
    "an underscore": "0_5\r\nhello\r\n",
    "a space before it": " 5\r\nhello\r\n",
    "no hexadecimal digit": "g\r\nhello\r\n",
    "no size": "\r\nhello\r\n",
    "more digits than any size": "00000000000000005\r\nhello\r\n",
    "a long extension": f"5;{'a' * 2000}\r\nhello\r\n",
    "more data than the size": "5\r\nhelloX\r\n",
    "less data than the size": "5\r\nhell\r\n\r\n",
    "LF after the data": "5\r\nhello\n",
    "a broken trailer": "5\r\nhello\r\n0\r\nno trailer\r\n\r\n",
    "LF after a trailer": "5\r\nhello\r\n0\r\nX-A: 1\n\r\n",
    "LF at the end": "5\r\nhello\r\n0\r\n\n",
}
GARBAGE = {
    "a TLS hello": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\x42" * 40,
    "zeros": "\0" * 20,
    "an SSH banner": "SSH-2.0-OpenSSH_9.9\r\n",
    "empty lines": "\r\n\r\n\r\n",
    "the preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a bare LF request": "GET %T HTTP/1.1\nHost: h\n\n",
    "a bare LF in the middle": "GET %T HTTP/1.1\r\nHost: h\nX-A: 1\r\n\r\n",
    "a bare LF at the end": "GET %T HTTP/1.1\r\nHost: h\r\n\n",
    "a bare LF after the request line": "GET %T HTTP/1.1\nHost: h\r\n\r\n",
}
OVERSIZE = {
    "a field of 70 KB": (_GET + f"X-A: {'a' * 70_000}\r\n\r\n", 431),
    "a field of 70 KB that does not end": (_GET + f"X-A: {'a' * 70_000}", 431),
    "70 KB of fields": (_GET + "X-A: 123456789\r\n" * 4500 + "\r\n", 431),
    "too many fields": (_GET + "A: 1\r\n" * 501 + "\r\n", 431),
    "a long target": (f"GET %T?{'a' * 70_000} HTTP/1.1\r\nHost: h\r\n\r\n", 414),
    "a long target that does not end": (f"GET %T?{'a' * 70_000}", 414),
}


def refused(served: Served, client: Client, probe: str, *, content_may_begin: bool = False) -> int:
    """Send a probe and a request behind it; the status of the one answer, after which nothing may come."""
    text = probe.replace("%T", served.path("hello")).replace("%E", served.path("echo"))
    client.send(text.encode("latin-1") + served.request("smuggled"))
    response = client.response()
    assert response.complete
    assert response.headers["connection"] == "close"
    assert response.headers["content-length"] == str(len(response.body))
    assert client.rest() == b""
    assert served.marks.uploads == []
    # A leaf may have begun to read content that breaks off later.
    assert served.marks.calls == [] or (content_may_begin and served.marks.calls == ["POST echo"])
    return response.status


def each(table: dict[str, str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("probe", table.values(), ids=table.keys())


@each(REQUEST_LINES)
def test_a_malformed_request_line_is_a_400(served: Served, client: Client, probe: str) -> None:
    assert refused(served, client, f"{probe}\r\nHost: h\r\n\r\n") == 400


@pytest.mark.parametrize("version", ["0.9", "2.0", "3.0"])
def test_another_major_version_is_refused(served: Served, client: Client, version: str) -> None:
    assert refused(served, client, f"GET %T HTTP/{version}\r\nHost: h\r\n\r\n") in (400, 505)


@pytest.mark.parametrize("method", ["get", "GETX", "G"])
def test_a_method_is_no_other_one(served: Served, client: Client, method: str) -> None:
    assert refused(served, client, f"{method} %T HTTP/1.1\r\nHost: h\r\n\r\n") in (400, 501)


@each(FIELD_LINES)
def test_a_malformed_field_line_is_a_400(served: Served, client: Client, probe: str) -> None:
    assert refused(served, client, f"{_GET}{probe}\r\n\r\n") == 400


def test_whitespace_before_the_first_field_is_a_400(served: Served, client: Client) -> None:
    assert refused(served, client, "GET %T HTTP/1.1\r\n X-A: 1\r\nHost: h\r\n\r\n") == 400


@each(HOSTS)
def test_anything_but_one_valid_host_is_a_400(served: Served, client: Client, probe: str) -> None:
    assert refused(served, client, f"{_HOSTLESS}{probe}\r\n") == 400


@each(FRAMINGS)
def test_an_ambiguous_framing_is_refused(served: Served, client: Client, probe: str) -> None:
    status = refused(served, client, f"{_POST}{probe}\r\n\r\n0\r\n\r\n")
    assert status in (400, 413 if "99999" in probe else 501)


def test_chunked_of_an_http_1_0_client_is_a_400(served: Served, client: Client) -> None:
    probe = _CHUNKED.replace("HTTP/1.1", "HTTP/1.0") + "0\r\n\r\n"
    assert refused(served, client, probe) == 400


@each(CHUNKS)
def test_a_malformed_chunk_is_a_400(served: Served, client: Client, probe: str) -> None:
    end = "" if "\n0\r\n" in probe else "0\r\n\r\n"
    assert refused(served, client, f"{_CHUNKED}{probe}{end}", content_may_begin=True) == 400


@each(GARBAGE)
def test_garbage_is_refused_at_once(served: Served, client: Client, probe: str) -> None:
    assert refused(served, client, probe) in (400, 505)


@pytest.mark.parametrize(("probe", "status"), OVERSIZE.values(), ids=OVERSIZE.keys())
def test_a_head_beyond_its_limits_is_refused(served: Served, client: Client, probe: str, status: int) -> None:
    assert refused(served, client, probe) == status


def test_trailers_beyond_their_limit_are_refused(served: Served, client: Client) -> None:
    probe = f"{_CHUNKED}5\r\nhello\r\n0\r\nX-A: {'a' * 70_000}\r\n\r\n"
    assert refused(served, client, probe, content_may_begin=True) in (400, 431)


def test_a_refusal_is_a_line_of_the_log(served: Served, client: Client) -> None:
    assert refused(served, client, "garbage\r\n\r\n") == 400
    assert [line.split('"')[2].split()[0] for line in served.log.refusals()] == ["400"]


def test_only_an_ambiguity_behind_good_requests_is_refused(served: Served, client: Client) -> None:
    client.send(served.request("hello") + served.post("echo", b"good") + served.request("hello", host=None))
    assert [client.response().status for _ in range(3)] == [200, 200, 400]
    assert client.rest() == b""
    assert served.marks.calls == ["GET hello", "POST echo"]


# What is unusual and none of this.


@pytest.mark.parametrize(
    "probe",
    {
        "an empty line before it": "\r\nGET %T HTTP/1.1\r\nHost: h\r\n\r\n",
        "no Host of HTTP/1.0": "GET %T HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "an empty Host": "GET %T HTTP/1.1\r\nHost:\r\n\r\n",
        "an IPv6 Host": "GET %T HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        "absolute-form": "GET http://other%T HTTP/1.1\r\nHost: h\r\n\r\n",
        "whitespace around a value": "GET %T HTTP/1.1\r\nHost: \t h \t\r\n\r\n",
        "leading zeros": "GET %T HTTP/1.1\r\nHost: h\r\nContent-Length: 000\r\n\r\n",
        "500 fields": "GET %T HTTP/1.1\r\nHost: h\r\n" + "A: 1\r\n" * 499 + "\r\n",
        "bytes beyond ASCII in a value": "GET %T HTTP/1.1\r\nHost: h\r\nX-A: \xc9\r\n\r\n",
    }.items(),
    ids=lambda item: item[0],
)
def test_a_good_request_is_answered_and_so_is_the_next(
    served: Served, client: Client, probe: tuple[str, str]
) -> None:
    request = probe[1].replace("%T", served.path("hello")).encode("latin-1")
    client.send(request + request + served.request("hello", "Connection: close"))
    assert [client.response().body for _ in range(3)] == [b"hello"] * 3
    assert client.rest() == b""


def test_the_asterisk_is_for_options_only(served: Served, client: Client) -> None:
    client.send(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")
    response = client.response("OPTIONS")
    assert (response.status, response.headers["content-length"]) == (200, "0")
    client.send(b"GET * HTTP/1.1\r\nHost: h\r\n\r\n")
    refusal = client.response()
    assert (refusal.status, refusal.headers["allow"]) == (405, "OPTIONS")
    assert served.marks.calls == []
