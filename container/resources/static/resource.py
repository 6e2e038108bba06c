"""Files: directories, or one file, of the disk (RFC 9110 8.8, 12.5.3, 13, 14). Hot path.

Here: how a request meets a file and becomes an answer. Which file: `finder.py`; what is kept in memory:
`cache.py`; what is said about it: `rules.py`; preconditions and ranges: `message/selection.py`. Files that are run
instead of sent: `processed.py`.
"""

import os
import stat
import time
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Final, TypeAlias

from container.message.errors import HTTPError, StartProblem
from container.message.file_body import FileBody
from container.message.request import Request
from container.message.response import Response
from container.message.selection import (
    is_plain,
    judge,
    partial,
    select,
    validator_fields,
    validators,
)
from container.resources.static.cache import BELIEVED_S, SMALL, Cache, Entry, Kept, Key, identify
from container.resources.static.codings import CODINGS, accepted_codings
from container.resources.static.finder import EXHAUSTED, FORBIDDEN, MISSING, Finder, Found, Links
from container.resources.static.names import extension, rest_of, safe_path
from container.resources.static.processed import SCRIPTS, ProcessedFiles, Processor, Reply
from container.resources.static.rules import Rules
from container.tree.resource import Resource
from container.tree.site import slash_redirect

Page: TypeAlias = "Resource | Response | None"

_RETRY: Final = {"Retry-After": "1"}
_CACHE_BYTES: Final = 32 * 1024 * 1024
_LINKS: Final = ("follow", "inside", "refuse")


class Files(Resource):
    """The files below `path`, for GET and HEAD; what is not there may be below one of `under`. A leaf;
    resources may be mounted in front of it, at any depth. `path` may also be a single file.

    `index`: names tried in order for a directory. `listing`: show a directory without one; otherwise it is 404.
    `types`: media types by extension, over the built-in table. `default_type`: of all other files; sent so
    that no browser guesses a better one. `ignore_ext`: extensions a URL may leave out, in order; `"*"` any.
    `precompressed`: a client that takes it gets `style.css.br`, `.zst` or `.gz` for `style.css`, unless it is
    older. `cache_control`: the field's value for all files, or by shell pattern, the first that fits.
    `immutable`: files named by a hash of their content may be kept for ever: True, or a regular expression of
    such paths. `fallback`: a path below the root, answered for missing names without extension, as single-page
    applications want it; when it is a script of `processors`, a front controller: for all that is no file, by any
    method. `processors`: by extension, what makes the resources that answer for files; these may be called with
    more path behind them, and by any method.
    `not_found`, `forbidden`: answer in place of the site's 404 and 403 pages.
    `dotfiles`: also serve names that begin with a dot; `.well-known` always is (RFC 8615).
    `links`: symbolic links are followed wherever they lead ("follow"), only inside the root ("inside"), or
    none of them is ("refuse").
    `cache_bytes`: how much of small files is kept in memory; 0 keeps nothing.
    """

    is_leaf = True

    def __init__(
        self,
        path: str | PathLike[str],
        *under: str | PathLike[str],
        index: Sequence[str] = ("index.html",),
        listing: bool = False,
        default_type: str = "application/octet-stream",
        types: Mapping[str, str] | None = None,
        ignore_ext: Sequence[str] = (),
        precompressed: bool = True,
        cache_control: Mapping[str, str] | str | None = None,
        immutable: bool | str = False,
        fallback: str | None = None,
        processors: Mapping[str, Processor] | None = None,
        not_found: Page = None,
        forbidden: Page = None,
        dotfiles: bool = False,
        links: Links = "follow",
        cache_bytes: int = _CACHE_BYTES,
    ) -> None:
        index = _parts_of_names(index, "file names as index")
        ignore_ext = _parts_of_names(ignore_ext, "extensions as ignore_ext")
        if links not in _LINKS:
            raise ValueError(f"expected links to be one of {', '.join(_LINKS)}, got {links!r}")
        self.made_with: dict[str, object] = {
            "index": index, "listing": listing, "types": types or {}, "default_type": default_type,
            "ignore_ext": ignore_ext, "precompressed": precompressed, "cache_control": cache_control,
            "immutable": immutable, "fallback": fallback, "dotfiles": dotfiles, "links": links,
            "cache_bytes": cache_bytes, "processors": processors or {}, "not_found": not_found,
            "forbidden": forbidden,
        }  # fmt: skip
        self.path = os.path.abspath(path)
        self.paths = [self.path, *map(os.path.abspath, under)]
        # What processed files of this tree share.
        self.registry: dict[object, object] = {}
        ignored = [each if each == "*" else "." + each.removeprefix(".") for each in ignore_ext]
        self._finder = Finder(
            [os.fsencode(each) for each in self.paths],
            [os.fsencode(name) for name in index],
            [os.fsencode(each) for each in ignored],
            links,
        )
        self._rules = Rules(
            types=types, default_type=default_type, cache_control=cache_control, immutable=immutable
        )
        self._listing = listing
        self._precompressed = precompressed
        self._fallback = None if fallback is None else os.fsencode("/" + fallback.removeprefix("/"))
        self._processed: ProcessedFiles | None = None
        if processors:
            self._processed = ProcessedFiles(
                self,
                self._finder,
                processors,
                fallback=self._fallback,
                listing=listing,
                dotfiles=dotfiles,
                may_leave_out=bool(ignored),
            )
        self._has_front = self._processed is not None and self._processed.front is not None
        if self._fallback is not None and not self._has_front and extension(self._fallback) in SCRIPTS:
            raise ValueError(
                f"expected a processor to run the fallback {fallback!r}, got none for its extension"
            )
        self._not_found = not_found
        self._forbidden = forbidden
        self._dotfiles = dotfiles
        self._cache = Cache(cache_bytes)
        self._clock = time.monotonic
        self._is_file = os.path.isfile(self.path)

    def mount(self, path: str, child: Resource) -> Resource:
        """Put `child` at `path`, in front of the files; those beside it stay."""
        if not isinstance(child, Resource):
            raise TypeError(f"expected a Resource to mount at {path!r}, got {child!r}")
        *above, name = path.removeprefix("/").split("/")
        parent: Resource = self
        for depth, segment in enumerate(above, 1):
            between = (parent._children or {}).get(segment)
            parent = between if between is not None else parent._put(segment, _Between(self, depth))
        return parent._put(name, child)

    # From a request to an entry or a file.

    def render(self, request: Request) -> Reply:
        memo = request.memo
        if memo is not None:
            kept = memo.get(self)
            if (
                kept.__class__ is Kept
                and kept.entry.until > self._clock()
                and kept.path is request.raw_path
                and kept.fields is request.raw_headers
                and kept.consumed == request.consumed
            ):
                return kept.entry.same if kept.is_same else kept.entry.full
        if self._processed is not None:
            reply = self._processed.reply(request)
            if reply is not None:
                return reply
        return super().render(request)

    def get(self, request: Request) -> Reply:
        rest = rest_of(request)
        if self._is_file and rest == b"/" and request.consumed == request.base:
            rest = b""
        below = safe_path(rest, dotfiles=self._dotfiles)
        if below is None:
            return self._missing(request)
        return self._serve(request, below)

    def _serve(self, request: Request, below: bytes, *, keep: bool = True) -> Reply:
        codings = accepted_codings(request.raw_headers) if self._precompressed else ()
        key = (below, codings)
        entry = self._cache.get(key)
        if entry is None or entry.until <= self._clock():
            looked = self._look(request, key, entry, is_fallback=not keep)
            if not isinstance(looked, Entry):
                return looked
            entry = looked
        if is_plain(request):
            if keep and request.memo is not None:
                self._remember(request, entry, False)
            return entry.full
        verdict = judge(request, len(entry.body), etag=entry.etag, last_modified=entry.modified)
        if isinstance(verdict, list):
            return partial(entry.body, verdict, entry.fields)
        if keep and request.memo is not None:
            self._remember(request, entry, verdict == 304)
        return entry.same if verdict == 304 else entry.full

    def _remember(self, request: Request, entry: Entry, is_same: bool) -> None:
        assert request.memo is not None, "asked by the callers"
        request.memo[self] = Kept(entry, is_same, request.raw_path, request.raw_headers, request.consumed)

    def _look(self, request: Request, key: Key, entry: Entry | None, *, is_fallback: bool) -> "Entry | Reply":
        """Look at the disk: an entry that is fresh, or an answer."""
        below, codings = key
        try:
            found = self._finder.find(below)
        except OSError as error:
            self._cache.discard(key)
            return self._declined(request, below, error, is_fallback=is_fallback)
        if not found.is_file:
            self._cache.discard(key)
            return self._no_file(request, below, found)
        if self._processed is not None and found.path in self._processed:
            # It was not there, or could not be opened, when it should have been run: nobody may read it instead.
            raise HTTPError(503, headers=_RETRY)
        coding, varies = None, False
        chosen = found
        if self._precompressed and found.below:
            chosen, coding, varies = self._variant(found, codings)
        status = chosen.status
        if entry is not None and entry.settled and entry.identity == identify(status):
            self._cache.believe(key, entry, self._clock() + BELIEVED_S)
            return entry
        fields = self._rules.fields(found.below or found.path, coding=coding, varies=varies)
        etag, modified = validators(status, f"-{coding}" if coding else "")
        fields += validator_fields(etag, modified)
        if status.st_size <= min(SMALL, self._cache.limit):
            now_ns = time.time_ns()
            body = _read_steady(chosen)
            if body is not None:
                fresh = Entry(body, fields, status, etag=etag, modified=modified, now_ns=now_ns)
                self._cache.believe(key, fresh, self._clock() + BELIEVED_S)
                return fresh
        self._cache.discard(key)
        fd, chosen.fd = chosen.fd, -1
        return select(request, FileBody(fd, 0, status.st_size), fields, etag=etag, last_modified=modified)

    def _variant(self, found: Found, codings: tuple[str, ...]) -> tuple[Found, str | None, bool]:
        """The file that the client gets for `found`, its coding, and whether other clients get another."""
        root = found.path[: len(found.path) - len(found.below)]
        for coding in (*codings, *(each for each in CODINGS if each not in codings)):
            try:
                side = self._finder.open(root, found.below + CODINGS[coding])
            except OSError:
                continue
            if side.is_file and side.status.st_mtime_ns >= found.status.st_mtime_ns:
                return (side, coding, True) if coding in codings else (found, None, True)
        return found, None, False

    # What has no file to send.

    def _no_file(self, request: Request, below: bytes, found: Found) -> Reply:
        found.close()
        if not found.is_directory:
            return self._missing(request, below)
        if not below.endswith(b"/"):
            return slash_redirect(request)
        if self._listing:
            from container.resources.static.listing import list_directory

            path = found.path.rstrip(b"/") or b"/"
            return list_directory(request, path, self._rules, dotfiles=self._dotfiles, is_top=below == b"/")
        return self._missing(request, below)

    def _missing(self, request: Request, below: bytes = b"", *, is_fallback: bool = False) -> Reply:
        is_page = bool(below) and b"." not in below[below.rfind(b"/") :]
        if self._fallback is not None and is_page and not (is_fallback or self._has_front):
            return self._serve(request, self._fallback, keep=False)
        return _page(request, self._not_found, 404)

    def _declined(self, request: Request, below: bytes, error: OSError, *, is_fallback: bool) -> Reply:
        if error.errno in MISSING:
            return self._missing(request, below, is_fallback=is_fallback)
        if error.errno in FORBIDDEN:
            if not below.endswith(b"/") and any(
                os.path.isdir(os.fsencode(root) + below) for root in self.paths
            ):
                return slash_redirect(request)  # it may not be listed, but what is in it may be readable
            return _page(request, self._forbidden, 403)
        if error.errno in EXHAUSTED:
            raise HTTPError(503, headers=_RETRY) from error
        raise error

    # The life of the process.

    async def start(self) -> None:
        """Raises StartProblem when there is nothing at `path`, or nothing that can be served."""
        for path in self.paths:
            try:
                mode = os.stat(path).st_mode
            except OSError as error:
                raise StartProblem(
                    f"expected a directory to serve, got {path!r}: {error.strerror}"
                ) from error
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                raise StartProblem(f"expected a directory or a file to serve, got the special file {path!r}")
        self._is_file = os.path.isfile(self.path)
        for page in (self._not_found, self._forbidden):
            if isinstance(page, Resource):
                await page.start()
        if self._processed is not None:
            await self._processed.start()

    async def stop(self) -> None:
        for page in (self._not_found, self._forbidden):
            if isinstance(page, Resource):
                await page.stop()
        if self._processed is not None:
            await self._processed.stop()


class _Between(Resource):
    """A name above something mounted in front of files: all else below it is theirs."""

    is_leaf = True

    def __init__(self, files: Files, depth: int) -> None:
        self._files = files
        self._depth = depth

    def render(self, request: Request) -> Reply:
        for _ in range(self._depth):
            request.consumed = request.raw_path.rfind(b"/", 0, request.consumed)
        return self._files.render(request)


def _read_steady(found: Found) -> bytes | None:
    """All of a file; None when it changed meanwhile, so that this may be half of one version."""
    size = found.status.st_size
    body = os.pread(found.fd, size, 0) if size else b""
    return body if len(body) == size and identify(os.fstat(found.fd)) == identify(found.status) else None


def _page(request: Request, page: Page, status: int) -> Reply:
    if page is None:
        raise HTTPError(status)
    return page if isinstance(page, Response) else page.render(request)


def _parts_of_names(parts: Sequence[str], what: str) -> tuple[str, ...]:
    """What names of files consist of, or are. ValueError when it cannot be that."""
    if isinstance(parts, str) or any("/" in each or "\0" in each or not each for each in parts):
        raise ValueError(f"expected a list of {what}, got {parts!r}")
    return tuple(parts)
