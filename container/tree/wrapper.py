"""A resource around another one: takes its place in the tree and passes everything on."""

from collections.abc import Awaitable

from container.message.request import Request
from container.tree.resource import Resource


class Wrapper(Resource):
    """Stands for `inner`: what is mounted here is mounted there. Subclasses add to `enter` what they are for."""

    is_transparent = True

    def __init__(self, inner: Resource) -> None:
        if not isinstance(inner, Resource):
            raise TypeError(f"expected a Resource inside {type(self).__name__}, got {inner!r}")
        self.inner = inner

    def enter(self, request: Request) -> Resource | Awaitable[Resource]:
        return self.inner

    def _put(self, name: str, child: Resource) -> Resource:
        return self.inner._put(name, child)

    def _take(self, name: str) -> Resource:
        return self.inner._take(name)

    @property
    def children(self) -> dict[str, Resource]:
        return self.inner.children

    def parts(self) -> list[Resource]:
        return [self.inner]
