"""The server's log: how records look, which request they tell of, and where they go. Covers DM-03, LG-03, LG-04."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import queue
import re
import socket
import sys
from contextlib import suppress
from logging.handlers import MemoryHandler, QueueHandler, QueueListener, SysLogHandler
from typing import TYPE_CHECKING, Any

import pytest

from container.message.body import EMPTY
from container.message.connection import Connection
from container.message.request import Request
from container.resources.asgi import ASGIResource
from container.resources.wsgi import WSGIResource
from container.service.logs import (
    FACILITIES,
    LogFile,
    LogProblem,
    LogSettings,
    OutputPipe,
    access_stream,
    check_prefix,
    complain,
    configure_logging,
    parse_address,
    reopen_logs,
    report_failure,
    say,
)
from container.service.logs.datagrams import Datagrams
from container.service.logs.journal import JournalHandler, leads_to_journal
from container.service.logs.records import JSONRecordFormatter, TextFormatter, tell_requests
from container.service.logs.terminal import know_log
from container.testing import Client
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import Leaf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OURS = ("container", "asyncio")


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Logging as it is at the start of a process, and afterwards as it was."""
    loggers = [logging.getLogger(name) for name in OURS]
    before = [(each.handlers[:], each.level, each.propagate) for each in loggers]
    factory, last = logging.getLogRecordFactory(), logging.lastResort
    for each in loggers:
        each.handlers.clear()
    yield
    for each, (handlers, level, propagate) in zip(loggers, before, strict=True):
        for handler in each.handlers:
            handler.close()
        each.handlers[:] = handlers
        each.setLevel(level)
        each.propagate = propagate
    logging.setLogRecordFactory(factory)
    logging.lastResort = last
    know_log(is_elsewhere=False, formatter=None)


def request(target: bytes = b"/shop?x=1", *fields: tuple[bytes, bytes]) -> Request:
    made = Request("GET", target, b"/shop", b"x=1", "1.1", [(b"host", b"a"), *fields], EMPTY)
    made.connection = Connection(("192.0.2.1", 5), ("192.0.2.2", 80))
    return made


def record(text: str, *arguments: object, level: int = logging.ERROR, **more: Any) -> logging.LogRecord:
    made = logging.getLogger("container.site").makeRecord(
        "container.site", level, __file__, 7, text, arguments, None, "here", more.pop("extra", None)
    )
    for name, value in more.items():
        setattr(made, name, value)
    return made


def failure() -> Any:
    try:
        raise LookupError("of\nthe application")
    except LookupError:
        return sys.exc_info()


def unconfigured(name: str) -> logging.Logger:
    """A logger without handlers; those of the tests are above it."""
    logger = logging.Logger(name)
    assert not logger.hasHandlers()
    return logger


# How they look.


def test_a_record_of_a_request_names_client_and_id() -> None:
    line = TextFormatter().format(record("%s failed", request(b"/shop?x=1", (b"x-request-id", b"abc"))))
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ERROR container\.site: <Request GET /shop\?x=1 HTTP/1\.1> failed "
        r"\[client 192\.0\.2\.1, request abc\]",
        line,
    )


def test_a_record_of_no_request_names_none() -> None:
    assert TextFormatter(is_dated=False).format(record("all is well")) == "container.site: all is well"


def test_what_clients_send_cannot_play_with_the_terminal() -> None:
    line = TextFormatter().format(record("%s failed", request(b"/\x9b31m\xff")))
    assert line.isascii()


def test_each_line_has_its_severity_where_the_journal_reads_lines() -> None:
    """sd-daemon(3)."""
    marked = TextFormatter(is_dated=False, is_leveled=True)
    lines = marked.format(record("broke", exc_info=failure())).splitlines()
    assert lines[0] == "<3>container.site: broke"
    assert lines[-1] == "<3>the application"
    assert all(line.startswith("<3>") for line in lines)
    levels = [logging.DEBUG, logging.INFO, logging.WARNING, logging.CRITICAL]
    assert [marked.format(record("x", level=level))[:3] for level in levels] == ["<7>", "<6>", "<4>", "<2>"]


def test_a_record_as_json_has_all_that_is_known() -> None:
    made = record(
        "%s failed", request(b"/shop?x=1", (b"x-request-id", b"abc")), exc_info=failure(), extra={"user": 7}
    )
    line = JSONRecordFormatter().format(made)
    facts = json.loads(line)
    assert "\n" not in line
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", facts.pop("time"))
    assert facts.pop("traceback").startswith("Traceback (most recent call last):\n")
    assert facts == {
        "level": "error", "logger": "container.site", "message": "<Request GET /shop?x=1 HTTP/1.1> failed",
        "pid": os.getpid(), "request_id": "abc", "method": "GET", "target": "/shop?x=1", "client": "192.0.2.1",
        "user": 7, "error": "LookupError",
    }  # fmt: skip


def test_what_json_cannot_hold_is_shown() -> None:
    facts = json.loads(JSONRecordFormatter().format(record("x", extra={"thing": {1, 2}, "time": "mine"})))
    assert facts["thing"] == "{1, 2}"
    assert facts["time"] != "mine"


# Which request they tell of.


def logger_app(environ: dict[str, Any], start_response: Any) -> Any:
    logging.getLogger("shop").warning("of wsgi")
    start_response("200 OK", [])
    return iter([b"x"])


async def logger_asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await asyncio.sleep(0)
    logging.getLogger("shop").warning("of asgi")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x"})


def native(_: Request) -> str:
    logging.getLogger("shop").warning("of a function")
    return "x"


async def waiting(_: Request) -> str:
    await asyncio.sleep(0)
    logging.getLogger("shop").warning("of a coroutine")
    return "x"


RESOURCES = {
    "threads": WSGIResource(logger_app),
    "inline": WSGIResource(logger_app, threads=0),
    "asgi": ASGIResource(logger_asgi, lifespan="off"),
    "native": Leaf(native),
    "coroutine": Leaf(waiting),
}


@pytest.mark.parametrize("name", RESOURCES)
def test_records_of_the_application_tell_of_their_request(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each of its own, also when one thread or loop answers many."""
    tell_requests()
    tell_requests()
    root = Resource()
    root.mount("app", RESOURCES[name])
    site = Site(root)
    site.takes_notes = True
    with Client(site) as client:
        for number in range(3):
            client.get(f"/app?{number}", headers={"X-Request-ID": f"id-{number}"})
        logging.getLogger("shop").warning("of nobody")
    told: list[Any] = [each for each in caplog.records if each.name == "shop"]
    assert [(each.request_id, each.method, each.target, each.client) for each in told] == [
        *[(f"id-{number}", "GET", f"/app?{number}", "127.0.0.1") for number in range(3)],
        ("-", "-", "-", "-"),
    ]


def test_without_being_asked_nothing_is_kept_of_requests(caplog: pytest.LogCaptureFixture) -> None:
    with Client(Site(WSGIResource(logger_app))) as client:
        client.get("/")
    assert not hasattr(caplog.records[-1], "request_id")


# Where they go.


def test_our_records_go_to_standard_error_once(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(level="warning"))
    configure_logging(LogSettings(level="warning"))
    logging.getLogger("container.site").warning("seen")
    logging.getLogger("container.site").info("unseen")
    logging.getLogger("asyncio").error("of the loop")
    first, second = capfd.readouterr().err.splitlines()
    assert first.endswith(" WARNING container.site: seen")
    assert second.endswith(" ERROR asyncio: of the loop")


def test_a_complaint_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    complain("one\n  two")
    assert capfd.readouterr().err == "container: one two\n"


def test_what_is_said_is_in_the_log_too_where_that_is_a_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """LC-05: with the traceback of a crash."""
    name = tmp_path / "server.log"
    configure_logging(LogSettings(file=str(name)))
    say("serving on http://a/")
    complain("something is wrong")
    report_failure("start failed", failure()[1])
    unconfigured("shop").warning("of an application that has configured nothing")
    error = capfd.readouterr().err
    assert error.startswith("serving on http://a/\ncontainer: something is wrong\nTraceback")
    assert error.endswith("container: start failed: LookupError: of\n")
    lines = name.read_text().splitlines()
    assert "INFO container.server: serving on http://a/" in lines[0]
    assert "ERROR container.server: something is wrong" in lines[1]
    assert "CRITICAL container.server: start failed: LookupError: of" in lines[2]
    assert lines[3].startswith("Traceback")
    assert "WARNING shop: of an application" in lines[-1]


def test_json_is_all_that_is_said_when_that_is_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(format="json"))
    say("serving")
    complain("wrong")
    report_failure("crashed", failure()[1])
    logging.getLogger("container.site").error("failed")
    unconfigured("shop").warning("sold out")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [each["level"] for each in lines] == ["info", "error", "critical", "error", "warning"]
    assert [each["message"] for each in lines[:2]] == ["serving", "container: wrong"]


def test_two_places_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(LogProblem, match="expected one place for the log, got --log-file and --journal"):
        configure_logging(LogSettings(file=str(tmp_path / "x"), journal=True))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (LogSettings(file="/nowhere/x.log"), "expected a file to write to for --log-file, got '/nowhere/x.log'"),
        (LogSettings(syslog=True, address="/nowhere/log"), "expected somebody who listens, got '--syslog at"),
    ],
    ids=["file", "syslog"],
)  # fmt: skip
def test_a_place_that_cannot_be_had_is_told_in_a_line(settings: LogSettings, words: str) -> None:
    with pytest.raises(LogProblem) as caught:
        configure_logging(settings)
    assert str(caught.value).startswith(words)


# Files.


def test_a_renamed_file_is_opened_again(tmp_path: Path) -> None:
    """LC-03, LG-03: both logs."""
    server, access = tmp_path / "server.log", tmp_path / "access.log"
    configure_logging(LogSettings(file=str(server)))
    stream = access_stream(LogSettings(), str(access))
    assert isinstance(stream, LogFile)
    for number in (1, 2):
        stream.write(f"line {number}\n")
        logging.getLogger("container.site").error("record %d", number)
        if number == 1:
            server.rename(tmp_path / "server.log.1")
            access.rename(tmp_path / "access.log.1")
            reopen_logs()
    stream.close()
    assert (tmp_path / "access.log.1").read_text() == "line 1\n"
    assert access.read_text() == "line 2\n"
    assert "record 1" in (tmp_path / "server.log.1").read_text()
    assert "record 2" in server.read_text()


@pytest.mark.parametrize("mode", ["a", "w"])
def test_files_of_the_application_are_opened_again(tmp_path: Path, mode: str) -> None:
    """LC-03: whatever they were opened for at first; nothing that is there is lost."""
    path = tmp_path / "app.log"
    handler = logging.FileHandler(path, mode)
    logger = logging.getLogger("of.the.application")
    logger.addHandler(handler)
    try:
        logger.error("record 1")
        reopen_logs()
        logger.error("record 2")
        path.rename(tmp_path / "app.log.1")
        reopen_logs()
        logger.error("record 3")
    finally:
        logger.removeHandler(handler)
        handler.close()
    assert (tmp_path / "app.log.1").read_text() == "record 1\nrecord 2\n"
    assert path.read_text() == "record 3\n"


def test_files_behind_other_handlers_are_opened_again(tmp_path: Path) -> None:
    """LG-03: records wait in memory, or in a queue whose listener is known to its handler (Python 3.12)."""
    files = [logging.FileHandler(tmp_path / name) for name in ("memory.log", "queue.log")]
    queued = QueueHandler(queue.SimpleQueue())
    vars(queued)["listener"] = QueueListener(queued.queue, files[1])
    logger = logging.getLogger("of.the.application")
    logger.handlers[:] = [MemoryHandler(1, target=files[0]), queued]
    try:
        for name in ("memory.log", "queue.log"):
            (tmp_path / name).rename(tmp_path / f"{name}.1")
        reopen_logs()
    finally:
        for handler in (*logger.handlers, *files):
            handler.close()
        logger.handlers.clear()
    assert sorted(os.listdir(tmp_path)) == ["memory.log", "memory.log.1", "queue.log", "queue.log.1"]


def test_the_old_file_stays_when_there_can_be_no_new_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    file = LogFile(str(folder / "x.log"))
    folder.rename(tmp_path / "gone")
    reopen_logs()
    file.write("still\n")
    file.close()
    assert (tmp_path / "gone" / "x.log").read_text() == "still\n"
    assert "the log stays where it was" in caplog.text


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_stops_nothing_and_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogSettings(file="/dev/full"))
    logging.getLogger("container.site").error("lost")
    assert capfd.readouterr().err == ""


def test_what_is_no_text_is_written_all_the_same(tmp_path: Path) -> None:
    file = LogFile(str(tmp_path / "x"))
    file.write("\ud800\n")
    file.close()
    assert (tmp_path / "x").read_text() == "\\ud800\n"
    with pytest.raises(ValueError, match="was closed"):
        file.write("x")


def test_lines_on_a_pipe_are_never_divided() -> None:
    """Several workers write to it. The pipe of this test keeps apart what was written by one call each."""
    reading, writing = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)
    try:
        assert OutputPipe.fits(writing)
        OutputPipe(writing).write("".join(f"{number} {'x' * 90}\n" for number in range(200)))
        pieces = []
        with suppress(BlockingIOError):
            while True:
                pieces.append(os.read(reading, 1 << 20))
    finally:
        os.close(reading)
        os.close(writing)
    assert b"".join(pieces).count(b"\n") == 200
    assert max(map(len, pieces)) <= 4096
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert len(pieces) == 5


# Syslog and the journal.


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[socket.socket]:
    """Who listens for datagrams."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "log"))
        sock.settimeout(10)
        yield sock


def test_syslog_gets_a_datagram_a_line(daemon: socket.socket) -> None:
    settings = LogSettings(syslog=True, address=daemon.getsockname(), facility="local3", prefix="shop")
    configure_logging(settings)
    logging.getLogger("container.site").warning(
        "%s is slow", request(b"/shop?x=1", (b"x-request-id", b"abc"))
    )
    stream = access_stream(settings, None)
    assert stream is not None
    stream.write('192.0.2.1 "GET /"\nsecond\n')
    stream.flush()
    logging.getLogger("container.site").error("broke", exc_info=failure())
    got = [daemon.recv(1 << 16).decode() for _ in range(9)]
    head = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d shop\[" + str(os.getpid()) + r"\]: "
    local3 = 19 << 3
    expected = "container.site: <Request GET /shop?x=1 HTTP/1.1> is slow [client 192.0.2.1, request abc]"
    assert re.fullmatch(f"<{local3 | 4}>{head}{re.escape(expected)}", got[0])
    assert re.fullmatch(f'<{local3 | 6}>{head}192.0.2.1 "GET /"', got[1])
    assert re.fullmatch(f"<{local3 | 6}>{head}second", got[2])
    assert re.fullmatch(f"<{local3 | 3}>{head}container.site: broke", got[3])
    assert re.fullmatch(f"<{local3 | 3}>{head}Traceback .*", got[4])
    assert re.fullmatch(f"<{local3 | 3}>{head}the application", got[-1])


def test_nobody_waits_for_a_syslog_that_does_not_read(daemon: socket.socket) -> None:
    """The queue of a socket is short: a thread waits for it."""
    datagrams = Datagrams(daemon.getsockname())
    for number in range(2000):
        datagrams.put(b"%d" % number)
    assert [daemon.recv(100) for _ in range(2000)] == [b"%d" % number for number in range(2000)]
    datagrams.flush()


def test_a_syslog_that_comes_back_is_found_again(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    first = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    first.bind(path)
    datagrams = Datagrams(path)
    datagrams.put(b"one")
    assert first.recv(100) == b"one"
    first.close()
    os.unlink(path)
    datagrams.put(b"lost")
    datagrams.flush()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as second:
        second.bind(path)
        second.settimeout(10)
        datagrams.put(b"two")
        assert second.recv(100) == b"two"


def test_syslog_of_another_machine() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(10)
        configure_logging(LogSettings(syslog=True, address=f"udp://127.0.0.1:{sock.getsockname()[1]}"))
        logging.getLogger("container.site").error("hello")
        assert sock.recv(1000).endswith(b"]: container.site: hello")


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("/dev/log", "/dev/log"),
        ("unix:///dev/log", "/dev/log"),
        ("unix:///dev/log#dgram", "/dev/log"),
        ("udp://logs.example", ("logs.example", 514)),
        ("udp://[::1]:5514", ("::1", 5514)),
        ("logs.example:5514", ("logs.example", 5514)),
    ],
)
def test_an_address_is_spelt_as_elsewhere(text: str, target: object) -> None:
    assert parse_address(text) == target


@pytest.mark.parametrize(
    "text", ["tcp://a:1", "unix:///dev/log#stream", "udp://", "a:b", "a:0", "a:99999", ""]
)
def test_what_is_no_address_is_an_error(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"expected a socket of datagrams such as /dev/log or udp://host:514, got"
    ):
        parse_address(text)


@pytest.mark.parametrize("text", ["a b", "a:", "a[1]", "", "x" * 49])
def test_what_would_end_a_tag_is_no_prefix(text: str) -> None:
    with pytest.raises(ValueError, match="expected a word"):
        check_prefix(text)


def test_the_journal_gets_the_fields_of_a_record(daemon: socket.socket) -> None:
    handler = JournalHandler("shop", daemon.getsockname())
    made = record("%s failed", request(b"/shop?x=1", (b"x-request-id", b"abc")), exc_info=failure())
    handler.emit(made)
    data = daemon.recv(1 << 16)
    name, _, rest = data.partition(b"\n")
    assert name == b"MESSAGE"
    size = int.from_bytes(rest[:8], "little")
    message, rest = rest[8 : 8 + size].decode(), rest[8 + size :]
    assert message.startswith("<Request GET /shop?x=1 HTTP/1.1> failed\nTraceback")
    assert message.endswith("LookupError: of\nthe application")
    fields = dict(line.split(b"=", 1) for line in rest.strip().split(b"\n"))
    expected = {
        b"PRIORITY": b"3", b"SYSLOG_IDENTIFIER": b"shop", b"LOGGER": b"container.site", b"CODE_LINE": b"7",
        b"REQUEST_ID": b"abc", b"METHOD": b"GET", b"TARGET": b"/shop?x=1", b"CLIENT": b"192.0.2.1",
    }  # fmt: skip
    assert fields.items() >= expected.items()
    handler.emit(record("x" * 1_000_000))
    assert len(daemon.recv(1 << 20)) < 60_000


def test_standard_error_that_leads_to_the_journal_is_recognised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (tmp_path / "stream").open("w") as file:
        status = os.fstat(file.fileno())
        monkeypatch.setattr(sys, "stderr", file)
        stream = f"{status.st_dev}:{status.st_ino}"
        assert leads_to_journal({"JOURNAL_STREAM": stream})
        assert not leads_to_journal({"JOURNAL_STREAM": stream + "0"})
        assert not leads_to_journal({})
        monkeypatch.setenv("JOURNAL_STREAM", stream)
        configure_logging()
        logging.getLogger("container.site").warning("slow")
    assert (tmp_path / "stream").read_text() == "<4>container.site: slow\n"
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not leads_to_journal({"JOURNAL_STREAM": stream})


def test_facilities_have_the_numbers_of_the_standard_library() -> None:
    assert {name: number for number, name in enumerate(FACILITIES)} == SysLogHandler.facility_names
