"""Rewriting: another path, or another answer, for what was asked (Apache's mod_rewrite, nginx's rewrite).

A rule looks at the path below the Rewriter and at the request. Paths are seen decoded, except for what would
be misread as structure: `%2F` stays so and never separates. The target of the request stays as it was sent.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlsplit

from container.message.authority import HostPattern, lookups, normal_name
from container.message.request import Request, decode_segment
from container.message.response import Response
from container.tree.resource import Resource
from container.tree.wrapper import Wrapper

Outcome: TypeAlias = "Sequence[str] | str | Response | None"
"""What a rule comes to. None: not mine. Decoded segments: the new path below the Rewriter; none at all is its
root. Text: the new path, percent-encoded, with a query if it has a `?`. A Response: that is the answer."""
Rule: TypeAlias = Callable[[Request], Outcome]

_ROUNDS_MAX: Final = 10
_SEGMENT_SAFE: Final = "!$&'()*+,;=:@~-._"
_PATH_SAFE: Final = f"/%{_SEGMENT_SAFE}"
_STRUCTURE: Final = str.maketrans({"%": "%25", "/": "%2F", "?": "%3F", "#": "%23"})


class Rewriter(Wrapper):
    """`inner` behind rules: `Rewriter(resource, alias("/old", "/new"), RewriteRule(r"/(?P<id>\\d+)", "/items/{id}"))`.

    The rules are asked in their order, once for each request that comes by; each sees what those before it
    have made of the path. With `repeat` they are asked again until none has anything to say: a path that
    comes up again, or more than ten rounds, is an error in the rules, answered 500 with a line in the log.
    """

    def __init__(self, inner: Resource, *rules: Rule, repeat: bool = False) -> None:
        super().__init__(inner)
        for rule in rules:
            if not callable(rule):
                raise TypeError(f"expected rules, functions that take a request, got {rule!r}")
        self.rules = rules
        self.repeat = repeat
        self.made_with: dict[str, object] = {"repeat": repeat}

    def enter(self, request: Request) -> Resource:
        seen = {_where(request)}
        while True:
            before = _where(request)
            for rule in self.rules:
                outcome = rule(request)
                if isinstance(outcome, Response):
                    return _Fixed(outcome)
                if outcome is not None:
                    _rewrite(request, outcome)
            now = _where(request)
            if not self.repeat or now == before:
                return self.inner
            if now in seen or len(seen) > _ROUNDS_MAX:
                raise RuntimeError(f"expected rewriting to come to an end, got {now[0]!r} again and again")
            seen.add(now)


def _where(request: Request) -> tuple[bytes, bytes]:
    return request.raw_path, request.raw_query


def _rewrite(request: Request, outcome: Sequence[str] | str) -> None:
    if isinstance(outcome, str):
        path, mark, query = outcome.partition("?")
        if path and not path.startswith("/"):
            raise ValueError(f'expected a path as "/path" from a rule, got {outcome!r}')
        request.rewrite(
            quote(path, safe=_PATH_SAFE).encode("ascii"),
            quote(query, safe=_PATH_SAFE + "?").encode("ascii") if mark else None,
        )
        return
    request.rewrite(b"".join(b"/" + segment for segment in _raw(request, list(outcome))))


def _raw(request: Request, segments: list[str]) -> list[bytes]:
    """The segments encoded; those at the end that are as before, as they were sent."""
    sent = request.raw_path[request.consumed :].split(b"/")[1:]
    same = 0
    while same < min(len(sent), len(segments)) and decode_segment(sent[-1 - same]) == segments[-1 - same]:
        same += 1
    fresh = segments[: len(segments) - same]
    return [quote(each, safe=_SEGMENT_SAFE).encode("ascii") for each in fresh] + sent[len(sent) - same :]


class _Fixed(Resource):
    """Gives the answer of a rule."""

    is_leaf = True

    def __init__(self, response: Response) -> None:
        self._response = response

    def render(self, request: Request) -> Response:
        return self._response


class RewriteRule:
    """A regular expression and what to make of the path that it matches as a whole.

    `target`: `{name}` and `{1}` are the groups of `pattern`, `{host}`, `{scheme}` and `{query}` those of the
    request; a `?` in it replaces the query. With `redirect`, a status such as 301, the client is sent there:
    a URL, or a path below the Rewriter, with the query unless there is one in `target`.

    Conditions, all of which have to hold: `host`, one or several as in VirtualHosts; `method`, one or several;
    `headers`, regular expressions by field name, searched in the value, None where there must be no such
    field; `query`, a regular expression searched in it; `when`, a function of the request.
    """

    def __init__(
        self,
        pattern: str,
        target: str,
        *,
        redirect: int | None = None,
        host: str | Iterable[str] | None = None,
        method: str | Iterable[str] | None = None,
        headers: Mapping[str, str | None] | None = None,
        query: str | None = None,
        when: Callable[[Request], bool] | None = None,
    ) -> None:
        """Raises ValueError for what cannot be a rule."""
        try:
            self._pattern = re.compile(pattern, re.DOTALL)  # no `%0A` gets by
            self._query = re.compile(query) if query is not None else None
            self._headers = [
                (name.lower(), re.compile(value) if value is not None else None)
                for name, value in (headers or {}).items()
            ]
        except re.error as error:
            raise ValueError(f"expected a regular expression, got {error.pattern!r}: {error}") from error
        self.pattern = pattern
        self.target = target
        self.redirect = redirect
        self.is_conditional = any(each is not None for each in (host, method, headers, query, when))
        if redirect is not None:
            Response.redirect("/", redirect)  # an unfit status is an error now, not with every request
        self._hosts = None if host is None else {HostPattern(each).key for each in _several(host)}
        self._methods = None if method is None else frozenset(_several(method))
        self._when = when
        self._check_target()

    def _check_target(self) -> None:
        groups: Any = dict.fromkeys(self._pattern.groupindex, "") | {"host": "", "scheme": "", "query": ""}
        try:
            made = self.target.format(*[""] * (self._pattern.groups + 1), **groups)
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ValueError(f"expected groups of the pattern in {self.target!r}, got {error}") from error
        if self.redirect is None and made and not made.startswith(("/", "?")):
            raise ValueError(f'expected a path as "/path" to rewrite to, got {self.target!r}')

    def __call__(self, request: Request) -> Outcome:
        path = readable(request)
        match = self._pattern.fullmatch(path)
        if match is None or not self._holds(request):
            return None
        groups = {name: value or "" for name, value in match.groupdict().items()}
        words = {"host": request.hostname, "scheme": request.scheme, "query": request.query_string}
        made = self.target.format(path, *[value or "" for value in match.groups()], **(words | groups))
        if self.redirect is None:
            return path + made if made.startswith("?") else made
        return self._send(request, made)

    def _send(self, request: Request, target: str) -> Response:
        url = quote(target, safe=f"{_PATH_SAFE}?#[]")
        if url.startswith("/") and not self.target.startswith("//"):
            url = quote(request.raw_path[: request.consumed], safe=_PATH_SAFE) + url
            if url.startswith("//"):  # what matched may not make another host of a path (RFC 3986 5.2.4)
                url = "/." + url
        if request.raw_query and "?" not in url:
            url = f"{url}?{request.query_string}"
        there = urlsplit(url)
        is_here = not there.netloc or f"{there.scheme}://{there.netloc}" == request.urls.origin
        if is_here and (there.path, there.query) == (
            request.raw_path.decode("latin-1"),
            request.query_string,
        ):
            raise RuntimeError(f"expected a redirect to elsewhere, got {url!r} once more")
        assert self.redirect is not None, "checked by the caller"
        return Response.redirect(url, self.redirect)

    def _holds(self, request: Request) -> bool:
        if self._methods is not None and request.method not in self._methods:
            return False
        if self._hosts is not None and not _is_host(request, self._hosts):
            return False
        if self._query is not None and self._query.search(request.query_string) is None:
            return False
        for name, wanted in self._headers:
            value = request.headers.get(name)
            if (value is None) if wanted is not None else (value is not None):
                return False
            if wanted is not None and wanted.search(value or "") is None:
                return False
        return self._when is None or self._when(request)


def _several(value: str | Iterable[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _is_host(request: Request, hosts: set[str]) -> bool:
    try:
        return any(key in hosts for key in lookups(normal_name(request.hostname), request.port))
    except ValueError:
        return False


def readable(request: Request) -> str:
    """The path below the current resource as patterns see it."""
    rest = request.raw_path[request.consumed :]
    if b"%" not in rest and b"#" not in rest:
        return rest.decode("utf-8", "replace")
    return "/".join([decode_segment(each).translate(_STRUCTURE) for each in rest.split(b"/")])


def alias(path: str, target: str) -> Rule:
    """A rule: `/a/x` is `/b/c/x` for `alias("/a", "/b/c")`. Whole segments, decoded."""
    old, new = _split(path), _split(target)

    def rule(request: Request) -> Outcome:
        segments = request.postpath
        return (*new, *segments[len(old) :]) if segments[: len(old)] == old else None

    return rule


def tilde(directory: str = "users") -> Rule:
    """A rule: `/~mary/x` is `/users/mary/x`."""
    above = _split(directory)

    def rule(request: Request) -> Outcome:
        segments = request.postpath
        if not segments or not segments[0].startswith("~"):
            return None
        return (*above, segments[0][1:], *segments[1:])

    return rule


def _split(path: str) -> tuple[str, ...]:
    segments = tuple(path.strip("/").split("/"))
    if not all(segments):
        raise ValueError(f'expected a path such as "/a/b", got {path!r}')
    return segments


tilde_to_users: Final = tilde()
