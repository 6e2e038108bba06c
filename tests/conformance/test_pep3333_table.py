"""Where WSGI servers differ, line by line: what an application and its client see of ours.

| what                                              | ours                                        |
|---------------------------------------------------|---------------------------------------------|
| `write()` callable                                | works, mixed with the iterable              |
| start_response again with exc_info, before a byte | the second status wins                      |
| status `42 Weird`                                 | 500                                         |
| CR LF in a response field                         | 500, nothing injected                       |
| content beyond Content-Length                     | cut off                                     |
| content of HEAD                                   | left out                                    |
| `X_Under`, which could pass for `X-Under`         | dropped                                     |
| two Cookie lines                                  | joined by `; `                              |
| the environment of the process                    | not in environ                              |
| chunked content                                   | decoded, no HTTP_TRANSFER_ENCODING          |
| content cut short                                 | the application never sees it as complete   |
| CL + TE, CL twice, `+5`, no Host, two Hosts       | 400                                         |
| bare LF, space before colon, obs-fold             | 400                                         |
| LF in a chunk extension, `0x5`                    | 400                                         |
| `Transfer-Encoding: xchunked`                     | 400                                         |
| Expect: 100-continue                              | asked when the application reads, not before |
| 70 KB field                                       | 431                                         |
| `%2F` and `..` in the path                        | decoded, untouched                          |
"""

from __future__ import annotations

import json
import os
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final
from wsgiref.validate import validator

import pytest

from container.resources.vhost import VirtualHosts
from container.resources.wsgi import WSGIResource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from container.testing import Client, RawAnswer
    from container.tree.resource import Resource
    from tests.conformance.conftest import Tree
    from tests.conformance.leaves import Stage

Environ = dict[str, Any]
# The hosts of the table, by how the application is run.
THREADS: Final = {"threads": 2, "inline": 0}


def application(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Behaves, or misbehaves, as its path says."""
    case = environ["PATH_INFO"].removeprefix("/")
    plain = [("Content-Type", "text/plain")]
    if case == "write":
        write = start_response("200 OK", plain)
        write(b"written ")
        return [b"returned"]
    if case == "twice":
        start_response("200 OK", plain)
        try:
            raise ValueError("planned")
        except ValueError:
            import sys

            start_response("503 Service Unavailable", plain, sys.exc_info())
        return [b"replaced"]
    if case == "status":
        start_response("42 Weird", plain)
        return [b""]
    if case == "split":
        start_response("200 OK", [("X-Evil", "a\r\nX-Injected: yes")])
        return [b"ok"]
    if case == "long":
        start_response("200 OK", [("Content-Length", "5")])
        return [b"01234", b"EXCESS"]
    if case == "unread":
        start_response("200 OK", plain)
        return [b"unread"]
    content = environ["wsgi.input"].read()
    told = {key: value for key, value in environ.items() if isinstance(value, str)} | {
        "content": content.decode()
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]


def small(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Takes what it is sent and says little."""
    content = BytesIO(environ["wsgi.input"].read(100))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    content.close()
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"ok"]


def make_tree(stage: Stage) -> Resource:
    hosts = {name: WSGIResource(application, threads=threads) for name, threads in THREADS.items()}
    return VirtualHosts({**hosts, "validated": WSGIResource(validator(small), threads=2)})


@pytest.fixture(params=THREADS)
def client(tree: Tree, request: pytest.FixtureRequest) -> Client:
    return at(tree, request.param)


def at(tree: Tree, host: str) -> Client:
    """The client, which asks this host from now on."""
    tree.client.headers.set("Host", host)
    return tree.client


def head(*lines: str, target: str = "/echo", method: str = "GET", host: str = "Host: a") -> bytes:
    lines = (f"{method} {target} HTTP/1.1", *((host,) if host else ()), *lines, "", "")
    return "\r\n".join(lines).encode("latin-1")


def send(client: Client, raw: bytes, *, eof: bool = False) -> RawAnswer:
    """What comes back from the client's host, which takes the place of `a`."""
    return client.send_raw(
        raw.replace(b"Host: a\r\n", b"Host: %b\r\n" % client.headers["Host"].encode()), eof=eof
    )


def told(client: Client, raw: bytes) -> Environ:
    answer = send(client, raw).responses[0]
    assert answer.status == 200
    value: Environ = answer.json()
    return value


def test_write_can_be_mixed_with_the_iterable(client: Client) -> None:
    assert client.get("/write").body == b"written returned"


def test_exc_info_before_the_first_byte_replaces_the_status(client: Client) -> None:
    answer = client.get("/twice")
    assert (answer.status, answer.body) == (503, b"replaced")


def test_a_status_that_is_none_is_a_500(client: Client) -> None:
    assert client.get("/status").status == 500
    assert client.get("/echo").status == 200


def test_no_field_can_hold_another(client: Client) -> None:
    raw = send(client, head(target="/split"))
    assert raw.responses[0].status == 500
    assert raw.responses[0].headers.get("X-Injected") is None


def test_content_beyond_its_length_is_cut_off(client: Client) -> None:
    assert client.get("/long").body == b"01234"


def test_head_has_no_content(client: Client) -> None:
    assert client.request("HEAD", "/write").body == b""


def test_names_that_could_pass_for_others_are_dropped(client: Client) -> None:
    environ = told(client, head("X-Under: real", "X_Under: forged", "Proxy: http://evil.invalid/"))
    assert environ["HTTP_X_UNDER"] == "real"
    assert "HTTP_PROXY" not in environ


def test_cookie_lines_are_joined_as_cookies(client: Client) -> None:
    assert told(client, head("Cookie: a=1", "Cookie: b=2"))["HTTP_COOKIE"] == "a=1; b=2"


def test_the_environment_of_the_process_stays_out(client: Client) -> None:
    environ = told(client, head())
    # gunicorn sets this one in the environment.
    assert (environ.keys() & os.environ.keys()) - {"SERVER_SOFTWARE"} == set()


def test_chunked_content_is_decoded(client: Client) -> None:
    raw = head("Transfer-Encoding: chunked", method="POST") + b"5\r\nhello\r\n0\r\n\r\n"
    environ = told(client, raw)
    assert (environ["content"], environ["CONTENT_LENGTH"]) == ("hello", "5")
    assert "HTTP_TRANSFER_ENCODING" not in environ


@pytest.mark.parametrize(
    "raw",
    [
        head("Content-Length: 100", method="POST") + b"hello",
        head("Transfer-Encoding: chunked", method="POST") + b"5\r\nhello\r\n",
        head("Transfer-Encoding: chunked", method="POST") + b"5\r\nhello\r\n0\r\nX: y\r\n",
    ],
)
def test_content_that_was_cut_short_is_never_complete(client: Client, raw: bytes) -> None:
    answers = send(client, raw, eof=True).responses
    assert [answer.status for answer in answers] in ([400], [])


SMUGGLED = head(target="/smuggled")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (head("Content-Length: 5", "Transfer-Encoding: chunked", method="POST") + b"0\r\n\r\n", 400),
        (head("Content-Length: 5", "Content-Length: 6", method="POST") + b"hello", 400),
        (head("Content-Length: +5", method="POST") + b"hello", 400),
        (head(host=""), 400),
        (head("Host: b"), 400),
        (b"GET /echo HTTP/1.1\nHost: a\n\n", 400),
        (head("X-A : b"), 400),
        (head("X-A: b", " folded"), 400),
        (head("Transfer-Encoding: chunked", method="POST") + b"5;\n\r\nhello\r\n0\r\n\r\n", 400),
        (head("Transfer-Encoding: chunked", method="POST") + b"0x5\r\nhello\r\n0\r\n\r\n", 400),
        (head("Transfer-Encoding: xchunked", method="POST") + b"5\r\nhello\r\n0\r\n\r\n", 400),
        (head("X-A: " + "b" * 70_000), 431),
    ],
)
def test_what_is_ambiguous_is_refused_and_nothing_after_it_runs(
    client: Client, raw: bytes, status: int
) -> None:
    answer = send(client, raw + SMUGGLED)
    assert [each.status for each in answer.responses] == [status]
    assert answer.responses[0].headers["Connection"] == "close"
    assert answer.responses[0].complete


def test_the_client_is_asked_to_continue_when_the_application_reads(tree: Tree) -> None:
    client = at(tree, "threads")
    expecting = ("Content-Length: 5", "Expect: 100-continue")
    connection = client.connect()
    connection.send(head(*expecting, target="/unread", method="POST", host="Host: threads"))
    unread = connection.receive()
    assert (unread.status, [each.status for each in unread.interim]) == (200, [])
    connection = client.connect()
    connection.send(head(*expecting, method="POST", host="Host: threads"))
    client.wait_until(lambda: b"100 Continue" in connection.data, "to be asked")
    connection.send(b"hello")
    assert connection.receive().json()["content"] == "hello"


@pytest.mark.parametrize(
    ("target", "path"),
    [("/a%2Fb/../c", "/a/b/../c"), ("/%2e%2e/x", "/../x"), ("//a//", "//a//"), ("/%C3%A9", "/Ã©")],
)
def test_paths_are_decoded_once_and_never_normalised(client: Client, target: str, path: str) -> None:
    assert told(client, head(target=target))["PATH_INFO"] == path


@pytest.mark.parametrize(
    "raw",
    [
        head(),
        head(method="HEAD"),
        head("Content-Length: 5", "Content-Type: text/plain", method="POST") + b"hello",
        head("Transfer-Encoding: chunked", method="POST") + b"5\r\nhello\r\n0\r\n\r\n",
    ],
)
def test_the_validator_of_the_standard_library_finds_nothing(tree: Tree, raw: bytes) -> None:
    assert [each.status for each in send(at(tree, "validated"), raw).responses] == [200]
