import string
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container.message.cookies import EPOCH, delete_cookie, parse_cookies, set_cookie
from container.message.fields import encode_fields

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
WHEN = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)

TOKENS = st.text("!#$%&'*+-.^_`|~" + string.ascii_letters + string.digits, min_size=1)
VALUES = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters=";"))


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], {}),
        ([""], {}),
        (["a=1; b; =x; c= ; a=2"], {"a": "2", "c": " "}),
        (["a=1; b; =x", "c= ; a=2"], {"a": "2", "c": " "}),
        (["a=1;b=2"], {"a": "1", "b": "2"}),
        (["a=1 ; b=2"], {"a": "1 ", "b": "2"}),
        (["a =1; \t b= 2"], {"a ": "1", "b": " 2"}),
        (["a=b=c; d=="], {"a": "b=c", "d": "="}),
        (["a="], {"a": ""}),
        (['a="1; 2"; b="x"'], {"a": '"1', "b": '"x"'}),
        (["a=%20+"], {"a": "%20+"}),
        (["  =x; ;; a=1;"], {"a": "1"}),
        (["$Version=1; a=1, b=2"], {"$Version": "1", "a": "1, b=2"}),
        (["a=\xc3\xa4"], {"a": "ä"}),
        (["a=\xe4; b=\u0444; \xc3\xa4=1"], {"a": "\xe4", "b": "\u0444", "ä": "1"}),
    ],
)
def test_cookies_are_read_as_documented(lines: list[str], expected: dict[str, str]) -> None:
    assert parse_cookies(lines) == expected


@given(st.lists(st.text()))
def test_no_field_value_breaks_the_reader(lines: list[str]) -> None:
    assert parse_cookies([*lines, "last=1"])["last"] == "1"


def test_a_plain_cookie_has_only_a_path() -> None:
    assert set_cookie("a", "1") == "a=1; Path=/"
    assert set_cookie("a", "", path=None) == "a="


def test_attributes_stand_in_a_fixed_order() -> None:
    assert set_cookie(
        "a",
        "1",
        partitioned=True,
        samesite="none",
        httponly=True,
        secure=True,
        comment="why",
        max_age=60,
        path="/x",
        domain="example.org",
        expires=WHEN,
    ) == (
        f"a=1; Expires={DATE}; Domain=example.org; Path=/x; Max-Age=60; Comment=why; "
        "Secure; HttpOnly; SameSite=None; Partitioned"
    )


@pytest.mark.parametrize(
    "expires",
    [
        WHEN,
        WHEN.replace(tzinfo=None),
        WHEN.astimezone(timezone(timedelta(hours=5))),
        WHEN.timestamp(),
        WHEN.timestamp() + 0.9,
        DATE,
    ],
)
def test_every_kind_of_expiry_becomes_one_date(expires: datetime | float | str) -> None:
    assert set_cookie("a", "1", path=None, expires=expires) == f"a=1; Expires={DATE}"


@pytest.mark.parametrize(
    ("samesite", "written"),
    [("lax", "SameSite=Lax"), ("strict", "SameSite=Strict"), ("none", "SameSite=None")],
)
def test_samesite_is_written(samesite: Any, written: str) -> None:
    assert set_cookie("a", "1", path=None, secure=True, samesite=samesite) == f"a=1; Secure; {written}"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("__Secure-a", {"secure": True, "path": "/x", "domain": "example.org"}),
        ("__Host-a", {"secure": True}),
        ("__HOST-a", {"secure": True, "path": "/"}),
    ],
)
def test_prefixed_cookies_are_made_when_their_promise_holds(name: str, options: dict[str, Any]) -> None:
    assert set_cookie(name, "1", **options).startswith(f"{name}=1; ")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a", {"samesite": "none"}),
        ("a", {"partitioned": True}),
        ("a", {"samesite": "Lax; Secure"}),
        ("a", {"samesite": ""}),
        ("a", {"max_age": "1; Secure"}),
        ("a", {"domain": "bücher.example"}),
        ("__Secure-a", {}),
        ("__secure-a", {}),
        ("__Host-a", {}),
        ("__Host-a", {"secure": True, "path": "/x"}),
        ("__Host-a", {"secure": True, "path": None}),
        ("__host-a", {"secure": True, "domain": "example.org"}),
    ],
)
def test_a_cookie_that_clients_would_drop_is_refused(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"expected|Unknown format code"):
        set_cookie(name, "1", **options)


@pytest.mark.parametrize("name", ["", " ", "a b", "a=b", "a;b", "a\n", "ä", "ф", "a\0", 'a"', "a,b"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected a token as cookie name"):
        set_cookie(name, "1")


@pytest.mark.parametrize("bad", ["x\r\ny", "x\ny", "x\ry", "x;y", "x\0", "\x1f", "\x7f", "\t", "\ud800"])
@pytest.mark.parametrize("part", ["value", "expires", "domain", "path", "comment"])
def test_nothing_can_be_injected(part: str, bad: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        set_cookie(**{"name": "a", "value": "1", part: bad})  # type: ignore[arg-type]  # one table for all


def test_the_error_names_the_place_and_what_came() -> None:
    with pytest.raises(ValueError, match=r"""in Path of cookie 'a', got '\\n'"""):
        set_cookie("a", "1", path="/\n")


def test_a_deleted_cookie_has_expired_twice() -> None:
    assert delete_cookie("a") == f"a=; Expires={EPOCH}; Path=/; Max-Age=0"
    assert delete_cookie("__Host-a", secure=True, httponly=True, samesite="lax", partitioned=True).endswith(
        "; Max-Age=0; Secure; HttpOnly; SameSite=Lax; Partitioned"
    )
    assert "Domain=x.org; Path=/y" in delete_cookie("a", domain="x.org", path="/y")


@given(TOKENS, VALUES)
def test_what_was_set_comes_back_and_fits_a_field(name: str, value: str) -> None:
    field = set_cookie(name, value, secure=True, path="/" if name.lower().startswith("__host-") else None)
    encode_fields([("Set-Cookie", field)])
    pair, *attributes = field.split(";")
    assert parse_cookies([pair]) == {name: value}
    assert " Secure" in attributes


@given(TOKENS, st.text(), st.text(), st.text())
def test_any_text_is_refused_or_stays_in_its_place(name: str, value: str, path: str, comment: str) -> None:
    try:
        field = set_cookie(name, value, path=path, comment=comment, secure=True)
    except ValueError:
        return
    assert field.count(";") == 3
    encode_fields([("Set-Cookie", field)])
