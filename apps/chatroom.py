"""A chat on FastAPI: a page, its WebSocket, a stream of server-sent events, and FastAPI's own docs.

    container --asgi=chatroom:app

Mounted anywhere, its page finds its WebSocket by a relative address. /docs describes the API.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel

PAGE = Path(__file__).resolve().parent / "chatroom.html"
HISTORY = 50


class Message(BaseModel):
    """What somebody said."""

    name: str
    text: str


class Room:
    """Who is here, what was said, and who listens to the stream of events."""

    def __init__(self) -> None:
        self.sockets: set[WebSocket] = set()
        self.listeners: set[asyncio.Queue[str]] = set()
        self.said: deque[Message] = deque(maxlen=HISTORY)

    async def say(self, message: Message) -> None:
        """Tell everybody. One that does not read any more is no reason to stop."""
        self.said.append(message)
        for socket in list(self.sockets):
            with suppress(WebSocketDisconnect, RuntimeError):
                await socket.send_json({"kind": "said", **message.model_dump()})
        for queue in self.listeners:
            with suppress(asyncio.QueueFull):
                queue.put_nowait(message.model_dump_json())

    async def count(self) -> None:
        """Tell everybody how many are here."""
        for socket in list(self.sockets):
            with suppress(WebSocketDisconnect, RuntimeError):
                await socket.send_json({"kind": "here", "count": len(self.sockets)})


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Room]]:
    """One room for as long as the application lives; every request finds it in its state."""
    yield {"room": Room()}


app = FastAPI(title="Chat room", lifespan=lifespan)


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(PAGE, media_type="text/html")


@app.get("/messages")
async def messages(request: Request) -> list[Message]:
    """The last things said, oldest first."""
    return list(request.state.room.said)


@app.post("/messages", status_code=201)
async def say(message: Message, request: Request) -> Message:
    """Say something without a WebSocket."""
    await request.state.room.say(message)
    return message


@app.get("/events")
async def events(request: Request) -> StreamingResponse:
    """Everything said from now on, as server-sent events."""
    room: Room = request.state.room
    queue: asyncio.Queue[str] = asyncio.Queue(100)

    async def stream() -> AsyncIterator[str]:
        room.listeners.add(queue)
        try:
            yield ": welcome\n\n"
            while True:
                yield f"data: {await queue.get()}\n\n"
        finally:
            room.listeners.discard(queue)

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


@app.websocket("/ws")
async def chat(socket: WebSocket) -> None:
    """JSON both ways: `{"name", "text"}` in, `{"kind": "said" | "here", ...}` out."""
    room: Room = socket.state.room
    await socket.accept()
    for message in room.said:
        await socket.send_json({"kind": "said", **message.model_dump()})
    room.sockets.add(socket)
    try:
        await room.count()
        while True:
            await room.say(Message(**json.loads(await socket.receive_text())))
    except WebSocketDisconnect:
        pass
    except ValueError:
        await socket.close(1003, "expected JSON with a name and a text")
    finally:
        room.sockets.discard(socket)
        await room.count()
