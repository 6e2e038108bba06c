"""FastCGI, SCGI and uwsgi: responders that answer, break off, refuse, fall silent or go away."""

from __future__ import annotations

import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

import pytest

from container.protocol import fastcgi
from container.resources.responder import FastCGIResource, SCGIResource, UWSGIResource
from container.testing import Client
from container.testing.transport import MockTransport
from container.tree.resource import Resource
from tests.leaf import Leaf, request
from tests.responders import Asked, AskedPlainly, Records, peer, program, read_scgi, read_uwsgi, responder

if TYPE_CHECKING:
    from collections.abc import Callable

    from container.message.request import Request

HELLO = b"Content-Type: text/plain\r\n\r\nhello"


def mounted(address: str, kind: Any = FastCGIResource, **options: Any) -> Resource:
    root = Resource()
    root.mount("app", kind(address, **options))
    root.mount("leaf", Leaf(lambda request: "leaf"))
    return root


def hello(asked: Asked) -> None:
    asked.say(HELLO)
    asked.end()


# FastCGI.


def test_what_a_responder_is_told() -> None:
    seen: list[Asked] = []

    def answer(asked: Asked) -> None:
        seen.append(asked)
        hello(asked)

    with peer(responder(answer)) as address, Client(mounted(address, variables={"STAGE": "test"})) as client:
        answered = client.post("/app/a%2fb?c=d", body=b"x" * 200_000, headers={"X-A": "1", "Proxy": "evil"})
        assert (answered.status, answered.text, answered.headers["Content-Type"]) == (
            200,
            "hello",
            "text/plain",
        )
        client.get("/app")
    variables = seen[0].variables
    assert seen[0].stdin == b"x" * 200_000
    expected = {
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "/app", "PATH_INFO": "/a/b", "QUERY_STRING": "c=d", "HTTP_X_A": "1",
        "CONTENT_LENGTH": "200000", "GATEWAY_INTERFACE": "CGI/1.1", "REMOTE_ADDR": "127.0.0.1", "STAGE": "test",
        "REQUEST_URI": "/app/a%2fb?c=d",
    }  # fmt: skip
    assert variables | expected == variables
    assert "HTTP_PROXY" not in variables
    assert ("PATH_INFO" in seen[1].variables, seen[1].variables["SCRIPT_NAME"]) == (False, "/app")


class Guarded(Resource):
    """Knows who the client is, each time somebody else, and sends every other one to another path."""

    def __init__(self, inner: Resource) -> None:
        super().__init__()
        self.inner = inner
        self.visitors = ["", "mary", "", "paul"]

    @property
    def children(self) -> dict[str, Resource]:
        return {"": self.inner}

    def child(self, name: str, request: Request) -> Resource:
        visitor = self.visitors.pop(0)
        if visitor:
            request.set_user(visitor, "Basic")
            request.variables = {"MAY": visitor}
        if visitor == "paul":
            request.rewrite(b"/elsewhere")
        return self.inner


@pytest.mark.parametrize("variables", [{}, {"REMOTE_USER": "nobody", "REMOTE_ADDR": "192.0.2.1"}])
def test_requests_with_the_same_head_are_told_apart_by_what_is_known_besides(
    variables: dict[str, str],
) -> None:
    """What follows from a head is remembered; who the client is and where it was sent is not of it."""
    seen: list[Asked] = []

    def answer(asked: Asked) -> None:
        seen.append(asked)
        hello(asked)

    with (
        peer(responder(answer)) as address,
        Client(Guarded(FastCGIResource(address, variables=variables))) as client,
    ):
        for _ in range(4):
            client.get("/x/y")
    nobody = variables.get("REMOTE_USER")
    told = [tuple(map(each.variables.get, ("REMOTE_USER", "MAY", "PATH_INFO"))) for each in seen]
    assert told == [
        (nobody, None, "/y"),
        ("mary", "mary", "/y"),
        (nobody, None, "/y"),
        ("paul", "paul", "/elsewhere"),
    ]
    assert {each.variables["REMOTE_ADDR"] for each in seen} == {"127.0.0.1"}
    assert {each.params.count(b"REMOTE_ADDR") for each in seen} == {1}
    assert [each.params.count(b"REMOTE_USER") for each in seen] == [bool(nobody), 1, bool(nobody), 1]


def test_at_the_root_all_of_the_path_is_path_info(tmp_path: Any) -> None:
    seen: list[Asked] = []

    def answer(asked: Asked) -> None:
        seen.append(asked)
        hello(asked)

    script = tmp_path / "index.php"
    with peer(responder(answer)) as address:
        with Client(FastCGIResource(address, script=script)) as client:
            client.get("/a/b")
    found = seen[0].variables
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("", "/a/b")
    assert (found["SCRIPT_FILENAME"], found["DOCUMENT_ROOT"]) == (str(script), str(tmp_path))


def test_a_connection_is_kept_for_the_next_request() -> None:
    connections = []

    def serve(connection: Any) -> None:
        connections.append(connection)
        responder(hello)(connection)

    with peer(serve) as address, Client(mounted(address)) as client:
        assert [client.get("/app").text for _ in range(5)] == ["hello"] * 5
        assert client.head("/app").body == b""
        assert client.get("/app").text == "hello"
    assert len(connections) == 1


def test_an_answer_that_comes_whole_has_a_length() -> None:
    """It leaves in one write, without chunks."""

    def at_once(asked: Asked) -> None:
        end = fastcgi.encode_record(fastcgi.END_REQUEST, b"\0" * 8)
        asked.connection.request.sendall(fastcgi.encode_stream(fastcgi.STDOUT, HELLO) + end)

    with peer(responder(at_once)) as address, Client(mounted(address)) as client:
        found = client.get("/app")
        assert (found.text, found.headers["Content-Length"]) == ("hello", "5")


def test_status_length_redirect_and_errors_of_the_responder(caplog: pytest.LogCaptureFixture) -> None:
    heads = {
        "status": b"Status: 404 Gone fishing\nContent-Length: 2\n\nno",
        "redirect": b"Location: http://b.example/\r\n\r\n",
        "nothing": b"Status: 304\r\n\r\n",
    }

    def answer(asked: Asked) -> None:
        asked.say(b"PHP Warning: a\nb\x1b[2J\rc\xe2\x80\xa8d\n", fastcgi.STDERR)
        asked.say(b"for somebody else", request_id=asked.id + 1)
        head = heads[asked.variables["PATH_INFO"][1:]]
        asked.say(head[:9])
        asked.say(head[9:])
        asked.end()

    with peer(responder(answer)) as address, Client(mounted(address)) as client:
        found = client.get("/app/status")
        assert (found.status, found.reason, found.text, found.headers["Content-Length"]) == (
            404,
            "Gone fishing",
            "no",
            "2",
        )
        found = client.get("/app/redirect")
        assert (found.status, found.headers["Location"]) == (302, "http://b.example/")
        assert client.get("/app/nothing").status == 304
    assert f"{address}: PHP Warning: a" in caplog.text
    assert f"{address}: b\\x1b[2J\\rc\\u2028d" in caplog.text  # nobody forges a line of the log


def raw(data: bytes) -> Callable[[Any], None]:
    """Reads a request, says `data` and closes."""

    def serve(connection: Any) -> None:
        connection.request.recv(65_536)
        connection.request.sendall(data)

    return serve


OUT = fastcgi.encode_stream(fastcgi.STDOUT, HELLO)


@pytest.mark.parametrize(
    ("data", "status", "said"),
    [
        (b"", 502, "closed without an answer"),
        (b"HTTP/1.1 200 OK\r\n\r\n", 502, "expected FastCGI version 1"),
        (fastcgi.encode_record(3, struct.pack(">IB3x", 0, 2)), 503, "it is overloaded"),
        (fastcgi.encode_record(3, struct.pack(">IB3x", 0, 9)), 503, "refused with status 9"),
        (fastcgi.encode_record(3, b"\0" * 8), 502, "expected a response"),
        (fastcgi.encode_record(3, b"\0"), 502, "expected 8 bytes"),
        (fastcgi.encode_record(9, b""), 502, "a record of type 9"),
        (fastcgi.encode_record(6, b"no head\n\n"), 502, "expected a field"),
        (fastcgi.encode_record(6, b"A: b\n"), 502, "the connection ended before the answer did"),
        (fastcgi.encode_record(6, b"A: a\0b\n\n"), 502, "no control characters"),
        (fastcgi.encode_record(6, b"A: " + b"x" * 60_000) * 2, 502, "expected a head of at most"),
    ],
)
def test_a_responder_that_does_not_answer(
    data: bytes, status: int, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with peer(raw(data)) as address, Client(mounted(address)) as client:
        connection = client.connect()
        connection.send(request("/app"))
        assert connection.receive().status == status
        assert said in caplog.text
        connection.send(request("/leaf"))
        assert connection.receive().text == "leaf"


def test_a_connection_with_half_a_request_in_it_is_not_kept() -> None:
    connections = []
    over = threading.Event()

    def serve(connection: Any) -> None:
        connections.append(connection)
        if len(connections) == 1:
            connection.request.recv(1000)
            end = fastcgi.encode_record(fastcgi.END_REQUEST, b"\0" * 8)
            connection.request.sendall(fastcgi.encode_stream(fastcgi.STDOUT, HELLO) + end)
            over.wait(30)  # what is left of the request stays in between
        else:
            responder(hello)(connection)

    with peer(serve) as address, Client(mounted(address)) as client:
        assert client.post("/app", body=b"x" * 20_000_000).text == "hello"
        assert client.get("/app").text == "hello"
        over.set()
    assert len(connections) == 2


def test_an_answer_that_breaks_off_is_never_complete() -> None:
    with peer(raw(OUT)) as address, Client(mounted(address)) as client:
        with client.stream("GET", "/app") as stream:
            assert b"".join(stream) == b"hello"
        assert not stream.complete


def test_nobody_is_there(caplog: pytest.LogCaptureFixture, tmp_path: Any) -> None:
    with Client(mounted(f"unix:{tmp_path}/none")) as client:
        assert client.get("/app").status == 502
    assert f"no connection to unix:{tmp_path}/none" in caplog.text


def test_a_kept_connection_that_was_closed_meanwhile_is_asked_again_elsewhere() -> None:
    """Only for methods that may be asked twice."""
    calls = []

    def serve(connection: Any) -> None:
        asked = Asked(connection)
        calls.append(asked)
        hello(asked)
        Asked(connection)  # read, and closed without a word

    with peer(serve) as address, Client(mounted(address)) as client:
        assert [client.get("/app").status for _ in range(3)] == [200, 200, 200]
        assert len(calls) == 3
        assert client.post("/app", body=b"x").status == 502
        assert client.post("/app", body=b"x").status == 200


def test_a_responder_that_ends_connections_by_itself_is_given_the_time() -> None:
    """As php-fpm does after so many requests: what must not be asked twice is not asked on one of those."""

    def serve(connection: Any) -> None:
        hello(Asked(connection))

    with peer(serve) as address:
        resource = FastCGIResource(address, connections=1)
        with Client(resource) as client:
            assert client.get("/").status == 200
            client.wait_until(lambda: resource.pool.settle_s)
            resource.pool.settle_s = 0.2  # more than enough for threads
            connections = [client.connect() for _ in range(3)]
            for each in connections:
                each.send(request("/", "Content-Length: 1", method="POST") + b"x")
            assert [each.receive().status for each in connections] == [200, 200, 200]


def test_a_responder_that_is_silent_is_a_504(caplog: pytest.LogCaptureFixture) -> None:
    gate, aborted = threading.Event(), []

    def answer(asked: Asked) -> None:
        for kind, _, _ in Records().feed(asked.connection.request.recv(100)):
            aborted.append(kind)
        gate.set()

    with peer(responder(answer)) as address, Client(mounted(address, timeout=0.05)) as client:
        assert client.get("/app").status == 504
        client.wait_until(gate.is_set)
    assert aborted == [fastcgi.ABORT_REQUEST]
    assert "no answer within 0.05 s" in caplog.text


@pytest.mark.parametrize("leave", [MockTransport.reset, MockTransport.feed_eof])
def test_a_client_that_leaves_aborts_its_request(
    leave: Callable[[MockTransport], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most clients that close their side will not read an answer either."""
    monkeypatch.setattr("container.resources.responder.call._LEAVE_GRACE_S", 0.1)
    inside, gate, aborted = threading.Event(), threading.Event(), []

    def answer(asked: Asked) -> None:
        inside.set()
        for kind, _, _ in Records().feed(asked.connection.request.recv(100)):
            aborted.append(kind)
        gate.set()

    with peer(responder(answer)) as address, Client(mounted(address)) as client:
        connection = client.connect()
        connection.send(request("/app"))
        client.wait_until(inside.is_set)
        leave(connection.transport)
        client.wait_until(gate.is_set)
    assert aborted == [fastcgi.ABORT_REQUEST]


def test_a_client_that_does_not_read_holds_the_responder_up() -> None:
    sent = [0]

    def answer(asked: Asked) -> None:
        asked.say(HELLO)
        while True:
            asked.say(b"x" * 60_000)
            sent[0] += 60_000

    with peer(responder(answer)) as address, Client(mounted(address)) as client:
        with client.stream("GET", "/app") as stream:
            next(stream)
            stream.transport.hold()
            client.settle()
            before = sent[0]
            stream.transport.release()
            taken = 0
            while taken < 20_000_000:  # far more than what buffers hold
                taken += len(next(stream))
            assert before < 20_000_000
            assert sent[0] >= taken - 60_000


def test_requests_beyond_the_connections_wait_and_beyond_the_queue_are_503() -> None:
    gate, inside = threading.Event(), threading.Semaphore(0)

    def answer(asked: Asked) -> None:
        inside.release()
        gate.wait(20)
        hello(asked)

    with peer(responder(answer)) as address, Client(mounted(address, connections=1, queue_limit=1)) as client:
        one, two = client.connect(), client.connect()
        one.send(request("/app"))
        client.wait_until(lambda: inside.acquire(blocking=False))
        two.send(request("/app"))
        refused = client.get("/app")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert client.get("/leaf").text == "leaf"
        gate.set()
        assert [one.receive().text, two.receive().text] == ["hello", "hello"]


def test_a_nul_in_a_path_reaches_no_script() -> None:
    with peer(responder(hello)) as address:
        for kind in (FastCGIResource, SCGIResource):
            with Client(mounted(address, kind)) as client:
                assert client.get("/app/a%00b").status == 400


# SCGI and uwsgi.


def tell(asked: AskedPlainly) -> None:
    """Answers with what it was told."""
    variables = asked.variables
    told = f"{variables['REQUEST_METHOD']} {variables['PATH_INFO']} {len(asked.stdin)}"
    asked.say(f"Status: 201 Made\r\nContent-Type: text/plain\r\n\r\n{told}".encode())


def tell_by_http(asked: AskedPlainly) -> None:
    """Its answers have a status line."""
    asked.say(b"HTTP/1.1 201 Made\r\nContent-Type: text/plain\r\n\r\n%d" % len(asked.stdin))


@pytest.mark.parametrize(("kind", "read"), [(SCGIResource, read_scgi), (UWSGIResource, read_uwsgi)])
def test_scgi_and_uwsgi(kind: Any, read: Callable[[Any], dict[str, str]]) -> None:
    with peer(program(tell, read)) as address, Client(mounted(address, kind)) as client:
        found = client.post("/app/x", body=b"x" * 100_000)
        assert (found.status, found.reason, found.text) == (201, "Made", "POST /x 100000")
        assert client.post("/app/x", body=iter([b"ab", b"c"])).text == "POST /x 3"
        assert client.get("/app/x").text == "GET /x 0"
    with peer(program(tell_by_http, read)) as address, Client(mounted(address, kind)) as client:
        found = client.post("/app/x", body=b"abc")
        assert (found.status, found.reason, found.text) == (201, "Made", "3")


def test_variables_that_do_not_fit_into_a_packet_are_a_400() -> None:
    with (
        peer(program(tell, read_uwsgi)) as address,
        Client(mounted(address, UWSGIResource, variables={"A": "x" * 60_000})) as client,
    ):
        assert client.get("/app/x", headers={"X-B": "y" * 8_000}).status == 400


def test_a_unix_socket(tmp_path: Any) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(HELLO)

        thread = threading.Thread(target=serve)
        thread.start()
        with Client(mounted(f"unix:{path}", SCGIResource)) as client:
            assert client.get("/app").text == "hello"
        thread.join()


def test_options_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="at least one connection"):
        FastCGIResource("unix:/x", connections=0)
    with pytest.raises(ValueError, match="expected an address"):
        FastCGIResource("9000")
