import itertools
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.message.body import EMPTY
from container.message.errors import ProtocolError
from container.message.limits import Limits
from container.message.request import Request
from container.protocol.h1 import RequestParser, Tokeniser
from container.protocol.head import Head, _apply_policy

LIMITS = Limits()


def head(line: bytes, *fields: bytes, host: bytes | None = b"Host: a") -> bytes:
    return b"\r\n".join([line, *([] if host is None else [host]), *fields]) + b"\r\n\r\n"


def get(*fields: bytes, line: bytes = b"GET / HTTP/1.1") -> bytes:
    return head(line, *fields)


def to(target: bytes, *fields: bytes, method: bytes = b"GET") -> bytes:
    return head(b"%b %b HTTP/1.1" % (method, target), *fields)


Parsed = tuple[Request, RequestParser] | int


def parse(octets: bytes, tokeniser: Tokeniser | None = None, step: int = 0) -> Parsed:
    """The request of a head, or the status it is refused with; fed whole or `step` bytes at a time."""
    parser = RequestParser(LIMITS, tokeniser or Tokeniser())
    step = step or len(octets)
    try:
        for at in range(0, len(octets), step):
            parser.receive(octets[at : at + step])
            request = parser.next()
            if request is not None:
                assert at + step >= len(octets), "a request before the end of its head"
                return request, parser
    except ProtocolError as error:
        return error.status
    raise AssertionError("neither a request nor a refusal")


def described(octets: bytes, tokeniser: Tokeniser | None = None, step: int = 0) -> object:
    """Everything a parsed head says, as a comparable value."""
    parsed = parse(octets, tokeniser, step)
    if isinstance(parsed, int):
        return parsed
    request, parser = parsed
    return (
        *(request.method, request.raw_target, request.raw_path, request.raw_query, request.http_version),
        *(tuple(request.raw_headers), request.body.length, request.body.complete, type(parser.framing)),
        *(parser.keep_alive, parser.expects_continue, parser.buffer),
    )


# A head, and what its request says where that is not what a plain GET says.
VALID: list[tuple[bytes, dict[str, Any]]] = [
    (get(), {"raw_headers": [(b"host", b"a")], "raw_target": b"/"}),
    *(
        (to(b"/x", method=name.encode()), {"method": name, "raw_path": b"/x"})
        for name in ("HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH")
    ),
    # Versions.
    (get(line=b"GET / HTTP/1.0"), {"http_version": "1.0", "keep_alive": False}),
    (head(b"GET / HTTP/1.0", host=None), {"http_version": "1.0", "raw_headers": [], "keep_alive": False}),
    (get(line=b"GET / HTTP/1.2"), {}),
    (get(line=b"GET / HTTP/1.9"), {}),
    # Targets.
    (to(b"/a?b?c=/d"), {"raw_path": b"/a", "raw_query": b"b?c=/d"}),
    (to(b"/?"), {"raw_target": b"/?"}),
    (to(b"//a/../b/"), {"raw_path": b"//a/../b/"}),
    (to(b"/%41%2f%zz%"), {"raw_path": b"/%41%2f%zz%"}),
    (to(b"/!\"$%&'()*+,-./:;<=>@[\\]^_`{|}~"), {"raw_path": b"/!\"$%&'()*+,-./:;<=>@[\\]^_`{|}~"}),
    (to(b"http://b:8/x?q"), {"raw_path": b"/x", "raw_query": b"q", "host": "b:8"}),
    (to(b"http://b", b"X: y"), {"raw_headers": [(b"host", b"b"), (b"x", b"y")], "hostname": "b"}),
    (to(b"HTTPS://b"), {"raw_path": b"/", "host": "b"}),
    (to(b"http://b?q"), {"raw_path": b"/", "raw_query": b"q", "host": "b"}),
    (to(b"http://[::1]:8/"), {"host": "[::1]:8"}),
    (
        head(b"GET http://b/x HTTP/1.0", host=None),
        {"host": "b", "raw_path": b"/x", "http_version": "1.0", "keep_alive": False},
    ),
    (to(b"*", method=b"OPTIONS"), {"method": "OPTIONS", "raw_path": b"*"}),
    (to(b"http://b", method=b"OPTIONS"), {"method": "OPTIONS", "raw_path": b"*"}),
    (to(b"http://b/", method=b"OPTIONS"), {"method": "OPTIONS", "raw_path": b"/"}),
    (to(b"b.example:443", method=b"CONNECT"), {"method": "CONNECT", "raw_path": b"b.example:443"}),
    (to(b"[::1]:443", method=b"CONNECT"), {"method": "CONNECT", "raw_path": b"[::1]:443"}),
    # Field lines: whitespace around a value is not part of it, any other octet that is allowed is.
    (get(b"X:y"), {"raw_headers": [(b"host", b"a"), (b"x", b"y")]}),
    (get(b"X: \t y \t z \t "), {"raw_headers": [(b"host", b"a"), (b"x", b"y \t z")]}),
    (get(b"X:\ty\t"), {"raw_headers": [(b"host", b"a"), (b"x", b"y")]}),
    (get(b"X: y "), {"raw_headers": [(b"host", b"a"), (b"x", b"y")]}),
    (head(b"GET / HTTP/1.1", host=b"Host:b  "), {"host": "b"}),
    (get(b"Content-Length: 5 "), {"length": 5, "complete": False}),
    (get(b"Expect: 100-continue "), {}),
    (get(b"X:", b"Y:\t", b"Z:  "), {"raw_headers": [(b"host", b"a"), (b"x", b""), (b"y", b""), (b"z", b"")]}),
    (get(b"X: caf\xe9 \xff\x80"), {"raw_headers": [(b"host", b"a"), (b"x", b"caf\xe9 \xff\x80")]}),
    (get(b"x: 1", b"X: 2"), {"raw_headers": [(b"host", b"a"), (b"x", b"1"), (b"x", b"2")]}),
    (get(b"!#$%&'*+-.^_`|~09azAZ: :"), {"raw_headers": [(b"host", b"a"), (b"!#$%&'*+-.^_`|~09azaz", b":")]}),
    (get(b"Transfer_Encoding: chunked", b"Content_Length: 5"), {"length": 0}),
    (get(b"Cookie: a=1", b"Authorization: Basic x"), {"length": 0}),
    (get(b"X: " + b"y" * 2000), {}),
    # Host.
    *(
        (head(b"GET / HTTP/1.1", host=b"hOsT:\t%b \t" % host), {"raw_headers": [(b"host", host)]})
        for host in (b"", b"a.b", b"a.b:80", b"1.2.3.4:", b"[::1]:80", b"[fe80::1%25en0]", b"[v1.a:b]")
    ),
    (head(b"GET / HTTP/1.1", host=b"Host: a-b_c~!$&'()*+;=%2f"), {}),
    # Content.
    (get(b"Content-Length: 0"), {"length": 0, "complete": True}),
    (get(b"Content-Length: 000"), {"length": 0, "complete": True}),
    (get(b"cOnTeNt-lEnGtH:\t5\t"), {"length": 5, "complete": False}),
    (get(b"Content-Length: 0005"), {"length": 5, "complete": False}),
    (get(b"Content-Length: " + b"0" * 500 + b"5"), {"length": 5, "complete": False}),
    *(
        (get(b"Transfer-Encoding: " + coding), {"length": None, "complete": False})
        for coding in (b"chunked", b"ChUnKeD", b"\tchunked\t ", b", chunked")
    ),
    (get(b"Connection: upgrade", b"Upgrade: x", b"Content-Length: 3"), {"length": 3, "complete": False}),
    (get(b"Proxy-Connection: upgrade", b"Upgrade: x"), {}),
    # Persistence.
    *(
        (get(*fields), {"keep_alive": False})
        for fields in ([b"Connection: close"], [b"connection: CLOSE"], [b"Connection: keep-alive,\tClose ,x"])
    ),
    (get(b"Connection: keep-alive", b"Connection: close"), {"keep_alive": False}),
    (get(b"Proxy-Connection: close"), {"keep_alive": True}),
    *((get(b"Connection: " + options), {}) for options in (b"", b"keep-alive", b"x-close", b"upgrade")),
    (get(b"Connection: Keep-Alive", line=b"GET / HTTP/1.0"), {"keep_alive": True, "http_version": "1.0"}),
    (get(b"Connection: x, keep-alive", line=b"GET / HTTP/1.0"), {"keep_alive": True, "http_version": "1.0"}),
    (get(b"Connection: keep-alive,close", line=b"GET / HTTP/1.0"), {"http_version": "1.0", "keep_alive": 0}),
    # Expectations.
    (get(b"Expect: 100-Continue"), {"expects_continue": False}),
    (get(b"Expect: 100-continue", b"Content-Length: 0"), {"expects_continue": False}),
    (
        get(b"Expect: 100-continue", b"Content-Length: 5"),
        {"expects_continue": True, "length": 5, "complete": False},
    ),
    (
        get(b"Transfer-Encoding: chunked", b"Expect: 100-continue"),
        {"expects_continue": True, "length": None, "complete": False},
    ),
    (
        get(b"Expect: what", b"Content-Length: 5", line=b"GET / HTTP/1.0"),
        {"http_version": "1.0", "keep_alive": False, "length": 5, "complete": False},
    ),
]  # fmt: skip

BAD_LINES = [
    b"GET /", b"GET  / HTTP/1.1", b"GET /  HTTP/1.1", b"GET / HTTP/1.1 ", b"GET / HTTP/1.1\t",
    b" GET / HTTP/1.1", b"GET\t/\tHTTP/1.1", b"GET HTTP/1.1", b"GET  HTTP/1.1", b"/ HTTP/1.1", b" / HTTP/1.1",
    b"GET", b"", b"\0GET / HTTP/1.1", b"GE{T / HTTP/1.1", b"G\xc3\x89T / HTTP/1.1", b"GET\0 / HTTP/1.1",
    b"G\rET / HTTP/1.1", b"GET /\rHTTP/1.1", b"SOURCE / ICE/1.0", b"DESCRIBE / RTSP/1.0", b"PRI / HTTP/1.1",
    b"BREW / TCP/1.0",
]  # fmt: skip
BAD_VERSIONS = [
    b"http/1.1", b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1", b"HTTP/1.", b"HTTP/1.x", b"HTTP/ 1.1", b"HTTPS/1.1",
    b"HTTP", b"HTTP/-1.1", b"HTTP/1,1", b"FTP/1.1", b"ICE/1.0", b"RTSP/1.0", b"HTTP/",
]  # fmt: skip
BAD_TARGETS = [
    b"a", b"a:1", b"ftp://a/", b"http:///a", b"http://", b"http:/a", b"?a", b"/#a", b"/a?b#", b"http://b/#c",
    *(b"/a%bb" % octet for octet in (b"\0", b"\x01", b"\t", b"\r", b"\n", b"\x7f", b"\x80", b"\xff")),
    *(b"http://%b/" % host for host in (b"u@b", b"b:8o", b"[::1", b"b:123456", b"b%zz", b"b,c", b"[:1]x")),
]  # fmt: skip
BAD_TUNNELS = [b"/", b"/a:1", b"a", b"http://a:1/", b"a:", b"a:x", b"a:123456", b"*", b"u@a:1"]
BAD_FIELDS = [
    b"X : y", b"X\t: y", b": y", b"X", b"X\t", b"X Y: z", b"X(Y: z", b"X@: y", b"X/: y", b'X": y', b"X\0: y",
    b"X\xe9: y", b"\x01: y", b"X: a\0b", b"X: a\rb", b"X: a\nb", b"X: a\x01b", b"X: a\x0bb", b"X: a\x0c",
    b"X: a\x7f", b"X: y\r\n z", b"X: y\r\n\tz", b"X:\r\n z", b"X: y\r\n ", b"X: y\r", b"X: y\n", b"\nX: y",
    b"\rX: y", b" X: y", b"Transfer-Encoding : chunked", b"\x01Transfer-Encoding: chunked",
    b"X: y\rTransfer-Encoding: chunked",
    # Two heads in one, were an empty line anything but CRLF CRLF.
    *(b"X: y%bGET /b HTTP/1.1" % end for end in (b"\n\n", b"\n\r\n", b"\r\n\n", b"\r\r\n", b"\r\r")),
]  # fmt: skip
BAD_HOSTS = [
    b"a b", b"u@a", b"a/x", b"a:8o", b"a:123456", b"a:1:2", b"a, b", b"[::1", b"::1", b"[::1]x", b"[g::1]",
    b"<b>", b"a?", b"a#", b"a\\", b"a%", b"a%4", b"a\xe9", b'"a"', b"{a}",
]  # fmt: skip
BAD_LENGTHS = [
    b"", b"-5", b"+5", b"0x5", b"5a", b"5.0", b"1_0", b"5 5", b"5,5", b"5, 6", b"5;a=b", b'"5"', b"five",
    b"1e1", b"\xb2", b"\xd9\xa5", b"5\x0b", b"5\0", b"5\r\n 5", b"18446744073709551621", b"9" * 5000,
]  # fmt: skip
BAD_CODINGS = [
    b"", b"identity", b"gzip", b"cow", b"xchunked", b"chunkedx", b"chunked, gzip", b"chunked, chunked",
    b"chunked,", b"chunked;a=b", b'"chunked"', b"\x0bchunked", b"chunked\x0c", b"chunked\0", b"chunked\xa0",
    b"chunked chunked", b"\r\n chunked", b"chunked\r\nTransfer-Encoding: chunked",
    b"chunked\r\nTransfer-Encoding: identity",
]  # fmt: skip
UNKNOWN_METHODS = [b"get", b"BREW", b"GETX", b"GE", b"A" * 2000, b"DESCRIBE", b"SETUP", b"!#$%&'*+-.^_`|~"]

INVALID: dict[int, list[bytes]] = {
    400: [
        *(get(line=line) for line in BAD_LINES),
        *(get(line=b"GET / " + version) for version in BAD_VERSIONS),
        *(to(target) for target in BAD_TARGETS),
        *(to(target, method=b"CONNECT") for target in BAD_TUNNELS),
        *(get(field) for field in BAD_FIELDS),
        *(get(field, b"Host: b") for field in BAD_FIELDS),
        head(b"GET / HTTP/1.1", b"Host: a", host=b" X: y"),
        # Host: one and only one.
        *(head(b"GET / HTTP/1.1", host=b"Host: " + host) for host in BAD_HOSTS),
        *(get(b"Host: a"), get(b"Host: b"), head(b"GET / HTTP/1.0", b"Host: a")),
        *(head(b"GET / HTTP/1.1", host=None), head(b"GET http://a/ HTTP/1.1", host=None)),
        # Framing: one and only one.
        *(get(b"Content-Length: " + length, b"X: y") for length in BAD_LENGTHS),
        *(get(b"Transfer-Encoding: " + coding) for coding in BAD_CODINGS),
        *(
            get(b"Content-Length: 5", b"Transfer-Encoding: " + coding)
            for coding in [b"chunked", *BAD_CODINGS]
        ),
        *(get(b"Content-Length: 5", b"content-length: " + length) for length in (b"5", b"6", b"0")),
        get(b"Transfer-Encoding: chunked", b"Content-Length: 0"),
        get(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0"),
        get(b"Connection: keep-alive", b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0"),
    ],
    405: [to(b"*"), to(b"*", method=b"POST"), to(b"*", b"Content-Length: 5")],
    413: [
        get(b"Content-Length: %d" % length)
        for length in ((1 << 31) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
    ],
    417: [
        *(
            get(b"Expect: " + expected, b"Content-Length: 5")
            for expected in (b"", b"x", b"100-continue, x", b"100")
        ),
        get(b"Expect: 100-continue", b"Expect: x"),
    ],
    501: [
        *(to(b"/", method=method) for method in UNKNOWN_METHODS),
        *(get(b"Transfer-Encoding: " + coding) for coding in (b"gzip, chunked", b"identity ,\tchunked")),
        get(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"),
    ],
    505: [
        *(get(line=b"GET / HTTP/" + version) for version in (b"0.9", b"2.0", b"2.1", b"3.1", b"9.9")),
        head(b"PRI * HTTP/2.0", host=None),
    ],
}

REFUSALS = [(status, octets) for status, heads in INVALID.items() for octets in heads]
ALL_HEADS = [octets for octets, _ in VALID] + [octets for _, octets in REFUSALS]


@pytest.mark.parametrize(("octets", "expected"), VALID)
def test_what_a_valid_head_says(octets: bytes, expected: dict[str, Any]) -> None:
    parsed = parse(octets)
    assert not isinstance(parsed, int)
    request, parser = parsed
    plain = {"method": "GET", "raw_path": b"/", "raw_query": b"", "http_version": "1.1", "keep_alive": True}
    plain |= {"length": 0, "complete": True, "expects_continue": False}
    for name, value in (plain | expected).items():
        owner = next(owner for owner in (request, parser, request.body) if hasattr(owner, name))
        said = getattr(owner, name)
        assert (list(said) if name == "raw_headers" else said) == value, name
    assert (request.body is EMPTY) == (parser.framing is None)


@pytest.mark.parametrize(("status", "octets"), REFUSALS)
def test_an_invalid_head_is_refused_with_the_right_status(status: int, octets: bytes) -> None:
    assert parse(octets) == status


@pytest.mark.parametrize("octets", ALL_HEADS)
def test_a_head_says_the_same_however_it_arrives(octets: bytes) -> None:
    whole = described(octets)
    for step in (1, 2, 3, 7):
        assert described(octets, step=step) == whole


def test_no_head_changes_what_another_connection_reads() -> None:
    others = [octets for octets, _ in VALID] + [heads[0] for heads in INVALID.values()]
    fresh = {octets: described(octets) for octets in others}
    for first, second in itertools.product(ALL_HEADS, others):
        tokeniser = Tokeniser()
        parse(first, tokeniser)
        assert described(second, tokeniser) == fresh[second], (first, second)


@given(st.lists(st.sampled_from(ALL_HEADS), max_size=30))
def test_no_sequence_of_heads_changes_the_next(heads: list[bytes]) -> None:
    tokeniser = Tokeniser()
    for octets in heads:
        assert described(octets, tokeniser) == described(octets)


def test_more_different_heads_than_are_remembered_change_nothing() -> None:
    tokeniser = Tokeniser()
    for number in [*range(600), *range(600)]:
        octets = to(b"/%d" % number)
        assert described(octets, tokeniser) == described(octets)
    assert 0 < len(tokeniser.known) <= 256


def test_requests_with_the_same_head_share_their_memo_and_nothing_else_that_can_change() -> None:
    tokeniser = Tokeniser()
    octets = get(b"Content-Length: 5", b"X: y")
    requests = [parsed[0] for _ in range(3) if not isinstance(parsed := parse(octets, tokeniser), int)]
    assert requests[0].memo is None
    assert requests[1].memo is requests[2].memo == {}
    assert len({id(request.body) for request in requests}) == 3
    assert len({id(request.headers) for request in requests}) == 3
    assert len({hash(request.raw_headers) for request in requests}) == 1


@pytest.mark.parametrize(
    "field", [b"Cookie: a=1", b"authorization: Basic x", b"Proxy-Authorization: Basic x"]
)
def test_heads_with_credentials_are_not_remembered(field: bytes) -> None:
    tokeniser = Tokeniser()
    parse(get(field), tokeniser)
    assert not tokeniser.known
    parse(get(), tokeniser)
    assert tokeniser.known


@pytest.mark.parametrize(
    "fields",
    [
        [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")],
        [(b"content-length", b"5"), (b"content-length", b"5")],
        [(b"content-length", b"+5")],
        [(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")],
        [(b"transfer-encoding", b"xchunked")],
    ],
)
def test_ambiguous_framing_is_refused_even_if_the_tokeniser_let_it_pass(
    fields: list[tuple[bytes, bytes]],
) -> None:
    with pytest.raises(ProtocolError) as caught:
        _apply_policy(Head("POST", b"/", "1.1", tuple(fields)))
    assert caught.value.status == 400


# The same by other means: split, partition, strip.

METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"PROPFIND", b"REPORT", b"LINK"]
SPECIAL = {b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade"}
TOKENS = st.text("!#$%&'*+-.^_`|~" + string.ascii_letters + string.digits, min_size=1, max_size=12).map(
    str.encode
)
VALUES = st.text("\t " + "".join(map(chr, [*range(0x21, 0x7F), *range(0x80, 0x100)])), max_size=20).map(
    lambda text: text.encode("latin-1")
)
TARGETS = st.text("".join(map(chr, range(0x21, 0x7F))).replace("#", ""), max_size=20).map(
    lambda text: b"/" + text.encode()
)
FIELDS = st.lists(st.tuples(TOKENS.filter(lambda name: name.lower() not in SPECIAL), VALUES), max_size=8)


@given(st.sampled_from(METHODS), TARGETS, FIELDS, st.sampled_from([b"HTTP/1.1", b"HTTP/1.0"]))
def test_a_valid_head_is_read_as_plain_splitting_reads_it(
    method: bytes, target: bytes, fields: list[tuple[bytes, bytes]], version: bytes
) -> None:
    octets = head(b" ".join([method, target, version]), *(b"%b:%b" % field for field in fields))
    parsed = parse(octets)
    assert not isinstance(parsed, int)
    line, *lines = octets.removesuffix(b"\r\n\r\n").split(b"\r\n")
    request = parsed[0]
    start = [request.method.encode(), request.raw_target, b"HTTP/" + request.http_version.encode()]
    assert start == line.split(b" ")
    assert (request.raw_path, request.raw_query) == (target.split(b"?")[0], b"?".join(target.split(b"?")[1:]))
    split = [line.partition(b":") for line in lines]
    assert list(request.raw_headers) == [(name.lower(), value.strip(b" \t")) for name, _, value in split]
