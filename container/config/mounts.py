"""Mounts as the command line spells them, `/prefix=KIND:ARG`, and what stands where nothing was mounted.

Here: the grammar. Not here: which kinds there are, what their arguments mean, mounting (build.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from container.config.problems import ConfigProblem
from container.message.response import Response
from container.tree.resource import Resource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from container.message.request import Request


@dataclass(frozen=True, slots=True)
class Mount:
    """A place in the tree, without slashes at its ends, and what it shall hold: KIND:ARG or module:name.

    The empty path is the root itself.
    """

    path: str
    spec: str
    text: str


def parse_mounts(texts: Iterable[str]) -> list[Mount]:
    """The mounts, those nearer to the root first; two at one place are a problem."""
    mounts: dict[str, Mount] = {}
    for text in texts:
        mount = _parse(text)
        if mount.path in mounts:
            first = mounts[mount.path].text
            raise ConfigProblem(f"expected one mount at /{mount.path}, got {first!r} and {text!r}")
        mounts[mount.path] = mount
    # A mount replaces what is at its place, and with it what was mounted below that.
    return sorted(mounts.values(), key=lambda mount: mount.path.count("/"))


def _parse(text: str) -> Mount:
    prefix, equals, spec = text.partition("=")
    if not prefix.startswith("/") or not equals or not spec:
        hint = f' (did you mean "/{text}"?)' if equals and prefix and spec and prefix[0].isalnum() else ""
        raise ConfigProblem(f'expected a mount as "/prefix=KIND:ARG", got {text!r}{hint}')
    path = prefix[1:].removesuffix("/")
    if path and not all(path.split("/")):
        raise ConfigProblem(f"expected a prefix without empty segments, got {prefix!r} in {text!r}")
    return Mount(path, spec, text)


_WELCOME = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>container is running</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; margin: 12vh auto; max-width: 40rem; padding: 0 1rem; }
pre { overflow: auto; padding: 1rem; background: #f4f4f4; color: #222; }
</style>
<h1>container is running</h1>
<p>It was started without anything to serve. Stop it and start it with something:</p>
<pre>container helloworld:application       a WSGI application, here of helloworld.py
container --path public                the files of a directory
container -y site.tac                  whatever a Python file puts together
container --mount /app=helloworld:application --mount /static=path:public</pre>
<p><code>container --help</code> lists all options.</p>
</html>
"""


class Welcome(Resource):
    """The root of a server that was given nothing to serve: says how to start with something."""

    is_leaf = True

    def __init__(self) -> None:
        self._here = Response.html(_WELCOME)
        self._elsewhere = Response.html(_WELCOME, 404)

    def get(self, request: Request) -> Response:
        return self._here if request.raw_path[request.base :] == b"/" else self._elsewhere
