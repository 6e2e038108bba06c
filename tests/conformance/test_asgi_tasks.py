"""Tasks, scopes and context variables of real frameworks: what they rely on holds. AS-02, AS-03."""

import asyncio
import contextvars
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from container.resources.asgi import ASGIResource
from container.testing import Client
from tests.leaf import GET, request

current: contextvars.ContextVar[str] = contextvars.ContextVar("current", default="none")


def test_a_background_task_runs_after_the_answer_whoever_left() -> None:
    order: list[str] = []
    go = asyncio.Event()

    async def later() -> None:
        await go.wait()
        order.append("background")

    async def page(request: Request) -> Response:
        order.append("page")
        return PlainTextResponse("ok", background=BackgroundTask(later))

    with Client(ASGIResource(Starlette(routes=[Route("/", page)]))) as client:
        connection = client.connect()
        connection.send(GET)
        assert connection.receive().text == "ok"
        connection.leave()
        go.set()
        client.wait_until(lambda: order == ["page", "background"])


def test_fastapi_s_background_tasks_and_dependencies_with_an_end() -> None:
    order: list[str] = []
    app = FastAPI()

    async def resource() -> AsyncIterator[str]:
        order.append("open")
        yield "resource"
        order.append("close")

    @app.get("/")
    async def page(tasks: BackgroundTasks, given: str = Depends(resource)) -> str:
        tasks.add_task(order.append, "background")
        return given

    with Client(ASGIResource(app)) as client:
        assert client.get("/").json() == "resource"
        client.wait_until(lambda: sorted(order) == ["background", "close", "open"])


@pytest.mark.parametrize("kind", ["asyncio.timeout", "anyio.move_on_after", "anyio.fail_after", "task group"])
def test_scopes_of_cancellation_work(kind: str) -> None:
    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    async def page(request: Request) -> Response:
        if kind == "asyncio.timeout":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await never()
        elif kind == "anyio.move_on_after":
            with anyio.move_on_after(0.001) as scope:
                await never()
            assert scope.cancelled_caught
        elif kind == "anyio.fail_after":
            with pytest.raises(TimeoutError), anyio.fail_after(0.001):
                await never()
        else:
            async with anyio.create_task_group() as group:
                group.start_soon(never)
                await anyio.sleep(0)
                group.cancel_scope.cancel()
        return PlainTextResponse("in time")

    with Client(ASGIResource(Starlette(routes=[Route("/", page)]))) as client:
        assert [client.get("/").text for _ in range(3)] == ["in time"] * 3


def test_every_request_has_a_context_of_its_own() -> None:
    async def page(request: Request) -> Response:
        before = current.get()
        current.set(request.url.path)
        await asyncio.sleep(0)
        return PlainTextResponse(f"{before} {current.get()}")

    with Client(ASGIResource(Starlette(routes=[Route("/{name}", page)]))) as client:
        raw = client.send_raw(b"".join(request(f"/{name}") for name in "abc"))
    assert [answer.text for answer in raw.responses] == ["none /a", "none /b", "none /c"]


def test_a_context_is_seen_by_code_that_runs_in_threads() -> None:
    def blocking(request: Request) -> Response:  # Starlette runs it in a thread
        return PlainTextResponse(current.get())

    class Setting(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Response:
            current.set("from the middleware")
            answer: Response = await call_next(request)
            return answer

    app = Starlette(routes=[Route("/", blocking)], middleware=[Middleware(Setting)])
    with Client(ASGIResource(app)) as client:
        connection = client.connect()
        connection.send(GET)
        client.wait_until(lambda: connection.data)
        assert connection.receive().text == "from the middleware"


@pytest.mark.parametrize("with_middleware", [False, True])
def test_a_stream_of_a_framework_ends_when_its_client_leaves(with_middleware: bool) -> None:
    """CH-19: its task ends, and with it what it holds (Starlette's middleware leaves that to the collector)."""
    ended: list[bool] = []

    async def page(request: Request) -> Response:
        async def numbers() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"1"
                    await asyncio.sleep(0)
            finally:
                ended.append(True)

        return StreamingResponse(numbers())

    class Passing(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Response:
            answer: Response = await call_next(request)
            return answer

    middleware = [Middleware(Passing)] if with_middleware else []
    app = Starlette(routes=[Route("/", page)], middleware=middleware)
    resource = ASGIResource(app)
    with Client(resource) as client:
        connection = client.connect()
        connection.send(GET)
        client.wait_until(lambda: b"1\r\n1" in connection.data)
        connection.transport.reset()
        client.wait_until(lambda: not resource._calls)
    assert ended == [True]
