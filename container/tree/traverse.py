"""From a path to a resource. Hot path.

The rules are those of Twisted's trees: the raw path is split at `/` first and each segment decoded after,
so `%2F` never separates; empty segments count; dot segments mean nothing. A resource is asked for a child
per segment, what is mounted first, until the path is used up or a leaf is met.
"""

from collections.abc import Awaitable, Coroutine
from inspect import isawaitable

from container.message.errors import HTTPError
from container.message.request import Request, decode_segment
from container.tree.resource import Answer, Resource


def resolve(resource: Resource, request: Request) -> Resource:
    """The resource that answers `request`, looking from `resource` at `request.consumed` on.

    Moves `consumed`. When one on the way has to be waited for, that is done by what stands in for it, in its
    `render`. Raises HTTPError(404).
    """
    path = request.raw_path
    end = len(path)
    at = request.consumed
    while True:
        children = resource._children
        if children is None and resource.is_leaf:
            return resource
        if resource.is_transparent:
            entered = resource.enter(request)
            if not isinstance(entered, Resource):
                return Late(entered)
            resource = entered
            # It may have put something in front of the path, or another one behind.
            path = request.raw_path
            end = len(path)
            at = request.consumed
            continue
        if at >= end:
            return resource
        stop = path.find(b"/", at + 1)
        if stop < 0:
            stop = end
        name = decode_segment(path[at + 1 : stop])
        child = children.get(name) if children is not None else None
        if child is None:
            if resource.is_leaf:
                return resource
            request.consumed = stop
            found = resource.child(name, request)
            if isinstance(found, Resource):
                child = found
            elif found is None:
                raise HTTPError(404)
            elif isawaitable(found):
                return Late(found)
            else:
                raise TypeError(f"expected a Resource, None or an awaitable from child(), got {found!r}")
        request.consumed = at = stop
        resource = child


def render_below(resource: Resource, request: Request) -> "Answer | Awaitable[Answer]":
    """The answer of whatever `resource` leads to: for resources that hand a request on. Raises HTTPError(404)."""
    return resolve(resource, request).render(request)


class Late(Resource):
    """Stands in for a child, or for what a transparent resource leads to, that has to be waited for."""

    def __init__(self, found: Awaitable[Resource | None]) -> None:
        self._found = found

    def drop(self) -> None:
        """Nobody is going to wait. A future may be others', too."""
        if isinstance(self._found, Coroutine):
            self._found.close()

    async def render(self, request: Request) -> Answer:
        """Go on below the child."""
        answer = (await self.arrive(request)).render(request)
        if isawaitable(answer):
            answer = await answer
        return answer

    async def arrive(self, request: Request) -> Resource:
        """Wait, and go on, as often as what is found has to be waited for again. Raises HTTPError(404)."""
        found: Resource = self
        while isinstance(found, Late):  # in one frame: the client says how many there are
            child = await found._found
            if child is None:
                raise HTTPError(404)
            found = resolve(child, request)
        return found
