import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.message.status import BODILESS
from container.protocol import h1_response
from container.protocol.h1_response import PLAIN_LINES, chunk, length_field, status_line


@pytest.mark.parametrize(
    ("status", "reason", "line"),
    [
        (200, "", b"HTTP/1.1 200 OK\r\n"),
        (404, "", b"HTTP/1.1 404 Not Found\r\n"),
        (299, "", b"HTTP/1.1 299 Success\r\n"),
        (999, "", b"HTTP/1.1 999 Unknown Status\r\n"),
        (200, "Fine", b"HTTP/1.1 200 Fine\r\n"),
        (299, "caf\xe9\tau lait", b"HTTP/1.1 299 caf\xe9\tau lait\r\n"),
    ],
)
def test_start_lines(status: int, reason: str, line: bytes) -> None:
    assert status_line(status, reason) == line


@given(st.text(min_size=1))
def test_a_reason_cannot_split_a_response(reason: str) -> None:
    try:
        line = status_line(200, reason)
    except ValueError:
        return
    assert line == b"HTTP/1.1 200 " + reason.encode("latin-1") + b"\r\n"
    assert not {*b"\r\n\0"} & {*line[:-2]}


@pytest.mark.parametrize("reason", ["\r\n", "a\r\nX: y", "\n", "\0", "\x7f", "\u010d\u010a"])
def test_a_reason_with_control_characters_is_refused(reason: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # both of our own and of the codec
        status_line(200, reason)


def test_answers_without_content_have_no_plain_line() -> None:
    assert not PLAIN_LINES.keys() & {*BODILESS, 205}
    assert PLAIN_LINES[200] == b"HTTP/1.1 200 OK\r\n"


def test_length_fields_end_the_head_and_are_bounded_in_number() -> None:
    for size in [*range(5000), 5, 1 << 40]:
        assert length_field(size) == f"Content-Length: {size}\r\n\r\n".encode()
    assert len(h1_response.LENGTH_FIELDS) <= 4096


@pytest.mark.parametrize(
    ("data", "wire"), [(b"a", b"1\r\na\r\n"), (b"\r\n" * 8, b"10\r\n" + b"\r\n" * 8 + b"\r\n")]
)
def test_chunks(data: bytes, wire: bytes) -> None:
    assert chunk(data) == wire
