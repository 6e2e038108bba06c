"""The echo that every server in `websocket.py` runs at /ws, beside the "Hello World!" that tells it is up."""

from __future__ import annotations

import apps


async def asgi(scope: apps.Message, receive: apps.Receive, send: apps.Send) -> None:
    """ASGI 3: each message back as it came."""
    if scope["type"] != "websocket":
        await apps.asgi(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
