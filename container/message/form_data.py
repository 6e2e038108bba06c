"""Forms as values: names with one or more values each, and uploaded files. How they are read is `forms.py`."""

import os
import re
import shutil
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import IO, Generic, Self, TypeVar, overload

from container.message.headers import Headers

_SEPARATORS = re.compile(r"[/\\]")
_RESERVED = re.compile(r'[<>:"|?*]')
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)")

V = TypeVar("V")
D = TypeVar("D")


class MultiMapping(Generic[V]):
    """Names with one or more values each, in order, unchangeable. Looking up a name gives its first value."""

    __slots__ = ("_pairs", "_values")

    def __init__(self, pairs: Iterable[tuple[str, V]] = ()) -> None:
        self._pairs = tuple(pairs)
        self._values: dict[str, list[V]] = {}
        for name, value in self._pairs:
            self._values.setdefault(name, []).append(value)

    def __getitem__(self, name: str) -> V:
        return self._values[name][0]

    @overload
    def get(self, name: str) -> V | None: ...
    @overload
    def get(self, name: str, default: D) -> V | D: ...
    def get(self, name: str, default: D | None = None) -> V | D | None:
        """The first value of `name`, or `default`."""
        values = self._values.get(name)
        return values[0] if values else default

    def get_all(self, name: str) -> list[V]:
        """Every value of `name`, in order."""
        return list(self._values.get(name, ()))

    def keys(self) -> list[str]:
        """Each name once, in order of first appearance."""
        return list(self._values)

    def values(self) -> list[V]:
        """The value of each pair, in the order of `items`."""
        return [value for _, value in self._pairs]

    def items(self) -> list[tuple[str, V]]:
        """All pairs in order, repeated names included."""
        return list(self._pairs)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._pairs == other._pairs

    def __hash__(self) -> int:
        return hash(self._pairs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self._pairs)!r})"


class Params(MultiMapping[str]):
    """Text fields: of a query, or of a form."""

    __slots__ = ()


class UploadedFile:
    """One file of a form. `file` is open for reading at its start; closing it removes it from disk.

    `filename`, `content_type` and `headers` are the client's words, not to be trusted: `filename` may hold a
    path. It is empty when a browser sends a file input in which nothing was chosen.
    """

    __slots__ = ("file", "filename", "headers", "name", "size")

    def __init__(self, name: str, filename: str, file: IO[bytes], *, size: int, headers: Headers) -> None:
        self.name = name
        self.filename = filename
        self.file = file
        self.size = size
        self.headers = headers

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type") or "application/octet-stream"

    @property
    def safe_filename(self) -> str:
        """A name of one path segment that is harmless on every system, never empty; not a unique one."""
        base = unicodedata.normalize("NFC", _SEPARATORS.split(self.filename)[-1])
        base = "".join(c for c in base if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
        base = _RESERVED.sub("_", base).strip(" .")
        if _DEVICES.match(base):
            base = "_" + base
        if len(base.encode()) > 255:
            stem, suffix = os.path.splitext(base)
            raw_suffix = suffix.encode()[:32]
            raw_stem = stem.encode()[: 255 - len(raw_suffix)]
            base = (raw_stem.decode(errors="ignore") + raw_suffix.decode(errors="ignore")).strip(" .")
        return base or "unnamed"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the content to `path`, over what was there; `file` is at its start again. Blocks."""
        self.file.seek(0)
        with open(path, "wb") as target:
            shutil.copyfileobj(self.file, target)
        self.file.seek(0)

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<UploadedFile {self.name!r} {self.filename!r} {self.size} bytes>"


class FormData(Params):
    """The text fields of a form; its files are in `files`. Whoever holds it closes it."""

    __slots__ = ("files",)

    def __init__(
        self, pairs: Iterable[tuple[str, str]] = (), files: Iterable[tuple[str, UploadedFile]] = ()
    ) -> None:
        super().__init__(pairs)
        self.files: MultiMapping[UploadedFile] = MultiMapping(files)

    def close(self) -> None:
        """Close every file; again does no harm."""
        with ExitStack() as stack:
            for upload in self.files.values():
                stack.callback(upload.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FormData) and self._pairs == other._pairs and self.files == other.files

    __hash__ = Params.__hash__


def text_of(raw: bytes) -> str:
    """Names and values are UTF-8 (WHATWG URL 5.1, RFC 7578 5.1.2)."""
    return raw.decode("utf-8", "replace")
