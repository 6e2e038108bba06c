"""Applications for tests of ASGI, and their messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from container.resources.asgi import ASGIResource
from container.tree.resource import Resource

if TYPE_CHECKING:
    from collections.abc import Callable


Scope = dict[str, Any]


def start(status: int = 200, *headers: tuple[bytes, bytes], **more: Any) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}


def body(data: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}


def serve(app: Callable[..., Any], path: str = "", **options: Any) -> Resource:
    leaf = ASGIResource(app, lifespan="off", **options)
    if not path:
        return leaf
    root = Resource()
    root.mount(path, leaf)
    return root


def answering(*messages: dict[str, Any]) -> Callable[..., Any]:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


class Recorder:
    """Answers with nothing, keeps the scopes."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        await send(start(204))
        await send(body())
