"""Connections that are used again (CH-05), requests sent ahead (CH-06), line endings (CH-17)."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conformance.conftest import Leaf


# CH-05.


def test_a_connection_serves_request_after_request(leaf: Leaf) -> None:
    with leaf.connect() as peer:
        for path in ("/hello", "/stream", "/large", "/empty", "/hello"):
            peer.send(leaf.head(path))
            answer = peer.answer()
            assert (answer.status, answer.complete, answer.get("connection")) == (200, True, None)


@pytest.mark.parametrize(
    ("version", "fields", "connection"),
    [
        ("1.1", ["Connection: close"], "close"),
        ("1.1", ["Connection: keep-alive,close"], "close"),
        ("1.1", ["Connection: keep-alive", "Connection: x, Close"], "close"),
        ("1.0", [], "close"),
        ("1.0", ["Connection: keep-alive, close"], "close"),
        ("1.0", ["Connection: keep-alive"], "keep-alive"),
        ("1.1", ["Connection: x"], None),
    ],
)
@pytest.mark.parametrize("path", ["/hello", "/announced"])
def test_a_connection_ends_when_either_side_says_so(
    leaf: Leaf, version: str, fields: list[str], connection: str | None, path: str
) -> None:
    with leaf.connect() as peer:
        peer.send(leaf.head(path, *fields, version=version))
        assert peer.answer().get("connection") == connection
        if connection == "close":
            assert peer.is_closed()
        else:
            peer.send(leaf.head("/echo", *fields, version=version))
            assert peer.answer().status == 200


def test_a_connection_ends_when_the_application_says_so(leaf: Leaf) -> None:
    with leaf.connect() as peer:
        peer.send(leaf.head("/close"), leaf.head("/hello"))
        assert peer.answer().get("connection") == "close"
        assert peer.is_closed()


def test_without_a_length_an_old_client_reads_to_the_end_of_the_connection(leaf: Leaf) -> None:
    with leaf.connect() as peer:
        peer.send(leaf.head("/stream", "Connection: keep-alive", version="1.0"))
        answer = peer.answer()
        assert (answer.body, answer.get("connection")) == (b"one two three", "close")
        assert (answer.get("transfer-encoding"), answer.get("content-length")) == (None, None)
        assert not peer.was_reset


# CH-06.


def test_a_slow_request_is_answered_before_a_fast_one_behind_it(leaf: Leaf) -> None:
    with leaf.connect() as peer:
        peer.send(leaf.head("/wait/slow") + leaf.head("/hello/fast"))
        assert peer.is_silent()
        assert leaf.stage.entered == ["/wait/slow"]
        leaf.stage.gate.set()
        assert [answer.body for answer in peer.answers(2)] == [b"hello", b"hello"]
    assert leaf.stage.entered == ["/wait/slow", "/hello/fast"]


def test_a_burst_of_requests_is_answered_in_order(leaf: Leaf) -> None:
    count = 300
    with leaf.connect() as peer:
        sender = threading.Thread(target=lambda: peer.send(b"".join(leaf.head(f"/echo/{n}") for n in range(count))))
        sender.start()
        paths = [leaf.echo(answer)["path"] for answer in peer.answers(count)]
        sender.join(10)
    assert paths == [f"/echo/{n}" for n in range(count)]


def test_mixed_requests_sent_ahead_stay_in_step(leaf: Leaf) -> None:
    requests = [
        (leaf.head("/echo/1"), "GET"),
        (leaf.head("/large", method="HEAD"), "HEAD"),
        (leaf.head("/echo/2", "Content-Length: 3", method="POST") + b"abc", "POST"),
        (leaf.head("/none"), "GET"),
        (leaf.head("/unchanged"), "GET"),
        (leaf.head("/echo/3", "Transfer-Encoding: chunked", method="PUT") + b"3\r\nabc\r\n0\r\n\r\n", "PUT"),
        (leaf.head("/stream"), "GET"),
        (leaf.head("/long"), "GET"),
        (leaf.head("/long-stream"), "GET"),
        (leaf.head("/unread", "Content-Length: 3", method="POST") + b"abc", "POST"),
        (leaf.head("/echo/4"), "GET"),
    ]
    with leaf.connect() as peer:
        peer.send(b"".join(data for data, _ in requests))
        answers = [peer.answer(method) for _, method in requests]
    assert [answer.status for answer in answers] == [200, 200, 200, 204, 304, 200, 200, 200, 200, 401, 200]
    assert leaf.echo(answers[-1])["path"] == "/echo/4"


def test_requests_sent_ahead_are_answered_though_the_client_sends_no_more(leaf: Leaf) -> None:
    with leaf.connect() as peer:
        peer.send(leaf.head("/echo/1") + leaf.head("/stream") + leaf.head("/echo/3"))
        peer.end()
        assert [answer.status for answer in peer.answers(3)] == [200] * 3
        assert peer.is_closed()


# CH-17.


def test_one_empty_line_before_a_request_is_skipped(leaf: Leaf) -> None:
    with leaf.connect() as peer:
        peer.send(b"\r\n" + leaf.head("/hello"))
        assert peer.answer().status == 200
        peer.send(b"\r\n" + leaf.head("/hello"))
        assert peer.answer().status == 200


def test_two_empty_lines_are_no_request(leaf: Leaf) -> None:
    with leaf.connect() as peer:
        peer.send(b"\r\n\r\n" + leaf.head("/hello"))
        assert peer.answer().status == 400
        assert peer.is_closed()


@pytest.mark.parametrize("ending", [b"\n", b"\r"])
def test_other_line_ends_are_answered_at_once(leaf: Leaf, ending: bytes) -> None:
    began = time.monotonic()
    with leaf.connect() as peer:
        peer.send(leaf.head("/hello").replace(b"\r\n", ending))
        if ending == b"\r":
            peer.end()
        assert peer.some(b"HTTP/1.1 400 ") or ending == b"\r"
    assert time.monotonic() - began < 1
