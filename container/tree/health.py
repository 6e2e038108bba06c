"""Whether the process lives and whether it wants requests, for whoever watches over it.

The answers are given by the loop, before sessions, threads and everything else in the tree: they come when
every thread is stuck. What the application needs, a database for example, is the application's to check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from container.message.response import Response
from container.tree.resource import Resource
from container.tree.wrapper import Wrapper

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from container.message.request import Request

DEFAULT_HEALTH_PATH = "/healthz"
DEFAULT_READY_PATH = "/readyz"


class Health(Wrapper):
    """Answers `healthz` with 200 as long as the loop runs, and `readyz` with 503 once `is_ready` is False.

    Both are paths with the slash at their beginning; None: the path is the tree's like any other. Put around
    the root of a site, in front of everything that is mounted there.
    """

    def __init__(self, inner: Resource, *, healthz: str | None = None, readyz: str | None = None) -> None:
        super().__init__(inner)
        for path in (healthz, readyz):
            if path is not None and not path.startswith("/"):
                raise ValueError(f"expected a path such as {DEFAULT_HEALTH_PATH}, got {path!r}")
        self.healthz, self.readyz = healthz, readyz
        self.is_ready = True
        self._answers = {
            path.encode(): answer
            for path, answer in ((healthz, _Health()), (readyz, _Readiness(self)))
            if path is not None
        }

    def enter(self, request: Request) -> Resource | Awaitable[Resource]:
        return self._answers.get(request.raw_path, self.inner)


class _Health(Resource):
    """It answers, so it lives."""

    is_leaf = True

    def get(self, request: Request) -> Response:
        return _answer(200, "ok")


class _Readiness(Resource):
    """What a load balancer asks before it sends more."""

    is_leaf = True

    def __init__(self, health: Health) -> None:
        self._health = health

    def get(self, request: Request) -> Response:
        return _answer(200, "ready") if self._health.is_ready else _answer(503, "stopping")


def _answer(status: int, text: str) -> Response:
    return Response(text + "\n", status, {"Content-Type": "text/plain", "Cache-Control": "no-store"})
