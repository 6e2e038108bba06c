"""Which answers are encoded (EN-01 to EN-07): every kind of Accept-Encoding, of answer and of leaf."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

import brotli
import pytest

from container import (
    ASGIResource,
    Brotli,
    Data,
    Deflate,
    Encoded,
    Files,
    Gzip,
    Resource,
    Response,
    Site,
    WSGIResource,
)
from container.message.negotiation import preferred_coding
from container.testing import Client, ClientResponse
from tests.leaf import Leaf, request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from container.message.request import Request

PAGE = json.dumps([{"id": number, "name": f"user {number}"} for number in range(400)]).encode()
BIG = PAGE * 10
BR_GZIP = [Brotli(), Gzip()]
OFFERS = ["br", "gzip"]


def decoded(answer: ClientResponse) -> bytes:
    coding = answer.headers.get("content-encoding")
    if coding == "br":
        return brotli.decompress(answer.body)  # type: ignore[no-any-return]
    return zlib.decompress(answer.body, 47) if coding in ("gzip", "deflate") else answer.body


def ask(
    client: Client, accept: str | None, method: str = "GET", target: str = "/", **fields: str
) -> ClientResponse:
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    return client.request(method, target, headers=headers | ({"Accept-Encoding": accept} if accept else {}))


# What the client takes (RFC 9110 12.5.3).


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (["gzip"], "gzip"), (["GZIP"], "gzip"), (["x-gzip"], "gzip"), (["gzip, br"], "br"), (["*"], "br"),
        (["br;q=0.5, gzip"], "gzip"), (["gzip;q=0.5"], "gzip"), (["gzip;q=1.0"], "gzip"), (["gzip ; q=0.5"], "gzip"),
        (["gzip;Q=0.5"], "gzip"), (["br;q=0.5", "gzip;q=0.8"], "gzip"), (["deflate", "gzip"], "gzip"),
        (["gzip;q=0"], "identity"), (["*;q=0.1, br;q=0"], "gzip"), (["gzip;q=0, *"], "br"), (["deflate"], "identity"),
        ([""], "identity"), (["identity"], "identity"), (["gzip;q=0.5, identity"], "identity"),
        (["gzip, identity"], "gzip"), (["gzip;q=0.5, *;q=0.1"], "gzip"), (["identity;q=0, gzip"], "gzip"),
        (["identity;q=0"], None), (["*;q=0"], None), (["*;q=0, identity"], "identity"), (["identity;q=0, zz"], None),
        (["gzip;q=2"], "identity"), (["gzip;q=x"], "identity"), (["gzip;q=-1"], "identity"), ([";q=1,,"], "identity"),
        (["gzip;q=0.0001"], "identity"),
    ],
)  # fmt: skip
def test_the_coding_is_the_one_both_like_best(accept: list[str], expected: str | None) -> None:
    """EN-02, EN-03: server order among those of equal weight; `*`, case, old names, `identity;q=0`."""
    assert preferred_coding([value.encode() for value in accept], OFFERS) == expected


@pytest.mark.parametrize("accept", ["identity;q=0", "*;q=0", "identity;q=0, zstd"])
def test_a_client_that_takes_nothing_we_have_gets_406(accept: str) -> None:
    """EN-03."""
    with Client(Site(Leaf(lambda _: Response.text("x")), encoders=BR_GZIP)) as client:
        answer = ask(client, accept)
        assert (answer.status, answer.headers["vary"]) == (406, "Accept-Encoding")
        assert ask(client, "identity;q=0, gzip").headers["content-encoding"] == "gzip"


def test_an_error_page_reaches_even_a_client_that_takes_nothing() -> None:
    with Client(Site(Leaf(lambda _: Response.text("x", 503)), encoders=BR_GZIP)) as client:
        assert (ask(client, "*;q=0").status, ask(client, "*;q=0").text) == (503, "x")


# Every kind of leaf.


def wsgi(kind: str, threads: int) -> WSGIResource:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "application/json")])
        if kind == "write":
            return wrote()
        return [PAGE] if kind == "list" else (PAGE[at : at + 1000] for at in range(0, len(PAGE), 1000))

    def written(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "application/json")])(PAGE)
        return []

    def wrote() -> Iterator[bytes]:
        yield PAGE

    return WSGIResource(written if kind == "write" else app, threads=threads)


def asgi(sizes: list[int]) -> ASGIResource:
    """Sends the page in pieces of these sizes, the rest with the last one."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(PAGE))]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        at = 0
        for size in sizes:
            await send({"type": "http.response.body", "body": PAGE[at : at + size], "more_body": True})
            at += size
        await send({"type": "http.response.body", "body": PAGE[at:]})

    return ASGIResource(app, lifespan="off")


async def late(_: Request) -> Response:
    return Response(PAGE, content_type="application/json")


async def pieces() -> Any:
    for at in range(0, len(PAGE), 1000):
        yield PAGE[at : at + 1000]


def leaf(kind: str, path: Path) -> Resource:
    json_type = "application/json"
    made: dict[str, Any] = {
        "native": lambda: Leaf(lambda _: Response(PAGE, content_type=json_type)),
        "async": lambda: Leaf(late),
        "iterated": lambda: Leaf(
            lambda _: Response(iter([PAGE[:99], b"", PAGE[99:]]), content_type=json_type)
        ),
        "async pieces": lambda: Leaf(lambda _: Response(pieces(), content_type=json_type)),
        "data": lambda: Data(PAGE, json_type),
        "wsgi list": lambda: wsgi("list", 1),
        "wsgi generator": lambda: wsgi("generator", 1),
        "wsgi write": lambda: wsgi("write", 1),
        "inline list": lambda: wsgi("list", 0),
        "inline generator": lambda: wsgi("generator", 0),
        "inline write": lambda: wsgi("write", 0),
        "asgi": lambda: asgi([]),
        "asgi pieces": lambda: asgi([1000, 0, 5000]),
        "file": lambda: Files(path.parent, index=[path.name]),
        "big": lambda: Leaf(lambda _: Response(BIG, content_type=json_type)),
        "big piece": lambda: Leaf(lambda _: Response(iter([BIG]), content_type=json_type)),
        "big file": lambda: Files(path.parent, index=["big.json"]),
    }
    return made[kind]()  # type: ignore[no-any-return]


WHOLE = ["native", "async", "data", "wsgi list", "inline list", "big", "asgi"]
STREAMED = [
    "iterated", "async pieces", "wsgi generator", "wsgi write", "inline generator", "inline write", "big piece",
    "asgi pieces",
]  # fmt: skip
LEAVES = pytest.mark.parametrize("kind", [*WHOLE, *STREAMED, "file", "big file"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "page.json").write_bytes(PAGE)
    (tmp_path / "big.json").write_bytes(BIG)
    return tmp_path / "page.json"


@LEAVES
@pytest.mark.parametrize(
    ("accept", "expected"), [("gzip", "gzip"), ("gzip, br", "br"), ("zstd", None), (None, None)]
)
def test_every_leaf_is_encoded(kind: str, accept: str | None, expected: str | None, path: Path) -> None:
    """EN-04: what the client decodes is the content; Vary tells caches that it depends."""
    with Client(Encoded(leaf(kind, path), BR_GZIP)) as client:
        for _ in range(2):  # on one connection: nothing stray follows
            answer = ask(client, accept)
            assert decoded(answer) == (BIG if "big" in kind else PAGE)
            assert (answer.status, answer.headers.get("content-encoding")) == (200, expected)
            assert answer.headers["vary"] == "Accept-Encoding"
            if expected:
                assert len(answer.body) < len(PAGE)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_answer_has_its_coded_length(kind: str, path: Path) -> None:
    with Client(Encoded(leaf(kind, path), BR_GZIP)) as client:
        answer = ask(client, "gzip")
    assert answer.headers["content-length"] == str(len(answer.body))


@pytest.mark.parametrize("kind", STREAMED)
def test_a_streamed_answer_loses_the_length_it_had(kind: str, path: Path) -> None:
    with Client(Encoded(leaf(kind, path), BR_GZIP)) as client:
        answer = ask(client, "gzip")
    assert (answer.headers.get("content-length"), answer.headers["transfer-encoding"]) == (None, "chunked")


@LEAVES
def test_head_has_the_fields_of_get_and_no_content(kind: str, path: Path) -> None:
    """EN-05."""
    with Client(Encoded(leaf(kind, path), BR_GZIP)) as client:
        connection = client.connect()
        connection.send(
            request("/", "Accept-Encoding: gzip", method="HEAD") + request("/", "Accept-Encoding: gzip")
        )
        head, get = (connection.receive(), connection.receive())
        assert (head.body, head.headers["content-encoding"]) == (b"", "gzip")
        assert {*head.headers} <= {*get.headers}
        assert decoded(get) in (PAGE, BIG)


@LEAVES
def test_an_old_client_gets_it_too(kind: str, path: Path) -> None:
    with Client(Encoded(leaf(kind, path), BR_GZIP)) as client:
        connection = client.connect()
        connection.send(request("/", "Accept-Encoding: gzip", version="1.0"))
        assert decoded(connection.receive()) in (PAGE, BIG)


# What is left as it is.


def answered(accept: str = "gzip", status: int = 200, body: bytes = PAGE, **fields: str) -> ClientResponse:
    headers = {"Content-Type": "application/json"} | {
        key.replace("_", "-"): value for key, value in fields.items()
    }
    with Client(Site(Leaf(lambda _: Response(body, status, headers)), encoders=BR_GZIP)) as client:
        return ask(client, accept)


@pytest.mark.parametrize(
    "fields",
    [
        {"Content_Encoding": "br"}, {"Cache_Control": "public, no-transform"}, {"Content_Type": "image/png"},
        {"Content_Type": "text/event-stream"}, {"Content_Range": "bytes 0-9/10"}, {"Content_Type": "application/zip"},
    ],
)  # fmt: skip
def test_what_would_not_gain_or_must_not_change_stays_as_it_is(fields: dict[str, str]) -> None:
    """EN-04: skip rules."""
    answer = answered(**fields)
    assert (answer.body, answer.headers.get("vary")) == (PAGE, None)
    assert answer.headers.get("content-encoding") == fields.get("Content_Encoding")


@pytest.mark.parametrize(
    ("status", "body"), [(206, PAGE), (204, b""), (205, b""), (200, b"x" * 511), (200, b"")]
)
def test_parts_and_little_content_stay_as_they_are(status: int, body: bytes) -> None:
    """EN-04, EN-05."""
    answer = answered(status=status, body=body)
    assert (answer.status, answer.body, answer.headers.get("content-encoding")) == (status, body, None)


@pytest.mark.parametrize(
    "kind", ["text/html", "text/css; charset=utf-8", "application/problem+json", "IMAGE/SVG+XML"]
)
def test_text_of_all_kinds_is_encoded(kind: str) -> None:
    answer = answered(Content_Type=kind, body=b"x" * 512)
    assert (answer.headers["content-encoding"], decoded(answer)) == ("gzip", b"x" * 512)


def test_error_pages_are_encoded_too() -> None:
    assert answered(status=404).headers["content-encoding"] == "gzip"


def test_the_rules_can_be_changed() -> None:
    def answer(each: Request) -> Response:
        return Response(b"x" * 100, content_type=each.args.get("type", "text/plain"))

    root = Encoded(Leaf(answer), [Gzip()], minimum=50, types=["image/*", "x/y"], event_streams=True)
    with Client(root) as client:
        got = {
            kind: ask(client, "gzip", target=f"/?type={kind}").headers.get("content-encoding")
            for kind in ("image/png", "x/y", "x/z", "text/plain", "text/event-stream")
        }
    assert got == {
        "image/png": "gzip",
        "x/y": "gzip",
        "x/z": None,
        "text/plain": None,
        "text/event-stream": "gzip",
    }


# Validators.


def test_a_strong_etag_becomes_weak_and_still_revalidates() -> None:
    """EN-04: one strong validator must not name two sequences of bytes."""
    with Client(Encoded(Data(PAGE, "application/json"), BR_GZIP)) as client:
        plain, coded = ask(client, None), ask(client, "gzip")
        assert coded.headers["etag"] == f"W/{plain.headers['etag']}"
        for etag, expected in ((coded.headers["etag"],) * 2, (plain.headers["etag"],) * 2):
            answer = ask(client, "gzip", If_None_Match=etag)
            assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", expected)
            assert (answer.headers["vary"], answer.headers.get("content-encoding")) == (
                "Accept-Encoding",
                None,
            )
        # The sealed response of the resource is the same as ever.
        assert ask(client, None).headers.items() == plain.headers.items()


def test_fields_that_are_only_true_of_the_plain_content_are_left_out() -> None:
    answer = answered(ETag='W/"1"', Accept_Ranges="bytes", Repr_Digest="sha-256=:x:", Vary="Cookie")
    assert (answer.headers["etag"], answer.headers["vary"]) == ('W/"1"', "Cookie, Accept-Encoding")
    assert not {"accept-ranges", "repr-digest"} & {*answer.headers}


# Where it holds.


def test_it_holds_for_all_that_is_below() -> None:
    """EN-01: leaf, directory, site; EN-07: off below."""
    page = Leaf(lambda _: Response(PAGE, content_type="application/json"))
    tree = Resource()
    tree.mount("a", page)
    tree.mount("off", Encoded(page, []))
    root = Resource()
    wrapped = root.mount("wrapped", Encoded(tree, [Gzip()]))
    wrapped.mount("later/b", page)
    root.mount("plain", page)
    root.mount("site", Site(tree, encoders=[Deflate()]))
    with Client(root) as client:
        got = {
            target: ask(client, "gzip, deflate", target=target).headers.get("content-encoding")
            for target in ("/wrapped/a", "/wrapped/later/b", "/wrapped/off", "/plain", "/site/a", "/site/off")
        }
    assert got == {
        "/wrapped/a": "gzip", "/wrapped/later/b": "gzip", "/wrapped/off": None, "/plain": None,
        "/site/a": "deflate", "/site/off": None,
    }  # fmt: skip
    assert set(wrapped.children) == {"a", "off", "later"}
    assert ("/wrapped/a", page) in list(root.walk())
    assert wrapped.unmount("a") is page


def test_what_is_wrapped_is_started_and_stopped() -> None:
    seen: list[str] = []

    class Living(Resource):
        async def start(self) -> None:
            seen.append("start")

        async def stop(self) -> None:
            seen.append("stop")

    with Client(Encoded(Living(), [Gzip()])):
        assert seen == ["start"]
    assert seen == ["start", "stop"]


@pytest.mark.parametrize("way", ["field", "exchange"])
def test_one_answer_can_be_left_out(way: str) -> None:
    """EN-07: the off switch of one response or request, for secrets beside what an attacker can choose (BREACH)."""

    def answer(each: Request) -> Response:
        response = Response(PAGE, content_type="application/json")
        if way == "field":
            response.headers.set("Content-Encoding", "identity")
        else:
            each.exchange.encode_by(None)
        return response

    with Client(Site(Leaf(answer), encoders=BR_GZIP)) as client:
        got = ask(client, "gzip")
    assert (got.body, got.headers.get("content-encoding")) == (PAGE, None)


# Plug-ins.


class Reversed:
    """A toy coding."""

    name = "rev"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def make(self) -> Reversed:
        return self

    def compress(self, data: bytes) -> bytes:
        if self.error is not None:
            raise self.error
        return data[::-1]

    def flush(self) -> bytes:
        return b"|"

    def finish(self) -> bytes:
        return b"."


def test_anybody_can_write_an_encoder() -> None:
    """EN-06."""
    whole = Leaf(lambda _: Response("ab" * 300, content_type="text/plain"))
    streamed = Leaf(lambda _: Response(iter([b"ab", b"cd"]), content_type="text/plain"))
    for root, expected in ((whole, b"ba" * 300 + b"."), (streamed, b"ba|dc|.")):
        with Client(Encoded(root, [Reversed()])) as client:
            answer = ask(client, "rev")
        assert (answer.body, answer.headers["content-encoding"]) == (expected, "rev")


@pytest.mark.parametrize("body", [PAGE, BIG])
def test_an_encoder_that_fails_is_a_500(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    root = Leaf(lambda _: Response(body, content_type="application/json"))
    # A minimum of 0: the error page would be encoded too.
    with Client(Encoded(root, [Reversed(RuntimeError("no ink"))], minimum=0)) as client:
        assert ask(client, "rev").status == 500
    assert "no ink" in caplog.text


@pytest.mark.parametrize(
    ("encoders", "message"),
    [([Gzip], r"did you mean Gzip\(\)"), (["gzip"], "such as Gzip"), ([Gzip(), Gzip(level=1)], "got two")],
)
def test_what_is_no_encoder_is_refused(encoders: list[Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        Encoded(Resource(), encoders)
    with pytest.raises((TypeError, ValueError), match=message):
        Site(Resource(), encoders=encoders)


def test_what_is_no_resource_is_refused() -> None:
    with pytest.raises(TypeError, match="expected a Resource inside Encoded"):
        Encoded("page", [Gzip()])  # type: ignore[arg-type]


# Streams.


def test_a_stream_stays_a_stream() -> None:
    """EN-04: every piece can be decoded as soon as it was written."""
    exchanges: list[Any] = []

    def answer(each: Request) -> Any:
        exchanges.append(each.exchange)
        each.exchange.start(200, Response("", content_type="text/plain").block())
        each.exchange.write(b"zero")
        return each.exchange

    with Client(Encoded(Leaf(answer), [Gzip()])) as client:
        with client.stream("GET", "/", headers={"Accept-Encoding": "gzip"}) as stream_:
            decode = zlib.decompressobj(47).decompress
            assert decode(next(stream_)) == b"zero"
            for word in (b"one", b"two", b"three"):
                exchanges[0].write(word)
                assert decode(next(stream_)) == word
            exchanges[0].end()
            assert decode(stream_.read()) == b""


@pytest.mark.parametrize("announced", [3, 9])
@pytest.mark.parametrize("size", [5, 100_000])
def test_an_announced_length_is_kept_to(announced: int, size: int, caplog: pytest.LogCaptureFixture) -> None:
    fields = {"Content-Type": "text/plain", "Content-Length": str(announced if announced == 3 else size + 4)}
    root = Leaf(lambda _: Response(iter([b"x" * size]), headers=fields))
    with Client(Encoded(root, [Gzip()], minimum=0)) as client:
        answer = ask(client, "gzip")
    if announced == 3:
        assert (decoded(answer), answer.complete) == (b"xxx", True)
        assert "expected 3 bytes" in caplog.text
    else:
        assert not answer.complete
        assert "expected 4 more bytes" in caplog.text


def test_an_iterable_that_fails_before_its_first_piece_gets_an_error_page(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> Iterator[bytes]:
        raise RuntimeError("no content")
        yield b""

    with Client(Encoded(Leaf(lambda _: Response(broken())), [Gzip()])) as client:
        assert ask(client, "gzip").status == 500
    assert "no content" in caplog.text


@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_client_may_leave_while_much_is_encoded(is_streamed: bool) -> None:
    body: Any = (lambda: iter([BIG, BIG])) if is_streamed else (lambda: BIG)
    with Client(Encoded(Leaf(lambda _: Response(body(), content_type="text/plain")), [Gzip()])) as client:
        connection = client.connect()
        connection.transport.feed(request("/", "Accept-Encoding: gzip"))
        connection.transport.reset()
        client.settle()
        assert decoded(ask(client, "gzip")) in (BIG, BIG * 2)
