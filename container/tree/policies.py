"""Small wrappers that say what holds below one place of the tree: fields of answers, size of content, variables.

Each is put around a resource and mounted in its place; whatever is mounted below is inside. Who may come in, and
how often, is `resources/access.py`'s; codings are `tree/encoding.py`'s.
"""

from collections.abc import Awaitable, Mapping
from urllib.parse import quote

from container.message.body import EMPTY
from container.message.errors import HTTPError
from container.message.fields import encode_fields
from container.message.headers import Headers, HeaderSource
from container.message.request import Request
from container.tree.resource import Resource
from container.tree.traverse import Late, resolve
from container.tree.wrapper import Wrapper


class AddHeaders(Wrapper):
    """Adds `headers` to all answers of `inner`, error pages too: `AddHeaders(app, {"X-Frame-Options": "DENY"})`.

    A field with that very value that is there already is not added again. ValueError for an illegal one.
    """

    def __init__(self, inner: Resource, headers: HeaderSource) -> None:
        super().__init__(inner)
        self.headers = Headers(headers)
        encode_fields(self.headers.items())

    def enter(self, request: Request) -> Resource:
        request.exchange.before_head(self._add)
        return self.inner

    def _add(self, status: int, headers: Headers) -> None:
        add_missing(self.headers, headers)


def add_missing(fields: Headers, headers: Headers) -> None:
    """Add those of `fields` to `headers` that are not there with the same value."""
    there = headers.items()
    for field in fields.items():
        if field not in there:
            headers.add(*field)


class BodyLimit(Wrapper):
    """Content of at most `limit` bytes for `inner`, else 413; the innermost one around a resource counts.

    The limit of the Site is looked at before any of these: one that allows more needs a Site that does.
    """

    def __init__(self, inner: Resource, limit: int) -> None:
        super().__init__(inner)
        if limit < 0:
            raise ValueError(f"expected a limit of at least 0 bytes, got {limit}")
        self.limit = limit

    def enter(self, request: Request) -> Resource | Awaitable[Resource]:
        body = request.body
        if body is EMPTY:
            return self.inner
        is_outermost = body.limit is None
        body.limit = self.limit
        if not is_outermost:
            return self.inner
        # Whoever is further in has a say before anything is refused; what has to be waited for has none.
        found = resolve(self.inner, request)
        if max(body.length or 0, body.received) > body.limit:
            if isinstance(found, Late):
                found.drop()
            raise HTTPError(413, f"the content exceeds the limit of {body.limit} bytes")
        return found


class Variables(Wrapper):
    """Further variables for the programs below `inner`: in the environ of WSGI applications, and for scripts and
    responders (CGI, FastCGI, SCGI, uwsgi). Those of an inner one replace those of an outer one."""

    def __init__(self, inner: Resource, variables: Mapping[str, str]) -> None:
        super().__init__(inner)
        for name, value in variables.items():
            if not name or "=" in name or "\0" in name + value:
                raise ValueError(f"expected a variable without '=' in its name or NUL, got {name!r}")
        self.variables = dict(variables)

    def enter(self, request: Request) -> Resource:
        before = request.variables
        request.variables = self.variables if before is None else {**before, **self.variables}
        return self.inner


class RootPath(Wrapper):
    """What a proxy in front has cut off the path, `/shop`, is in all paths and URLs below `inner` again."""

    def __init__(self, inner: Resource, path: str) -> None:
        super().__init__(inner)
        if not path.startswith("/") or path.endswith("/") or "//" in path:
            raise ValueError(f'expected a path such as "/shop" in front of all others, got {path!r}')
        self.path = path
        self._raw = quote(path, safe="/!$&'()*+,;=:@~-._").encode("ascii")

    def enter(self, request: Request) -> Resource:
        request.set_prefix(self._raw)
        return self.inner
