"""From a path to a resource. Hot path.

The rules are those of Twisted's trees: the raw path is split at `/` first and each segment decoded after,
so `%2F` never separates; empty segments count; dot segments mean nothing. A resource is asked for a child
per segment, what is mounted first, until the path is used up or a leaf is met.
"""

from collections.abc import Awaitable
from inspect import isawaitable

from container.message.errors import HTTPError
from container.message.request import Request, decode_segment
from container.tree.resource import Resource


def resolve(resource: Resource, request: Request) -> Resource | Awaitable[Resource]:
    """The resource that answers `request`, looking from `resource` at `request.consumed` on.

    Moves `consumed`. Awaitable when a child had to be waited for. Raises HTTPError(404).
    """
    path = request.raw_path
    end = len(path)
    at = request.consumed
    while True:
        if resource.is_transparent:
            resource = resource.enter(request)
            continue
        if at >= end:
            return resource
        children = resource._children
        if children is None and resource.is_leaf:
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
                return _resume(found, request)
            else:
                raise TypeError(f"expected a Resource, None or an awaitable from child(), got {found!r}")
        request.consumed = at = stop
        resource = child


async def _resume(found: Awaitable[Resource | None], request: Request) -> Resource:
    """Go on below a child that had to be waited for."""
    child = await found
    if child is None:
        raise HTTPError(404)
    below = resolve(child, request)
    return below if isinstance(below, Resource) else await below
