from http import HTTPStatus

import pytest

from container.message.status import BODILESS, REASONS, check_status, reason


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        (200, "OK"),
        (404, "Not Found"),
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (416, "Range Not Satisfiable"),
        (422, "Unprocessable Content"),
        (418, "I'm a Teapot"),
        (199, "Informational"),
        (299, "Success"),
        (399, "Redirection"),
        (499, "Client Error"),
        (599, "Server Error"),
        (999, "Unknown Status"),
        (0, "Unknown Status"),
    ],
)
def test_every_status_has_a_phrase(status: int, phrase: str) -> None:
    assert reason(status).lower() == phrase.lower()


def test_phrases_are_safe_to_send() -> None:
    assert all(phrase.isascii() and phrase.isprintable() for phrase in REASONS.values())


@pytest.mark.parametrize("status", [200, 204, 299, 404, 599, 600, 999, HTTPStatus.NOT_FOUND])
def test_final_statuses_pass_as_plain_numbers(status: int) -> None:
    assert check_status(status) == status
    assert type(check_status(status)) is int


@pytest.mark.parametrize("status", [100, 101, 199, 0, -200, 1000, 20, True, "200", 200.0, None, b"200"])
def test_anything_else_is_no_final_status(status: object) -> None:
    with pytest.raises(ValueError, match="from 200 to 999"):
        check_status(status)  # type: ignore[arg-type]  # what an application may pass all the same


def test_bodiless_statuses() -> None:
    assert {100, 101, 199, 204, 304} <= BODILESS
    assert not {200, 205, 206, 404} & BODILESS
