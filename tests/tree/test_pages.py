"""Error pages: what they say, in which form, and that nothing in them is markup."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from container.testing import Client
from container.tree.pages import ErrorPage, error_page, traceback_page
from container.tree.resource import Resource
from tests.leaf import Leaf

if TYPE_CHECKING:
    from container.message.response import Response


def text(response: Response) -> str:
    assert isinstance(response.body, bytes)
    return response.body.decode()


def test_a_page_has_status_title_and_detail_escaped() -> None:
    page = error_page(404, 'No <b> & no "c".', title="Not <here>")
    assert page.status == 404
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<title>404 - Not &lt;here&gt;</title>" in text(page)
    assert "<p>No &lt;b&gt; &amp; no &quot;c&quot;.</p>" in text(page)


@pytest.mark.parametrize(
    ("status", "title", "detail"),
    [
        (404, "Not Found", "Nothing is at this address."),
        (500, "Internal Server Error", "It has been logged."),
        (503, "Service Unavailable", "try again in a moment."),
        (401, "Unauthorized", "</h1>\n</main>"),
        (403, "Forbidden", "</h1>\n</main>"),
        (499, "Client Error", ""),
        (799, "Unknown Status", ""),
    ],
)
def test_a_page_says_what_the_status_means_unless_told_otherwise(
    status: int, title: str, detail: str
) -> None:
    page = text(error_page(status))
    assert f"<title>{status} - {title}</title>" in page
    assert detail in page


@pytest.mark.parametrize(
    ("accept", "is_json"),
    [
        (None, False),
        ("*/*", False),
        ("text/html", False),
        ("text/*, application/json;q=0.5", False),
        ("text/html, application/json", False),
        ("application/json, */*;q=0.1", True),
        ("application/json", True),
        ("application/problem+json", True),
        ("application/json, text/html;q=0.9", True),
        ("application/json;q=0", False),
        ("image/png, application/json;q=0.1", True),
        ("json", False),
        ("application/json;q=x", None),
    ],
)
def test_problems_are_json_for_clients_that_rank_it_above_html(
    accept: str | None, is_json: bool | None
) -> None:
    with Client(Leaf(lambda each: error_page(404, request=each))) as client:
        answer = client.get("/", headers={"Accept": accept} if accept is not None else None)
    assert answer.status == 404
    if is_json is not None:
        kind = "application/problem+json" if is_json else "text/html; charset=utf-8"
        assert answer.headers["content-type"] == kind


@pytest.mark.parametrize(("detail", "members"), [("why", {"detail": "why"}), ("", {})])
def test_a_problem_has_the_members_of_rfc_9457(detail: str, members: dict[str, str]) -> None:
    with Client(Leaf(lambda each: error_page(409, detail, title="Clash", request=each))) as client:
        answer = client.get("/", headers={"Accept": "application/json"})
    assert answer.json() == {"status": 409, "title": "Clash", **members}


def test_a_traceback_page_shows_all_and_nothing_of_it_is_markup() -> None:
    try:
        json.loads("<script>")
    except ValueError as error:
        page = traceback_page(RuntimeError("outer <b>"))
        try:
            raise RuntimeError("<i>outer ş") from error
        except RuntimeError as outer:
            page = traceback_page(outer)
    assert page.status == 500
    assert "&lt;i&gt;outer ş" in text(page)
    assert "JSONDecodeError" in text(page)
    assert "<i>" not in text(page)


def test_an_error_page_answers_at_every_path_below_it() -> None:
    root = Resource()
    root.mount("gone", ErrorPage(410, "It was <here>."))
    root.mount("odd", ErrorPage(402, title="Pay"))
    with Client(root) as client:
        answers = [client.get(target) for target in ("/gone", "/gone/", "/gone/a/b?c", "/odd")]
        posted = client.post("/gone", body=b"x")
        problem = client.get("/gone", headers={"Accept": "application/json"})
    assert [answer.status for answer in answers] == [410, 410, 410, 402]
    assert "It was &lt;here&gt;." in answers[2].text
    assert "402 - Pay" in answers[3].text
    assert posted.status == 410
    assert problem.json() == {"status": 410, "title": "Gone", "detail": "It was <here>."}
