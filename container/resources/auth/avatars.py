"""What a user finds: a tree of one's own, or one that only some may see. Under any of the guards."""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from inspect import isawaitable

from container.message.errors import HTTPError
from container.message.request import Request
from container.tree.resource import Resource
from container.tree.wrapper import Wrapper

log = logging.getLogger("container.auth")

# Gets the user's name, None for an anonymous one: the tree to go on in, None for 403. May be async.
FindTree = Callable[[str | None], "Resource | Awaitable[Resource | None] | None"]
Allow = Callable[[str, Request], bool]


class Avatars(Resource):
    """A tree for each user: put it inside a guard.

    `trees`: by user name, and `anonymous` for those who are nobody; or a function from the name, or None, to the
    tree. Whoever has none gets 403. Trees that are given here start and stop with the server; those that a
    function makes are its own. `on_logout(user)` is called once when the answer is complete or has been given up.
    """

    is_transparent = True

    def __init__(
        self,
        trees: Mapping[str, Resource] | FindTree,
        *,
        anonymous: Resource | None = None,
        on_logout: Callable[[str | None], object] | None = None,
    ) -> None:
        self._trees = dict(trees) if isinstance(trees, Mapping) else {}
        self._find = trees if callable(trees) else None
        self._anonymous = anonymous
        self._on_logout = on_logout
        for tree in [*self._trees.values(), *([anonymous] if anonymous is not None else [])]:
            if not isinstance(tree, Resource):
                raise TypeError(f"expected a Resource as tree of a user, got {tree!r}")

    @property
    def children(self) -> dict[str, Resource]:
        """All trees, as `{name}`: the site starts what is in them, and they can be listed."""
        trees = {f"{{{name}}}": tree for name, tree in self._trees.items()}
        return trees | ({"{}": self._anonymous} if self._anonymous is not None else {})

    def enter(self, request: Request) -> Resource | Awaitable[Resource]:
        user = request.user[0] if request.user is not None else None
        if self._find is not None:
            found = self._find(user)
        else:
            found = self._anonymous if user is None else self._trees.get(user)
        if isawaitable(found):
            return self._wait(request, user, found)
        return self._found(request, user, found)

    async def _wait(self, request: Request, user: str | None, found: Awaitable[Resource | None]) -> Resource:
        return self._found(request, user, await found)

    def _found(self, request: Request, user: str | None, tree: Resource | None) -> Resource:
        if tree is None:
            raise HTTPError(403, "Nothing here is for you.")
        if self._on_logout is not None:
            request.exchange.on_close(lambda error: self._log_out(user))
        return tree

    def _log_out(self, user: str | None) -> None:
        assert self._on_logout is not None
        try:
            self._on_logout(user)
        except Exception:  # the application's code
            log.exception("on_logout failed for %r", user)


class Permit(Wrapper):
    """Lets only some users into `child`: those named, or those of whom `allow(user, request)` says so; 403 for
    everybody else. Put it inside a guard."""

    def __init__(self, child: Resource, allow: Collection[str] | Allow) -> None:
        super().__init__(child)
        if isinstance(allow, str):
            raise TypeError(f"expected several names, got one text: {allow!r} (did you mean [{allow!r}]?)")
        self._allow: Allow = allow if callable(allow) else _among(frozenset(allow))

    def enter(self, request: Request) -> Resource:
        user = request.user
        if user is None or not self._allow(user[0], request):
            raise HTTPError(403, "You may not see this.")
        return self.inner


def _among(names: frozenset[str]) -> Allow:
    return lambda user, request: user in names
