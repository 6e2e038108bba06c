"""Sessions as requests see them: cookies, lifetimes, ids, mount points (SE-01 to SE-10), in memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from container.message.errors import ExchangeStateError
from container.message.response import Response
from container.message.session import Session, finished
from container.sessions import MemoryStore, Sessions
from container.testing import Client, FakeClock
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import Leaf

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from container.message.request import Request

FORGED = "A" * 43


def count(request: Request) -> Response:
    """The counter of old."""
    session = request.session
    session["n"] = session.get("n", 0) + 1
    return Response.text(str(session["n"]))


def read(request: Request) -> Response:
    return Response.json(dict(request.session))


def tree(**pages: Callable[[Request], Any]) -> Resource:
    root = Resource()
    for name, page in {"count": count, "read": read, "static": lambda _: "plain", **pages}.items():
        root.mount(name, Leaf(page))
    return root


def client_of(pages: Resource, clock: FakeClock | None = None, **options: Any) -> Client:
    clock = clock or FakeClock()
    return Client(Site(pages, sessions=Sessions(clock=clock, **options)), clock=clock)


def take(client: Client, jar: dict[str, str]) -> None:
    """Let the client have these cookies and no others."""
    kept = dict(jar)
    client.cookies.clear()
    client.cookies.update(kept)


def cookies_of(answer: Any) -> list[str]:
    found: list[str] = answer.headers.get_all("set-cookie")
    return found


# Being there.


def test_a_counter_counts_for_each_client_alone() -> None:
    """SE-01, SE-06: two clients, several connections."""
    site = Site(tree(), sessions=Sessions())
    with Client(site) as one:
        assert [one.get("/count").text for _ in range(3)] == ["1", "2", "3"]
        jar = dict(one.cookies)
        one.cookies.clear()
        assert one.get("/count").text == "1"
        assert one.cookies["session"] != jar["session"]
        take(one, jar)
        assert one.get("/count", headers={"Connection": "close"}).text == "4"
        assert one.get("/count").text == "5"


def test_a_session_is_the_same_all_through_a_request() -> None:
    """SE-01: twice in a request, one object."""
    with client_of(tree(twice=lambda request: str(request.session is request.session))) as client:
        assert client.get("/twice").text == "True"


def test_no_session_comes_to_be_by_reading() -> None:
    """SE-07: ten thousand requests without a cookie make none; there is no cookie to send either."""
    sessions = Sessions()
    with Client(Site(tree(), sessions=sessions)) as client:
        for page in ("/read", "/static"):
            answer = client.get(page)
            assert cookies_of(answer) == []
        assert finished(sessions.count()) == 0
        client.get("/count")
        assert finished(sessions.count()) == 1


def test_answers_vary_by_cookie_only_where_the_session_was_looked_at() -> None:
    with client_of(tree()) as client:
        assert client.get("/static").headers.get("vary") is None
        assert client.get("/read").headers.get("vary") == "Cookie"


def test_without_sessions_in_the_tree_there_are_none() -> None:
    def page(request: Request) -> str:
        with pytest.raises(RuntimeError, match=r"expected Sessions\(...\) around this resource"):
            request.session  # noqa: B018
        return "none"

    with Client(Leaf(page)) as client:
        assert client.get("/").text == "none"


# The cookie.


def test_the_cookie_is_for_http_only_and_this_site() -> None:
    """SE-02: HttpOnly, SameSite=Lax, 256 random bits, until the browser ends."""
    with client_of(tree()) as client:
        (cookie,) = cookies_of(client.get("/count"))
        assert re.fullmatch(r"session=[A-Za-z0-9_-]{43}; Path=/; HttpOnly; SameSite=Lax", cookie)
        assert cookies_of(client.get("/count")) == [], "said once"


def test_over_https_the_cookie_is_secure_and_bound_to_the_host() -> None:
    """SE-02."""
    with Client(Site(tree(), sessions=Sessions()), secure=True) as client:
        (cookie,) = cookies_of(client.get("/count"))
        assert re.fullmatch(r"__Host-session=[\w-]{43}; Path=/; Secure; HttpOnly; SameSite=Lax", cookie)


@pytest.mark.parametrize(
    ("options", "secure", "expected"),
    [
        ({"name": "id", "path": "/shop"}, False, "id=X; Path=/shop; HttpOnly; SameSite=Lax"),
        ({"path": "/shop"}, True, "__Secure-session=X; Path=/shop; Secure; HttpOnly; SameSite=Lax"),
        (
            {"domain": "example.com", "samesite": "strict"},
            True,
            "__Secure-session=X; Domain=example.com; Path=/; Secure; HttpOnly; SameSite=Strict",
        ),
        ({"max_age": 3600}, False, "session=X; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"),
        ({"secure": False}, True, "session=X; Path=/; HttpOnly; SameSite=Lax"),
        ({"secure": True}, False, "__Host-session=X; Path=/; Secure; HttpOnly; SameSite=Lax"),
        ({"name": "__Host-a", "secure": True}, False, "__Host-a=X; Path=/; Secure; HttpOnly; SameSite=Lax"),
    ],
)
def test_name_path_and_life_of_the_cookie_can_be_chosen(
    options: dict[str, Any], secure: bool, expected: str
) -> None:
    """SE-02, SE-03."""
    with Client(Site(tree(), sessions=Sessions(**options)), secure=secure) as client:
        (cookie,) = cookies_of(client.get("/count"))
        assert re.sub(r"=[\w-]{43}", "=X", cookie) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "a b"}, "token"),
        ({"path": "shop"}, "path such as"),
        ({"samesite": "lux"}, "lax"),
        ({"domain": "bücher.example"}, "ASCII"),
        ({"idle_timeout": 0}, "above 0"),
        ({"lifetime": -1}, "above 0"),
        ({"max_sessions": 0}, "at least one"),
    ],
)
def test_a_slip_in_the_options_is_told_at_once(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sessions(**options)


def test_a_cookie_that_lasts_is_renewed_with_its_session() -> None:
    """SE-04: or the browser would drop it while the session lives."""
    clock = FakeClock()
    with client_of(tree(), clock, max_age=1800) as client:
        client.get("/count")
        assert cookies_of(client.get("/read")) == []
        clock.advance(60)
        assert len(cookies_of(client.get("/read"))) == 1


def test_one_browser_has_a_session_by_scheme_unless_told_otherwise() -> None:
    """SE-03."""
    for options, expected in (({}, "1"), ({"secure": False}, "2")):
        site = Site(tree(), sessions=Sessions(**options))
        with Client(site) as plain:
            plain.get("/count")
            jar = dict(plain.cookies)
        with Client(site, secure=True, cookies=jar) as over_tls:
            assert over_tls.get("/count").text == expected


def test_an_id_of_plain_http_is_worth_nothing_over_https() -> None:
    """SE-03: who listens on the wire must not get into the secure session."""
    site = Site(tree(), sessions=Sessions())
    with Client(site) as plain:
        plain.get("/count")
        stolen = plain.cookies["session"]
    with Client(site, secure=True, cookies={"__Host-session": stolen}) as over_tls:
        assert over_tls.get("/count").text == "1"
        assert over_tls.cookies["__Host-session"] != stolen


# Ids.


@pytest.mark.parametrize("forged", [FORGED, "x", "", "../../etc", "A" * 10_000, '"' + FORGED + '"', "é" * 43])
def test_an_unknown_id_is_never_adopted(forged: str) -> None:
    """SE-01: no session fixation."""
    with client_of(tree()) as client:
        client.cookies["session"] = forged
        assert client.get("/count").text == "1"
        assert client.cookies["session"] not in (forged, "")
        assert len(client.cookies["session"]) == 43


def test_rotation_keeps_the_values_and_kills_the_old_id() -> None:
    """SE-10: what a log-in does."""

    def login(request: Request) -> str:
        before = request.session.id
        request.session.rotate()
        request.session["user"] = "eva"
        assert request.session.id != before
        return request.session.id

    with client_of(tree(login=login)) as client:
        client.get("/count")
        old = client.cookies["session"]
        new = client.get("/login").text
        assert client.cookies["session"] == new != old
        assert client.get("/read").json() == {"n": 1, "user": "eva"}
        client.cookies["session"] = old
        assert client.get("/read").json() == {}


def test_rotation_of_a_session_that_is_not_there_yet_is_nothing() -> None:
    with client_of(tree(login=lambda request: str(request.session.rotate()))) as client:
        assert cookies_of(client.get("/login")) == []


def test_the_id_of_a_new_session_is_that_of_its_cookie() -> None:
    def page(request: Request) -> str:
        request.session.touch()
        return request.session.id

    with client_of(tree(page=page)) as client:
        assert client.get("/page").text == client.cookies["session"]
        assert client.get("/page").text == client.cookies["session"]


# Time.


def test_every_access_keeps_a_session_alive() -> None:
    """SE-04: an active user is not logged out; an idle one is."""
    clock = FakeClock()
    with client_of(tree(), clock, idle_timeout=900) as client:
        client.get("/count")
        for _ in range(20):
            clock.advance(600)
            assert client.get("/read").json() == {"n": 1}
        clock.advance(901)
        assert client.get("/read").json() == {}


def test_requests_that_do_not_look_at_the_session_do_not_keep_it_alive() -> None:
    clock = FakeClock()
    with client_of(tree(), clock, idle_timeout=900) as client:
        client.get("/count")
        for _ in range(3):
            clock.advance(400)
            client.get("/static")
        assert client.get("/read").json() == {}


def test_a_lifetime_ends_the_most_active_session() -> None:
    """SE-04: rotation does not begin it anew."""
    clock = FakeClock()
    login = lambda request: str(request.session.rotate())  # noqa: E731
    with client_of(tree(login=login), clock, idle_timeout=900, lifetime=3600) as client:
        client.get("/count")
        for _ in range(5):
            clock.advance(700)
            client.get("/login")
            assert client.get("/read").json() == {"n": 1}
        clock.advance(101)
        assert client.get("/read").json() == {}


def test_a_session_tells_its_times() -> None:
    clock = FakeClock(1000)

    def times(request: Request) -> Response:
        session = request.session
        return Response.json([session.is_new, session.created, session.modified, session.expires])

    with client_of(tree(times=times), clock, idle_timeout=900) as client:
        assert client.get("/times").json() == [True, 0, 0, 0]
        client.get("/count")
        clock.advance(100)
        client.get("/read")
        assert client.get("/times").json() == [False, 1000, 1000, 2000]
        client.get("/count")
        assert client.get("/times").json() == [False, 1000, 1100, 2000]


# Ends.


def logout(request: Request) -> str:
    request.session.expire()
    request.session.expire()
    return "bye"


def test_expire_deletes_the_session_and_its_cookie() -> None:
    """SE-05: twice is once."""
    told: list[Mapping[str, Any]] = []
    with client_of(tree(logout=logout), on_expire=told.append) as client:
        client.get("/count")
        old = client.cookies["session"]
        (cookie,) = cookies_of(client.get("/logout"))
        assert cookie.startswith("session=; ")
        assert "Max-Age=0" in cookie
        assert told == [{"n": 1}]
        client.cookies["session"] = old
        assert client.get("/read").json() == {}
        assert cookies_of(client.get("/logout")) == []
        assert len(told) == 1


def test_after_expire_a_new_session_may_begin() -> None:
    def again(request: Request) -> str:
        request.session.expire()
        request.session["fresh"] = True
        return request.session.id

    with client_of(tree(again=again)) as client:
        client.get("/count")
        old = client.cookies["session"]
        assert client.get("/again").text == client.cookies["session"] != old
        assert client.get("/read").json() == {"fresh": True}


def test_all_observers_of_an_end_are_told_though_one_raises(caplog: pytest.LogCaptureFixture) -> None:
    """SE-05: by log-out and by time, without traffic; each once."""
    told: list[str] = []

    def watch(request: Request) -> str:
        request.session["n"] = 1
        request.session.on_expire(lambda _: told.append("first"))
        request.session.on_expire(lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
        request.session.on_expire(lambda values: told.append(f"last {values['n']}"))
        request.session.rotate()
        return "watched"

    clock = FakeClock()
    sessions = Sessions(clock=clock, idle_timeout=60, on_expire=lambda _: told.append("all"))
    with Client(Site(tree(watch=watch, logout=logout), sessions=sessions), clock=clock) as client:
        client.get("/watch")
        client.get("/logout")
        assert told == ["first", "last 1", "all"]
        assert "an observer of expiring sessions failed" in caplog.text
        told.clear()
        client.get("/watch")
        clock.advance(61)
        assert finished(sessions.sweep()) == 1
        assert told == ["first", "last 1", "all"]
        assert finished(sessions.sweep()) == 0


def test_there_is_a_most_and_the_longest_unused_gives_way() -> None:
    """SE-07."""
    clock = FakeClock()
    sessions = Sessions(clock=clock, max_sessions=3)
    with Client(Site(tree(), sessions=sessions), clock=clock) as client:
        jars = []
        for _ in range(3):
            client.cookies.clear()
            client.get("/count")
            jars.append(dict(client.cookies))
            clock.advance(60)
        take(client, jars[0])
        client.get("/read")
        take(client, {})
        client.get("/count")
        assert finished(sessions.count()) == 3
        found = []
        for jar in jars:
            take(client, dict(jar))
            found.append(client.get("/read").json())
        assert found == [{"n": 1}, {}, {"n": 1}]


# Values.


def test_changes_of_two_requests_are_merged_by_name() -> None:
    """SE-07: what a slow request does not touch, it does not undo."""

    def slow(request: Request) -> str:
        session = request.session
        assert session["a"] == 1
        other = Session(session._scope, session.cookie, session.id)
        other["b"] = 2
        del other["c"]
        session._scope.save_later(other)
        session["a"] = 5
        return "merged"

    def begin(request: Request) -> str:
        request.session.update(a=1, b=1, c=1)
        return "begun"

    with client_of(tree(slow=slow, begin=begin)) as client:
        client.get("/begin")
        client.get("/slow")
        assert client.get("/read").json() == {"a": 5, "b": 2}


def test_increment_and_compare_and_set_are_for_new_sessions_too() -> None:
    async def page(request: Request) -> Response:
        session = request.session
        first = await session.increment("n")
        second = await session.increment("n", 10)
        session["n"] = 100
        third = await session.increment("n")
        won = await session.compare_and_set("owner", None, "me")
        lost = await session.compare_and_set("owner", None, "you")
        return Response.json([first, second, third, won, lost, session["owner"], dict(session)])

    with client_of(tree(page=page)) as client:
        expected = [1, 11, 101, True, False, "me", {"n": 101, "owner": "me"}]
        assert client.get("/page").json() == expected
        assert client.get("/read").json() == expected[-1]


def test_a_mapping_does_what_mappings_do() -> None:
    def page(request: Request) -> Response:
        session = request.session
        session.update(a=1, b=2, c=3)
        assert session.pop("a") == 1
        assert "a" not in session
        assert len(session) == 2
        assert session.setdefault("d", 4) == 4
        with pytest.raises(KeyError):
            session["a"]
        with pytest.raises(KeyError):
            del session["a"]
        with pytest.raises(TypeError, match="expected text as name"):
            session[1] = 1  # type: ignore[index]
        with pytest.raises(ValueError, match="without surrogates"):
            session["\ud800"] = 1
        return Response.json(sorted(session))

    with client_of(tree(page=page, clear=lambda request: str(request.session.clear()))) as client:
        assert client.get("/page").json() == ["b", "c", "d"]
        assert client.get("/read").json() == {"b": 2, "c": 3, "d": 4}
        client.get("/clear")
        assert client.get("/read").json() == {}


class Cart:
    def __init__(self) -> None:
        self.items: list[str] = []


class Log:
    def __init__(self) -> None:
        self.lines = ["begun"]


def test_a_memory_store_keeps_objects_by_type() -> None:
    """SE-06: two interfaces on one session, each made once."""

    def page(request: Request) -> Response:
        session = request.session
        session.component(Cart).items.append("x")
        session["when"] = {1, 2}
        return Response.json([session.component(Cart).items, session.component(Log).lines])

    with client_of(tree(page=page)) as client:
        client.get("/page")
        assert client.get("/page").json() == [["x", "x"], ["begun"]]


# Too late.


def test_a_new_session_after_the_head_is_an_error() -> None:
    """SE-08: it would have no cookie."""

    def late(request: Request) -> Response:
        def body() -> Any:
            yield b"head "
            with pytest.raises(ExchangeStateError, match="before the head of the answer has left"):
                request.session["n"] = 1
            yield b"told"

        return Response(body())

    with client_of(tree(late=late)) as client:
        assert client.get("/late").text == "head told"
        assert client.cookies == {}


def test_what_changes_after_the_head_is_saved_at_the_end() -> None:
    """SE-08: rotation cannot come so late, values can."""

    def late(request: Request) -> Response:
        def body() -> Any:
            yield b"head "
            request.session["late"] = True
            with pytest.raises(ExchangeStateError, match="rotate"):
                request.session.rotate()
            yield b"told"

        return Response(body())

    def later(request: Request) -> Response:
        session = request.session
        request.exchange.on_close(lambda _: session.__setitem__("later", True))
        return Response.text("head")

    with client_of(tree(late=late, later=later)) as client:
        client.get("/count")
        assert client.get("/late").text == "head told"
        client.get("/later")
        assert client.get("/read").json() == {"n": 1, "late": True, "later": True}


def test_an_error_page_carries_the_cookie_too() -> None:
    def fails(request: Request) -> str:
        request.session["tries"] = 1
        raise LookupError("the page failed")

    with client_of(tree(fails=fails)) as client:
        assert client.get("/fails").status == 500
        assert client.get("/read").json() == {"tries": 1}


# Mount points.


def test_sessions_of_two_mounts_never_meet() -> None:
    """RT-17, DI-05: not by cookie, not by a copied id, though they share a store."""
    store = MemoryStore()
    root = Resource()
    root.mount("a", Sessions(tree(), store=store))
    root.mount("a/b c", Sessions(tree(), store=store))
    root.mount("site", Site(tree(), sessions=Sessions(store=store)))
    with Client(Site(root, sessions=Sessions(store=store))) as client:
        for path in ("/a", "/a/b%20c", "/site"):
            assert client.get(f"{path}/count").text == "1"
        assert [client.get(f"{path}/count").text for path in ("/a", "/a/b%20c", "/site", "/a")] == list(
            "2223"
        )
        assert sorted(client.cookies) == ["session-a", "session-a-b-20c", "session-site"]
        stolen = client.cookies["session-a"]
        take(client, {"session-site": stolen, "session-a-b-20c": stolen})
        assert client.get("/site/count").text == "1"
        assert client.get("/a/b%20c/count").text == "1"


def test_the_cookie_of_a_mount_is_for_its_path() -> None:
    root = Resource()
    root.mount("a", Resource())
    root.mount("a/é", Sessions(tree()))
    with Client(root) as client:
        (cookie,) = cookies_of(client.get("/a/%c3%A9/count"))
        assert (
            re.sub(r"=[\w-]{43}", "=X", cookie) == "session-a-C3-A9=X; Path=/a/%C3%A9; HttpOnly; SameSite=Lax"
        )


def test_sessions_stand_in_the_tree_for_their_child() -> None:
    started: list[str] = []

    class Page(Leaf):
        async def start(self) -> None:
            started.append("start")

        async def stop(self) -> None:
            started.append("stop")

    page = Page(count)
    sessions = Sessions(Resource())
    assert sessions.mount("page", page) is page
    assert list(sessions.walk()) == [("/page", page)]
    site = Site(sessions)
    assert site.children == {"page": page}
    with Client(site) as client:
        assert client.get("/page").text == "1"
    assert started == ["start", "stop"]
    assert site.unmount("page") is page


def test_two_sites_may_share_sessions() -> None:
    """RT-01: they end with the last of them."""
    sessions = Sessions(tree())
    with Client(Site(sessions)) as one:
        one.get("/count")
        with Client(Site(sessions), cookies=dict(one.cookies)) as two:
            assert two.get("/count").text == "2"
        assert one.get("/count").text == "3"


def test_sessions_are_around_one_thing() -> None:
    with pytest.raises(TypeError, match="expected a Resource inside Sessions"):
        Sessions("x")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="around nothing yet"):
        Site(Resource(), sessions=Sessions(Resource()))
    with pytest.raises(RuntimeError, match="got no child"), Client(Sessions()):
        pass


def test_several_workers_are_warned_of_memory() -> None:
    """GW-03."""
    sessions = Sessions()
    assert sessions.worker_warning(1) is None
    assert "SQLiteStore or RedisStore" in (sessions.worker_warning(4) or "")
