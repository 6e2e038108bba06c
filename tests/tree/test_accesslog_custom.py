"""Formats of one's own: atoms of gunicorn and of Apache, and words for what is measured. Covers LG-02, CL-03."""

from __future__ import annotations

import os
import re
from time import perf_counter
from typing import Any

import pytest

from container.message.response import Response
from container.resources.vhost import VirtualHosts
from container.resources.wsgi import WSGIResource
from container.testing import Client
from container.tree.accesslog import CombinedFormatter, CommonFormatter, Entry, FormatProblem, make_formatter
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import GET, Held, Leaf, MemoryLog, request

SENT = request(
    "/a%20b?c=d",
    "User-Agent: curl/8",
    "Referer: http://r/",
    "X-One: 1",
    "X-One: 2",
    "Cookie: theme=dark",
    host="shop.example:81",
)


def logged(text: str, data: bytes = SENT, answer: Any = lambda _: "hello", **ends: Any) -> str:
    """The one line that a request leaves."""
    log = MemoryLog(make_formatter(text))
    with Client(Site(Leaf(answer), access_log=log), **ends) as client:
        client.send_raw(data)
    (line,) = log.lines
    return line


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("%(h)s %(l)s %(u)s", "127.0.0.1 - -"),
        ('"%(r)s"', '"GET /a%20b?c=d HTTP/1.1"'),
        ("%(m)s %(U)s %(q)s %(H)s", "GET /a%20b c=d HTTP/1.1"),
        ("%(s)s %(B)s %(b)s", "200 5 5"),
        ('"%(f)s" "%(a)s"', '"http://r/" "curl/8"'),
        ("%(p)s", "<PID>"),
        ("%({X-One}i)s %({nothing}i)s", "1, 2 -"),
        ("%({Content-Type}o)s %({content-length}o)s %({X}o)s", "text/html; charset=utf-8 5 -"),
        ("%({REQUEST_METHOD}e)s %({wsgi.url_scheme}e)s %({HTTP_X_ONE}e)s", "GET http 1, 2"),
        ("%({SSL_PROTOCOL}e)s %({REMOTE_USER}e)s", "- -"),
        ("100%% %(s)s%%", "100% 200%"),
        ('%h %l %u "%r" %>s %s %<s %b', '127.0.0.1 - - "GET /a%20b?c=d HTTP/1.1" 200 200 200 5'),
        ("%m %U%q %H %a", "GET /a%20b?c=d HTTP/1.1 127.0.0.1"),
        ("%p %P %v %V", "81 PID shop.example shop.example"),
        ("%{X-One}i %{content-type}o %{theme}C %{gone}C", "1, 2 text/html; charset=utf-8 dark -"),
        ("%(client)s %(method)s %(target)s %(http_version)s", "127.0.0.1 GET /a%20b?c=d 1.1"),
        ("%(status)s %(bytes)s %(bytes_received)s", "200 5 0"),
        ("%(host)s %(scheme)s %(tls)s %(mount)s", "shop.example:81 http - "),
        ("%(vhost)s %(upstream)s %(queue_s)s", "- - -"),
    ],
)
def test_an_atom_tells_of_the_exchange(form: str, line: str) -> None:
    assert logged(form) == line.replace("PID", str(os.getpid()))


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("%(t)s", r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000\]"),
        ("%(T)s %T %{s}T", r"(\d+) \1 \1"),
        ("%(M)s %{ms}T", r"\d+ \d+"),
        ("%(D)s %D %{us}T", r"[1-9]\d* [1-9]\d* [1-9]\d*"),
        ("%(L)s %(duration_s)s %(first_byte_s)s", r"\d+\.\d{6} \d+\.\d{6} \d+\.\d{6}"),
        ("%{%Y-%m-%d}t", r"\d{4}-\d\d-\d\d"),
        ("%(time)s", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"),
        ("%L %(request_id)s %(trace_id)s", r"([0-9a-f]{32}) \1 \1"),
    ],
)
def test_an_atom_tells_when_how_long_and_which(form: str, pattern: str) -> None:
    assert re.fullmatch(pattern, logged(form))


def test_a_format_of_combined_atoms_is_the_combined_format() -> None:
    form = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
    held = Held()
    with Client(held) as client:
        client.connect().send(SENT)
        entry = Entry(held.last.request, 200, 0, 1e6)
        custom, common = make_formatter(form), make_formatter("common")
        assert custom is not None
        assert custom(entry) == CombinedFormatter()(entry)
        assert isinstance(common, CommonFormatter)
        assert CombinedFormatter()(entry) == f'{common(entry)} "http://r/" "curl/8"'
    assert make_formatter("combined") is None


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("%(duration)s", "got %(duration)s (did you mean %(duration_s)s?)"),
        ("%(S)s", "got %(S)s (did you mean %(s)s?)"),
        ("%Z", "expected an atom such as %h, %a, %l, %u in the format, got %Z"),
        ("%(h)d", "expected an s after %(h) in the format, got 'd'"),
        ("50 %", "expected an atom or %% after % in the format, got '%'"),
        ("%{x}y", "expected one of %{name}i, %{name}o, %{name}e, %{name}C, %{name}t, %{name}T in the"),
        ("%({x}C)s", "expected one of %({name}i)s, %({name}o)s, %({name}e)s in the format, got %({x}C)s"),
        ("%({}i)s", "got %({}i)s"),
        ("%{m}T", "got %{m}T (did you mean %{ms}T?)"),
        ("%{REMOTE_USR}e", "got %{REMOTE_USR}e (did you mean %{REMOTE_USER}e?)"),
        ("%h\n%h", "expected a format of one line, got more"),
        ("josn", "got 'josn' (did you mean json?)"),
        ("", "expected combined, common, vhost, json or a format"),
    ],
)  # fmt: skip
def test_what_is_no_format_is_told_in_a_line(form: str, words: str) -> None:
    with pytest.raises(FormatProblem) as caught:
        make_formatter(form)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "form", ['"%(a)s" "%(f)s" "%({x-one}i)s"', '"%{user-agent}i" "%{referer}i" "%{x-one}i"']
)
def test_nothing_a_client_sends_can_break_or_forge_a_line(form: str) -> None:
    evil = '" 200 "\\\xe9'
    data = request(
        "/",
        f"User-Agent: {evil}",
        f"Referer: {evil}",
        "X-One: %s %(h)s",
    )
    escaped = '\\" 200 \\"\\\\\\xe9'
    assert logged(form, data) == f'"{escaped}" "{escaped}" "%s %(h)s"'


def test_a_request_that_could_not_be_read_has_dashes() -> None:
    words = "%(r)s %(m)s %(U)s %(H)s %(D)s %(L)s %(duration_s)s %(host)s %(mount)s %v %p %(s)s %(h)s"
    assert logged(words, b"garbage\r\n\r\n") == "- - - - - - - - - - - 400 127.0.0.1"


def test_a_client_that_was_too_slow_is_a_408() -> None:
    log = MemoryLog(make_formatter("%(r)s %(s)s %(bytes_received)s"))
    with Client(Site(Held(), access_log=log)) as client:
        client.connect().send(b"GET /never HT")
        client.clock.advance(31)
        client.connect().send(request("/post", "Content-Length: 9", method="POST") + b"12345")
        client.clock.advance(31)
    assert log.lines == ["- 408 0", "POST /post HTTP/1.1 408 5"]


def test_what_was_sent_of_an_answer_that_was_cut_is_counted() -> None:
    held = Held()
    log = MemoryLog(make_formatter("%(s)s %(B)s %({X-A}o)s %(duration_s)s"))
    with Client(Site(held, access_log=log)) as client:
        connection = client.connect()
        connection.send(GET)
        held.last.start(206, Response(b"", headers={"X-A": "b"}).block())
        held.last.write(b"12345")
        connection.transport.reset()
        client.settle()
    assert re.fullmatch(r"206 5 b \d+\.\d{6}", log.lines[0])


def test_fields_of_the_answer_are_those_that_left() -> None:
    """Also what was added on its way out."""
    log = MemoryLog(make_formatter("%({x-site}o)s %({x-late}o)s %({content-length}o)s"))

    def answer(request_: Any) -> Response:
        request_.exchange.before_head(lambda status, headers: headers.set("X-Late", "yes"))
        return Response("hello")

    with Client(Site(Leaf(answer), headers={"X-Site": "a"}, access_log=log)) as client:
        client.get("/")
    assert log.lines == ["a yes 5"]


def test_the_first_byte_comes_before_the_last() -> None:
    held = Held()
    entries: list[Entry] = []
    log = MemoryLog(lambda entry: str(entries.append(entry)))
    with Client(Site(held, access_log=log)) as client:
        client.connect().send(GET)
        exchange = held.last
        exchange.start(200, Response(b"").block())
        exchange.write(b"1")
        notes = exchange.request.notes
        assert notes is not None
        while notes.head_left == perf_counter():
            pass
        exchange.write(b"2")
        exchange.end()
        log.flush()
    (entry,) = entries
    assert entry.first_byte_s is not None
    assert entry.duration_s is not None
    assert 0 < entry.first_byte_s < entry.duration_s


def test_the_virtual_host_is_the_one_that_was_matched() -> None:
    log = MemoryLog(make_formatter("%(vhost)s %v"))
    hosts = {
        "a.example": Leaf(lambda _: "a"),
        "*.b.example": Leaf(lambda _: "b"),
        "c.example:81": Leaf(lambda _: "c"),
    }
    root = VirtualHosts(hosts, default=Leaf(lambda _: "rest"))
    with Client(Site(root, access_log=log)) as client:
        for host in ("A.example", "x.b.example", "c.example:81", "other", 'o"ther'):
            client.get("/", headers={"Host": host})
    assert log.lines == [
        "a.example a.example",
        "*.b.example *.b.example",
        "c.example:81 c.example:81",
        "- other",
        "- -",
    ]


def test_the_mount_is_where_the_resource_is() -> None:
    root = Resource()
    root.mount("shop/app", Leaf(lambda _: "x"))
    log = MemoryLog(make_formatter("%(mount)s %({SCRIPT_NAME}e)s %({PATH_INFO}e)s"))
    with Client(Site(root, access_log=log)) as client:
        client.get("/shop/app/cart")
    assert log.lines == ["/shop/app /shop/app /cart"]


@pytest.mark.parametrize(
    ("form", "needs"),
    [("%h %u %r %b %{a}i %(request_id)s", False), ("%D", True), ("%(queue_s)s", True), ("%{x}o", True), ("%v", True),
     ("combined", False), ("common", False), ("vhost", False), ("json", True)],
)  # fmt: skip
def test_notes_are_taken_only_for_formats_that_need_them(form: str, needs: bool) -> None:
    seen: list[bool] = []
    log = MemoryLog(make_formatter(form))
    with Client(
        Site(Leaf(lambda each: seen.append(each.notes is not None) or "x"), access_log=log)
    ) as client:
        client.get("/")
    assert log.needs_notes is needs
    assert seen == [needs]


def test_the_time_in_the_queue_is_that_before_a_thread_was_free() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"x"]

    entries: list[Entry] = []
    log = MemoryLog(lambda entry: str(entries.append(entry)))
    with Client(Site(WSGIResource(app), access_log=log)) as client:
        client.get("/")
        log.flush()
    (entry,) = entries
    assert entry.queue_s is not None
    assert entry.duration_s is not None
    assert 0 < entry.queue_s < entry.duration_s
