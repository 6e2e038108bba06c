"""The WebSockets of the drills: echoes with and without compression."""

from container import WebSocket, WebSocketOptions, WebSocketResource


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    async for message in socket:
        await socket.send(message)


deflating = WebSocketResource(echo)
plain = WebSocketResource(echo, options=WebSocketOptions(deflate=False))
