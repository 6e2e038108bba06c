"""Sessions whose store has to be waited for, SQLite and Redis: loaded at dispatch, saved before the head."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from container.message.response import Response
from container.message.session import SessionGone
from container.sessions import Sessions
from container.sessions.redis import RedisStore
from container.sessions.sqlite import SQLiteStore
from container.sessions.store import Key, Record, SessionStore, StoreUnavailable
from container.testing import AsyncClient, Client, FakeClock
from container.tree.resource import Resource
from container.tree.site import Site
from tests.leaf import Leaf

if TYPE_CHECKING:
    from collections.abc import Callable

    from container.message.request import Request
    from tests.redis_server import RedisServer


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SessionStore:
    if request.param == "sqlite":
        return SQLiteStore(tmp_path / "sessions.db")
    server: RedisServer = request.getfixturevalue("redis_server")
    return RedisStore(server.url, prefix=f"{{{tmp_path.name}}}")


def count(request: Request) -> Response:
    session = request.session
    session["n"] = session.get("n", 0) + 1
    return Response.text(str(session["n"]))


def read(request: Request) -> Response:
    return Response.json(dict(request.session))


def site_of(
    store: SessionStore, options: dict[str, Any] | None = None, **pages: Callable[[Request], Any]
) -> Site:
    root = Resource()
    for name, page in {"count": count, "read": read, **pages}.items():
        root.mount(name, Leaf(page))
    return Site(root, sessions=Sessions(store=store, **(options or {})))


def test_a_counter_counts_and_outlives_a_restart(store: SessionStore) -> None:
    """SE-01, SE-07: plain resources need not know that somebody is waited for."""
    with Client(site_of(store)) as client:
        assert client.get("/read").json() == {}
        assert [client.get("/count").text for _ in range(3)] == ["1", "2", "3"]
        jar = dict(client.cookies)
    with Client(site_of(store), cookies=jar) as client:
        assert client.get("/count").text == "4"
        client.cookies.clear()
        assert client.get("/count").text == "1"


def test_lists_that_change_in_place_are_saved(store: SessionStore) -> None:
    def push(request: Request) -> str:
        request.session.setdefault("cart", []).append("x")
        return "pushed"

    with Client(site_of(store, push=push)) as client:
        for _ in range(3):
            client.get("/push")
        assert client.get("/read").json() == {"cart": ["x", "x", "x"]}


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (object(), TypeError, "got object; only a memory store keeps other objects"),
        ((1, 2), TypeError, r"got tuple \(did you mean a list\?\)"),
        ([{1: 2}], TypeError, "expected text as keys"),
        (float("nan"), ValueError, "expected finite numbers"),
        (b"x", TypeError, "got bytes"),
    ],
)
def test_only_what_json_can_say_is_taken(
    tmp_path: Path, value: object, error: type[Exception], message: str
) -> None:
    def page(request: Request) -> str:
        with pytest.raises(error, match=message):
            request.session["x"] = value
        with pytest.raises(TypeError, match=r"expected JSON-like values .* got Cart"):
            request.session.component(Cart)
        with pytest.raises(TypeError, match="expected a memory store for on_expire"):
            request.session.on_expire(lambda _: None)
        return f"{request.session.is_new} {len(request.session)}"

    with Client(site_of(SQLiteStore(tmp_path / "s.db"), page=page)) as client:
        assert client.get("/page").text == "True 0"
        assert client.cookies == {}


class Cart:
    pass


def test_nested_values_without_end_are_refused(tmp_path: Path) -> None:
    def page(request: Request) -> str:
        endless: list[object] = []
        endless.append(endless)
        with pytest.raises(ValueError, match="without so many levels"):
            request.session["x"] = endless
        return "refused"

    with Client(site_of(SQLiteStore(tmp_path / "s.db"), page=page)) as client:
        assert client.get("/page").text == "refused"


def test_a_session_has_a_largest_size(tmp_path: Path) -> None:
    def grow(request: Request) -> str:
        request.session["x"] = "x" * 2000
        return "grown"

    store = SQLiteStore(tmp_path / "s.db")
    with Client(site_of(store, {"max_size": 1000}, grow=grow)) as client:
        assert client.get("/grow").status == 500
        assert client.get("/read").json() == {}
        assert client.cookies == {}


def test_rotation_and_expiry(store: SessionStore) -> None:
    """SE-05, SE-10."""

    def login(request: Request) -> str:
        request.session.rotate()
        request.session["user"] = "eva"
        return request.session.id

    def logout(request: Request) -> str:
        request.session.expire()
        return "bye"

    told: list[object] = []
    with Client(site_of(store, {"on_expire": told.append}, login=login, logout=logout)) as client:
        client.get("/count")
        old = client.cookies["session"]
        assert client.get("/login").text == client.cookies["session"] != old
        assert client.get("/read").json() == {"n": 1, "user": "eva"}
        new, client.cookies["session"] = client.cookies["session"], old
        assert client.get("/read").json() == {}
        client.cookies["session"] = new
        client.get("/logout")
        assert told == [{"n": 1, "user": "eva"}]
        assert client.cookies == {}
        client.cookies["session"] = new
        assert client.get("/read").json() == {}


def test_idle_sessions_end_and_are_swept(store: SessionStore) -> None:
    """SE-04, SE-05."""
    clock = FakeClock()
    told: list[object] = []
    options = {"clock": clock, "idle_timeout": 900, "on_expire": told.append}

    async def test() -> None:
        sessions = Sessions(Leaf(count), store=store, **options)
        async with AsyncClient(sessions, clock=clock) as client:
            await client.get("/")
            for _ in range(3):
                clock.advance(600)
                await client.get("/")
            assert await sessions.sweep() == 0
            clock.advance(901)
            assert (await client.get("/")).text == "1"
            assert await sessions.sweep() == 1
            assert told == [{"n": 4}]
            assert await sessions.count() == 1

    asyncio.run(test())


def test_what_changes_after_the_head_is_saved_at_the_end(store: SessionStore) -> None:
    """SE-08."""

    def late(request: Request) -> Response:
        async def body() -> Any:
            yield b"head "
            request.session["late"] = 1
            await request.session.increment("sum", 5)
            yield b"told"

        return Response(body())

    def later(request: Request) -> Response:
        session = request.session
        request.exchange.on_close(lambda _: session.__setitem__("later", True))
        return Response.text("head")

    site = site_of(store, late=late, later=later)
    with Client(site) as client:
        client.get("/count")
        assert client.get("/late").text == "head told"
        client.get("/later")
        jar = dict(client.cookies)
    with Client(site_of(store), cookies=jar) as client:
        assert client.get("/read").json() == {"n": 1, "late": 1, "sum": 5, "later": True}


def test_twenty_clients_of_one_session_lose_no_update(store: SessionStore) -> None:
    """SE-07: increments add up; what each writes under its own name stays."""

    async def page(request: Request) -> str:
        name = request.args["name"]
        request.session[name] = request.session.get(name, 0) + 1
        return str(await request.session.increment("sum"))

    async def test() -> None:
        async with AsyncClient(site_of(store, page=page)) as client:
            await client.get("/count")

            async def visit(name: int) -> list[str]:
                return [(await client.get(f"/page?name=c{name}")).text for _ in range(10)]

            sums = await asyncio.gather(*map(visit, range(20)))
            assert sorted(int(each) for mine in sums for each in mine) == list(range(1, 201))
            found = (await client.get("/read")).json()
            assert found == {"n": 1, "sum": 200} | {f"c{name}": 10 for name in range(20)}

    asyncio.run(test())


def test_a_request_cannot_bring_back_what_a_log_out_has_ended(store: SessionStore) -> None:
    """SE-05: changes are dropped, an increment is a 409, a log-in begins anew with its own values only."""

    async def test() -> None:
        entered, ended = asyncio.Event(), asyncio.Event()

        async def slow(request: Request) -> str:
            entered.set()
            await ended.wait()
            how = request.args["how"]
            request.session["user"] = "eva"
            if how == "rotate":
                request.session.rotate()
            if how == "increment":
                with pytest.raises(SessionGone):
                    await request.session.increment("n")
            return how

        async def logout(request: Request) -> str:
            request.session.expire()
            return "bye"

        async with AsyncClient(site_of(store, slow=slow, logout=logout)) as client:
            for how, expected in (("write", {}), ("increment", {}), ("rotate", {"user": "eva"})):
                entered.clear()
                ended.clear()
                await client.get("/count")
                jar = dict(client.cookies)
                waiting = asyncio.ensure_future(client.get(f"/slow?how={how}"))
                await entered.wait()
                await client.get("/logout")
                client.cookies.update(jar)
                ended.set()
                assert (await waiting).text == how
                assert (await client.get("/read")).json() == expected, how
                client.cookies.clear()

    asyncio.run(test())


class Silent:
    """A store that can be told to be unavailable; what it keeps is an SQLite store's."""

    is_local = False
    is_shared = True
    keeps_objects = False

    def __init__(self, store: SessionStore) -> None:
        self.inner = store
        self.silent: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name in self.silent:
            return self.unavailable
        return getattr(self.inner, name)

    async def unavailable(self, *_: object) -> None:
        raise StoreUnavailable("it was told to be silent")


@pytest.mark.parametrize("operation", ["load", "update", "create"])
def test_a_silent_store_is_a_503_and_all_is_well_after_it(
    tmp_path: Path, operation: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A clear error for every request that needs the store; others do not notice; the log says it once."""
    store = Silent(SQLiteStore(tmp_path / "s.db"))
    with Client(site_of(store, plain=lambda _: "plain")) as client:
        client.get("/count")
        jar = dict(client.cookies)
        if operation == "create":
            client.cookies.clear()
        store.silent.add(operation)
        for _ in range(2):
            answer = client.get("/count")
            assert answer.status == 503
            assert answer.headers["retry-after"] == "1"
            assert "The session store does not answer." in answer.text
            assert answer.headers.get_all("set-cookie") == []
        client.cookies.clear()
        assert client.get("/plain").text == "plain"
        store.silent.clear()
        client.cookies.update(jar)
        assert client.get("/count").text == "2"
    said = [record.message for record in caplog.records if record.name == "container.sessions"]
    assert list(dict.fromkeys(said)) == [
        "the session store does not answer: it was told to be silent",
        "the session store answers again",
    ]


def test_a_store_that_falls_silent_after_the_head_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Silent(SQLiteStore(tmp_path / "s.db"))

    def late(request: Request) -> Response:
        def body() -> Any:
            yield b"head"
            request.session["late"] = 1
            store.silent.add("update")

        return Response(body())

    with Client(site_of(store, late=late)) as client:
        client.get("/count")
        assert client.get("/late").text == "head"
    assert "changes of a session were lost" in caplog.text


def test_a_client_that_leaves_while_its_answer_is_made_loses_no_change(store: SessionStore) -> None:
    """What an application has done is done, whether anybody hears of it or not."""

    async def test() -> None:
        entered, gone, over = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def slow(request: Request) -> str:
            session = request.session
            session["before"] = True
            request.exchange.on_close(lambda _: gone.set())
            entered.set()
            await gone.wait()
            session["after"] = True
            over.set()
            return "nobody hears it"

        async with AsyncClient(site_of(store, slow=slow)) as client:
            await client.get("/count")
            connection = client.connect()
            cookie = client.cookies["session"]
            await connection.send(
                f"GET /slow HTTP/1.1\r\nHost: a\r\nCookie: session={cookie}\r\n\r\n".encode()
            )
            await entered.wait()
            await connection.leave()
            await over.wait()
        async with AsyncClient(site_of(store), cookies={"session": cookie}) as client:
            assert (await client.get("/read")).json() == {"n": 1, "before": True, "after": True}

    asyncio.run(test())


def test_a_record_past_its_time_is_none_before_it_is_swept(tmp_path: Path) -> None:
    async def test() -> None:
        store = SQLiteStore(tmp_path / "s.db")
        sessions = Sessions(Leaf(read), store=store, clock=FakeClock(1000.0))
        async with AsyncClient(sessions) as client:
            answer = await client.get("/")
            assert answer.json() == {}
            assert await store.load(Key("session", "none")) is None
            await store.create(Key("session", "late"), Record({}, 1.0, 1.0, 999.0), None)
            assert await sessions.sweep() == 1

    asyncio.run(test())
