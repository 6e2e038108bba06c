"""Logging in by a form, as a browser does it."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest

from container.message.request import Request
from container.message.response import Response
from container.resources.auth import Avatars, FormLogin, LoginForm, SlowDown, csrf_token
from container.resources.wsgi import WSGIResource
from container.sessions import Sessions
from container.sessions.sqlite import SQLiteStore
from container.testing import Client, FakeClock
from container.testing.reader import ClientResponse
from container.testing.websocket import WebSocketDenied
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import Leaf

MARY = {"mary": "secret"}


def who(request: Request) -> Response:
    user = request.user[0] if request.user else None
    return Response.text(f"{user} at {request.path}")


def site_of(mount: str = "", sessions: Sessions | None = None, **options: Any) -> Site:
    guard = FormLogin(options.pop("child", Leaf(who)), **({"users": MARY} | options))
    if not mount:
        return Site(guard, sessions=sessions or Sessions())
    root = Resource()
    root.mount(mount, guard)
    return Site(root, sessions=sessions or Sessions())


def hidden(page: ClientResponse) -> dict[str, str]:
    found = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text)
    return {name: unescape(value) for name, value in found}


def log_in(client: Client, target: str = "/login", **values: str) -> ClientResponse:
    form = hidden(client.get(target)) | {"username": "mary", "password": "secret"} | values
    return client.post(target.partition("?")[0], form=form)


@pytest.mark.parametrize(
    ("mount", "wanted", "location", "after"),
    [
        ("", "/", "./login?next=/", "./"),
        ("", "/a/b?x=1&y=/", "./../login?next=/a/b%3Fx%3D1%26y%3D/", "./a/b?x=1&y=/"),
        ("app", "/app/a/b/", "./../../login?next=/a/b/", "./a/b/"),
        ("app", "/app", "./app/login", "./"),
        ("app", "/app//evil.example/x", "./../../login?next=//evil.example/x", ".//evil.example/x"),
    ],
)
def test_a_person_is_sent_to_the_form_and_back(mount: str, wanted: str, location: str, after: str) -> None:
    """GD-02: links are relative: right below any mount point and behind any proxy, and they lead to no other host."""
    prefix = f"/{mount}" if mount else ""
    with Client(site_of(mount)) as client:
        sent = client.get(wanted)
        assert (sent.status, sent.headers["Location"]) == (303, location)
        query = location.partition("?")[2]
        landed = log_in(client, f"{prefix}/login?{query}")
        assert (landed.status, landed.headers["Location"]) == (303, after)
        assert client.get(f"{prefix}/x").text == f"mary at {prefix}/x"


def test_nobody_is_sent_to_another_host() -> None:
    """GD-02: whatever `next` says."""
    for evil in ("https://evil.example/", "//evil.example", "\\\\evil.example", "javascript:x", "/\\evil"):
        with Client(site_of()) as client:
            landed = log_in(client, "/login", next=evil).headers["Location"]
            assert landed.startswith("./")
            assert "\\" not in landed


def test_what_cannot_be_repeated_is_refused() -> None:
    """GD-01, GD-02: a POST, an API client and a WebSocket get 403, not a page to parse."""
    with Client(site_of()) as client:
        assert client.post("/x", body=b"kept?").status == 403
        assert client.get("/x", headers={"Accept": "application/json"}).status == 403
        with pytest.raises(WebSocketDenied, match="403"):
            with client.websocket("/x"):
                raise AssertionError("let in")


def test_a_form_without_the_token_logs_nobody_in() -> None:
    """GD-02: forged requests, of another site or of another session."""
    site = site_of()
    with Client(site) as stranger:
        foreign = hidden(stranger.get("/login"))["token"]
    with Client(site) as client:
        for token in ("", "x", "ä", foreign):
            answer = log_in(client, token=token)
            assert answer.status == 403
            assert "Please try again" in answer.text
            assert client.get("/x").status == 303
        client.cookies.clear()
        assert client.post("/login", form={"username": "mary", "password": "secret"}).status == 403


def test_a_wrong_password_shows_the_form_again() -> None:
    """GD-02: failures cost time, as everywhere."""
    clock = FakeClock()
    with Client(site_of(slow_down=SlowDown(free=2, clock=clock))) as client:
        for name, password in (("mary", "x"), ("mary", "")):
            answer = log_in(client, "/login?next=/deep", username=name, password=password)
            assert answer.status == 403
            assert "Name or password is wrong." in answer.text
            assert hidden(answer)["next"] == "/deep"
        answer = log_in(client)
        assert (answer.status, answer.headers["Retry-After"]) == (429, "1")
        assert "Too many failed attempts" in answer.text
        clock.advance(1)
        assert log_in(client).status == 303


def test_the_session_changes_its_id_at_login() -> None:
    """GD-02: an id that was planted before is worth nothing after."""
    site = site_of()
    with Client(site) as client:
        page = client.get("/login")
        before = dict(client.cookies)
        client.post("/login", form=hidden(page) | {"username": "mary", "password": "secret"})
        assert dict(client.cookies) != before
        assert client.get("/x").status == 200
        token = hidden(page)["token"]
        assert client.post("/logout", form={"token": token}).status == 403  # so does the token
    with Client(site, cookies=before) as client:
        assert client.get("/x").status == 303


def test_logging_out_is_a_post() -> None:
    """GD-02: an image of another site logs nobody out."""
    with Client(site_of()) as client:
        log_in(client)
        page = client.get("/logout")
        assert "Log out" in page.text
        assert client.get("/x").status == 200
        assert client.post("/logout", form={"token": "x"}).status == 403
        assert client.get("/x").status == 200
        out = client.post("/logout", form=hidden(page))
        assert (out.status, out.headers["Location"]) == (303, "./")
        assert client.get("/x").status == 303
        assert client.get("/logout").status == 303


def test_logins_end_with_their_session() -> None:
    """GD-03: idle and absolute lifetimes are those of the sessions."""
    clock = FakeClock()
    with Client(site_of(sessions=Sessions(idle_timeout=60, lifetime=100, clock=clock))) as client:
        log_in(client)
        clock.advance(50)
        assert client.get("/x").status == 200
        clock.advance(49)
        assert client.get("/x").status == 200
        clock.advance(2)
        assert client.get("/x").status == 303
        log_in(client)
        clock.advance(61)
        assert client.get("/x").status == 303


def test_anonymous_visitors_may_look_around(tmp_path: Any) -> None:
    """AU-04, GD-02: each sees what is there for them; any store will do."""
    trees = Avatars({"mary": Leaf(lambda request: "hers")}, anonymous=Leaf(lambda request: "for all"))
    sessions = Sessions(store=SQLiteStore(tmp_path / "sessions.db"))
    with Client(site_of(child=trees, anonymous=True, sessions=sessions)) as client:
        assert client.get("/x").text == "for all"
        log_in(client)
        assert client.get("/x").text == "hers"


def test_pages_are_kept_by_nobody_and_framed_by_nobody() -> None:
    with Client(site_of()) as client:
        page = client.get("/login?next=%22%3E%3Cscript%3E")
        assert page.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        assert "<script>" not in page.text
        assert client.get("/x").headers["Cache-Control"] == "no-store"


def test_a_page_of_ones_own() -> None:
    """GD-02: with what it has to show."""
    shown: list[LoginForm] = []

    def page(request: Request, form: LoginForm) -> Response:
        shown.append(form)
        return Response.text("my form")

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [f"{environ['REMOTE_USER']} {environ['AUTH_TYPE']}".encode()]

    with Client(site_of(child=WSGIResource(app), page=page, login="in", logout="out")) as client:
        assert client.get("/in?next=/a").text == "my form"
        form = {"username": "mary", "password": "secret", "token": shown[0].token, "next": shown[0].next}
        assert client.post("/in", form=form).headers["Location"] == "./a"
        assert client.get("/a").text == "mary Form"
        client.get("/out")
        assert [each.leaves for each in shown] == [False, True]


def test_applications_have_the_token_for_their_own_forms() -> None:
    """GD-02: a button to log out on every page."""
    with Client(site_of(child=Leaf(csrf_token))) as client:
        log_in(client)
        token = client.get("/x").text
        assert client.post("/logout", form={"token": token}).status == 303


def test_without_sessions_there_is_a_clear_error(caplog: pytest.LogCaptureFixture) -> None:
    with Client(Site(FormLogin(Leaf(who), users=MARY))) as client:
        assert client.get("/").status == 500
    assert "expected Sessions(...) around this resource" in caplog.text
    with pytest.raises(ValueError, match="names of one segment"):
        FormLogin(Leaf(who), users=MARY, login="a/b")
