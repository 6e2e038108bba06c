"""What is said about a file besides its content: type, coding, how long it may be kept. Worked out once a file."""

import re
from collections.abc import Mapping
from fnmatch import translate
from typing import Final

from container.message.fields import Pair, encode_fields
from container.resources.media_types import content_type, media_types
from container.resources.static.names import extension

# `app.3f9a1c20.js`, `app-3f9a1c20.js`: a name that no other content will ever have.
HASHED: Final = r"[.-][0-9a-zA-Z_]*\d[0-9a-zA-Z_]*(?<=[.-][0-9a-zA-Z_]{8})[0-9a-zA-Z_]*(\.[0-9a-zA-Z]+)+$"
FOREVER: Final = "public, max-age=31536000, immutable"


class Rules:
    """The fields of files by their path below the root, which begins with a slash.

    `types`, `default_type`, `cache_control`, `immutable`: see Files. Raises ValueError when one is malformed.
    """

    def __init__(
        self,
        *,
        types: Mapping[str, str] | None,
        default_type: str,
        cache_control: Mapping[str, str] | str | None,
        immutable: bool | str,
    ) -> None:
        self._types = media_types(types)
        self._default_type = content_type(default_type)
        if isinstance(cache_control, str):
            cache_control = {"*": cache_control}
        self._patterns: list[tuple[re.Pattern[str], str]] = []
        if immutable:
            pattern = HASHED if immutable is True else immutable
            try:
                self._patterns.append((re.compile(pattern), FOREVER))
            except re.error as error:
                raise ValueError(
                    f"expected a regular expression as immutable, got {pattern!r}: {error}"
                ) from error
        for glob, value in (cache_control or {}).items():
            encode_fields([("Cache-Control", value)])
            self._patterns.append((_glob(glob), value))

    def fields(self, below: bytes, *, coding: str | None, varies: bool) -> list[Pair]:
        """Content-Type, Content-Encoding, Vary and Cache-Control of the file at `below`."""
        known = self._types.get(extension(below))
        fields = [("Content-Type", known or self._default_type)]
        if known is None:  # no browser shall make a page of it
            fields.append(("X-Content-Type-Options", "nosniff"))
        if coding is not None:
            fields.append(("Content-Encoding", coding))
        if varies:
            fields.append(("Vary", "Accept-Encoding"))
        if self._patterns:
            path = below.decode("utf-8", "replace")
            for pattern, value in self._patterns:
                if pattern.search(path):
                    fields.append(("Cache-Control", value))
                    break
        return fields

    def media_type(self, below: bytes) -> str:
        return self._types.get(extension(below), self._default_type)


def _glob(glob: str) -> re.Pattern[str]:
    """A shell pattern, of a name anywhere or, with a slash in it, of the whole path below the root."""
    pattern = translate(glob.removeprefix("/"))
    return re.compile(("^/" if "/" in glob else "(?:^|/)") + pattern)
