import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.message.fields import encode_fields
from container.message.status import BODILESS
from container.protocol.h1_response import PLAIN_LINES, chunk, fit, status_line


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


def test_a_section_is_made_for_content_of_one_size_after_another() -> None:
    block = encode_fields([("A", "1")])
    for size in (5, 0, 1 << 40):
        assert fit(block, size)
        assert (block.fits, block.section) == (size, f"A: 1\r\nContent-Length: {size}\r\n\r\n".encode())


@pytest.mark.parametrize(
    "field", [("Content-Length", "6"), ("Date", "today"), ("Server", "x"), ("Connection", "close")]
)
def test_unusual_fields_fit_no_section(field: tuple[str, str]) -> None:
    block = encode_fields([field])
    assert not fit(block, 5)
    assert block.fits < 0


@pytest.mark.parametrize(
    ("data", "wire"), [(b"a", b"1\r\na\r\n"), (b"\r\n" * 8, b"10\r\n" + b"\r\n" * 8 + b"\r\n")]
)
def test_chunks(data: bytes, wire: bytes) -> None:
    assert chunk(data) == wire
