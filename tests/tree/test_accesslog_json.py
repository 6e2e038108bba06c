"""The access log as JSON lines, and what becomes of formatters and streams that fail."""

from __future__ import annotations

import base64
import io
import json
import re
from typing import Any

import pytest

from container.message.response import Response
from container.testing import Client
from container.tree.accesslog import AccessLog, Entry, JSONFormatter
from container.tree.site import Site
from tests.leaf import GET, Held, Leaf, MemoryLog, request

MEMBERS = [
    "time", "client", "user", "method", "target", "http_version", "status", "bytes", "host", "referer",
    "user_agent", "scheme", "tls", "bytes_received", "duration_s", "first_byte_s", "queue_s", "vhost", "mount",
    "upstream", "request_id", "trace_id",
]  # fmt: skip


def parsed(line: str) -> dict[str, Any]:
    """The members of a line, which must not depend on the encoding of the stream."""
    assert line.isascii()
    assert line.isprintable()
    entry: dict[str, Any] = json.loads(line)
    assert list(entry) == MEMBERS
    return entry


def logged(data: bytes, answer: Any = lambda _: "hello", **ends: Any) -> dict[str, Any]:
    """The one line that a request leaves, as an object."""
    log = MemoryLog(JSONFormatter())
    with Client(Site(Leaf(answer), access_log=log), **ends) as client:
        client.send_raw(data)
    assert len(log.lines) == 1
    return parsed(log.lines[0])


def basic(pair: bytes) -> str:
    return "Authorization: Basic " + base64.b64encode(pair).decode()


def test_a_line_has_all_that_is_known_of_an_exchange() -> None:
    entry = logged(
        request(
            "/a?b=c", "Referer: http://r/", "User-Agent: Mozilla/5.0 (X)", basic(b"joe:pw"), host="shop:81"
        )
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry.pop("time"))
    assert re.fullmatch("[0-9a-f]{32}", entry.pop("request_id"))
    assert re.fullmatch("[0-9a-f]{32}", entry.pop("trace_id"))
    assert 0 < entry.pop("first_byte_s") <= entry.pop("duration_s")
    assert entry == {
        "client": "127.0.0.1", "user": "joe", "method": "GET", "target": "/a?b=c", "http_version": "1.1",
        "status": 200, "bytes": 5, "host": "shop:81", "referer": "http://r/",
        "user_agent": "Mozilla/5.0 (X)", "scheme": "http", "tls": None, "bytes_received": 0, "queue_s": None,
        "vhost": None, "mount": "", "upstream": None,
    }  # fmt: skip


def test_what_is_not_there_is_null_and_no_content_is_a_zero() -> None:
    entry = logged(request(version="1.0", host=None), lambda _: Response(b"", 204), server="/run/web.sock")
    absent = ("client", "user", "host", "referer", "user_agent")
    assert [entry[name] for name in absent] == [None] * 5
    assert (entry["http_version"], entry["status"], entry["bytes"]) == ("1.0", 204, 0)


@pytest.mark.parametrize(
    ("when", "written"),
    [(0.0, "1970-01-01T00:00:00Z"), (1e6, "1970-01-12T13:46:40Z"), (1e6 + 0.999, "1970-01-12T13:46:40Z")],
)
def test_the_time_is_that_of_the_entry_in_utc(when: float, written: str) -> None:
    held = Held()
    with Client(held) as client:
        client.connect().send(GET)
        line = JSONFormatter()(Entry(held.last.request, 200, 1, when))
    assert parsed(line)["time"] == written


def test_every_octet_a_client_can_send_comes_back_as_latin_1() -> None:
    octets = bytes([9, *range(32, 127), *range(128, 256)]).strip()
    entry = logged(request()[:-2] + b"User-Agent: " + octets + b"\r\nReferer: " + octets + b"\r\n\r\n")
    assert entry["user_agent"].encode("latin-1") == octets
    assert entry["referer"].encode("latin-1") == octets


@pytest.mark.parametrize("target", ['/"\\', "/%22%0A", "/%C3%A9", '/x?a="},{"status":200'])
def test_the_target_is_written_as_it_came(target: str) -> None:
    assert logged(request(target))["target"] == target


@pytest.mark.parametrize(
    ("field", "user"),
    [
        (basic(b"joe:p:w"), "joe"),
        (basic("jürgen:pw".encode()), "jürgen"),
        (basic(b'a "b" \\:pw'), 'a "b" \\'),
        (basic(b":pw"), None),
        (basic(b"a\nb:pw"), None),
        ("Authorization: Bearer token", None),
    ],
)
def test_the_user_is_the_one_who_authenticated(field: str, user: str | None) -> None:
    assert logged(request("/", field))["user"] == user


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"garbage\r\n\r\n", 400), (request(host=None), 400), (request("/" + "x" * 9000), 414)],
)
def test_a_request_that_could_not_be_read_has_neither_method_nor_target(data: bytes, status: int) -> None:
    entry = logged(data, client=("2001:db8::7", 5))
    unknown = (
        "method", "target", "http_version", "host", "referer", "user_agent", "user", "scheme", "mount", "duration_s",
        "first_byte_s",
    )  # fmt: skip
    assert [entry[name] for name in unknown] == [None] * 11
    assert (entry["client"], entry["status"]) == ("2001:db8::7", status)
    assert entry["bytes"] > 0


def test_a_client_that_left_is_a_499() -> None:
    log = MemoryLog(JSONFormatter())
    with Client(Site(Held(), access_log=log)) as client:
        connection = client.connect()
        connection.send(GET)
        connection.transport.reset()
        client.settle()
    entry = parsed(log.lines[0])
    assert (entry["method"], entry["status"], entry["bytes"]) == ("GET", 499, 0)


# What fails.


@pytest.mark.parametrize("error", [ValueError("of the formatter"), OSError("too"), KeyError("x")])
def test_a_formatter_that_raises_is_told_of_whatever_it_raises(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(entry: Entry) -> str:
        raise error

    log = MemoryLog(fail)
    with Client(Site(Leaf(lambda _: "hello"), access_log=log)) as client:
        assert client.get("/").status == 200
        log.flush()
        assert client.get("/").status == 200
    assert log.lines == []
    assert caplog.text.count("the access log ends here") == 1


@pytest.mark.parametrize(
    "error", [OSError("disk full"), ValueError("closed file"), RuntimeError("of its own")]
)
def test_a_stream_of_any_make_may_fail(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(io.StringIO):
        def flush(self) -> None:
            raise error

    log = AccessLog(Broken(), JSONFormatter())
    with Client(Site(Leaf(lambda _: "hello"), access_log=log)) as client:
        assert client.get("/").status == 200
        log.flush()
        assert client.get("/").status == 200
        log.flush()
    assert not caplog.records


def test_the_512th_entry_is_written_at_once_with_those_before_it() -> None:
    log = MemoryLog(JSONFormatter())
    with Client(Site(Leaf(lambda _: "x"), access_log=log)) as client:
        client.send_raw(GET * 511)
        assert log.stream.getvalue() == ""
        client.send_raw(GET * 2)
        assert log.stream.getvalue().count("\n") == 512
    assert len(log.lines) == 513
