"""ASGI applications of several kinds side by side, each with its own lifespan and state.

    container -y asgi.tac
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from container import Application, ASGIResource, Files, Site

here = Path(__file__).resolve().parent
sys.path[:0] = [str(here), str(here / "djangosite")]

from chatroom import app as chatroom
from datasette.app import Datasette
from notes.asgi import application as django
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, list[str]]]:
    """What is yielded is in every request's state; it is this application's alone."""
    yield {"visits": []}


async def visits(request: Request) -> JSONResponse:
    request.state.visits.append(request.url.path)
    return JSONResponse({"visits": len(request.state.visits), "path": request.url.path})


root = Files(here / "public")
root.mount("chat", ASGIResource(chatroom, required=True))
root.mount("visits", ASGIResource(Starlette(routes=[Route("/{rest:path}", visits)], lifespan=lifespan)))
root.mount("data", ASGIResource(Datasette(memory=True, settings={"base_url": "/data/"}).app()))
root.mount("ws", ASGIResource(django))

application = Application("asgi")
application.serve(Site(root), "127.0.0.1:8080")
