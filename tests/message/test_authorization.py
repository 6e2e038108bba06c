from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.message.authorization import parse_basic


def basic(raw: bytes) -> str:
    return "Basic " + b64encode(raw).decode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (basic(b"joe:p:w"), ("joe", "p:w")),
        (basic(b"joe:"), ("joe", "")),
        (basic(b":word"), ("", "word")),
        (basic(b"joe:word").replace("Basic", "bAsIC"), ("joe", "word")),
        (basic(b"joe:word").replace(" ", "   ") + " ", ("joe", "word")),
        (basic("jö:пароль".encode()), ("jö", "пароль")),
        (basic("jö:wörd".encode("latin-1")), ("jö", "wörd")),
    ],
)
def test_user_and_password_are_read(value: str, expected: tuple[str, str]) -> None:
    assert parse_basic(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic am9l OnB3",
        "Basic jöe",
        basic(b"no colon"),
        basic(b"joe:line\r\nbreak"),
        basic(b"jo\0e:word"),
        basic(b"joe:word").replace("Basic", "Bearer"),
        basic(b"joe:word").replace("Basic ", "Basic"),
        b64encode(b"joe:word").decode(),
    ],
)
def test_absent_malformed_and_other_schemes_give_nobody(value: str | None) -> None:
    assert parse_basic(value) == ("", "")


@given(st.text())
def test_any_text_gives_two_strings(text: str) -> None:
    assert len(parse_basic(text)) == 2
    assert len(parse_basic("Basic " + text)) == 2


LETTERS = st.text(st.characters(exclude_categories=("Cc", "Cs")))


@given(LETTERS.filter(lambda text: ":" not in text), LETTERS)
def test_what_a_client_encodes_comes_out(user: str, password: str) -> None:
    assert parse_basic(basic(f"{user}:{password}".encode())) == (user, password)
