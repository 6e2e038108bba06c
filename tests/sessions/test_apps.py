"""The session in WSGI and ASGI applications and in programs (SE-09, AS-08)."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from container.message.errors import ExchangeStateError
from container.resources.asgi import ASGIResource
from container.resources.wsgi import WSGIResource
from container.sessions import Sessions
from container.sessions.apps import session_scope, session_variables
from container.sessions.redis import RedisStore
from container.sessions.sqlite import SQLiteStore
from container.testing import AsyncClient, Client
from tests.leaf import Leaf

if TYPE_CHECKING:
    from collections.abc import Iterable

    from container.message.request import Request
    from container.sessions.store import SessionStore
    from tests.redis_server import RedisServer


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SessionStore | None:
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return RedisStore(server.url, prefix=f"{{{tmp_path.name}}}")
    return SQLiteStore(tmp_path / "sessions.db") if request.param == "sqlite" else None


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Does what its path says, in a thread."""
    session = environ["container.session"]
    verb = environ["PATH_INFO"].strip("/")
    if verb == "count":
        session["n"] = session.get("n", 0) + 1
    elif verb == "increment":
        session.increment("sum")
    elif verb == "claim":
        session["won"] = session.compare_and_set("owner", None, "me")
    elif verb == "login":
        session.rotate()
        session["user"] = "eva"
    elif verb == "forget":
        del session["n"]
    elif verb == "save":
        session.touch()
        session.save()
    elif verb == "logout":
        session.expire()
    elif verb == "look":
        assert session.is_new is ("n" not in session)
        assert len(session) == len(list(session))
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(dict(session)).encode()]


def test_a_wsgi_application_uses_the_session(store: SessionStore | None) -> None:
    """SE-09: the counter, and all verbs, from a thread."""
    with Client(Sessions(WSGIResource(application, threads=2), store=store)) as client:
        assert client.get("/look").json() == {}
        assert client.cookies == {}
        assert client.get("/count").json() == {"n": 1}
        old = client.cookies["session"]
        assert client.get("/count").json() == {"n": 2}
        assert client.get("/increment").json() == {"n": 2, "sum": 1}
        assert client.get("/login").json() == {"n": 2, "sum": 1, "user": "eva"}
        assert client.cookies["session"] != old
        assert client.get("/forget").json() == {"sum": 1, "user": "eva"}
        assert client.get("/claim").json() == {"sum": 1, "user": "eva", "owner": "me", "won": True}
        assert client.get("/claim").json() == {"sum": 1, "user": "eva", "owner": "me", "won": False}
        assert client.get("/logout").json() == {}
        assert client.cookies == {}
        client.get("/save")
        assert set(client.cookies) == {"session"}


def test_threads_lose_no_increment(store: SessionStore | None) -> None:
    async def test() -> None:
        app = WSGIResource(application, threads=8)
        async with AsyncClient(Sessions(app, store=store)) as client:
            await client.get("/count")
            answers = await asyncio.gather(*[client.get("/increment") for _ in range(100)])
            assert {answer.status for answer in answers} == {200}
            assert (await client.get("/look")).json() == {"n": 1, "sum": 100}

    asyncio.run(test())


def test_an_application_on_the_loop_cannot_wait_for_a_store(tmp_path: Path) -> None:
    def inline(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        session = environ["container.session"]
        with pytest.raises(RuntimeError, match="expected an application with threads"):
            session.increment("n")
        session["n"] = 1
        return application(environ, start_response)

    store = SQLiteStore(tmp_path / "s.db")
    with Client(Sessions(WSGIResource(inline, threads=0), store=store)) as client:
        assert client.get("/").json() == {"n": 1}
    with Client(Sessions(WSGIResource(application, threads=0))) as client:
        assert client.get("/increment").json() == {"sum": 1}


def test_a_streaming_application_may_change_the_session_late(store: SessionStore | None) -> None:
    """SE-08: of a session that is there already."""

    def streaming(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        session = environ["container.session"]
        yield b"head "
        session["late"] = session.increment("sum")
        session.save()  # or it would be saved soon after the end, and the next request might not see it
        yield b"told"

    root = WSGIResource(application)
    root.mount("stream", WSGIResource(streaming))
    with Client(Sessions(root, store=store)) as client:
        client.get("/count")
        assert client.get("/stream").text == "head told"
        assert client.get("/look").json() == {"n": 1, "sum": 1, "late": 1}


def test_a_streaming_application_cannot_begin_a_session_late(store: SessionStore | None) -> None:
    """SE-08: it is told, though it never looked at the session before the head had left."""

    def streaming(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"head ")
        sent.wait(10)
        with pytest.raises(ExchangeStateError, match="before the head of the answer has left"):
            environ["container.session"]["n"] = 1
        yield b"told"

    sent = threading.Event()
    with Client(Sessions(WSGIResource(streaming), store=store)) as client:
        with client.stream("GET", "/") as answer:
            sent.set()
            assert answer.read() == b"head told"
        assert client.cookies == {}


def test_without_sessions_the_environ_says_nothing() -> None:
    def plain(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [str("container.session" in environ).encode()]

    with Client(WSGIResource(plain)) as client:
        assert client.get("/").text == "False"


def test_what_an_asgi_scope_holds_is_a_mapping_that_counts_as_used_when_it_is_used(
    store: SessionStore | None,
) -> None:
    """AS-08: an application that never looks sends no cookie and no Vary."""

    def page(request: Request) -> str:
        session = session_scope(request)
        assert session is not None
        if request.args.get("look"):
            session["n"] = session.get("n", 0) + 1
            return str(session["n"])
        return "not looked at"

    with Client(Sessions(Leaf(page), store=store)) as client:
        answer = client.get("/")
        assert answer.headers.get("vary") is None
        assert client.cookies == {}
        assert [client.get("/?look=1").text for _ in range(2)] == ["1", "2"]
    with Client(Leaf(lambda request: str(session_scope(request)))) as client:
        assert client.get("/").text == "None"


def test_starlette_finds_the_session_where_it_looks(store: SessionStore | None) -> None:
    """AS-08: `request.session`, over HTTP and in a WebSocket, whose handshake can begin a session."""
    from starlette.applications import Starlette
    from starlette.requests import Request as StarletteRequest
    from starlette.responses import JSONResponse
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocket

    async def page(request: StarletteRequest) -> JSONResponse:
        request.session["n"] = request.session.get("n", 0) + 1
        total = await request.session.increment("sum", 5)
        return JSONResponse([request.session["n"], total])

    async def talk(socket: WebSocket) -> None:
        socket.session["talked"] = True
        await socket.accept()
        await socket.send_json(dict(socket.session))
        await socket.close()

    async def read(request: StarletteRequest) -> JSONResponse:
        return JSONResponse(dict(request.session))

    app = Starlette(routes=[Route("/", page), Route("/read", read), WebSocketRoute("/talk", talk)])
    with Client(Sessions(ASGIResource(app), store=store)) as client:
        assert [client.get("/").json() for _ in range(2)] == [[1, 5], [2, 10]]
        with client.websocket("/talk") as socket:
            assert json.loads(socket.receive()) == {"n": 2, "sum": 10, "talked": True}
        assert client.get("/read").json() == {"n": 2, "sum": 10, "talked": True}


def test_programs_are_told_id_and_user_of_a_session_that_is_there(store: SessionStore | None) -> None:
    def page(request: Request) -> str:
        before = session_variables(request)
        if request.args.get("user"):
            request.session["user"] = request.args["user"]
        return json.dumps(before)

    with Client(Sessions(Leaf(page), store=store)) as client:
        assert client.get("/?user=eva").json() == {}
        found = client.get("/").json()
        assert found == {
            "CONTAINER_SESSION_ID": client.cookies["session"],
            "CONTAINER_SESSION_USER": "eva",
        }


def test_several_threads_may_ask_a_memory_store_at_once() -> None:
    """Of sessions of their own, and of one."""

    async def test() -> None:
        from container.message.session import finished
        from container.sessions.memory import MemoryStore
        from container.sessions.store import Key, Record

        store = MemoryStore()
        key = Key("s", "a")
        await store.create(key, Record({}, 0, 0, 10), None)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: finished(store.increment(key, "n", 1)), range(2000)))
        found = await store.load(key)
        assert found is not None
        assert found.values == {"n": 2000}

    asyncio.run(test())


def test_a_name_of_any_script_reaches_a_program_as_utf_8() -> None:
    """CG-02: variables are octets, one character each."""
    seen: list[dict[str, str]] = []

    def page(request: Request) -> str:
        request.session["user"] = "Zoë 中"
        seen.append(session_variables(request))
        return ""

    with Client(Sessions(Leaf(page))) as client:
        client.get("/")
        client.get("/")
    assert seen[1]["CONTAINER_SESSION_USER"].encode("latin-1").decode() == "Zoë 中"
