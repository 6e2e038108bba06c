"""WebSocket without I/O: the opening handshake, frames in, messages out (RFC 6455, RFC 7692)."""

from __future__ import annotations

import zlib

import pytest

from container.message.body import EMPTY, Body
from container.message.errors import HTTPError
from container.message.request import Request
from container.message.websocket import WebSocketOptions
from container.protocol.ws import Deflate, Frames, Handshake, check_close, read_handshake
from tests.websocket_cases import BINARY, CASES, CONT, END, MASK, PING, TEXT, Case, check, frame

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
GOOD = {
    b"host": b"a", b"upgrade": b"websocket", b"connection": b"Upgrade", b"sec-websocket-version": b"13",
    b"sec-websocket-key": KEY,
}  # fmt: skip
OPTIONS = WebSocketOptions()


def asking(
    changes: dict[bytes, bytes | list[bytes] | None],
    *,
    method: str = "GET",
    version: str = "1.1",
    body: Body = EMPTY,
) -> Request:
    """A request for a WebSocket with other fields: a list repeats one, None leaves it out."""
    fields = []
    for name, value in (GOOD | changes).items():
        values = value if isinstance(value, list) else [value]
        fields += [(name, each) for each in values if each is not None]
    return Request(method, b"/", b"/", b"", version, fields, body)


def conversation(
    data: bytes, options: WebSocketOptions = OPTIONS, *, deflate: Deflate | None = None, step: int = 0
) -> bytes:
    """What an echo answers to `data`, fed whole or in steps of so many bytes."""
    frames = Frames(options, deflate)
    answer = b""
    body = data.removesuffix(END)
    step = step or len(data)
    pieces = [body[at : at + step] for at in range(0, len(body), step)] + [data[len(body) :]]
    for piece in pieces if step < len(data) else [data]:
        frames.receive_data(piece)
        while frames.messages:
            message = frames.messages.pop(0)
            if frames.close_sent is None:
                answer += (
                    frames.text(message.encode()) if isinstance(message, str) else frames.binary(message)
                )
        answer += b"".join(frames.data_to_send())
    return answer


# Frames.


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_echo_answers_as_the_table_says(case: Case) -> None:
    """AS-05: byte by byte where that is short enough, and whole."""
    check(case, conversation(case.sent), messages=False)
    check(case, conversation(case.sent, step=1 if len(case.sent) < 2000 else 4093))


def test_content_that_looks_like_a_frame_is_content() -> None:
    """The shortcut for messages that come alone is taken between two frames only."""
    looks = frame(TEXT, b"x" * 44)
    inner = bytes(octet ^ MASK[at % 4] for at, octet in enumerate(looks))
    sent = frame(BINARY, inner)
    assert sent[6:] == looks
    frames = Frames(OPTIONS)
    for piece in (sent[:6], sent[6:], sent, frame(TEXT, b"a", fin=False), frame(CONT, b"b"), looks):
        frames.receive_data(piece)
    assert list(frames.messages) == [inner, inner, "ab", "x" * 44]
    assert frames.held == 146


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        (WebSocketOptions(max_message=100), frame(BINARY, b"x" * 101)),
        (WebSocketOptions(max_message=100), frame(BINARY, b"x" * 60, fin=False) + frame(CONT, b"x" * 41)),
        (WebSocketOptions(max_frame=100), frame(TEXT, b"x" * 101)),
        (WebSocketOptions(max_frame=100), frame(TEXT, b"x", fin=False) + frame(CONT, b"x" * 101)),
    ],
)
def test_what_is_too_big_is_1009(options: WebSocketOptions, sent: bytes) -> None:
    check(Case("too big", sent, code=1009), conversation(sent, options))


def test_what_is_just_not_too_big_comes_through() -> None:
    options = WebSocketOptions(max_message=100, max_frame=60)
    sent = frame(BINARY, b"x" * 60, fin=False) + frame(CONT, b"x" * 40) + END
    check(Case("fits", sent, [b"x" * 100]), conversation(sent, options, step=7))


def test_the_outcome_is_what_the_peer_said_or_what_it_did() -> None:
    def outcome(data: bytes, *, eof: bool = False) -> tuple[int, str]:
        frames = Frames(OPTIONS)
        frames.receive_data(data)
        if eof:
            frames.receive_eof()
        return frames.outcome

    assert outcome(frame(8, b"\x0b\xb8bye")) == (3000, "bye")
    assert outcome(frame(8)) == (1005, "")
    assert outcome(b"\x81", eof=True) == (1006, "")
    assert outcome(frame(3)) == (1002, "invalid opcode")
    assert outcome(frame(TEXT, b"\xff"))[0] == 1007


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1003, ""), (1014, "x" * 123), (3000, ""), (4999, "ü" * 61)]
)
def test_a_close_that_can_be_sent(code: int, reason: str) -> None:
    check_close(code, reason)
    with pytest.raises(ValueError, match="expected a reason of at most 123 bytes, got 124"):
        check_close(code, "ü" * 62)


# The opening handshake.


def refused(request: Request) -> tuple[int, dict[str, str] | None]:
    with pytest.raises(HTTPError) as error:
        read_handshake(request)
    return error.value.status, error.value.headers


def test_a_good_handshake_is_read() -> None:
    """CH-20: tokens in lists and in any case."""
    handshake = read_handshake(
        asking(
            {b"upgrade": b"h2c, WebSocket", b"connection": b"keep-alive, upgrade",
             b"sec-websocket-protocol": [b"a, b", b"c"]}
        )
    )  # fmt: skip
    assert handshake.subprotocols == ["a", "b", "c"]
    assert handshake.fields("b", None) == (
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"Sec-WebSocket-Protocol: b\r\n"
    )


@pytest.mark.parametrize(
    "changes", [{b"upgrade": None}, {b"connection": None}, {b"upgrade": b"h2c"}, {b"connection": b"close"}]
)
def test_without_an_upgrade_it_is_426(changes: dict[bytes, bytes | None]) -> None:
    assert refused(asking({**changes})) == (426, None)


@pytest.mark.parametrize("version", [None, b"8", b"13, 8", [b"13", b"13"], b""])
def test_another_version_is_426_and_names_ours(version: bytes | list[bytes] | None) -> None:
    assert refused(asking({b"sec-websocket-version": version})) == (426, {"Sec-WebSocket-Version": "13"})


@pytest.mark.parametrize(
    "changes",
    [
        {b"sec-websocket-key": None},
        {b"sec-websocket-key": [KEY, KEY]},
        {b"sec-websocket-key": b""},
        {b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ"},
        {b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZR=="},
        {b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZTE="},
        {b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25j!Q=="},
        {b"sec-websocket-protocol": b"a, a"},
        {b"sec-websocket-protocol": b"a,,b"},
        {b"sec-websocket-protocol": b"a b"},
    ],
)
def test_a_malformed_handshake_is_400(changes: dict[bytes, bytes | list[bytes] | None]) -> None:
    assert refused(asking(changes))[0] == 400


def test_a_handshake_is_a_get_of_http_1_1_without_content() -> None:
    assert refused(asking({}, method="POST"))[0] == 400
    assert refused(asking({}, version="1.0"))[0] == 400
    assert refused(asking({}, body=Body(3)))[0] == 400
    assert refused(asking({}, body=Body()))[0] == 400


# permessage-deflate.


def agreed(*offers: str, options: WebSocketOptions = OPTIONS) -> tuple[str | None, Deflate | None]:
    return Handshake(KEY.decode(), [], list(offers)).negotiate(options)


@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        ([], None),
        (["x-other"], None),
        (["permessage-deflate"], "server_max_window_bits=12"),
        (["permessage-deflate; client_max_window_bits"], "server_max_window_bits=12; client_max_window_bits=12"),
        (["permessage-deflate; client_max_window_bits=10"], "server_max_window_bits=12; client_max_window_bits=10"),
        (["permessage-deflate; server_max_window_bits=9"], "server_max_window_bits=9"),
        (["permessage-deflate; server_max_window_bits=8"], None),
        (["permessage-deflate; server_max_window_bits=16"], None),
        (["permessage-deflate; unknown"], None),
        (["permessage-deflate; unknown", "permessage-deflate"], "server_max_window_bits=12"),
        (["permessage-deflate; server_no_context_takeover"],
         "server_no_context_takeover; server_max_window_bits=12"),
        (["permessage-deflate; client_no_context_takeover"],
         "client_no_context_takeover; server_max_window_bits=12"),
    ],
)  # fmt: skip
def test_the_first_offer_that_can_be_kept_is_taken(offers: list[str], answer: str | None) -> None:
    extensions, deflate = agreed(*offers)
    assert extensions == (answer and f"permessage-deflate; {answer}")
    assert (deflate is None) == (answer is None)


def test_deflate_can_be_off_and_offers_can_be_malformed() -> None:
    assert agreed("permessage-deflate", options=WebSocketOptions(deflate=False)) == (None, None)
    with pytest.raises(HTTPError, match="malformed Sec-WebSocket-Extensions"):
        agreed("permessage-deflate; =")


def pressed(payload: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-12)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def with_deflate(sent: bytes, options: WebSocketOptions = OPTIONS) -> bytes:
    return conversation(sent, options, deflate=agreed("permessage-deflate; client_max_window_bits")[1])


SQUEEZED = pressed(b"hello " * 50)
LONG = pressed(bytes(range(256)) * 4)


@pytest.mark.parametrize(
    ("sent", "echoes"),
    [
        (frame(TEXT, pressed(b"hello"), rsv=4), ["hello"]),
        (frame(TEXT, b"plain"), ["plain"]),
        (frame(TEXT, SQUEEZED[:5], rsv=4, fin=False) + frame(CONT, SQUEEZED[5:]), ["hello " * 50]),
        (
            frame(TEXT, SQUEEZED[:5], rsv=4, fin=False) + frame(PING) + frame(CONT, SQUEEZED[5:]),
            ["hello " * 50],
        ),
        (frame(BINARY, b"\0", rsv=4), [b""]),
    ],
)
def test_compressed_messages_are_read(sent: bytes, echoes: list[str | bytes]) -> None:
    pongs = [b""] if frame(PING) in sent else []
    check(Case("", sent, echoes, pongs), with_deflate(sent) + with_deflate(END))


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"\xff\xff\xff", rsv=4), 1002),
        (frame(PING, b"", rsv=4), 1002),
        (frame(TEXT, b"a", rsv=2), 1002),
        (frame(TEXT, SQUEEZED[:5], rsv=4, fin=False) + frame(CONT, SQUEEZED[5:], rsv=4), 1002),
        (frame(TEXT, pressed(b"\xff"), rsv=4), 1007),
        (frame(BINARY, pressed(bytes(1001)), rsv=4), 1009),
        (frame(BINARY, LONG[:200], rsv=4, fin=False) + frame(CONT, LONG[200:]), 1009),
        (frame(BINARY, pressed(bytes(50_000_000)), rsv=4), 1009),
    ],
)
def test_bad_compressed_messages_are_failed(sent: bytes, code: int) -> None:
    """A bomb is not unpacked beyond the limit."""
    check(Case("", sent, code=code), with_deflate(sent, WebSocketOptions(max_message=1000)))


@pytest.mark.parametrize("offer", ["", "; server_no_context_takeover", "; server_max_window_bits=9"])
def test_only_long_messages_are_compressed(offer: str) -> None:
    _, deflate = agreed(f"permessage-deflate{offer}")
    frames = Frames(OPTIONS, deflate)
    inflater = zlib.decompressobj(wbits=-12)
    for _ in range(3):
        assert frames.text(b"x" * 511) == b"\x81\x7e\x01\xff" + b"x" * 511
        data = frames.text(b"abc" * 1000)
        assert data[0] == 0xC1
        assert data[1] < 126
        assert inflater.decompress(data[2:] + b"\0\0\xff\xff") == b"abc" * 1000
        frames.rest()
