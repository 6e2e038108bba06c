"""How the code that serves a WebSocket ends, whatever kind of resource it belongs to."""

import logging
from collections.abc import Awaitable

from container.message.errors import HTTPError
from container.message.websocket import INTERNAL_ERROR, WebSocket, WebSocketDisconnected, WebSocketState

log = logging.getLogger("container.site")


async def conduct(socket: WebSocket, serving: Awaitable[object]) -> None:
    """Await `serving`, then close `socket` if that was left open: 1000, or 1011 when it raised, with a line in
    the log. When it returns before `accept`, HTTPError(403) is raised; what it raises before, is too."""
    try:
        await serving
    except WebSocketDisconnected as over:
        # Not caught by an application that has nothing to tidy up.
        log.debug("%s: %s", socket.request, over)
        return
    except BaseException as error:
        if socket.state is WebSocketState.CONNECTING:
            raise
        if isinstance(error, Exception):
            log.error("%s failed", socket.request, exc_info=error)
        socket.begin_close(INTERNAL_ERROR)
        if not isinstance(error, Exception):
            raise
        return
    if socket.state is WebSocketState.CONNECTING:
        raise HTTPError(403, "The WebSocket was not accepted.")
    if socket.state is WebSocketState.OPEN:
        socket.begin_close()
