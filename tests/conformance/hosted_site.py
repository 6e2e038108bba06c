"""The tree that foreign servers run: every kind of leaf, and a resource by which the test speaks to them.

A server is started with `tests.conformance.hosted_site:asgi` or `:wsgi`, ours with `:site`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from container.encoders.gzip import Gzip
from container.message.errors import HTTPError
from container.message.headers import Headers
from container.message.limits import Limits
from container.message.response import Response
from container.tree.accesslog import CombinedFormatter, Entry
from container.tree.encoding import Encoded
from container.tree.resource import Resource
from container.tree.site import Site
from tests.conformance.client import PATIENCE_S
from tests.conformance.leaves import KINDS, Marks, Stage

if TYPE_CHECKING:
    from container.message.exchange import Exchange
    from container.message.request import Request

BODY_MAX: Final = 2 * 1024 * 1024
STAGES: Final = {name: Stage() for name in ("native", "wsgi", "asgi")}
LINES: Final[list[str]] = []
_format = CombinedFormatter()


class Control(Resource):
    """What a test asks a leaf, and tells it: /control/KIND/VERB."""

    is_leaf = True

    async def get(self, request: Request) -> Response:
        kind, verb = request.postpath
        stage = STAGES[kind]
        marks = stage.marks
        if verb == "reset":
            marks.go.set()  # whoever still waits shall go on
            stage.marks = Marks()
            LINES.clear()
        elif verb == "go":
            marks.go.set()
        elif verb in ("called", "ended", "left"):
            return Response.json(await asyncio.to_thread(getattr(marks, verb).wait, PATIENCE_S))
        elif verb == "stall":
            return Response.json(await asyncio.to_thread(marks.stall))
        elif verb == "marks":
            uploads = [upload.hex() for upload in marks.uploads]
            return Response.json({"calls": marks.calls, "uploads": uploads, "log": LINES})
        else:
            raise HTTPError(404)
        return Response.json(True)


class Where(Resource):
    """What the tree makes of a path."""

    is_leaf = True

    def get(self, request: Request) -> Response:
        path = request.raw_path.decode("latin-1")
        return Response.json(
            [path, request.consumed, request.query_string, request.scheme, bool(request.client)]
        )


class Hinting(Resource):
    """Sends 103 Early Hints before its answer."""

    def get(self, request: Request) -> Response:
        request.exchange.inform(103, Headers([("Link", "</style.css>; rel=preload")]))
        return Response.text("hinted")


class Started(Resource):
    """Has the server started the tree?"""

    started = False

    def get(self, request: Request) -> Response:
        return Response.json(self.started)

    async def start(self) -> None:
        self.started = True


def log(exchange: Exchange) -> None:
    if not exchange.request.raw_path.startswith(b"/control"):
        LINES.append(_format(Entry(exchange.request, exchange.status, exchange.bytes_sent, 1_000_000.0)))


root = Resource()
for name, stage in STAGES.items():
    root.mount(name, KINDS[name].make(stage))
    root.mount(f"encoded/{name}", Encoded(KINDS[name].make(stage), [Gzip()], minimum=0))
root.mount("control", Control())
root.mount("where", Where())
root.mount("hinting", Hinting())
root.mount("started", Started())
site = Site(
    root,
    headers={"X-Site": "ours"},
    error_pages={404: Response.text("our own page", 404)},
    limits=Limits(body=BODY_MAX),
    access_log=log,
)
asgi = site.as_asgi()
wsgi = site.as_wsgi()
