"""Resources in front of others: found first, whatever is around those behind."""

from collections.abc import Iterator

from container.message.request import Request, decode_segment
from container.tree.resource import Resource
from container.tree.wrapper import Wrapper


class Front(Wrapper):
    """`inner`, and what is mounted here: `Front(Sessions(app)).mount("vhost", VHostMonster())`.

    What is mounted is found before `inner` is asked, so nothing that is around `inner` has a say in it:
    sessions, authentication, encoding.
    """

    def __init__(self, inner: Resource) -> None:
        super().__init__(inner)
        self._front = Resource()

    def enter(self, request: Request) -> Resource:
        path, at = request.raw_path, request.consumed
        mounted = self._front._children
        if mounted and at < len(path):
            stop = path.find(b"/", at + 1)
            if decode_segment(path[at + 1 : stop if stop >= 0 else len(path)]) in mounted:
                return self._front
        return self.inner

    def _put(self, name: str, child: Resource) -> Resource:
        return self._front._put(name, child)

    def _take(self, name: str) -> Resource:
        return self._front._take(name)

    @property
    def children(self) -> dict[str, Resource]:
        return self._front.children

    def parts(self) -> list[Resource]:
        return [self._front, self.inner]

    def walk(self, path: str = "") -> Iterator[tuple[str, Resource]]:
        yield from self._front.walk(path)
        yield from self.inner.walk(path)
