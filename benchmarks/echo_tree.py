"""A tree with the echo of `echoes.py` twice: at /ws as a resource, at /asgi/ws as the ASGI application."""

from __future__ import annotations

import echoes

import apps
from container import ASGIResource, Data, Resource, Site, WebSocket, WebSocketResource


async def echo(socket: WebSocket) -> None:
    """Each message back as it came."""
    await socket.accept()
    async for message in socket:
        await socket.send(message)


root = Resource()
root.mount("", Data(apps.BODY, "text/plain"))
root.mount("ws", WebSocketResource(echo))
root.mount("asgi", ASGIResource(echoes.asgi))
application = Site(root)
