"""Tasks, scopes and context variables of real frameworks: what they rely on holds. AS-02, AS-03."""

import asyncio
import contextvars
import gc
from collections.abc import AsyncIterator
from typing import Any, Final

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
from container.tree.resource import Resource
from tests.conformance.conftest import Tree
from tests.conformance.leaves import Marks, Stage
from tests.leaf import request

current: contextvars.ContextVar[str] = contextvars.ContextVar("current", default="none")


def make_tree(stage: Stage) -> Resource:
    root = Resource()
    for name, make in APPLICATIONS.items():
        root.mount(name, ASGIResource(make(stage)))
    return root


def background(stage: Stage) -> Any:
    async def page(request: Request) -> Response:
        marks = stage.take()

        async def later() -> None:
            await asyncio.to_thread(marks.await_go)
            marks.note("background")

        marks.note("page")
        return PlainTextResponse("ok", background=BackgroundTask(later))

    return Starlette(routes=[Route("/", page)])


def test_a_background_task_runs_after_the_answer_whoever_left(tree: Tree, marks: Marks) -> None:
    connection = tree.client.connect()
    connection.send(request("/background/"))
    assert connection.receive().text == "ok"
    connection.leave()
    marks.go.set()
    tree.client.wait_until(lambda: marks.notes == ["page", "background"])


def dependency(stage: Stage) -> Any:
    app = FastAPI()

    async def resource() -> AsyncIterator[str]:
        stage.take().note("open")
        yield "resource"
        stage.take().note("close")

    @app.get("/")
    async def page(tasks: BackgroundTasks, given: str = Depends(resource)) -> str:
        tasks.add_task(stage.take().note, "background")
        return given

    return app


def test_fastapi_s_background_tasks_and_dependencies_with_an_end(tree: Tree, marks: Marks) -> None:
    assert tree.client.get("/dependency/").json() == "resource"
    tree.client.wait_until(lambda: sorted(marks.notes) == ["background", "close", "open"])


def scopes(stage: Stage) -> Any:
    async def never() -> None:
        await asyncio.Event().wait()

    async def page(request: Request) -> Response:
        kind = request.path_params["kind"]
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

    return Starlette(routes=[Route("/{kind}", page)])


@pytest.mark.parametrize("kind", ["asyncio.timeout", "anyio.move_on_after", "anyio.fail_after", "task group"])
def test_scopes_of_cancellation_work(tree: Tree, kind: str) -> None:
    assert [tree.client.get(f"/scopes/{kind}").text for _ in range(3)] == ["in time"] * 3


def context(stage: Stage) -> Any:
    async def page(request: Request) -> Response:
        before = current.get()
        current.set(request.path_params["name"])
        await asyncio.sleep(0)
        return PlainTextResponse(f"{before} {current.get()}")

    return Starlette(routes=[Route("/{name}", page)])


def test_every_request_has_a_context_of_its_own(tree: Tree) -> None:
    raw = tree.client.send_raw(b"".join(request(f"/context/{name}") for name in "abc"))
    assert [answer.text for answer in raw.responses] == ["none a", "none b", "none c"]


def in_threads(stage: Stage) -> Any:
    def blocking(request: Request) -> Response:  # Starlette runs it in a thread
        return PlainTextResponse(current.get())

    class Setting(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Response:
            current.set("from the middleware")
            answer: Response = await call_next(request)
            return answer

    return Starlette(routes=[Route("/", blocking)], middleware=[Middleware(Setting)])


def test_a_context_is_seen_by_code_that_runs_in_threads(tree: Tree) -> None:
    assert tree.client.get("/threads/").text == "from the middleware"


def stream(stage: Stage, *middleware: Middleware) -> Any:
    async def page(request: Request) -> Response:
        marks = stage.take()

        async def numbers() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"1"
                    await asyncio.sleep(0)
            finally:
                marks.note("ended")

        return StreamingResponse(numbers())

    app = Starlette(routes=[Route("/", page)], middleware=middleware)

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        marks = stage.take()
        try:
            await app(scope, receive, send)
        finally:
            if scope["type"] == "http":
                marks.note("over")
                asyncio.get_running_loop().call_soon(gc.collect)

    return watched


def stream_through_middleware(stage: Stage) -> Any:
    class Passing(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Response:
            answer: Response = await call_next(request)
            return answer

    return stream(stage, Middleware(Passing))


@pytest.mark.parametrize("name", ["stream", "middleware"])
def test_a_stream_of_a_framework_ends_when_its_client_leaves(tree: Tree, marks: Marks, name: str) -> None:
    """CH-19: its task ends, and with it what it holds (Starlette's middleware leaves that to the collector)."""
    connection = tree.client.connect()
    connection.send(request(f"/{name}/"))
    tree.client.wait_until(lambda: b"1\r\n1" in connection.data)
    connection.transport.reset()
    tree.client.wait_until(lambda: sorted(marks.notes) == ["ended", "over"])


APPLICATIONS: Final = {
    "background": background,
    "dependency": dependency,
    "scopes": scopes,
    "context": context,
    "threads": in_threads,
    "stream": stream,
    "middleware": stream_through_middleware,
}
