"""The tree that foreign servers run, with every kind of leaf.

A server is started with `tests.conformance.hosted_site:asgi` or `:wsgi`, ours with `:site`, and the port of the
test's `Board` as `CONFORMANCE_BOARD`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from container.encoders.gzip import Gzip
from container.message.headers import Headers
from container.message.limits import Limits
from container.message.response import Response
from container.tree.encoding import Encoded
from container.tree.resource import Resource
from container.tree.site import Site
from tests.conformance import leaves
from tests.conformance.board import Remote, RemoteStage
from tests.conformance.hosts import BODY_MAX, KINDS
from tests.leaf import log_line

if TYPE_CHECKING:
    from container.message.exchange import Exchange
    from container.message.request import Request

_board = Remote(int(os.environ["CONFORMANCE_BOARD"]))


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
    _board.ask("log", log_line(exchange))


root = Resource()
for name in KINDS:
    stage = RemoteStage(_board, name)
    root.mount(name, leaves.KINDS[name].make(stage))
    root.mount(f"encoded/{name}", Encoded(leaves.KINDS[name].make(stage), [Gzip()], minimum=0))
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
