"""What a leaf answers is the same under any server: ours, and those that run the tree by `as_asgi` or `as_wsgi`.

The same cases for native resources, WSGI and ASGI applications; what a host cannot do is told in `hosts.CANNOT`.
How our own channel treats its clients has suites of its own beside this one.
"""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from tests.conformance.client import PATIENCE_S, NoAnswer
from tests.conformance.hosts import BODY_MAX, KINDS, Host, Leaf, hosts_that_can, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# With several processes: by `make soak`.
DRILLED = ("gunicorn-3",)
LARGE = bytes(range(256)) * 4096


@pytest.fixture(scope="module")
def hosts() -> Iterator[Callable[[str], Host]]:
    """Servers, each started when it is first asked for."""
    running: dict[str, Host] = {}

    def running_host(name: str) -> Host:
        if name not in running:
            running[name] = start(name)
        return running[name]

    yield running_host
    codes = {name: host.end() for name, host in running.items()}
    assert set(codes.values()) <= {0, -15}, f"expected them to end well, got {codes}"


@pytest.fixture
def leaf(request: pytest.FixtureRequest, hosts: Callable[[str], Host]) -> Iterator[Leaf]:
    name, kind = request.param
    leaf = Leaf(hosts(name), kind)
    leaf.reset()
    yield leaf
    leaf.marks.go.set()  # whoever still waits shall go on


def leaves(feature: str = "") -> pytest.MarkDecorator:
    """Every kind of leaf on every host that has `feature`."""
    return _parametrized(feature, KINDS)


def trees(feature: str = "") -> pytest.MarkDecorator:
    """Every host that has `feature`, once: for what the tree does whatever the leaf."""
    return _parametrized(feature, KINDS[:1])


def _parametrized(feature: str, kinds: Sequence[str]) -> pytest.MarkDecorator:
    params = [
        pytest.param((host, kind), id=f"{host}-{kind}", marks=[pytest.mark.soak] if host in DRILLED else [])
        for host in hosts_that_can(feature)
        for kind in kinds
    ]
    return pytest.mark.parametrize("leaf", params, indirect=True)


# Answers.


@leaves()
def test_a_whole_answer_arrives_with_its_length(leaf: Leaf) -> None:
    with leaf.client() as client:
        client.send(leaf.request("hello"))
        response = client.response()
    assert (response.status, response.body, response.complete) == (200, b"hello", True)
    assert response.headers["content-type"] == "text/plain"
    assert response.headers["content-length"] == "5"
    assert response.headers["x-site"] == "ours"


@leaves()
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(
    ("case", "body"), [("pieces", b"onetwothree"), ("sized-pieces", b"onetwothree"), ("no-pieces", b"")]
)
def test_a_streamed_answer_arrives_whole(leaf: Leaf, case: str, body: bytes, version: str) -> None:
    with leaf.client() as client:
        client.send(leaf.request(case, "Connection: close", version=version))
        response = client.response()
    assert (response.status, response.body, response.complete) == (200, body, True)
    if case == "sized-pieces":
        assert response.headers["content-length"] == "11"


@leaves("head-of-streams")
@pytest.mark.parametrize("case", ["hello", "pieces", "sized-pieces"])
def test_an_answer_to_head_has_no_content(leaf: Leaf, case: str) -> None:
    with leaf.client() as client:
        client.send(leaf.request(case, "Connection: close", method="HEAD"))
        response = client.response("HEAD")
        assert (response.status, response.headers["content-type"]) == (200, "text/plain")
        assert client.rest() == b""


@leaves()
@pytest.mark.parametrize("case", ["204", "304", "204-pieces", "304-pieces"])
def test_204_and_304_have_no_content(leaf: Leaf, case: str) -> None:
    with leaf.client() as client:
        client.send(leaf.request(case, "Connection: close"))
        response = client.response()
        assert response.status == int(case[:3])
        assert client.rest() == b""


@leaves()
def test_repeated_fields_stay_apart(leaf: Leaf) -> None:
    with leaf.client() as client:
        client.send(leaf.request("cookies"))
        fields = client.response().fields
    assert [value for name, value in fields if name == "set-cookie"] == ["a=1; Path=/", "b=2"]


@leaves()
def test_a_redirect_is_left_as_it_is(leaf: Leaf) -> None:
    with leaf.client() as client:
        client.send(leaf.request("elsewhere"))
        response = client.response()
    assert (response.status, response.headers["location"]) == (303, "/there?a=%20b")


@leaves()
@pytest.mark.parametrize(("case", "body"), [("hello", b"hello"), ("pieces", b"onetwothree")])
def test_an_answer_is_encoded_for_those_who_take_it(leaf: Leaf, case: str, body: bytes) -> None:
    """EN-01, EN-03: in one piece and as it comes."""
    with leaf.client() as client:
        client.send(
            leaf.request(f"/encoded/{leaf.kind}/{case}", "Accept-Encoding: gzip", "Connection: close")
        )
        response = client.response()
    assert (response.headers["content-encoding"], response.complete) == ("gzip", True)
    assert "Accept-Encoding" in response.headers["vary"]
    assert gzip.decompress(response.body) == body


# Failures.


@leaves()
@pytest.mark.parametrize("case", ["crash", "fails-early", "value-crlf", "name-crlf", "value-nul"])
def test_a_failure_before_the_answer_is_a_500_of_the_tree(leaf: Leaf, case: str) -> None:
    with leaf.client() as client:
        client.send(leaf.request(case))
        response = client.response()
    assert (response.status, response.complete) == (500, True)
    assert response.headers["x-site"] == "ours"
    assert b"Injected" not in client.received


@leaves("cut")
@pytest.mark.parametrize("case", ["fails-late", "fails-late-sized"])
def test_a_failure_amid_the_answer_is_no_end(leaf: Leaf, case: str) -> None:
    with leaf.client() as client:
        client.send(leaf.request(case))
        client.head()
        assert client.piece() == b"one"
        leaf.marks.go.set()
        assert b"".join(iter(client.piece, b"")) == b""
        assert client.rest() == b""
    assert not client.is_complete


@leaves()
@pytest.mark.parametrize("case", ["excess", "excess-pieces"])
def test_content_beyond_its_length_is_cut_off(leaf: Leaf, case: str) -> None:
    with leaf.client() as client:
        client.send(leaf.request(case, "Connection: close"))
        response = client.response()
        assert (response.body, response.complete) == (b"hello", True)
        assert client.rest() == b""


@leaves("cut")
@pytest.mark.parametrize("case", ["shortage", "shortage-pieces"])
def test_content_below_its_length_ends_the_connection(leaf: Leaf, case: str) -> None:
    with leaf.client() as client:
        client.send(leaf.request(case))
        response = client.response()
        assert (response.headers["content-length"], response.complete) == ("10", False)
        assert client.rest() == b""


# Uploads.


@leaves()
@pytest.mark.parametrize("content", [b"", b"hello", LARGE], ids=len)
def test_an_upload_arrives_intact(leaf: Leaf, content: bytes) -> None:
    with leaf.client() as client:
        client.send(leaf.post("echo", content), leaf.request("hello", "Connection: close"))
        assert client.response().body == content
        assert client.response().body == b"hello"
    assert leaf.marks.uploads == [content]


@leaves()
def test_a_chunked_upload_arrives_intact(leaf: Leaf) -> None:
    with leaf.client() as client:
        client.send(leaf.request("echo", "Transfer-Encoding: chunked", method="POST"))
        for at in range(0, len(LARGE), 65_536):
            client.send(b"10000\r\n", LARGE[at : at + 65_536], b"\r\n")
        client.send(b"0\r\n\r\n")
        assert client.response().body == LARGE
    assert leaf.marks.uploads == [LARGE]


@leaves()
@pytest.mark.parametrize(
    ("field", "content"),
    [("Content-Length: 100", b"hello"), ("Transfer-Encoding: chunked", b"5\r\nhello\r\n")],
)
def test_a_truncated_upload_is_never_seen_as_complete(leaf: Leaf, field: str, content: bytes) -> None:
    with leaf.client() as client:
        client.send(leaf.request("echo", field, method="POST"), content)
        client.half_close()
        try:
            assert client.response().status >= 400
        except NoAnswer:
            pass
    assert leaf.marks.uploads == []


@leaves()
def test_content_that_is_announced_too_long_is_refused(leaf: Leaf) -> None:
    with leaf.client() as client:
        client.send(
            leaf.request("echo", f"Content-Length: {BODY_MAX + 1}", "Connection: close", method="POST")
        )
        client.send_as_taken(bytes(BODY_MAX + 1))
        try:
            assert client.response().status == 413
        except NoAnswer:
            assert client.was_reset  # a close with unread content may destroy the answer
    assert leaf.marks.uploads == []


@leaves("expect")
def test_content_is_asked_for(leaf: Leaf) -> None:
    with leaf.client() as client:
        client.send(leaf.request("echo", "Content-Length: 5", "Expect: 100-continue", method="POST"))
        assert client.head().status == 100
        client.send(b"hello")
        assert client.response().body == b"hello"


# Connections and time.


@leaves("pipelining")
def test_pipelined_requests_are_answered_in_order(leaf: Leaf) -> None:
    contents = [b"%d" % number for number in range(10)]
    with leaf.client() as client:
        client.send(b"".join(leaf.post("echo", content) for content in contents))
        assert [client.response().body for _ in contents] == contents


@leaves("streaming")
def test_a_stream_is_delivered_piece_by_piece(leaf: Leaf) -> None:
    with leaf.client() as client:
        client.send(leaf.request("gated"))
        client.head()
        assert client.piece() == b"one"
        leaf.marks.go.set()
        assert client.piece() == b"two"
        assert client.piece() == b""


@leaves("back-pressure")
def test_a_leaf_waits_for_a_client_that_does_not_read(leaf: Leaf) -> None:
    with leaf.client(window_bytes=65_536) as client:
        client.send(leaf.request("endless"))
        assert leaf.marks.stall() > 0


@leaves("leaving")
def test_a_stream_ends_when_its_client_leaves(leaf: Leaf) -> None:
    with leaf.client() as client:
        client.send(leaf.request("endless"))
        client.head()
        client.piece()
    assert leaf.marks.ended.wait(PATIENCE_S)


@leaves("watching")
def test_a_leaf_sees_its_client_leave_before_it_answers(leaf: Leaf) -> None:
    with leaf.client() as client:
        client.send(leaf.request("leaving"))
        assert leaf.marks.called.wait(PATIENCE_S)
    assert leaf.marks.left.wait(PATIENCE_S)


# The tree around the leaf.


@trees()
def test_the_tree_is_started_before_the_first_request(leaf: Leaf) -> None:
    with leaf.client() as client:
        client.send(leaf.request("/started"))
        assert client.response().body == b"true"


@trees()
@pytest.mark.parametrize("path", ["/where/a%2Fb/%20", "/where//x/", "/where/%E4%C3%A4", "/where/%25"])
def test_the_path_is_the_one_that_was_sent(leaf: Leaf, path: str) -> None:
    with leaf.client() as client:
        client.send(leaf.request(f"{path}?q=%20&r=%E4"))
        assert json.loads(client.response().body) == [path, 6, "q=%20&r=%E4", "http", True]


@trees()
def test_what_is_not_there_is_answered_by_the_site(leaf: Leaf) -> None:
    with leaf.client() as client:
        client.send(leaf.request("/nowhere"))
        response = client.response()
    assert (response.status, response.body, response.headers["x-site"]) == (404, b"our own page", "ours")


@leaves()
def test_every_request_is_one_line_of_the_log(leaf: Leaf) -> None:
    with leaf.client() as client:
        client.send(leaf.request("hello?logged-once"))
        client.response()
        client.send(leaf.request("pieces?logged-once", "User-Agent: test", "Connection: close"))
        client.response()
    assert leaf.log.holds("pieces?logged-once")
    # Another worker may still be telling of an earlier test.
    assert [line.split('"', 1)[1] for line in leaf.log if "logged-once" in line] == [
        f'GET /{leaf.kind}/hello?logged-once HTTP/1.1" 200 5 "-" "-"',
        f'GET /{leaf.kind}/pieces?logged-once HTTP/1.1" 200 11 "-" "test"',
    ]


@trees("hints")
def test_early_hints_come_before_the_answer(leaf: Leaf) -> None:
    with leaf.client() as client:
        client.send(leaf.request("/hinting"))
        response = client.response()
    assert [(hint.status, hint.headers["link"]) for hint in response.interim] == [
        (103, "</style.css>; rel=preload")
    ]
    assert response.body == b"hinted"
