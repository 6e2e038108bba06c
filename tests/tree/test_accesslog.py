"""The access log: lines that programs can read, whatever clients send; a log that never stops the service."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from container.message.response import Response
from container.testing import Client
from container.tree.accesslog import AccessLog, CombinedFormatter, Entry
from container.tree.accesslog import log as accesslog
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import GET, Held, Leaf, MemoryLog, request

if TYPE_CHECKING:
    from container.message.request import Request

# As log analysers write it.
COMBINED = re.compile(
    r'(?P<client>\S+) (?P<ident>\S+) (?P<user>\S+) \[(?P<time>[^\]]+)\] "(?P<line>(?:[^"\\]|\\.)*)"'
    r' (?P<status>\d{3}) (?P<size>\d+|-) "(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)"'
)


def parsed(line: str) -> dict[str, str]:
    match = COMBINED.fullmatch(line)
    assert match is not None, line
    assert line.isascii()
    assert line.isprintable()
    return match.groupdict()


def logged(data: bytes, answer: Any = lambda _: "hello", **ends: Any) -> dict[str, str]:
    """The one line that a request leaves, in parts."""
    log = MemoryLog()
    with Client(Site(Leaf(answer), access_log=log), **ends) as client:
        client.send_raw(data)
    assert len(log.lines) == 1
    return parsed(log.lines[0])


def test_a_line_has_all_of_the_combined_format() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    line = logged(request("/a?b=c", "Referer: http://r/", "User-Agent: Mozilla/5.0 (X)"))
    time = datetime.strptime(line.pop("time"), "%d/%b/%Y:%H:%M:%S %z")
    assert before <= time <= datetime.now(UTC)
    assert time.utcoffset() == UTC.utcoffset(None)
    assert line == {
        "client": "127.0.0.1", "ident": "-", "user": "-", "line": "GET /a?b=c HTTP/1.1", "status": "200",
        "size": "5", "referer": "http://r/", "agent": "Mozilla/5.0 (X)",
    }  # fmt: skip


def test_what_is_not_there_is_a_dash() -> None:
    line = logged(request(version="1.0", host=None), lambda _: Response(b"", 204))
    assert (line["line"], line["status"]) == ("GET / HTTP/1.0", "204")
    assert (line["size"], line["referer"], line["agent"], line["user"]) == ("-", "-", "-", "-")


@pytest.mark.parametrize(
    ("sent", "written"),
    [
        (b'" 200 5 "-" "forged', '\\" 200 5 \\"-\\" \\"forged'),
        (b"back\\slash\\", "back\\\\slash\\\\"),
        (b"\xffgr\xc3\xbcn\x85", "\\xffgr\\xc3\\xbcn\\x85"),
        (b"tab\tstop", "tab\\x09stop"),
        (b"", ""),
        (b"x" * 5000, "x" * 5000),
    ],
)
def test_nothing_a_client_sends_can_break_or_forge_a_line(sent: bytes, written: str) -> None:
    line = logged(request()[:-2] + b"User-Agent: " + sent + b"\r\nReferer: " + sent + b"\r\n\r\n")
    assert (line["agent"], line["referer"]) == (written, written)


def test_the_target_is_written_as_it_came() -> None:
    line = logged(request('/%22%0A"\\'))
    assert line["line"] == 'GET /%22%0A\\"\\\\ HTTP/1.1'


@pytest.mark.parametrize(
    ("field", "user"),
    [
        ("Basic " + base64.b64encode(b"joe:p:w").decode(), "joe"),
        ("Basic " + base64.b64encode(b'a b" [x]\n:pw').decode(), None),
        ("Basic " + base64.b64encode("jürgen:pw".encode()).decode(), None),
        ("Basic " + base64.b64encode(b"\xff\xfe\xed\xa0\x80:pw").decode(), None),
        ("Basic " + base64.b64encode(b":pw").decode(), "-"),
        ("Basic nonsense", "-"),
        ("Bearer token", "-"),
    ],
)
def test_the_user_is_the_one_who_authenticated(field: str, user: str | None) -> None:
    line = logged(request("/", f"Authorization: {field}"))
    if user is not None:
        assert line["user"] == user
    assert "pw" not in line["user"]


@pytest.mark.parametrize(
    ("ends", "client"),
    [
        ({"client": ("192.0.2.7", 5)}, "192.0.2.7"),
        ({"client": ("2001:db8::7", 5)}, "2001:db8::7"),
        ({"client": ("::ffff:192.0.2.7", 5)}, "192.0.2.7"),
        ({"server": "/run/web.sock"}, "-"),
    ],
)
def test_the_client_is_its_address(ends: dict[str, Any], client: str) -> None:
    assert logged(GET, **ends)["client"] == client


@pytest.mark.parametrize(
    ("data", "line", "status"),
    [
        (b"garbage\r\n\r\n", "-", "400"),
        (request(host=None), "-", "400"),
        (request("*"), "-", "405"),
        (request("/" + "x" * 9000), "-", "414"),
        (request("*", method="OPTIONS"), "OPTIONS * HTTP/1.1", "200"),
        (request("a:1", method="CONNECT"), "CONNECT a:1 HTTP/1.1", "501"),
        (request(method="HEAD"), "HEAD / HTTP/1.1", "200"),
    ],
)
def test_requests_that_could_not_be_read_are_logged_too(data: bytes, line: str, status: str) -> None:
    parts = logged(data)
    assert (parts["line"], parts["status"]) == (line, status)


def test_a_client_that_left_is_a_499() -> None:
    log = MemoryLog()
    with Client(Site(Held(), access_log=log)) as client:
        connection = client.connect()
        connection.send(GET)
        connection.leave()
        assert log.lines == []
        connection.transport.reset()
        client.settle()
        assert parsed(log.lines[0])["status"] == "499"


def test_an_answer_that_was_cut_has_its_status_and_what_was_sent_of_it() -> None:
    held = Held()
    log = MemoryLog()
    with Client(Site(held, access_log=log)) as client:
        connection = client.connect()
        connection.send(GET)
        held.last.start(206, Response(b"").block())
        held.last.write(b"12345")
        connection.transport.reset()
        client.settle()
    line = parsed(log.lines[0])
    assert (line["status"], line["size"]) == ("206", "5")


def test_every_request_of_a_connection_has_its_line() -> None:
    log = MemoryLog()
    with Client(Site(Leaf(lambda each: each.path), access_log=log)) as client:
        client.send_raw(request("/1") + request("/2") + request("/1"))
    assert [parsed(line)["line"].split()[1] for line in log.lines] == ["/1", "/2", "/1"]


# Batches.


class Stream:
    """Counts what is written to it, and may fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        if self.error is not None:
            raise self.error
        self.writes.append(text)
        return len(text)

    def flush(self) -> None: ...


def serve(log: AccessLog, requests: int) -> list[int]:
    root = Resource()
    root.mount("", Leaf(lambda _: "x"))
    with Client(Site(root, access_log=log)) as client:
        return [client.get("/").status for _ in range(requests)]


def test_lines_are_written_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accesslog, "_BATCH", 4)
    stream = Stream()
    log = AccessLog(stream)  # type: ignore[arg-type]
    serve(log, 9)
    assert [text.count("\n") for text in stream.writes] == [4, 4]
    log.flush()
    log.flush()
    assert [text.count("\n") for text in stream.writes] == [4, 4, 1]
    assert all(text.endswith("\n") for text in stream.writes)


@pytest.mark.parametrize("error", [OSError("disk full"), ValueError("closed file")])
def test_a_stream_that_fails_is_given_up_quietly(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accesslog, "_BATCH", 2)
    stream = Stream(error)
    assert serve(AccessLog(stream), 5) == [200] * 5  # type: ignore[arg-type]
    stream.error = None
    assert stream.writes == []
    assert not caplog.records


@pytest.mark.parametrize("formatter", [lambda entry: entry.nothing, lambda entry: None])
def test_a_formatter_that_fails_ends_the_log_and_not_the_service(
    formatter: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accesslog, "_BATCH", 2)
    assert serve(MemoryLog(formatter), 5) == [200] * 5
    assert caplog.text.count("the access log ends here") == 1


def test_a_formatter_of_ones_own_gets_the_entry() -> None:
    def duration(entry: Entry) -> str:
        request_: Request = entry.request
        return f"{request_.host} {request_.path} {entry.status} {entry.bytes_sent} {entry.finished > 1e9}"

    log = MemoryLog(duration)
    with Client(Site(Leaf(lambda _: "hello"), access_log=log)) as client:
        client.get("/x", headers={"Host": "shop.example"})
    assert log.lines == ["shop.example /x 200 5 True"]


def test_a_formatter_can_build_on_the_combined_one() -> None:
    combined = CombinedFormatter()
    log = MemoryLog(lambda entry: f"{combined(entry)} {entry.request.host}")
    with Client(Site(Leaf(lambda _: "hello"), access_log=log)) as client:
        client.get("/x", headers={"Host": "shop.example"})
    line, _, host = log.lines[0].rpartition(" ")
    assert parsed(line)["line"] == "GET /x HTTP/1.1"
    assert host == "shop.example"


def test_the_time_of_a_line_is_that_of_its_request() -> None:
    formatter = CombinedFormatter()
    held = Held()
    with Client(held) as client:
        client.connect().send(GET)
        times = [
            parsed(formatter(Entry(held.last.request, 200, 1, when)))["time"]
            for when in (1e6, 1e6 + 0.9, 2e6)
        ]
    assert times == ["12/Jan/1970:13:46:40 +0000"] * 2 + ["24/Jan/1970:03:33:20 +0000"]
