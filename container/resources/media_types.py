"""Which media type a file has, by the extension of its name (RFC 9110 8.3).

Our own table over the one built into Python; never the files of the machine, so that a site is served the
same everywhere. Text is UTF-8 and says so; JSON is UTF-8 by definition and has no charset (RFC 8259 11).
"""

from collections.abc import Mapping
from functools import cache
from mimetypes import MimeTypes
from typing import Final

from container.message.fields import encode_fields

# What Python lacks or has under an old name. An archive is a file like any other: `.gz` is a type here and
# no coding. XML names its own encoding, which a charset would override (RFC 7303 3): it is no text.
_OWN: Final = {
    "application/atom+xml": ".atom",
    "application/geo+json": ".geojson",
    "application/gzip": ".gz .tgz",
    "application/java-archive": ".jar",
    "application/json": ".json .map",
    "application/ld+json": ".jsonld",
    "application/manifest+json": ".webmanifest",
    "application/rss+xml": ".rss",
    "application/rtf": ".rtf",
    "application/toml": ".toml",
    "application/vnd.adobe.flash.movie": ".swf",
    "application/vnd.apple.mpegurl": ".m3u8",
    "application/vnd.mozilla.xul+xml": ".xul",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.rar": ".rar",
    "application/wasm": ".wasm",
    "application/x-7z-compressed": ".7z",
    "application/x-bzip2": ".bz2 .tbz2",
    "application/x-xz": ".xz .txz",
    "application/xhtml+xml": ".xhtml",
    "application/xml": ".xml .xsd .xsl",
    "application/yaml": ".yaml .yml",
    "application/zstd": ".zst",
    "audio/flac": ".flac",
    "audio/mp4": ".m4a",
    "audio/ogg": ".ogg .oga .opus .oz",
    "audio/webm": ".weba",
    "font/otf": ".otf",
    "font/ttf": ".ttf",
    "font/woff": ".woff",
    "font/woff2": ".woff2",
    "image/avif": ".avif",
    "image/heic": ".heic",
    "image/jpeg": ".jpg .jpeg",
    "image/jxl": ".jxl",
    "image/webp": ".webp",
    "text/javascript": ".js .mjs",
    "text/markdown": ".md",
    "text/plain": ".conf .diff .ini .java .log .patch .rst",
    "text/vnd.wap.wml": ".wml",
    "video/mp4": ".m4v .mp4",
    "video/ogg": ".ogv",
    "video/x-matroska": ".mkv",
    "video/webm": ".webm",
}


def media_types(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Content-Type values by lower-case extension, such as ".txt"; `extra` is put over the table.

    Raises ValueError when a type of `extra` is none.
    """
    table = dict(_table())
    for extension, media_type in (extra or {}).items():
        table["." + extension.lower().removeprefix(".")] = content_type(media_type)
    return table


def content_type(media_type: str) -> str:
    """`media_type` with its charset where it needs one. Raises ValueError when it cannot be a field value."""
    if "/" not in media_type:
        raise ValueError(f"expected a media type such as 'text/plain', got {media_type!r}")
    if media_type.startswith("text/") and ";" not in media_type:
        media_type = f"{media_type}; charset=utf-8"
    encode_fields([("Content-Type", media_type)])
    return media_type


@cache
def _table() -> dict[str, str]:
    known = MimeTypes(filenames=()).types_map
    types = {**known[False], **known[True]}
    types |= {extension: media_type for media_type, names in _OWN.items() for extension in names.split()}
    return {extension: content_type(media_type) for extension, media_type in types.items()}
