"""Files that are more than their content: their extension says what makes the resource that answers for them.

Scripts among files, with more path behind their names, and the one that is asked for whatever is no file.
"""

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from inspect import isclass
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, runtime_checkable
from urllib.parse import quote_from_bytes, unquote_to_bytes

from container.message.request import Request
from container.resources.static.finder import MISSING, Finder, Found
from container.resources.static.names import extension, rest_of, safe_path
from container.tree.resource import Answer, Resource
from container.tree.traverse import render_below

if TYPE_CHECKING:
    from container.resources.static.resource import Files

Reply: TypeAlias = "Answer | Awaitable[Answer]"
Processor: TypeAlias = "Callable[[str, Files], Resource]"
"""Makes the resource that answers for a file, from its path and the Files it was found by. One with `start` and `stop`
of its own, as resources have, is started and stopped with the Files."""

# Extensions of what nobody wants to send as it is.
SCRIPTS: Final = frozenset({".cgi", ".epy", ".php", ".pl", ".py", ".rb", ".rpy", ".sh"})


@runtime_checkable
class Living(Protocol):
    """A processor that is more than a function: it starts and stops with the files."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class ProcessedFiles:
    """Those of one Files, `processors` and all.

    `fallback`: the safe path of its fallback, which is the `front` controller when there is a processor for it.
    `may_leave_out`: a URL may leave out extensions.
    """

    def __init__(
        self,
        files: "Files",
        finder: Finder,
        processors: Mapping[str, Processor],
        *,
        fallback: bytes | None,
        listing: bool,
        dotfiles: bool,
        may_leave_out: bool,
    ) -> None:
        self._files = files
        self._finder = finder
        self._processors = {"." + each.lower().removeprefix("."): make for each, make in processors.items()}
        self.front = fallback if fallback is not None and fallback in self else None
        self._listing = listing
        self._dotfiles = dotfiles
        self._may_leave_out = may_leave_out
        self._living = _living(self._processors.values())

    def __contains__(self, path: bytes) -> bool:
        """Is there a processor for a file of this name?"""
        return extension(path) in self._processors

    def reply(self, request: Request) -> "Reply | None":
        """The answer of a processor: when the path leads to or through a file of one, or to nothing at all and
        there is a front controller."""
        rest = rest_of(request)
        ends = [at for at in range(1, len(rest)) if rest[at] == 0x2F]
        begin = 1
        for end in [*ends, len(rest)]:
            name, begin = rest[begin:end], end + 1
            is_last = end == len(rest)
            if not (is_last or self._may_leave_out or unquote_to_bytes(name) in self):
                continue
            # Not for each segment, or a path of a thousand takes a million steps.
            below = safe_path(rest[:end], dotfiles=self._dotfiles)
            if below is None:
                break
            try:
                found = self._finder.find(below)
            except OSError as error:
                if error.errno in MISSING:  # and so is all that would be below it
                    break
                if is_last:
                    return None
                continue
            if found.is_file:
                return self._run(request, found, len(request.raw_path) - len(rest) + end)
            if is_last and found.is_directory and (self._listing or not below.endswith(b"/")):
                return None
        return self._ask_front(request, self.front) if self.front is not None else None

    def _run(self, request: Request, found: Found, end: int) -> "Reply | None":
        """The answer of the processor of a file, which the raw path names up to `end`; None when it has none."""
        factory = self._processors.get(extension(found.path))
        if factory is None:
            return None
        request.consumed = end
        return render_below(factory(os.fsdecode(found.path), self._files), request)

    def _ask_front(self, request: Request, front: bytes) -> "Reply | None":
        """The answer of the script for whatever is missing; its target tells it what was asked for."""
        try:
            found = self._finder.find(front)
        except OSError:
            return None
        if not found.is_file:
            return None
        request.consumed = len(request.raw_path[: request.consumed].removesuffix(b"/"))
        request.rewrite(quote_from_bytes(front).encode())
        return self._run(request, found, len(request.raw_path))

    # The life of the process.

    async def start(self) -> None:
        for processor in self._living:
            await processor.start()

    async def stop(self) -> None:
        for processor in reversed(self._living):
            await processor.stop()


def _living(processors: Iterable[object]) -> list[Living]:
    """Those that start and stop with the files, each once."""
    once = dict.fromkeys(processors)
    return [each for each in once if isinstance(each, Living) and not isclass(each)]
