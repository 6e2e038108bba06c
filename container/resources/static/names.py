"""From a URL to names that are safe in a file system, and which of several names may answer it.

What a name may be is decided here, once: everything after works on bytes that cannot lead out of a directory.
"""

from typing import Final
from urllib.parse import unquote_to_bytes

from container.message.request import Request

_DOT: Final = 0x2E
# Public by definition, dot or not (RFC 8615).
_WELL_KNOWN: Final = b".well-known"
_NAME_MAX: Final = 255
_PATH_MAX: Final = 4096


def safe_path(rest: bytes, *, dotfiles: bool) -> bytes | None:
    """`rest` of a raw URL path, which is empty or begins with a slash, as a path of the file system.

    None for one that no file may have. Segments are decoded here, once, after they were split: what they then
    contain is part of a name. A trailing slash stays.
    """
    if not rest:
        return b""
    if b"%" in rest:
        names = [unquote_to_bytes(segment) for segment in rest[1:].split(b"/")]
        if any(b"/" in name for name in names):
            return None
    else:
        names = rest[1:].split(b"/")
    if not names[-1]:
        names.pop()
    for name in names:
        # A dot at the beginning is hidden, and a name made of dots leads elsewhere.
        if not name or name in (b".", b"..") or len(name) > _NAME_MAX:
            return None
        if name[0] == _DOT and not dotfiles and name != _WELL_KNOWN:
            return None
    path = b"/" + b"/".join(names) + (b"/" if rest.endswith(b"/") and names else b"")
    if len(path) > _PATH_MAX or b"\0" in path:
        return None
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return path


def rest_of(request: Request) -> bytes:
    """What follows the mount in the raw path: empty, or with its leading slash."""
    path = request.raw_path
    consumed = request.consumed
    if not consumed:
        return path
    rest = path[consumed:]
    return rest or (b"/" if path.endswith(b"/") else b"")


def extension(name: bytes) -> str:
    """The lower-case extension of a path, with its dot; empty without one."""
    at = name.rfind(b".")
    slash = name.rfind(b"/")
    # The dot of ".profile" begins a name and no extension.
    return name[at:].decode("utf-8", "replace").lower() if at > slash + 1 else ""
