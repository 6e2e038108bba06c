"""PY-02, PY-03, PY-04: classes written for http.server, unmodified, in the tree."""

from __future__ import annotations

import asyncio
import errno
import http.server
import os
import socket
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from container.resources.handler import HandlerResource, HandlerServer
from container.testing import Client
from container.tree.resource import Resource
from tests.leaf import Leaf, request
from tests.upstreams import fetch, nothing_left, serve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.scripts import ScriptDirectory


class Quiet(http.server.BaseHTTPRequestHandler):
    """Keeps what it would log."""

    lines: list[str] = []

    def log_message(self, format: str, *arguments: Any) -> None:
        self.lines.append(format % arguments)


def get(do_get: Callable[[Any], object], **attributes: Any) -> type[Quiet]:
    """A class of handlers whose GET is `do_get`."""
    return type("Handler", (Quiet,), {"do_GET": do_get, "lines": [], **attributes})


def mounted(handler: Any, **options: Any) -> Resource:
    root = Resource()
    root.mount("old", HandlerResource(handler, threads=2, **options))
    root.mount("new", Leaf(lambda request: "new"))
    return root


def say(handler: Any, body: bytes, status: int = 200, **fields: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Type": "text/plain", "Content-Length": str(len(body)), **fields}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


class Echo(Quiet):
    """Says what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size)
        seen = (self.command, self.path, self.requestline, self.request_version, self.headers.get_all("X-A"))
        say(
            self,
            f"{seen} {self.client_address[0]} {len(body)}".encode(),
            X_Server=str(self.server.server_port),
        )

    do_GET = do_POST  # noqa: N815


def test_what_a_handler_sees() -> None:
    """PY-02: command, path, requestline, headers, rfile, client_address, server."""
    with Client(mounted(Echo)) as client:
        answer = client.get("/old/a%20b?c=d", headers=[("X-A", "1"), ("X-A", "2")])
        assert answer.text == (
            "('GET', '/a%20b?c=d', 'GET /a%20b?c=d HTTP/1.1', 'HTTP/1.1', ['1', '2']) 127.0.0.1 0"
        )
        assert answer.headers["X-Server"] == "80"
        assert client.get("/old/", version="1.0").text.startswith("('GET', '/', 'GET / HTTP/1.0', 'HTTP/1.0'")
        assert client.post("/old", body=b"hello").text.endswith(" 5")
        assert client.post("/old", body=iter([b"hel", b"lo"])).text.endswith(" 5")
        assert client.post("/old/", body=b"x" * 1_000_000).text.endswith(" 1000000")
        redirect = client.get("/old?q")
        assert (redirect.status, redirect.headers["Location"]) == (301, "./old/?q")


def test_the_connection_is_the_servers_business() -> None:
    """PY-02: an HTTP/1.0 handler of the old kind does not end the connection of a client of today."""

    def closing(handler: Any) -> None:
        say(handler, b"hello", Connection="keep-alive", Keep_Alive="timeout=1")

    with Client(mounted(get(closing))) as client:
        connection = client.connect()
        for _ in range(3):
            connection.send(request("/old/x"))
            answer = connection.receive()
            assert (answer.status, answer.reason, answer.text) == (200, "OK", "hello")
            assert "connection" not in {name.lower() for name, _ in answer.headers.items()}
            assert answer.headers["Server"] == "container"
        assert not connection.closed


def test_content_without_a_length_and_content_in_chunks() -> None:
    def until_closed(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b"hel")
        handler.wfile.write(b"lo")

    def chunks(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")

    for do_get in (until_closed, chunks):
        with Client(mounted(get(do_get, protocol_version="HTTP/1.1"))) as client:
            connection = client.connect()
            connection.send(request("/old/x") + request("/new"))
            answer = connection.receive()
            assert (answer.text, answer.headers["Transfer-Encoding"]) == ("hello", "chunked")
            assert connection.receive().text == "new"
            assert client.get("/old/x", version="1.0").text == "hello"


def test_methods_that_are_missing_and_errors_are_the_handlers_pages() -> None:
    """PY-02: 501 with its message, send_error with error_message_format, nothing of the page for HEAD."""

    def decline(handler: Any) -> None:
        handler.send_error(404, "No <such> thing")

    kind = get(decline, error_message_format="%(code)d %(message)s", error_content_type="text/plain")
    with Client(mounted(kind)) as client:
        answer = client.get("/old/x")
        assert (answer.status, answer.reason, answer.text) == (
            404,
            "No <such> thing",
            "404 No &lt;such&gt; thing",
        )
        assert client.put("/old/x", body=b"").status == 501
        assert client.put("/old/x", body=b"").text == "501 Unsupported method ('PUT')"
    assert '"GET /x HTTP/1.1" 404 -' in kind.lines
    assert "code 404, message No <such> thing" in kind.lines


def test_head_and_what_has_no_content() -> None:
    def careless(handler: Any) -> None:
        say(handler, b"content", 304 if handler.path == "/304" else 200)

    with Client(mounted(get(careless, do_HEAD=careless))) as client:
        connection = client.connect()
        connection.send(request("/old/x", method="HEAD"))
        head = connection.receive()
        assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", "7")
        connection.send(request("/old/304"))
        assert connection.receive().status == 304
        connection.send(request("/old/x"))
        assert connection.receive().text == "content"


def test_a_location_leads_below_the_mount() -> None:
    found = {"/a/": "/old/a/", "//b.example/": "//b.example/", "https://c/": "https://c/", "d": "d"}

    def redirect(handler: Any) -> None:
        say(handler, b"", 302, Location=handler.headers["X-To"])

    with Client(mounted(get(redirect))) as client:
        for to, location in found.items():
            assert client.get("/old/x", headers={"X-To": to}).headers["Location"] == location
    with Client(HandlerResource(get(redirect), threads=1)) as client:
        assert client.get("/x", headers={"X-To": "/a"}).headers["Location"] == "/a"


def test_interim_answers() -> None:
    def hints(handler: Any) -> None:
        handler.send_response_only(103)
        handler.send_header("Link", "</a>")
        handler.end_headers()
        say(handler, b"hello")

    with Client(mounted(get(hints, protocol_version="HTTP/1.1"))) as client:
        answer = client.get("/old/x")
        assert [(each.status, each.headers["Link"]) for each in answer.interim] == [(103, "</a>")]
        assert answer.text == "hello"


def test_a_client_that_expects_to_continue() -> None:
    with Client(mounted(Echo)) as client:
        connection = client.connect()
        connection.send(request("/old/x", "Content-Length: 5", "Expect: 100-continue", method="POST"))
        connection.send(b"hello")
        answer = connection.receive()
        assert ([each.status for each in answer.interim], answer.text[-2:]) == ([100], " 5")


def test_state_is_kept_in_the_server() -> None:
    def count(handler: Any) -> None:
        handler.server.count += 1
        say(handler, str(handler.server.count).encode())

    server = HandlerServer()
    server.count = 0  # type: ignore[attr-defined]
    with Client(mounted(get(count), server=server)) as client:
        assert [client.get("/old/x").text for _ in range(3)] == ["1", "2", "3"]


def test_handlers_that_want_a_real_socket() -> None:
    def really(handler: Any) -> None:
        handler.connection.settimeout(5)
        handler.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        peer = handler.connection.getpeername() == handler.client_address
        say(handler, str([peer, handler.rfile.fileno() == handler.connection.fileno()]).encode())

    with Client(mounted(get(really, timeout=5, disable_nagle_algorithm=True))) as client:
        assert client.get("/old/x").text == "[True, True]"


# Mistakes.


@pytest.mark.parametrize(
    ("do_get", "said"),
    [
        (lambda handler: 1 / 0, "ZeroDivisionError"),
        (lambda handler: (_ for _ in ()).throw(SystemExit(3)), "SystemExit"),
        (lambda handler: None, "expected a response, got none"),
        (lambda handler: handler.wfile.write(b"<p>secret\n\n"), "expected a field"),
        (lambda handler: handler.wfile.write(b"secret"), "expected the head of a response, got b'secret'"),
        (lambda handler: handler.wfile.write(b"HTTP/1.1 200 OK\r\nA: a\0b\r\n\r\n"), "no control characters"),
        (lambda handler: handler.wfile.write(b"x" * 300_000), "expected a head of at most"),
        (lambda handler: handler.connection.close() or 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_handler_that_does_not_answer_is_a_500(
    do_get: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Client(mounted(get(do_get))) as client:
        connection = client.connect()
        connection.send(request("/old/x"))
        answer = connection.receive()
        assert answer.status == 500
        assert "secret" not in answer.text
        assert said in caplog.text
        connection.send(request("/new"))
        assert connection.receive().text == "new"


def test_an_answer_that_breaks_off_is_never_complete(caplog: pytest.LogCaptureFixture) -> None:
    def short(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "10")
        handler.end_headers()
        handler.wfile.write(b"hello")

    def raising(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b"hello")
        raise RuntimeError("broken")

    for do_get in (short, raising):
        with Client(mounted(get(do_get))) as client:
            with client.stream("GET", "/old/x") as stream:
                assert b"".join(stream) == b"hello"
            assert not stream.complete
    assert "expected 5 more bytes" in caplog.text
    assert "broken" in caplog.text


def test_what_is_raised_after_the_answer_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def late(handler: Any) -> None:
        say(handler, b"hello")
        handler.wfile.write(b"and more")
        raise RuntimeError("too late")

    with Client(mounted(get(late))) as client:
        assert client.get("/old/x").text == "hello"
        client.wait_until(lambda: "too late" in caplog.text)
    assert "failed after its answer" in caplog.text


def test_content_that_is_not_read_does_not_cost_the_answer() -> None:
    def refuse(handler: Any) -> None:
        handler.send_error(413)

    with Client(mounted(get(None, do_POST=refuse))) as client:
        assert client.post("/old/x", body=b"x" * 3_000_000).status == 413
        assert client.get("/new").text == "new"


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_the_answer_to_content_that_is_not_read_comes_to_its_end(
    factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """Which only the end of the handler tells; and nothing stays open."""

    def refuse(handler: Any) -> None:
        handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\nno, thanks")

    async def run() -> None:
        async with nothing_left(), serve(HandlerResource(get(None, do_POST=refuse))) as server:
            post = request("/", "Content-Length: 500000", method="POST") + bytes(500_000)
            for _ in range(10):
                assert (await fetch(server.port, post))[2] == b"no, thanks"

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run())


def test_content_may_be_read_after_the_answer(tmp_path: Path) -> None:
    read = []

    def first_answer(handler: Any) -> None:
        say(handler, b"hello")
        handler.wfile.flush()
        read.append(len(handler.rfile.read()))

    with Client(mounted(get(None, do_POST=first_answer))) as client:
        assert client.post("/old/x", body=b"x" * 3_000_000).text == "hello"
        client.wait_until(lambda: read)


def busy(**options: Any) -> tuple[Resource, threading.Event, threading.Event]:
    """A handler at /old/ whose one thread tells when it is inside, and waits for the gate."""
    gate, inside = threading.Event(), threading.Event()

    def wait(handler: Any) -> None:
        inside.set()
        gate.wait(30)
        say(handler, b"done")

    root = Resource()
    root.mount("old", HandlerResource(get(wait), threads=1, **options))
    return root, gate, inside


def test_more_requests_than_may_wait_are_503() -> None:
    root, gate, inside = busy(queue_limit=1)
    with Client(root) as client:
        first, second = client.connect(), client.connect()
        first.send(request("/old/x"))
        client.wait_until(inside.is_set)
        second.send(request("/old/x"))
        answer = client.get("/old/x")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        gate.set()
        assert [first.receive().text, second.receive().text] == ["done", "done"]


# The client.


def test_handlers_run_side_by_side() -> None:
    """PY-01: two slow requests take as long as one; others are not held up (AS-07)."""
    both = threading.Barrier(2)

    def meet(handler: Any) -> None:
        both.wait(30)
        say(handler, b"met")

    with Client(mounted(get(meet))) as client:
        one, two = client.connect(), client.connect()
        one.send(request("/old/x"))
        client.settle()
        assert client.get("/new").text == "new"
        two.send(request("/old/x"))
        assert [one.receive().text, two.receive().text] == ["met", "met"]


def endless(written: list[int], raised: list[BaseException]) -> type[Quiet]:
    def write(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                written[0] += handler.wfile.write(b"x" * 65_536)
        except OSError as error:
            raised.append(error)
            raise

    return get(write)


def test_a_client_that_does_not_read_holds_the_handler_up_and_one_that_leaves_breaks_its_pipe(
    caplog: pytest.LogCaptureFixture,
) -> None:
    written, raised = [0], []  # type: ignore[var-annotated]
    with Client(mounted(endless(written, raised))) as client:
        with client.stream("GET", "/old/x") as stream:
            next(stream)
            stream.transport.hold()
            client.settle()
            assert written[0] < 8_000_000
        client.wait_until(lambda: raised)
        assert isinstance(raised[0], BrokenPipeError)
        client.settle()
    assert "failed" not in caplog.text


def test_a_client_that_is_slow_to_send_holds_no_thread() -> None:
    """And one that leaves before its content is complete is never handled."""
    asked = []

    def answer(handler: Any) -> None:
        asked.append(handler.path)
        say(handler, handler.rfile.read(int(handler.headers["Content-Length"])))

    root = Resource()
    root.mount("old", HandlerResource(get(None, do_POST=answer), threads=1, queue_limit=1))
    with Client(root) as client:
        slow = [client.connect() for _ in range(20)]
        for number, connection in enumerate(slow):
            connection.send(request(f"/old/{number}", "Content-Length: 3", method="POST") + b"a")
        assert client.post("/old/quick", body=b"now").text == "now"
        for connection in slow[1:]:
            connection.leave()
        client.settle()
        slow[0].send(b"b")
        slow[0].send(b"c")
        assert slow[0].receive().text == "abc"
    assert asked == ["/quick", "/0"]


def test_a_client_that_leaves_before_the_answer_breaks_the_pipe(caplog: pytest.LogCaptureFixture) -> None:
    inside, gate, raised = threading.Event(), threading.Event(), []

    def slow(handler: Any) -> None:
        inside.set()
        gate.wait(30)
        try:
            say(handler, b"hello")
        except OSError as error:
            raised.append(error)
            raise

    with Client(mounted(get(slow))) as client:
        connection = client.connect()
        connection.send(request("/old/x"))
        client.wait_until(inside.is_set)
        connection.transport.reset()
        client.settle()
        gate.set()
        client.wait_until(lambda: raised)
        assert isinstance(raised[0], BrokenPipeError)
    assert "failed" not in caplog.text


def test_no_socket_stays_open() -> None:
    def nothing(handler: Any) -> None:
        say(handler, b"x")

    with Client(mounted(get(nothing))) as client:
        client.get("/old/x")
        before = len(os.listdir("/dev/fd"))
        for _ in range(20):
            client.get("/old/x")
        client.wait_until(lambda: len(os.listdir("/dev/fd")) <= before)


def test_who_waits_for_a_thread_holds_no_socket() -> None:
    root, gate, inside = busy()
    with Client(root) as client:
        connections = [client.connect() for _ in range(12)]
        connections[0].send(request("/old/x"))
        client.wait_until(inside.is_set)
        client.settle()
        before = len(os.listdir("/dev/fd"))
        for each in connections[1:]:
            each.send(request("/old/x"))
        client.settle()
        assert len(os.listdir("/dev/fd")) == before
        gate.set()
        assert {each.receive().text for each in connections} == {"done"}


def test_without_descriptors_a_handler_is_an_error_of_the_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none_left(*arguments: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    with Client(mounted(get(lambda handler: say(handler, b"x")))) as client:
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socketpair", none_left)
            assert client.get("/old/x").status == 500
        assert "Too many open files" in caplog.text
        assert client.get("/old/x").text == "x"


# What the standard library brings, unmodified.


def test_files_of_the_standard_library(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """PY-03: SimpleHTTPRequestHandler."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_text("text")
    (tmp_path / "big").write_bytes(b"x" * 2_000_000)
    files = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with Client(mounted(files)) as client:
        assert (client.get("/old/sub/a.txt").text, client.get("/old/sub/a.txt").headers["Content-Type"]) == (
            "text", "text/plain",
        )  # fmt: skip
        assert len(client.get("/old/big").body) == 2_000_000
        assert client.head("/old/big").headers["Content-Length"] == "2000000"
        assert client.get("/old/sub?q").headers["Location"] == "/old/sub/?q"
        assert 'href="a.txt"' in client.get("/old/sub/").text
        assert client.get("/old/none").status == 404
        assert client.get("/old/../../etc/passwd").status == 404
        assert client.post("/old/sub/a.txt", body=b"x").status == 501
        modified = client.get("/old/sub/a.txt").headers["Last-Modified"]
        assert client.get("/old/sub/a.txt", headers={"If-Modified-Since": modified}).status == 304
    log = capsys.readouterr().err
    assert '"GET /sub/a.txt HTTP/1.1" 200 -' in log
    assert "code 404, message File not found" in log


@pytest.mark.skipif(not hasattr(http.server, "CGIHTTPRequestHandler"), reason="removed in Python 3.15")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripts_of_the_standard_library(scripts: ScriptDirectory, capfd: pytest.CaptureFixture[str]) -> None:
    """PY-04: CGIHTTPRequestHandler, with its own flaws: a status of 200 whatever the script says."""
    scripts.sh(
        "cgi-bin/x.sh",
        """
        printf "Content-Type: text/plain\\nStatus: 404 Gone\\n\\n"
        printf "%s %s " "$REQUEST_METHOD" "$PATH_INFO?$QUERY_STRING"
        head -c "${CONTENT_LENGTH:-0}"
        echo complaint >&2
        """,
    )
    scripts.write("cgi-bin/plain.txt", "text", 0o644)
    scripts.write("a.txt", "beside", 0o644)
    handler = partial(http.server.CGIHTTPRequestHandler, directory=str(scripts.path))
    with Client(HandlerResource(handler, threads=1)) as client:
        answer = client.post("/cgi-bin/x.sh/info?a=b", body=b"hello")
        assert (answer.status, answer.reason, answer.headers["Status"]) == (
            200,
            "Script output follows",
            "404 Gone",
        )
        assert answer.text == "POST /info?a=b hello"
        assert client.get("/cgi-bin/x.sh").text == "GET ? "
        assert client.get("/cgi-bin/none").status == 404
        assert client.get("/cgi-bin/plain.txt").status == 403
        assert client.get("/cgi-bin/").status == 403
        assert client.get("/a.txt").text == "beside"
    assert "complaint" in capfd.readouterr().err
