"""Resources: the nodes of the tree, and the verbs they answer (RFC 9110 9).

What a path means is decided in `traverse.py`; what an answer becomes in `site.py`.
"""

from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Final, TypeAlias

from container.message.errors import HTTPError
from container.message.exchange import Exchange
from container.message.request import Request
from container.message.response import Response

Answer: TypeAlias = "Response | Exchange | str | bytes | Iterator[bytes] | AsyncIterator[bytes]"
"""What `render` may give back, itself or awaitable: a Response; an exchange that the resource drives on its
own; text or bytes of an HTML page; an iterator of bytes to stream."""

# Which method answers which verb; all others are 405 (RFC 9110 15.5.6).
VERBS: Final = {
    verb: verb.lower()
    for verb in "GET HEAD POST PUT DELETE PATCH OPTIONS TRACE PROPFIND REPORT MKCOL".split()
}


class Resource:
    """A node of the tree.

    Children are looked up by exact, percent-decoded segment: first those that are mounted, then `child()`.
    An `is_leaf` resource also answers for every path below it that no mounted child answers for.
    Subclasses define methods named after the verbs (`get`, `post`, ...), plain or async.
    """

    is_leaf: bool = False
    # True for resources that stand for another one: traversal calls `enter` instead of stopping here.
    is_transparent: bool = False
    # True for a root that also gets what is asked of other servers: CONNECT, and OPTIONS for one of them.
    is_proxy: bool = False

    _children: "dict[str, Resource] | None" = None

    # The tree.

    def mount(self, path: str, child: "Resource") -> "Resource":
        """Put `child` at `path` below this resource and return it; replaces what was there.

        `"a/b"` makes the plain resources between; `""` is what a trailing slash names. Works while serving.
        """
        if not isinstance(child, Resource):
            raise TypeError(f"expected a Resource to mount at {path!r}, got {child!r}")
        *above, name = path.removeprefix("/").split("/")
        parent = self
        for segment in above:
            between = parent.children.get(segment)
            parent = between if between is not None else parent._put(segment, Resource())
        return parent._put(name, child)

    def _put(self, name: str, child: "Resource") -> "Resource":
        if self._children is None:
            self._children = {}
        self._children[name] = child
        return child

    def _take(self, name: str) -> "Resource":
        return (self._children or {}).pop(name)

    def unmount(self, path: str) -> "Resource":
        """Take away and return what is mounted at `path`. Raises KeyError when nothing is."""
        *above, name = path.removeprefix("/").split("/")
        parent = self
        for segment in above:
            parent = parent.children[segment]
        return parent._take(name)

    @property
    def children(self) -> "dict[str, Resource]":
        """What is mounted here, by name: a copy."""
        return dict(self._children or {})

    def walk(self, path: str = "") -> "Iterator[tuple[str, Resource]]":
        """Every mounted resource below this one with its path, depth first.

        One that is mounted at several places comes as often; below itself it is not looked at again.
        """
        return self._walk(path, ())

    def _walk(self, path: str, above: "tuple[Resource, ...]") -> "Iterator[tuple[str, Resource]]":
        above += (self,)
        for name, child in self.children.items():
            below = f"{path}/{name}"
            yield below, child
            if not any(child is each for each in above):
                yield from child._walk(below, above)

    def child(self, name: str, request: Request) -> "Resource | Awaitable[Resource | None] | None":
        """The child for a segment that nothing is mounted at; None means 404. May be async."""
        return None

    def enter(self, request: Request) -> "Resource | Awaitable[Resource]":
        """For transparent resources: the one that takes this one's place for `request`. May be async."""
        raise NotImplementedError

    # Answers.

    def render(self, request: Request) -> "Answer | Awaitable[Answer]":
        """Answer `request`: calls the method named by its verb."""
        verb = VERBS.get(request.method, "")
        method = getattr(self, verb, None) if verb else None
        if method is None:
            if verb == "options":
                return Response(b"", 204, {"Allow": ", ".join(self.allowed_methods())})
            method = getattr(self, "get", None) if verb == "head" else None
        if method is None:
            allow = ", ".join(self.allowed_methods())
            raise HTTPError(405, f"this resource does not answer {request.method}", headers={"Allow": allow})
        answer: Answer | Awaitable[Answer] = method(request)
        return answer

    def allowed_methods(self) -> list[str]:
        """The methods this resource answers, for the Allow field."""
        found = [verb for verb, name in VERBS.items() if callable(getattr(self, name, None))]
        if "GET" in found and "HEAD" not in found:
            found.insert(found.index("GET") + 1, "HEAD")
        if "OPTIONS" not in found:
            found.append("OPTIONS")
        return found

    # The life of the process.

    def parts(self) -> "list[Resource]":
        """The resources right below this one that start and stop with it."""
        return list(self.children.values())

    async def start(self) -> None:
        """Called once before the first request, in the worker that serves."""

    def drain(self) -> None:
        """Called when the server begins to stop: bring what would never end by itself to its end."""

    async def stop(self) -> None:
        """Called once after the last request, in reverse order of `start`."""
