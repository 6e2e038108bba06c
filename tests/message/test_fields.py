import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.message import fields
from container.message.fields import (
    CLOSE,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    DATE,
    NO_FIELDS,
    SERVER,
    encode_fields,
    list_tokens,
)

# What a field may be made of, and what it may not.
TCHARS = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
NEVER_SENT = {"connection", "content-length", "transfer-encoding", "te", "keep-alive", "upgrade"}
NASTY = st.text(
    st.sampled_from(
        "\r\n\0\t :;,x\x0b\x0c\x1c\x1f\x7f\x80\x85\xa0\xff\u010a\u010d\u2028\u560a\ud800Content-Length"
    )
)


@pytest.mark.parametrize(
    ("pairs", "lines"),
    [
        ([], b""),
        ([("X", "y")], b"X: y\r\n"),
        ([("x-A", "1"), ("X-a", "2")], b"x-A: 1\r\nX-a: 2\r\n"),
        ([("X", "")], b"X: \r\n"),
        ([("X", " \t y z\t ")], b"X: y z\r\n"),
        ([("X", "a\tb")], b"X: a\tb\r\n"),
        ([("X", "caf\xe9 \x80\xff")], b"X: caf\xe9 \x80\xff\r\n"),
        ([(TCHARS, "y")], TCHARS.encode() + b": y\r\n"),
        ([("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"),
        ([("X", "y" * 10_000)], b"X: " + b"y" * 10_000 + b"\r\n"),
    ],
)
def test_fields_become_lines_in_order(pairs: list[tuple[str, str]], lines: bytes) -> None:
    for _ in range(2):
        block = encode_fields(pairs)
        assert (block.lines, block.fields, block.kinds, block.length) == (lines, pairs, 0, -1)


@pytest.mark.parametrize(
    ("pairs", "lines", "kinds"),
    [
        ([("content-TYPE", "text/plain")], b"content-TYPE: text/plain\r\n", CONTENT_TYPE),
        ([("Date", "now"), ("Server", "me")], b"Date: now\r\nServer: me\r\n", DATE | SERVER),
        # What belongs to the connection is not the application's to say, except that it should close.
        ([("Connection", "close")], b"", CLOSE),
        ([("connection", "x,\tClose ")], b"", CLOSE),
        ([("Connection", "keep-alive"), ("Connection", "close")], b"", CLOSE),
        ([("Connection", "keep-alive"), ("Connection", "x-close")], b"", 0),
        ([("Transfer-Encoding", "chunked"), ("TE", "trailers"), ("Trailer", "X")], b"", 0),
        ([("Keep-Alive", "close"), ("Upgrade", "close"), ("Proxy-Connection", "close")], b"", 0),
        ([("X", "1"), ("Transfer-Encoding", "chunked"), ("Y", "2")], b"X: 1\r\nY: 2\r\n", 0),
    ],
)
def test_special_fields_are_told_apart(pairs: list[tuple[str, str]], lines: bytes, kinds: int) -> None:
    for _ in range(2):
        block = encode_fields(pairs)
        assert (block.lines, block.kinds) == (lines, kinds)


@pytest.mark.parametrize(
    ("lengths", "expected"), [(["0"], 0), (["5"], 5), (["005"], 5), (["5", "5"], 5), (["9" * 19], 10**19 - 1)]
)
def test_content_length_is_kept_as_a_number_only(lengths: list[str], expected: int) -> None:
    for _ in range(2):
        block = encode_fields([("Content-Length", length) for length in lengths])
        assert (block.lines, block.kinds, block.length) == (b"", CONTENT_LENGTH, expected)


@pytest.mark.parametrize(
    "lengths",
    [
        ["5", "6"],
        ["0", "5"],
        [""],
        ["-5"],
        ["+5"],
        ["5,5"],
        ["5 5"],
        ["0x5"],
        ["1_0"],
        ["\xb2"],
        ["9" * 5000],
    ],
)
def test_content_length_is_one_number(lengths: list[str]) -> None:
    with pytest.raises(ValueError, match="Content-Length"):
        encode_fields([("content-length", length) for length in lengths])


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "X ",
        " X",
        "X Y",
        "X:",
        ":",
        "X\r\n",
        "X\nY",
        "X\rY",
        "X\0",
        "X\t",
        "\xe9",
        "\u0416",
        "X(",
        "\ud800",
    ],
)
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        encode_fields([("Fine", "x"), (name, "y")])


@pytest.mark.parametrize(
    "value",
    [
        "\r\n",
        "a\r\nX: b",
        "a\nX: b",
        "a\rb",
        "\n",
        "a\0",
        "\x01",
        "\x0b",
        "\x1f",
        "\x7f",
        "\u0416",
        "\u010a",
        "\ud800",
    ],
)
def test_a_value_that_could_leave_its_line_is_refused(value: str) -> None:
    for name in ("X", "Connection", "Content-Type", "Set-Cookie", "Content-Length", "Location"):
        with pytest.raises(ValueError, match="expected"):
            encode_fields([(name, value)])


@given(st.lists(st.tuples(st.one_of(NASTY, st.sampled_from(["X", "Location"])), st.one_of(NASTY, st.text()))))
def test_a_response_cannot_be_split(pairs: list[tuple[str, str]]) -> None:
    try:
        lines = encode_fields(pairs).lines
    except ValueError:
        return
    assert b"\0" not in lines
    assert lines.count(b"\r") == lines.count(b"\n") == lines.count(b"\r\n") == len(lines.splitlines())
    read = [tuple(line.decode("latin-1").split(": ", 1)) for line in lines.split(b"\r\n")[:-1]]
    assert read == [(name, value.strip(" \t")) for name, value in pairs if name.lower() not in NEVER_SENT]


def test_private_and_long_fields_are_not_interned() -> None:
    fields._lines.clear()
    encode_fields([(name, "x") for name in ("Set-Cookie", "Authorization", "location", "ETag")])
    encode_fields([("X", "y" * 300)])
    assert not fields._lines
    encode_fields([("X", "y")])
    assert list(fields._lines) == [("X", "y")]


def test_interned_fields_are_bounded() -> None:
    for number in range(3000):
        encode_fields([("X-Number", str(number))])
    assert 0 < len(fields._lines) <= 1024


def test_no_fields_are_a_block_too() -> None:
    assert (NO_FIELDS.lines, NO_FIELDS.kinds, NO_FIELDS.length) == (b"", 0, -1)


@pytest.mark.parametrize(
    ("values", "members"),
    [
        ([], []),
        ([b""], []),
        ([b"a"], [b"a"]),
        ([b"A, b ,\tC\t"], [b"a", b"b", b"c"]),
        ([b",, a,,b ,"], [b"a", b"b"]),
        ([b"a", b"b, c", b""], [b"a", b"b", b"c"]),
        ([b"a b;c=1"], [b"a b;c=1"]),
    ],
)
def test_list_fields_may_span_lines_and_have_empty_members(values: list[bytes], members: list[bytes]) -> None:
    assert list_tokens(values) == members
